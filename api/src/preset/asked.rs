//! A job as it was asked for: beside its fields, which of them were given at all.
//!
//! Separate from [`JobSpec`], where `two_pass: false` and no word of it are the same. A preset fills only what was not given,
//! so for as long as it may, the difference counts.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        DeserializeSeed, Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};
use serde_json::{Map, Value};

use crate::job::{JobSpec, Priority, Queue};

/// Some fields of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldSet(u128);

/// A bit for each.
const _: () = assert!(JobSpec::FIELDS.len() <= 128);

impl FieldSet {
    /// Adds a field. A name that is none is passed over.
    pub fn insert(&mut self, name: &str) {
        if let Some(place) = JobSpec::FIELDS.iter().position(|field| *field == name) {
            self.0 |= 1 << place;
        }
    }

    /// Whether the field is one of them.
    pub fn contains(self, name: &str) -> bool {
        let place = JobSpec::FIELDS.iter().position(|field| *field == name);
        place.is_some_and(|place| self.0 & (1 << place) != 0)
    }

    /// Their names, in the order of [`JobSpec::FIELDS`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let fields = JobSpec::FIELDS.iter().enumerate();
        fields
            .filter(move |(place, _)| self.0 & (1 << place) != 0)
            .map(|(_, name)| *name)
    }
}

/// A job, before a preset has filled in what was not given. In JSON it is a [`JobSpec`] with those fields that were given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// What was given; the rest is as if nothing were said.
    pub spec: JobSpec,
    given: FieldSet,
}

impl Asked {
    /// Whether the field was given, be it as what it is anyway.
    pub fn gives(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// The fields that were given.
    pub fn given(&self) -> FieldSet {
        self.given
    }
}

impl From<JobSpec> for Asked {
    /// Given is whatever is not as it would be anyway.
    fn from(spec: JobSpec) -> Asked {
        let mut given = FieldSet::default();
        for name in map_of(&spec).keys() {
            let is_default = match name.as_str() {
                "queue" => spec.queue == Queue::default(),
                "priority" => spec.priority == Priority::default(),
                _ => false,
            };
            if !is_default {
                given.insert(name);
            }
        }
        Asked { spec, given }
    }
}

/// A job's fields in JSON. A job always is an object.
pub(super) fn map_of(spec: &JobSpec) -> Map<String, Value> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What a field is that was given as what it is anyway: serde leaves it out.
fn nothing(name: &str) -> Value {
    match name {
        "overwrite" | "two_pass" | "gpu" | "watchable" => Value::Bool(false),
        "metadata" | "require" | "labels" => Value::Object(Map::new()),
        "renditions" | "input_args" | "output_args" | "preset_fields" | "webhook_events" => {
            Value::Array(Vec::new())
        }
        _ => Value::Null,
    }
}

impl Serialize for Asked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = map_of(&self.spec);
        // Those two are never left out by serde.
        map.retain(|name, _| self.gives(name) || !matches!(name.as_str(), "queue" | "priority"));
        for name in self.given.names() {
            if !map.contains_key(name) {
                map.insert(name.to_owned(), nothing(name));
            }
        }
        map.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Asked {
    /// As a [`JobSpec`], with the same errors.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Asked, D::Error> {
        struct Job;
        impl<'de> Visitor<'de> for Job {
            type Value = Asked;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("struct JobSpec")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Asked, A::Error> {
                let mut given = FieldSet::default();
                let noting = Noting {
                    map,
                    given: &mut given,
                };
                let spec = JobSpec::deserialize(MapAccessDeserializer::new(noting))?;
                Ok(Asked { spec, given })
            }
        }
        deserializer.deserialize_struct("JobSpec", JobSpec::FIELDS, Job)
    }
}

/// A map whose keys are noted as they go by.
struct Noting<'a, A> {
    map: A,
    given: &'a mut FieldSet,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Noting<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let given = &mut *self.given;
        self.map.next_key_seed(Key { seed, given })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// One of its keys.
struct Key<'a, K> {
    seed: K,
    given: &'a mut FieldSet,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = K::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Key<'_, K> {
    type Value = K::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<K::Value, E> {
        self.given.insert(name);
        self.seed.deserialize(StrDeserializer::new(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_is_known_also_where_it_says_nothing_new() {
        let asked: Asked = serde_json::from_str(
            r#"{"two_pass": false, "queue": "default", "crf": null, "renditions": [], "codec": "h264"}"#,
        )
        .unwrap();
        let names: Vec<_> = asked.given().names().collect();
        assert_eq!(
            names,
            ["codec", "crf", "two_pass", "renditions", "queue"],
            "in a job's own order"
        );
        assert_eq!(asked.spec.codec.as_deref(), Some("h264"));
    }

    #[test]
    fn every_field_that_is_given_as_nothing_travels_as_given() {
        for name in JobSpec::FIELDS {
            let text = match *name {
                "queue" => json!("default"),
                "priority" => json!("medium"),
                name => nothing(name),
            };
            let sent = json!({ *name: text });
            let asked: Asked = serde_json::from_value(sent.clone())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(serde_json::to_value(&asked).unwrap(), sent);
            assert_eq!(asked.spec, JobSpec::default(), "{name}");
            assert_eq!(Asked::from(asked.spec), Asked::default(), "{name}");
        }
    }

    #[test]
    fn errors_are_those_of_a_job() {
        for wrong in [
            r#"{"inptu": 1}"#,
            r#"{"crf": "x"}"#,
            r#"{"crf": -1}"#,
            r#"{"queue": "fast"}"#,
            "[1]",
            "1",
        ] {
            let asked = serde_json::from_str::<Asked>(wrong).unwrap_err();
            let spec = serde_json::from_str::<JobSpec>(wrong).unwrap_err();
            if wrong == "[1]" {
                // The derived one would take a list for a job, field by field.
                assert!(asked.to_string().contains("expected struct JobSpec"));
            } else {
                assert_eq!(asked.to_string(), spec.to_string(), "{wrong}");
            }
        }
    }
}
