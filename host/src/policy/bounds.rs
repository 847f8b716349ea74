//! What a guest holds: its memory and tables, counted as they grow and refused beyond their limit.
//!
//! Separate from wasmtime's own limits because those are for each memory and each table, and a component has several: a
//! limit that a guest can multiply is none. It also is where the metrics learn how much memory a policy takes.

use wasmtime::ResourceLimiter;

use super::limits::Limits;

/// Tables a component may have: one for each core module and one for its adapters' shims.
const TABLES_MAX: usize = 8;
/// Memories a component may have. No toolchain makes more than one for each of two modules.
const MEMORIES_MAX: usize = 2;

/// The bounds of one store.
#[derive(Debug)]
pub(super) struct Bounds {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    instances_max: usize,
}

/// Why a guest was not given more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Memory.
    #[error("it asked for {wanted} bytes of memory in all; its limit is {most}")]
    Memory {
        /// With what it asked for.
        wanted: usize,
        /// The limit.
        most: usize,
    },
    /// Table elements.
    #[error("it asked for {wanted} table elements in all; its limit is {most}")]
    Table {
        /// With what it asked for.
        wanted: usize,
        /// The limit.
        most: usize,
    },
}

impl Bounds {
    /// For a fresh store.
    pub(super) fn new(limits: &Limits) -> Bounds {
        Bounds {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes,
            table_elements: 0,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
        }
    }

    /// Linear memory given so far, bytes, all memories together.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .memory_bytes
            .saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_bytes_max {
            let most = self.memory_bytes_max;
            return Err(Refused::Memory { wanted, most }.into());
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if wanted > self.table_elements_max {
            let most = self.table_elements_max;
            return Err(Refused::Table { wanted, most }.into());
        }
        self.table_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    #[test]
    fn two_memories_share_one_limit() {
        let limits = Limits {
            memory_bytes: 100,
            ..Limits::default()
        };
        let mut bounds = Bounds::new(&limits);
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        let refused = bounds.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it asked for 120 bytes of memory in all; its limit is 100"
        );
        assert!(bounds.memory_growing(60, 100, None).unwrap());
        assert_eq!(bounds.memory_bytes(), 100);
    }

    #[test]
    fn several_tables_share_one_limit() {
        let limits = Limits {
            table_elements: 10,
            ..Limits::default()
        };
        let mut bounds = Bounds::new(&limits);
        assert!(bounds.table_growing(0, 6, None).unwrap());
        assert!(bounds.table_growing(0, 6, None).is_err());
    }
}
