//! `/v1/tokens` and `/v1/join`: making, listing and revoking tokens; a worker's first step.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use ffrtmp_api::{
    limits,
    rest::{CreatedToken, JoinRequest, NewToken, Role, TokenList},
    text,
};
use uuid::Uuid;

use super::{
    App,
    body::Body,
    document::{NotFound, ReadOnly},
    error::ApiError,
};
use crate::tokens::{Caller, NotAdmitted, TokenError};

/// Longest life a token may be given, in seconds: ten years.
const EXPIRES_IN_SECONDS_MAX: u64 = 10 * 365 * 86_400;
/// Most workers one join token may admit.
const USES_MAX: u32 = 10_000;

/// The tokens that were not revoked, the newest first. Never their secrets.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    responses((status = 200, description = "All of them.", body = TokenList)))]
pub async fn list(State(app): State<Arc<App>>) -> Json<TokenList> {
    Json(TokenList {
        tokens: app.tokens.list(),
    })
}

/// Makes a token. Its secret is in this answer and never again.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "create_token", tag = "tokens",
    request_body = NewToken,
    responses((status = 201, description = "It is made, and durable.", body = CreatedToken), ReadOnly))]
pub async fn create(
    State(app): State<Arc<App>>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    check(&new)?;
    let made = blocking(move || app.tokens.create(new)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revokes a token, at once and for good: the sessions and streams it opened end.
#[utoipa::path(delete, path = "/v1/tokens/{token}", operation_id = "revoke_token", tag = "tokens",
    params(("token" = Uuid, Path, description = "Its id.")),
    responses((status = 204, description = "It is revoked, and that is durable."), NotFound, ReadOnly))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = Uuid::try_parse(&token).map_err(|_| {
        ApiError::bad_field(
            "token",
            "a token's id is a UUID, as `ffrtmp tokens list` shows it",
        )
    })?;
    match blocking(move || app.tokens.revoke(id)).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::no_token(id)),
    }
}

/// Exchanges a join token for a worker token, which only the worker of this name and identity can use. Asked again by the
/// same worker, it is not counted again and the earlier answer's token is revoked.
#[utoipa::path(post, path = "/v1/join", operation_id = "join", tag = "workers",
    request_body = JoinRequest,
    responses((status = 201, description = "Admitted, and that is durable.", body = CreatedToken), ReadOnly))]
pub async fn join(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<JoinRequest>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    check_name("name", &request.name)?;
    let by = caller
        .id
        .ok_or_else(|| ApiError::internal("a join token without an id"))?;
    let made = blocking(move || app.tokens.join(by, &request.name, request.install_id)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Off the async threads: it waits for the disk.
async fn blocking<R: Send + 'static>(
    change: impl FnOnce() -> Result<R, TokenError> + Send + 'static,
) -> Result<R, ApiError> {
    tokio::task::spawn_blocking(change)
        .await
        .map_err(ApiError::internal)?
        .map_err(|error| match error {
            TokenError::NotAdmitted(NotAdmitted::UsedUp) => {
                ApiError::unauthorized(&NotAdmitted::UsedUp.to_string())
            }
            TokenError::NotAdmitted(other) => ApiError::unauthorized(&other.to_string()),
            TokenError::Store(error) => {
                tracing::error!(%error, "a token could not be written; the caller is told that the store is read-only");
                crate::shell::ReadOnly.into()
            }
            TokenError::NoRandom => ApiError::internal(error),
        })
}

fn check(new: &NewToken) -> Result<(), ApiError> {
    check_name("name", &new.name)?;
    if let Some(tenant) = &new.tenant {
        check_name("tenant", tenant)?;
        if !matches!(new.role, Role::Submit | Role::Read) {
            return Err(ApiError::bad_field(
                "tenant",
                format!(
                    "only submit and read tokens can be limited to a tenant, not {} ones",
                    new.role
                ),
            ));
        }
    }
    if let Some(seconds) = new.expires_in_seconds
        && !(1..=EXPIRES_IN_SECONDS_MAX).contains(&seconds)
    {
        return Err(ApiError::bad_field(
            "expires_in_seconds",
            format!("must be between 1 and {EXPIRES_IN_SECONDS_MAX} (ten years)"),
        ));
    }
    match (new.role, new.uses) {
        (_, None) => Ok(()),
        (Role::Join, Some(1..=USES_MAX)) => Ok(()),
        (Role::Join, Some(_)) => Err(ApiError::bad_field(
            "uses",
            format!("must be between 1 and {USES_MAX}"),
        )),
        (role, Some(_)) => Err(ApiError::bad_field(
            "uses",
            format!("only join tokens are counted, not {role} ones"),
        )),
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        return Err(ApiError::bad_field(
            field,
            format!("must be 1 to {} bytes", limits::NAME_BYTES_MAX),
        ));
    }
    match text::unfit(name) {
        Some(what) => Err(ApiError::bad_field(field, format!("holds {what}"))),
        None => Ok(()),
    }
}
