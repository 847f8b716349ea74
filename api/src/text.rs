//! Which characters a name, a label or a path may hold.
//!
//! One place, because they end in terminals, logs and dashboards, where an unprintable one can hide or forge what is shown.

/// Whether this character may not be in a name or path: a control character (NUL, newline, escape), a line separator, or one
/// that changes the direction of what follows, so that it is shown as something it is not.
pub fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first unfit character, as a message names it.
pub fn unfit(text: &str) -> Option<String> {
    let c = text.chars().find(|c| is_unfit(*c))?;
    Some(match c {
        '\0' => "a NUL".into(),
        '\n' | '\r' => "a line break".into(),
        '\u{2028}' | '\u{2029}' => "a line separator".into(),
        c if c.is_control() => format!("a control character (U+{:04X})", u32::from(c)),
        c => format!(
            "a character that changes the direction of writing (U+{:04X})",
            u32::from(c)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_unfit_and_every_script_is_fit() {
        for (text, what) in [
            ("a\0b", "a NUL"),
            ("a\nb", "a line break"),
            ("a\u{1b}[31m", "a control character (U+001B)"),
            ("a\u{85}", "a control character (U+0085)"),
            ("a\u{2028}b", "a line separator"),
            (
                "gpj.\u{202e}exe",
                "a character that changes the direction of writing (U+202E)",
            ),
            (
                "\u{2066}x",
                "a character that changes the direction of writing (U+2066)",
            ),
        ] {
            assert_eq!(unfit(text).as_deref(), Some(what), "{text:?}");
        }
        for text in ["", "a b", "größe", "日本語", "עברית", "عربي", "🎬"] {
            assert_eq!(unfit(text), None, "{text}");
        }
    }
}
