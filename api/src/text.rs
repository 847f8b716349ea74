//! Small rules about text that every part must hold alike: which characters a name, a label or a path may hold, what a token
//! looks like, which word was probably meant, bytes as hex.
//!
//! The characters matter because names end in terminals, logs and dashboards, where an unprintable one can hide or forge what is
//! shown.

use std::fmt::Write as _;

use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MIN};

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

/// What is wrong with a token, if anything is: it could not be sent in a header, or could be guessed. Never repeats it.
pub fn token_fault(token: &str) -> Option<String> {
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        Some("a token is printable ASCII without spaces; make one with `ffrtmp token`".into())
    } else if token.len() < TOKEN_BYTES_MIN {
        Some(format!(
            "a token has at least {TOKEN_BYTES_MIN} characters, or it could be guessed; make one with `ffrtmp token`"
        ))
    } else {
        None
    }
}

/// The word of `known` that was probably meant: at most a third of its letters differ, or one of a short word's.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No word is longer, and comparing costs the product of both lengths.
    let given: String = given.chars().take(NAME_BYTES_MAX).collect();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&given, word), word))
        .filter(|(distance, word)| *distance <= (word.len().max(given.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Bytes as small hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_another_word_does_not() {
        let known = ["input", "output", "queue", "crf"];
        for (given, meant) in [
            ("inptu", Some("input")),
            ("outptu", Some("output")),
            ("quee", Some("queue")),
            ("cfr", Some("crf")),
            ("bitrate", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

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
