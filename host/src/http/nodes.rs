//! `/v1/nodes`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use ffrtmp_api::{
    rest::{Node, NodeList},
    schema::ShortText,
};
use utoipa::IntoParams;

use super::{
    App,
    document::{Conflict, NotFound, NotNow, ReadOnly},
    error::ApiError,
};
use crate::core::{Event, NodeControl, Reply};

/// Which worker, in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // describes what `Path<String>` takes
pub struct NodePath {
    /// Its name.
    #[param(inline, value_type = ShortText)]
    name: String,
}

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

/// One worker.
#[utoipa::path(get, path = "/v1/nodes/{name}", operation_id = "show_node", tag = "nodes", params(NodePath),
    responses((status = 200, description = "The worker.", body = Node), NotFound, NotNow))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    if app.shell.is_read_only() {
        return Err(ApiError::not_now("the workers are"));
    }
    shown(control(&app, name, NodeControl::Show).await?)
}

/// Takes a worker out of service: it keeps what it has and gets nothing new. Holds through restarts, its own and the master's.
#[utoipa::path(post, path = "/v1/nodes/{name}/drain", operation_id = "drain_node", tag = "nodes", params(NodePath),
    responses((status = 200, description = "The worker, out of service.", body = Node), NotFound, ReadOnly))]
pub async fn drain(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    shown(control(&app, name, NodeControl::Drain).await?)
}

/// Puts a worker back into service.
#[utoipa::path(post, path = "/v1/nodes/{name}/undrain", operation_id = "undrain_node", tag = "nodes", params(NodePath),
    responses((status = 200, description = "The worker, in service.", body = Node), NotFound, ReadOnly))]
pub async fn undrain(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Node>, ApiError> {
    shown(control(&app, name, NodeControl::Undrain).await?)
}

/// Forgets a worker that is not connected; what it ran runs again elsewhere.
#[utoipa::path(delete, path = "/v1/nodes/{name}", operation_id = "remove_node", tag = "nodes", params(NodePath),
    responses((status = 204, description = "It is forgotten."), NotFound, Conflict, ReadOnly))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    control(&app, name.clone(), NodeControl::Remove).await?;
    app.discovery.removed(&name);
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
