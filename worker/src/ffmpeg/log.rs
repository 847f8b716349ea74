//! ffmpeg's stderr as a log: lines split where ffmpeg splits them (`\n` and `\r`), cleaned, and only the last part kept.
//!
//! Pure. Its bounds hold whatever is written to it: a line, and the whole.

use std::collections::VecDeque;

use ffrtmp_api::limits::LOG_BYTES_MAX;

use super::hidden::Hidden;

/// Longest line kept; the rest of a longer one is cut off.
const LINE_BYTES_MAX: usize = 4096;

/// The end of a log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    hidden: Hidden,
    lines: VecDeque<String>,
    bytes: usize,
    bytes_dropped: u64,
    partial: Vec<u8>,
}

impl Log {
    /// A log in which what is `hidden` does not turn up.
    pub(crate) fn without(hidden: Hidden) -> Log {
        Log {
            hidden,
            ..Log::default()
        }
    }

    /// Takes what was read and answers with the whole lines it completed, each ended by a newline; empty if none.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        let mut fresh = String::new();
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.end_line(&mut fresh);
            } else if self.partial.len() < LINE_BYTES_MAX {
                self.partial.push(byte);
            }
        }
        fresh
    }

    /// Ends the last line, which may lack its newline. Answers like [`Log::feed`].
    pub(crate) fn finish(&mut self) -> String {
        let mut fresh = String::new();
        self.end_line(&mut fresh);
        fresh
    }

    /// The log's lines, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().rev().map(|line| line.trim_end())
    }

    /// The whole text, headed by a note if its beginning was dropped.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes + 64);
        if self.bytes_dropped > 0 {
            text.push_str(&format!(
                "[{} bytes of earlier log dropped]\n",
                self.bytes_dropped
            ));
        }
        self.lines.iter().for_each(|line| text.push_str(line));
        text
    }

    fn end_line(&mut self, fresh: &mut String) {
        if self.partial.is_empty() {
            return;
        }
        // Control characters would each become six bytes of JSON, and would move a reader's cursor.
        let mut line: String = String::from_utf8_lossy(&self.partial)
            .chars()
            .map(|c| {
                if c.is_control() && c != '\t' {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect();
        line = self.hidden.clean(&line).into_owned();
        line.push('\n');
        self.partial.clear();
        fresh.push_str(&line);
        self.bytes += line.len();
        self.lines.push_back(line);
        // Room for the note in front is part of the bound.
        while self.bytes > LOG_BYTES_MAX - 64 {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.bytes_dropped += oldest.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriage_returns_and_newlines_both_end_a_line() {
        let mut log = Log::default();
        assert_eq!(log.feed(b"one\rtwo\r\nthr"), "one\ntwo\n");
        assert_eq!(log.feed(b"ee"), "");
        assert_eq!(log.finish(), "three\n");
        assert_eq!(log.text(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_flood_keeps_its_end_and_says_what_is_missing() {
        let mut log = Log::default();
        for n in 0..200_000 {
            log.feed(format!("line {n}\n").as_bytes());
        }
        let text = log.text();
        assert!(text.len() <= LOG_BYTES_MAX, "{}", text.len());
        assert!(
            text.starts_with('[') && text.ends_with("line 199999\n"),
            "{:?}",
            &text[..80]
        );
    }

    #[test]
    fn one_endless_line_of_control_characters_stays_bounded() {
        let mut log = Log::default();
        log.feed(&vec![1; 4 << 20]);
        log.finish();
        let text = log.text();
        assert!(text.len() <= 3 * LINE_BYTES_MAX + 1);
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'));
    }
}
