//! Presets: which there are, and what each says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

words! {
    /// Where a preset comes from.
    PresetSource {
        /// Compiled in.
        BuiltIn = "built_in",
        /// A file in the master's folder.
        File = "file",
    }
}

/// `GET /v1/presets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresetList {
    /// Those that jobs can name, by name.
    pub presets: Vec<PresetSummary>,
    /// Files of the folder that are no presets, by name.
    pub refused: Vec<RefusedPreset>,
}

/// A preset, in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresetSummary {
    /// What a job's `preset` (or `scenario`) names it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from.
    pub source: PresetSource,
}

/// A file that is no preset. Where it was one, that is still in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedPreset {
    /// The file's name.
    pub file: String,
    /// What is wrong with it, with its line, and what would be right.
    pub message: String,
}

/// `GET /v1/presets/{name}`: a preset, all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresetDetail {
    /// What a job's `preset` (or `scenario`) names it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from.
    pub source: PresetSource,
    /// The outputs that jobs with it may have: extensions, and schemes of streams.
    pub outputs: Vec<String>,
    /// What it says of a job: those fields alone.
    #[cfg_attr(feature = "openapi", schema(value_type = JobSpec))]
    pub job: Map<String, Value>,
    /// What is wrong with the file of this name, which is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[cfg(feature = "openapi")]
use crate::job::JobSpec;
