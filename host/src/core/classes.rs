//! Classes: which workers could ever run a job. Jobs are queued by class, so that one nobody can take delays no other.
//!
//! A class holds hard requirements only (encoders, a GPU, required labels). Amounts (CPU, memory) are each job's own.

use std::collections::BTreeMap;

use ffrtmp_policy_sdk::{Class, ClassId};

/// Most classes at once: a round looks at each, so their number bounds its cost.
pub const CLASSES_MAX: usize = 1024;
/// Most distinct required labels: each is a bit of the worker's `tags`.
pub const TAGS_MAX: usize = 64;

/// All classes and required labels seen so far.
#[derive(Debug, Default)]
pub struct Classes {
    classes: Vec<Class>,
    by_needs: BTreeMap<(u32, u64, bool), ClassId>,
    tags: Vec<(String, String)>,
}

/// The farm's limit on distinct requirements is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the master already holds {TAGS_MAX} distinct required labels or {CLASSES_MAX} distinct sets of requirements; use one of those in use"
)]
pub struct TooManyClasses;

impl Classes {
    /// The class of these needs, made if it is new; and whether a new required label was numbered for it.
    ///
    /// # Errors
    /// When a bound is reached; nothing is changed then.
    pub fn of(
        &mut self,
        encoders: u32,
        gpu: bool,
        require: &BTreeMap<String, String>,
    ) -> Result<(ClassId, bool), TooManyClasses> {
        let mut tags = 0u64;
        let mut new = Vec::new();
        for (key, value) in require {
            let known = self
                .tags
                .iter()
                .chain(&new)
                .position(|(k, v)| k == key && v == value);
            let bit = match known {
                Some(bit) => bit,
                None => {
                    new.push((key.clone(), value.clone()));
                    self.tags.len() + new.len() - 1
                }
            };
            if bit >= TAGS_MAX {
                return Err(TooManyClasses);
            }
            tags |= 1 << bit;
        }
        if let Some(id) = self.by_needs.get(&(encoders, tags, gpu)) {
            return Ok((*id, false));
        }
        if self.classes.len() >= CLASSES_MAX {
            return Err(TooManyClasses);
        }
        let id = self.classes.len() as ClassId;
        self.classes.push(Class {
            id,
            encoders,
            tags,
            gpu,
        });
        self.by_needs.insert((encoders, tags, gpu), id);
        let numbered = !new.is_empty();
        self.tags.extend(new);
        Ok((id, numbered))
    }

    /// The class of that number; it was handed out by [`Classes::of`].
    pub fn get(&self, id: ClassId) -> Class {
        self.classes[id as usize]
    }

    /// The required labels a worker with these labels meets.
    pub fn tags_met(&self, labels: &BTreeMap<String, String>) -> u64 {
        self.tags
            .iter()
            .enumerate()
            .filter(|(_, (key, value))| labels.get(key) == Some(value))
            .fold(0, |tags, (bit, _)| tags | 1 << bit)
    }

    /// The labels behind a set of tags, as `key=value`.
    pub fn describe_tags(&self, tags: u64) -> Vec<String> {
        self.tags
            .iter()
            .enumerate()
            .filter(|(bit, _)| tags & (1 << bit) != 0)
            .map(|(_, (key, value))| format!("{key}={value}"))
            .collect()
    }
}
