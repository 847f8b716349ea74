//! `/v1/nodes` and `/v1/policies`.

use std::sync::Arc;

use axum::{Json, extract::State};
use ffrtmp_api::rest::{NodeList, PolicyList};

use super::{App, error::ApiError};
use crate::core::{Event, Reply};

/// The workers, by name.
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<NodeList>, ApiError> {
    match app.shell.ask(|reply| Event::ListNodes { reply }).await? {
        Reply::Nodes(nodes) => Ok(Json(NodeList { nodes })),
        _ => Err(ApiError::internal("not an answer to a list of workers")),
    }
}

/// The policies, the active one first.
pub async fn policies(State(app): State<Arc<App>>) -> Json<PolicyList> {
    Json(app.policies.status())
}
