//! Uploads: files sent to the master's spool, for jobs whose input no worker sees.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(feature = "openapi")]
use crate::schema;

/// The header that says from where a `PATCH` goes on, and how far an upload is.
pub const UPLOAD_OFFSET: &str = "upload-offset";

/// `POST /v1/uploads`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// Its size; at least 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub bytes: u64,
    /// The file's name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::FileName>))]
    pub name: Option<String>,
    /// Its SHA-256, 64 hex digits. With it the upload is checked when it is complete, and asking again for the same content
    /// finds it, complete or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Sha256Text>))]
    pub sha256: Option<String>,
}

/// An upload, as `GET /v1/uploads/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Upload {
    /// What a job names it by: `"input": "upload:<id>"`.
    pub id: Uuid,
    /// The file's name, for people.
    pub name: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Bytes received; the next ones go here.
    pub offset: u64,
    /// Its SHA-256 in hex: as stated, or as computed once it is complete.
    pub sha256: Option<String>,
    /// Whether all of it is there, checked and durable.
    pub complete: bool,
    /// When it is removed if nothing more happens to it and no job uses it, milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// `POST /v1/jobs/{id}/attempts/{n}/output`: an attempt hands back its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOutput {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hex digits.
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Sha256Text))]
    pub sha256: String,
}
