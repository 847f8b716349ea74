//! Makes a component of a core module that carries the contract's type.

use anyhow::Context;
use wit_component::ComponentEncoder;

/// The component of a module built with the SDK's `export!`.
pub fn of(module: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{name} is not a module of the contract's world"))
}
