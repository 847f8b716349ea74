//! Enums whose values are words: on the wire, on the command line, in the store and as metric labels.

/// Declares an enum whose variants are words on the wire, with the list of them for error messages and zero-filled metrics.
/// `$word` is a `tt`, not a `literal`: derive macros see the latter as a group and take it for no literal.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:tt,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The word used on the wire, on the command line, in the store and as a metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            /// The error names what was given and the words that are accepted.
            fn from_str(s: &str) -> Result<Self, String> {
                match s {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("{:?} is not one of {}", s.chars().take(64).collect::<String>(), [$($word,)*].join(", "))),
                }
            }
        }
    };
}
