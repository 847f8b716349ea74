//! What there is to scrape, in the form of Prometheus' HTTP service discovery.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Targets that have labels in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TargetGroup {
    /// `HOST:PORT` of each.
    pub targets: Vec<String>,
    /// `node` is the worker's name; those between double underscores are for the scraper.
    pub labels: BTreeMap<String, String>,
}
