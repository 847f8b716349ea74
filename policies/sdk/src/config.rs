//! A policy's configuration: the `[config]` table beside its file, handed over as JSON.

use serde::de::DeserializeOwned;

/// Reads the configuration into a type of the policy's own. Without one the type's fields must have defaults; a field the
/// type does not know should be refused (`#[serde(deny_unknown_fields, default)]`), or a misspelt one is a silent one.
///
/// # Errors
/// What does not fit, naming the field or the place, for the operator.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|e| format!("its [config] does not fit: {e}"))
}
