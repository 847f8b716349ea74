//! `/v1/nodes` and `/v1/policies`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use ffrtmp_api::rest::{Node, NodeList, PolicyList};

use super::{App, error::ApiError};
use crate::core::{Event, NodeControl, Reply};

/// The workers, by name.
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<NodeList>, ApiError> {
    match app.shell.ask(|reply| Event::ListNodes { reply }).await? {
        Reply::Nodes(nodes) => Ok(Json(NodeList { nodes })),
        _ => Err(ApiError::internal("not an answer to a list of workers")),
    }
}

/// One worker.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    shown(control(&app, name, NodeControl::Show).await?)
}

/// Takes a worker out of service: it keeps what it has and gets nothing new. Holds through restarts, its own and the master's.
pub async fn drain(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    shown(control(&app, name, NodeControl::Drain).await?)
}

/// Puts it back.
pub async fn undrain(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    shown(control(&app, name, NodeControl::Undrain).await?)
}

/// Forgets a worker that is not connected; what it ran runs again elsewhere.
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    control(&app, name, NodeControl::Remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn control(
    app: &App,
    name: String,
    control: NodeControl,
) -> Result<Option<Box<Node>>, ApiError> {
    let event = |reply| Event::Node {
        name,
        control,
        reply,
    };
    match app.shell.ask(event).await? {
        Reply::Node(node) => Ok(node?),
        _ => Err(ApiError::internal("not an answer about a worker")),
    }
}

fn shown(node: Option<Box<Node>>) -> Result<Json<Node>, ApiError> {
    node.map(|node| Json(*node))
        .ok_or_else(|| ApiError::internal("no answer about a worker"))
}

/// The policies, the active one first.
pub async fn policies(State(app): State<Arc<App>>) -> Json<PolicyList> {
    Json(app.policies.status())
}
