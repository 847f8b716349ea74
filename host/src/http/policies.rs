//! `/v1/policies`: what decides rounds, and the orders people give about it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use ffrtmp_api::rest::{PolicyDetail, PolicyDump, PolicyList};

use super::{
    App,
    document::{Conflict, NotFound, NotNow, ReadOnly},
    error::ApiError,
};
use crate::{
    policy::{CommandError, PolicyCommand},
    shell,
};

/// A policy, in a path.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // describes what `Path<String>` takes
pub struct PolicyPath {
    /// Its name: the file's name without `.wasm`. `activate`, `shadow` and `dump` also take the beginning of a digest (4 digits at least), or
    /// `native` for the built-in policy.
    name: String,
}

/// The policies, the active one first.
#[utoipa::path(get, path = "/v1/policies", operation_id = "list_policies", tag = "policies",
    responses((status = 200, description = "All that the folder holds, and what became of them.", body = PolicyList)))]
pub async fn list(State(app): State<Arc<App>>) -> Json<PolicyList> {
    Json(app.policies.status())
}

/// One policy: what is known of it, and its limits.
#[utoipa::path(get, path = "/v1/policies/{name}", operation_id = "describe_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "The policy.", body = PolicyDetail), NotFound))]
pub async fn describe(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyDetail>, ApiError> {
    let found = app.policies.describe(&name);
    found
        .map(Json)
        .ok_or_else(|| CommandError::Unknown(name).into())
}

/// What a policy was last asked and answered, and what became of it; and the last question in which it failed.
#[utoipa::path(get, path = "/v1/policies/{name}/dump", operation_id = "dump_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "The questions.", body = PolicyDump), NotFound))]
pub async fn dump(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyDump>, ApiError> {
    app.policies.dump(&name).map(Json).ok_or_else(|| {
        ApiError::no_policy(format!(
            "no question to a policy {name:?} is kept: only those of the last policies that were asked are, since the master started"
        ))
    })
}

/// Lets a policy rule and pins it: files choose nothing until it is unpinned.
#[utoipa::path(post, path = "/v1/policies/{name}/activate", operation_id = "activate_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "It rules. The policies as they are now.", body = PolicyList), NotFound, Conflict, NotNow, ReadOnly))]
pub async fn activate(
    app: State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Activate(name)).await
}

/// Keeps a policy from ruling, whatever its file becomes.
#[utoipa::path(post, path = "/v1/policies/{name}/disable", operation_id = "disable_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "It is disabled. The policies as they are now.", body = PolicyList), NotFound, Conflict, NotNow, ReadOnly))]
pub async fn disable(
    app: State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Disable(name)).await
}

/// Lets a disabled policy rule again, if it is chosen.
#[utoipa::path(post, path = "/v1/policies/{name}/enable", operation_id = "enable_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "It is enabled. The policies as they are now.", body = PolicyList), NotFound, Conflict, NotNow, ReadOnly))]
pub async fn enable(
    app: State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Enable(name)).await
}

/// Puts a policy into the shadow of the one that rules: it is asked the same questions, and nothing it says is carried out.
#[utoipa::path(post, path = "/v1/policies/{name}/shadow", operation_id = "shadow_policy", tag = "policies", params(PolicyPath),
    responses((status = 200, description = "It is asked from now on. The policies as they are now.", body = PolicyList), NotFound, Conflict, NotNow, ReadOnly))]
pub async fn shadow(
    app: State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Shadow(name)).await
}

/// Takes the policy out of the shadow that is there.
#[utoipa::path(post, path = "/v1/policies/unshadow", operation_id = "unshadow_policy", tag = "policies",
    responses((status = 200, description = "It is asked no more. The policies as they are now.", body = PolicyList), Conflict, NotNow, ReadOnly))]
pub async fn unshadow(app: State<Arc<App>>) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Unshadow).await
}

/// Lets files choose again.
#[utoipa::path(post, path = "/v1/policies/unpin", operation_id = "unpin_policy", tag = "policies",
    responses((status = 200, description = "Nothing is pinned. The policies as they are now.", body = PolicyList), Conflict, NotNow, ReadOnly))]
pub async fn unpin(app: State<Arc<App>>) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Unpin).await
}

/// Lets the policy rule that ruled before this one.
#[utoipa::path(post, path = "/v1/policies/rollback", operation_id = "rollback_policy", tag = "policies",
    responses((status = 200, description = "It rules. The policies as they are now.", body = PolicyList), Conflict, NotNow, ReadOnly))]
pub async fn rollback(app: State<Arc<App>>) -> Result<Json<PolicyList>, ApiError> {
    order(app, PolicyCommand::Rollback).await
}

async fn order(
    State(app): State<Arc<App>>,
    command: PolicyCommand,
) -> Result<Json<PolicyList>, ApiError> {
    if app.shell.is_read_only() {
        return Err(shell::ReadOnly.into());
    }
    Ok(Json(app.policies.command(command).await?))
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Unknown(_) => ApiError::no_policy(error.to_string()),
            CommandError::Conflict(_) | CommandError::Refused { .. } => {
                ApiError::wrong_state(error.to_string())
            }
            CommandError::NotRemembered(cause) => {
                tracing::error!(%cause, "a policy command was refused: it could not be remembered");
                shell::ReadOnly.into()
            }
            CommandError::Stopping => ApiError::stopping(),
        }
    }
}
