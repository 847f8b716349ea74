//! Writes into a component what it was made from.

use wasm_encoder::{ComponentSection, CustomSection};

use crate::sources;

/// Appends the digest of its sources.
pub fn write(component: &mut Vec<u8>, digest: &str) {
    CustomSection {
        name: sources::SECTION.into(),
        data: digest.as_bytes().into(),
    }
    .append_to_component(component);
}
