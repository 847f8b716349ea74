//! `/v1/nodes` and `/v1/policies`.

use std::sync::Arc;

use axum::{Json, extract::State};
use ffrtmp_api::rest::{NodeList, PolicyList};

use super::{App, document::NotNow, error::ApiError};
use crate::core::{Event, Reply};

/// The workers, by name.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "list_nodes", tag = "nodes",
    responses((status = 200, description = "All of them.", body = NodeList), NotNow))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<NodeList>, ApiError> {
    let nodes = app.shell.ask(|reply| Event::ListNodes { reply }).await;
    match nodes.map_err(|_| ApiError::not_now("the workers are"))? {
        Reply::Nodes(nodes) => Ok(Json(NodeList { nodes })),
        _ => Err(ApiError::internal("not an answer to a list of workers")),
    }
}

/// The policies, the active one first.
#[utoipa::path(get, path = "/v1/policies", operation_id = "list_policies", tag = "policies",
    responses((status = 200, description = "All that the folder holds, and what became of them.", body = PolicyList)))]
pub async fn policies(State(app): State<Arc<App>>) -> Json<PolicyList> {
    Json(app.policies.status())
}
