//! Jobs from a file: one JSON object, an array of them, objects one after the other, or one on each line.
//!
//! Separate because it is about text, not about jobs. It reads as it goes and keeps one job at a time, so that a file
//! may be larger than memory. A line that is wrong costs that line; where a document that spans lines is wrong, nothing
//! behind that place can be trusted, and reading ends there.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

use super::fields::Fields;

/// Largest single job in a file, in bytes. A job that uses every limit to the full is below 100 KiB.
const JOB_BYTES_MAX: u64 = 1024 * 1024;

/// One job of a file.
pub struct Item {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Its fields, or what is wrong with it.
    pub fields: Result<Fields, String>,
}

/// Why reading ended before the end.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The file is not what it should be from this line on.
    Bad {
        /// From 1.
        line: u64,
        /// What was found there.
        what: String,
    },
    /// It could not be read.
    Io(io::Error),
    /// The caller did not want more.
    Caller(E),
}

/// Calls `each` with every job of `input`, in order.
pub fn read<E>(
    input: impl BufRead,
    mut each: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut input = Counted::new(input, 1);
    match input.skip_blank().map_err(Stopped::Io)? {
        None => Ok(()),
        Some(b'[') => {
            input.consume(1);
            array(&mut input, &mut each)
        }
        Some(_) => lines(input, &mut each),
    }
}

/// The rest of an array whose bracket was read.
fn array<E>(
    input: &mut Counted<impl BufRead>,
    each: &mut impl FnMut(Item) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut first = true;
    loop {
        let next = input.skip_blank().map_err(Stopped::Io)?;
        let line = input.line;
        let bad = |what: &str| Stopped::Bad {
            line,
            what: what.to_owned(),
        };
        match next {
            Some(b']') => {
                input.consume(1);
                return match input.skip_blank().map_err(Stopped::Io)? {
                    None => Ok(()),
                    Some(_) => Err(Stopped::Bad {
                        line: input.line,
                        what: "there is more behind the end of the array".to_owned(),
                    }),
                };
            }
            Some(b',') if !first => {
                input.consume(1);
                input.skip_blank().map_err(Stopped::Io)?;
            }
            _ if first => {}
            Some(_) => return Err(bad("a comma or ] is missing between jobs")),
            None => return Err(bad("the array does not end")),
        }
        first = false;
        object(input, each)?;
    }
}

/// One object at the place where `input` stands.
fn object<E>(
    input: &mut Counted<impl BufRead>,
    each: &mut impl FnMut(Item) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let next = input.skip_blank().map_err(Stopped::Io)?;
    let line = input.line;
    if next != Some(b'{') {
        return Err(Stopped::Bad {
            line,
            what: "a job is a JSON object, as in {\"input\": \"in.mp4\"}".to_owned(),
        });
    }
    input.left = JOB_BYTES_MAX;
    let parsed = Object::deserialize(&mut serde_json::Deserializer::from_reader(&mut *input));
    input.left = u64::MAX;
    let fields = match parsed {
        Ok(object) => object.into_fields(),
        Err(error) if error.is_io() && input.failed.is_some() => {
            return Err(Stopped::Io(
                input
                    .failed
                    .take()
                    .unwrap_or_else(|| io::Error::other(error)),
            ));
        }
        Err(error) => {
            // serde counts lines from the object's own beginning.
            let at = line + (error.line().max(1) as u64 - 1);
            return Err(Stopped::Bad {
                line: at,
                what: without_place(&error),
            });
        }
    };
    each(Item { line, fields }).map_err(Stopped::Caller)
}

/// Objects on lines, or, if the first line is only the beginning of one, objects one after the other.
fn lines<E>(
    mut input: Counted<impl BufRead>,
    each: &mut impl FnMut(Item) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut text = Vec::new();
    let mut first = true;
    loop {
        let line = input.line;
        let whole = input.next_line(&mut text).map_err(Stopped::Io)?;
        if text.is_empty() {
            return Ok(());
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice::<Object>(&text);
        if let Err(error) = &parsed
            && error.is_eof()
            && first
            && whole
        {
            let mut input = Counted::new(text.as_slice().chain(input.inner), line);
            while input.skip_blank().map_err(Stopped::Io)?.is_some() {
                object(&mut input, each)?;
            }
            return Ok(());
        }
        first = false;
        let fields = match parsed {
            _ if !whole => Err(format!("is longer than {JOB_BYTES_MAX} bytes")),
            Ok(object) => object.into_fields(),
            Err(error) if text.trim_ascii().first() != Some(&b'{') => Err(format!(
                "is not a JSON object, as in {{\"input\": \"in.mp4\"}}: {}",
                without_place(&error)
            )),
            Err(error) => Err(format!(
                "column {}: {}",
                error.column(),
                without_place(&error)
            )),
        };
        each(Item { line, fields }).map_err(Stopped::Caller)?;
    }
}

/// What serde says, without its own line and column: those are told by us, counted in the file.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// An object whose keys were looked at as they came: serde's own map would quietly keep the last of two.
struct Object {
    fields: Fields,
    twice: Option<String>,
}

impl Object {
    fn into_fields(self) -> Result<Fields, String> {
        match self.twice {
            Some(name) => Err(format!("{name:?} is given twice; give it once")),
            None => Ok(self.fields),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object {
                    fields: Fields::new(),
                    twice: None,
                };
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if object.fields.len() > 1_000 {
                        return Err(A::Error::custom("an object with more than 1000 fields"));
                    }
                    if object.fields.insert(name.clone(), value).is_some() {
                        object.twice.get_or_insert(name);
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A reader that knows on which line it stands, and reads at most so many bytes for one job.
struct Counted<R> {
    inner: R,
    line: u64,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: BufRead> Counted<R> {
    fn new(inner: R, line: u64) -> Counted<R> {
        Counted {
            inner,
            line,
            left: u64::MAX,
            failed: None,
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
    }

    /// Steps over white space; gives the byte behind it, which is not consumed.
    fn skip_blank(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.inner.fill_buf()?;
            let Some(&byte) = buffer.first() else {
                return Ok(None);
            };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.line += u64::from(byte == b'\n');
            self.inner.consume(1);
        }
    }

    /// Reads a line into `text`; `false` if it was too long to be kept whole. Empty at the end.
    fn next_line(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        text.clear();
        (&mut self.inner)
            .take(JOB_BYTES_MAX)
            .read_until(b'\n', text)?;
        let whole = (text.len() as u64) < JOB_BYTES_MAX || text.ends_with(b"\n");
        if !whole {
            self.inner.skip_until(b'\n')?;
        }
        self.line += 1;
        Ok(whole)
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!(
                "a job of more than {JOB_BYTES_MAX} bytes"
            )));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = buffer.len().min(most);
        match self.inner.read(&mut buffer[..end]) {
            Ok(n) => {
                self.left -= n as u64;
                self.line += buffer[..n].iter().filter(|byte| **byte == b'\n').count() as u64;
                Ok(n)
            }
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(copy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each item as `line name` or `line: what is wrong`, and how reading ended.
    fn items(text: &str) -> (Vec<String>, Option<String>) {
        let mut seen = Vec::new();
        let ended = read(text.as_bytes(), |item| {
            seen.push(match item.fields {
                Ok(fields) => format!("{} {}", item.line, Value::Object(fields)),
                Err(what) => format!("{}: {what}", item.line),
            });
            Ok::<(), ()>(())
        });
        let ended = ended.err().map(|stopped| match stopped {
            Stopped::Bad { line, what } => format!("{line}: {what}"),
            other => format!("{other:?}"),
        });
        (seen, ended)
    }

    #[test]
    fn one_object_an_array_objects_in_a_row_and_lines_are_all_jobs() {
        for text in [
            "{\"crf\":1}",
            " \n\n {\n \"crf\":\n 1}\n",
            "[{\"crf\":1}]",
            "{\"crf\":1}\n",
        ] {
            let (seen, ended) = items(text);
            assert_eq!((seen.len(), ended), (1, None), "{text:?}");
            assert!(seen[0].ends_with("{\"crf\":1}"), "{seen:?}");
        }
        let two = ["2 {\"crf\":1}", "4 {\"crf\":2}"]
            .map(String::from)
            .to_vec();
        for text in [
            "\n{\"crf\":1}\n\n{\"crf\":2}\n",
            "[\n{\"crf\":1},\n\n{\"crf\":2}]",
            "\n{\n\"crf\":1}\n{\"crf\":2}",
        ] {
            assert_eq!(items(text), (two.clone(), None), "{text:?}");
        }
        for nothing in ["", " \n", "[]", "[ ]\n"] {
            assert_eq!(items(nothing), (Vec::new(), None), "{nothing:?}");
        }
    }

    #[test]
    fn a_wrong_line_costs_that_line() {
        let (seen, ended) = items(
            "{\"crf\":1}\nnonsense\n{\"crf\":2,\"crf\":3}\n[1]\n{\"crf\":\n\u{0}\n{\"crf\":4}",
        );
        assert_eq!(ended, None);
        assert_eq!(seen.len(), 7, "{seen:?}");
        assert!(seen[1].starts_with("2: is not a JSON object"), "{seen:?}");
        assert_eq!(seen[2], "3: \"crf\" is given twice; give it once");
        assert!(seen[3].starts_with("4: is not a JSON object"), "{seen:?}");
        assert!(seen[4].starts_with("5: column "), "{seen:?}");
        assert_eq!(seen[6], "7 {\"crf\":4}");
    }

    #[test]
    fn a_document_that_breaks_is_read_up_to_the_break() {
        for (text, before, says) in [
            ("[{\"crf\":1},\n{\"crf\" 2}]", 1, "2: expected `:`"),
            ("[{\"crf\":1}", 1, "1: the array does not end"),
            ("[{\"crf\":1} {\"crf\":2}]", 1, "1: a comma or ]"),
            ("[1]", 0, "1: a job is a JSON object"),
            ("[{\"crf\":1}]\nx", 1, "2: there is more"),
            ("{\n\"crf\":1}\n7", 1, "3: a job is a JSON object"),
            ("{\n\"crf\":1\n", 0, "EOF while parsing"),
        ] {
            let (seen, ended) = items(text);
            assert_eq!(seen.len(), before, "{text:?}");
            let ended = ended.unwrap();
            assert!(ended.contains(says), "{text:?}: {ended}");
        }
    }

    #[test]
    fn a_job_of_megabytes_is_refused_and_not_kept() {
        let long = "x".repeat(2 * JOB_BYTES_MAX as usize);
        let (seen, ended) = items(&format!(
            "{{\"crf\":1}}\n{{\"scenario\":\"{long}\"}}\n{{\"crf\":2}}\n"
        ));
        assert_eq!((seen.len(), ended), (3, None));
        assert!(seen[1].starts_with("2: is longer than"), "{}", seen[1]);
        let (seen, ended) = items(&format!("[{{\"scenario\":\"{long}\"}}]"));
        assert!(seen.is_empty());
        assert!(ended.unwrap().contains("a job of more than"));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let deep = format!("{{\"labels\":{}", "[".repeat(100_000));
        let (seen, _) = items(&format!("{{\"crf\":1}}\n{deep}\n"));
        assert!(seen[1].contains("recursion limit"), "{}", seen[1]);
    }
}
