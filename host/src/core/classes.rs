//! Classes: which workers could ever run a job. Jobs are queued by class, so that one nobody can take delays no other.
//!
//! A class holds hard requirements (encoders, a GPU, required labels) and how large a job is, in powers of two. Exact
//! amounts are each job's own; but jobs of very different sizes are not in one queue, or a large one that waits for room
//! would hide the small ones behind it.

use std::collections::BTreeMap;

use ffrtmp_policy_sdk::{Class, ClassId, Resources};

/// Most classes at once: a round looks at each, so their number bounds its cost.
pub const CLASSES_MAX: usize = 1024;
/// Most distinct required labels: each is a bit of the worker's `tags`.
pub const TAGS_MAX: usize = 64;

/// CPU and memory, each as the exponent of the smallest power of two that holds it.
type Size = (u32, u32);

fn size_of(cost: &Resources) -> Size {
    let exponent = |amount: u32| u32::BITS - amount.saturating_sub(1).leading_zeros();
    (exponent(cost.cpu_millicores), exponent(cost.memory_mib))
}

/// The smallest amount of that exponent.
fn least(exponent: u32) -> u32 {
    if exponent == 0 {
        0
    } else {
        (1 << (exponent - 1)) + 1
    }
}

/// All classes and required labels seen so far.
#[derive(Debug, Default)]
pub struct Classes {
    classes: Vec<Class>,
    by_needs: BTreeMap<(u32, u64, bool, Size), ClassId>,
    sizes: Vec<Size>,
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
        cost: &Resources,
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
        let size = size_of(cost);
        if let Some(id) = self.by_needs.get(&(encoders, tags, gpu, size)) {
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
        self.by_needs.insert((encoders, tags, gpu, size), id);
        self.sizes.push(size);
        let numbered = !new.is_empty();
        self.tags.extend(new);
        Ok((id, numbered))
    }

    /// The class of that number; it was handed out by [`Classes::of`].
    pub fn get(&self, id: ClassId) -> Class {
        self.classes[id as usize]
    }

    /// What makes a class, so that it can be made again in another table: encoders, GPU, required labels.
    pub fn needs_of(&self, id: ClassId) -> (u32, bool, BTreeMap<String, String>) {
        let class = self.classes[id as usize];
        let required = self
            .tags
            .iter()
            .enumerate()
            .filter(|(bit, _)| class.tags & (1 << bit) != 0);
        (
            class.encoders,
            class.gpu,
            required.map(|(_, tag)| tag.clone()).collect(),
        )
    }

    /// The least CPU (thousandths of a core) and memory (MiB) that a job of this class needs.
    pub fn least_cost(&self, id: ClassId) -> (u32, u32) {
        let (cpu, memory) = self.sizes[id as usize];
        (least(cpu), least(memory))
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
