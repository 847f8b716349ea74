//! Presets, as a master tells them.

use super::{Client, ClientError, Result, query::escape};
use crate::rest::{PresetDetail, PresetList};

impl Client {
    /// `GET /v1/presets`.
    #[allow(clippy::missing_errors_doc)]
    pub fn presets(&self) -> Result<PresetList> {
        self.read("/v1/presets")
    }

    /// `GET /v1/presets/{name}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn preset(&self, name: &str) -> Result<PresetDetail> {
        self.read(&format!("/v1/presets/{}", escape(name)))
    }

    /// The same; `None` if there is none of this name.
    #[allow(clippy::missing_errors_doc)]
    pub fn preset_if_any(&self, name: &str) -> Result<Option<PresetDetail>> {
        match self.preset(name) {
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }
}
