//! A JSON body, taken strictly, with errors that name the field and what would be right.
//!
//! serde alone would take a list for a struct, keep the last of two equal keys of a map, and build millions of small structs
//! from one list. So the text is first walked through once without building anything ([`check`]), and only then parsed.

use std::{borrow::Cow, collections::HashSet, fmt, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::StatusCode,
};
use ffrtmp_api::{limits, text::nearest};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};

use serde_json::Value;
use serde_path_to_error::Segment;

use super::error::ApiError;

/// How long a body may take to arrive: 8 MiB at 280 kB/s.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// How deep lists and objects may nest. What this API takes nests four deep.
const DEPTH_MAX: usize = 32;

/// A JSON body. The content type is not insisted on.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, state))
            .await
            .map_err(|_| too_slow())?
            .map_err(unread)?;
        parse(&bytes).map(Body)
    }
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "too_slow",
        format!("the body did not arrive within {BODY_TIME_MAX:?}"),
    )
}

fn unread(rejection: BytesRejection) -> ApiError {
    match rejection {
        BytesRejection::FailedToBufferBody(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!(
                    "the body is larger than {} bytes; split the batch",
                    limits::BODY_BYTES_MAX
                ),
            )
        }
        other => ApiError::new(StatusCode::BAD_REQUEST, "bad_body", other.body_text()),
    }
}

/// A body as `T`.
///
/// # Errors
/// 400, with the place and, for a field that is not there, the nearest one that is.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        bad_json(format!(
            "the body is not UTF-8: byte {} is part of no character",
            e.valid_up_to() + 1
        ))
    })?;
    // serde would also take a list for a struct, field by field; nobody means that.
    if text.trim_start().as_bytes().first() != Some(&b'{') {
        return Err(bad_json(
            "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
        ));
    }
    check(text).map_err(|e| bad_json(format!("the body cannot be taken: {e}")))?;
    serde_json::from_str(text).or_else(|_| {
        // Once more, slower, to learn which field it was.
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let error = match serde_path_to_error::deserialize(&mut deserializer) {
            Ok(value) => {
                return deserializer
                    .end()
                    .map(|()| value)
                    .map_err(|e| bad_json(e.to_string()));
            }
            Err(error) => error,
        };
        let path = error.path().clone();
        let field = path.to_string();
        let cause = match error.into_inner().to_string() {
            // The text is JSON, so this is a word's place with something else in it.
            cause if cause.starts_with("expected value") => {
                no_word::<T>(text, &path).unwrap_or(cause)
            }
            cause => reworded(&cause),
        };
        Err(match field.as_str() {
            "." | "?" => bad_json(format!("the body is not what this route takes: {cause}")),
            field => bad_json(format!("{field}: {cause}")).about(field),
        })
    })
}

/// What is wrong with a value that stands where one of some words should: serde_json says only "expected value". With text in
/// its place, serde says which words there are.
fn no_word<T: DeserializeOwned>(text: &str, path: &serde_path_to_error::Path) -> Option<String> {
    let mut body: Value = serde_json::from_str(text).ok()?;
    let mut place = &mut body;
    for segment in path {
        place = match segment {
            Segment::Map { key } => place.get_mut(key)?,
            Segment::Seq { index } => place.get_mut(index)?,
            _ => return None,
        };
    }
    let given = clip(&place.to_string());
    *place = Value::String(String::new());
    let cause = serde_json::from_value::<T>(body).err()?.to_string();
    let (none, words) = reworded(&cause)
        .split_once(" is not ")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    (none == "\"\"").then(|| format!("{given} is not {words}"))
}

fn bad_json(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_json", message)
}

/// serde's message, put as our others are: which words are accepted, which field was meant. What is not recognised stays.
fn reworded(message: &str) -> String {
    let words: Vec<&str> = message.split('`').collect();
    let given = words.get(1).copied().unwrap_or_default();
    let known: Vec<&str> = words.iter().skip(3).step_by(2).copied().collect();
    if known.is_empty() {
        return message.to_owned();
    }
    if message.starts_with("unknown variant") {
        format!("{:?} is not one of {}", clip(given), known.join(", "))
    } else if message.starts_with("unknown field") {
        match nearest(given, known.iter().copied()) {
            Some(near) => format!(
                "there is no field {:?}; did you mean {near:?}?",
                clip(given)
            ),
            None => format!(
                "there is no field {:?}; there are {}",
                clip(given),
                known.join(", ")
            ),
        }
    } else {
        message.to_owned()
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Walks through JSON text: no deeper than [`DEPTH_MAX`], no list longer than a batch may be, no list directly in a list, and
/// no key twice in one object.
fn check(text: &str) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict {
        depth: 0,
        in_list: false,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end()
}

/// A value to walk through.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    in_list: bool,
}

impl Strict {
    fn below<E: de::Error>(self, in_list: bool) -> Result<Strict, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format_args!(
                "it nests deeper than {DEPTH_MAX} levels"
            )));
        }
        Ok(Strict {
            depth: self.depth + 1,
            in_list,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.below(true)?;
        if self.in_list {
            return Err(de::Error::custom(
                "a list directly in a list, which nothing here is",
            ));
        }
        let mut length = 0usize;
        while list.next_element_seed(below)?.is_some() {
            length += 1;
        }
        if length > limits::BATCH_JOBS_MAX {
            return Err(de::Error::custom(format_args!(
                "{length} entries in one list; at most {} are accepted: split the batch",
                limits::BATCH_JOBS_MAX
            )));
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let below = self.below(false)?;
        let mut keys = Keys::default();
        while let Some(key) = object.next_key_seed(Key)? {
            if let Some(key) = keys.insert(key) {
                return Err(de::Error::custom(format_args!(
                    "the key {:?} is there twice",
                    clip(&key)
                )));
            }
            object.next_value_seed(below)?;
        }
        Ok(())
    }
}

/// The keys of one object so far: a list while there are few, as there nearly always are.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    const FEW: usize = 32;

    /// Gives the key back if it was there.
    fn insert(&mut self, key: Cow<'a, str>) -> Option<Cow<'a, str>> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Some(key);
        }
        if self.few.len() < Self::FEW {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        None
    }
}

/// A key, borrowed where the text holds it as it is.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::{job::JobSpec, rest::SubmitBatch};

    use super::*;

    fn refusal(text: &str) -> String {
        parse::<JobSpec>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_its_field() {
        let deep = format!("{{\"labels\":{}{}}}", "[".repeat(100), "]".repeat(100));
        let deep_objects = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
        for (body, message) in [
            (
                "",
                "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
            ),
            (
                "[]",
                "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
            ),
            (
                "{",
                "the body cannot be taken: EOF while parsing an object at line 1 column 1",
            ),
            (
                "{} {}",
                "the body cannot be taken: trailing characters at line 1 column 4",
            ),
            (
                "{\"inptu\":\"/a\"}",
                "inptu: there is no field \"inptu\"; did you mean \"input\"?",
            ),
            (
                "{\"queue\":\"fast\"}",
                "queue: \"fast\" is not one of live, default, batch",
            ),
            (
                "{\"queue\":null}",
                "queue: null is not one of live, default, batch",
            ),
            (
                "{\"priority\":[3]}",
                "priority: [3] is not one of high, medium, low",
            ),
            (
                "{\"crf\":-1}",
                "crf: invalid value: integer `-1`, expected u32 at line 1 column 9",
            ),
            (
                "{\"labels\":{\"a\":1}}",
                "labels.a: invalid type: integer `1`, expected a string at line 1 column 16",
            ),
            (
                "{\"labels\":{\"a\":\"1\",\"a\":\"2\"}}",
                "the body cannot be taken: the key \"a\" is there twice at line 1 column 22",
            ),
            (
                "{\"crf\":1,\"crf\":2}",
                "the body cannot be taken: the key \"crf\" is there twice at line 1 column 14",
            ),
            (
                &deep,
                "the body cannot be taken: a list directly in a list, which nothing here is at line 1 column 12",
            ),
            (
                &deep_objects,
                "the body cannot be taken: it nests deeper than 32 levels at line 1 column 161",
            ),
            (
                "{\"input\":\"\\ud800\"}",
                "the body cannot be taken: unexpected end of hex escape at line 1 column 17",
            ),
        ] {
            assert_eq!(refusal(body), message, "{body:.80}");
        }
        assert_eq!(
            parse::<JobSpec>(b"{\"input\":\"\xff\"}")
                .unwrap_err()
                .to_string(),
            "the body is not UTF-8: byte 11 is part of no character"
        );
    }

    #[test]
    fn a_word_that_is_near_no_field_gets_the_list() {
        let said = refusal("{\"zzzzzzzz\":1}");
        assert!(
            said.contains("there are scenario, preset,") && !said.contains("mean"),
            "{said}"
        );
    }

    #[test]
    fn a_batch_names_the_job_and_may_not_be_longer_than_it_may_be() {
        let said = |body: &str| {
            parse::<SubmitBatch>(body.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            said("{\"jobs\":[{},{\"priority\":\"now\"}]}"),
            "jobs[1].priority: \"now\" is not one of high, medium, low"
        );
        let many = format!("{{\"jobs\":[{}{{}}]}}", "{},".repeat(99_999));
        let line = said(&many);
        assert!(
            line.contains(
                "100000 entries in one list; at most 10000 are accepted: split the batch"
            ),
            "{line}"
        );
    }

    #[test]
    fn keys_are_told_apart_however_many_there_are() {
        let mut keys = Keys::default();
        for n in 0..200 {
            assert_eq!(keys.insert(Cow::Owned(n.to_string())), None);
        }
        assert_eq!(keys.insert(Cow::Borrowed("150")).as_deref(), Some("150"));
        assert_eq!(keys.insert(Cow::Borrowed("3")).as_deref(), Some("3"));
    }
}
