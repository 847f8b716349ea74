//! Which language a policy was written in: what its toolchain left in the component's `producers` sections.
//!
//! For people alone. It is a stranger's word: it is cut to a few plain characters and nothing is decided by it.

use wasmparser::{KnownCustom, Parser, Payload};

/// Longest name shown.
const CHARS_MAX: usize = 24;
/// Sections looked at. A component has one for each module and nested component; more is noise.
const SECTIONS_MAX: usize = 64;
/// Toolchains that put an interpreter into the component. What they were told to run is the policy's language, whatever
/// the interpreter was written in.
const INTERPRETERS: [(&str, &str); 3] = [
    ("componentize-py", "Python"),
    ("componentize-js", "JavaScript"),
    ("ComponentizeJS", "JavaScript"),
];

/// Compilers that name themselves but not always the language.
const COMPILERS: [(&str, &str); 3] = [("rustc", "Rust"), ("TinyGo", "Go"), ("clang", "C/C++")];

/// The language, where the component says.
pub(super) fn of(bytes: &[u8]) -> Option<String> {
    let mut first = None;
    let mut compiler = None;
    let mut sections = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        let KnownCustom::Producers(fields) = section.as_known() else {
            continue;
        };
        sections += 1;
        if sections > SECTIONS_MAX {
            break;
        }
        for field in fields.into_iter().flatten() {
            for value in field.values.into_iter().flatten() {
                if let Some((_, language)) = INTERPRETERS.iter().find(|(by, _)| *by == value.name) {
                    return Some((*language).to_owned());
                }
                if let Some((_, language)) = COMPILERS.iter().find(|(by, _)| *by == value.name) {
                    compiler = compiler.or(Some((*language).to_owned()));
                }
                if field.name == "language" {
                    match value.name {
                        "Python" | "JavaScript" => return Some(value.name.to_owned()),
                        name => first = first.or_else(|| plain(name)),
                    }
                }
            }
        }
    }
    first.or(compiler)
}

fn plain(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+#.- ".contains(*c))
        .take(CHARS_MAX)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core module that holds nothing but a `producers` section with these fields.
    fn module(fields: &[(&str, &str)]) -> Vec<u8> {
        let text = |out: &mut Vec<u8>, text: &str| {
            out.push(text.len() as u8);
            out.extend(text.as_bytes());
        };
        let mut content = Vec::new();
        text(&mut content, "producers");
        content.push(fields.len() as u8);
        for (field, value) in fields {
            text(&mut content, field);
            content.push(1);
            text(&mut content, value);
            text(&mut content, "1.0");
        }
        let mut module = b"\0asm\x01\0\0\0\0".to_vec();
        module.push(content.len() as u8);
        module.extend(content);
        module
    }

    #[test]
    fn the_language_is_what_the_toolchain_wrote_down() {
        assert_eq!(
            of(&module(&[("processed-by", "rustc"), ("language", "Rust")])).as_deref(),
            Some("Rust")
        );
    }

    #[test]
    fn a_compiler_s_name_says_it_too() {
        assert_eq!(
            of(&module(&[
                ("processed-by", "wit-component"),
                ("processed-by", "rustc")
            ]))
            .as_deref(),
            Some("Rust")
        );
    }

    #[test]
    fn an_interpreter_s_own_language_is_not_the_policy_s() {
        assert_eq!(
            of(&module(&[
                ("language", "C++"),
                ("processed-by", "componentize-js")
            ]))
            .as_deref(),
            Some("JavaScript")
        );
    }

    #[test]
    fn a_stranger_s_word_is_made_plain_and_short() {
        let long = format!("\u{1b}[31m{}", "x".repeat(80));
        let shown = of(&module(&[("language", &long)]));
        assert_eq!(shown.map(|s| s.len()), Some(CHARS_MAX));
        assert_eq!(of(b"no wasm at all"), None);
        assert_eq!(of(&module(&[])), None);
    }
}
