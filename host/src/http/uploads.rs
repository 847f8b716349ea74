//! `/v1/uploads`: files from users into the spool, in pieces that may be gone on with after any break.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body as Stream,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    limits,
    rest::{ErrorBody, NewUpload, UPLOAD_OFFSET, Upload},
    text,
};
use futures_util::StreamExt;
use uuid::Uuid;

use super::{
    App,
    body::Body,
    document::{Conflict, NotFound},
    error::ApiError,
};
use crate::{
    spool::{Kind, Receiving, Spool, SpoolError},
    tokens::Caller,
};

/// Bytes gathered before they are written: few writes, little memory for each connection.
const WRITE_BYTES: usize = 1 << 20;
/// Longest silence of a sender.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long to wait for an earlier connection that sends the same file: the end of a broken one may be seen late.
const WRITER_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a refused request that are read all the same: a sender that is still sending would not see the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// Announces an upload, or finds the one with the same content.
#[utoipa::path(post, path = "/v1/uploads", operation_id = "create_upload", tag = "uploads", request_body = NewUpload,
    responses(
        (status = 201, description = "There is room for it; send it with PATCH.", body = Upload),
        (status = 200, description = "One of the same content, as far as it is.", body = Upload),
        (status = 507, description = "The spool or its disk is full.", body = ErrorBody),
    ))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewUpload>,
) -> Result<Response, ApiError> {
    if let Some(name) = &new.name
        && (name.is_empty()
            || name.len() > limits::FILE_NAME_BYTES_MAX
            || text::unfit(name).is_some())
    {
        return Err(ApiError::bad_field(
            "name",
            format!(
                "name: must be 1 to {} bytes without control characters",
                limits::FILE_NAME_BYTES_MAX
            ),
        ));
    }
    check_sha256(new.sha256.as_deref())?;
    if i64::try_from(new.bytes).is_err() {
        return Err(ApiError::bad_field(
            "bytes",
            format!("bytes: {} is more than any file can have", new.bytes),
        ));
    }
    let tenant = caller.tenant.as_deref().map(str::to_owned);
    let (upload, made) = blocking(&app, move |app| {
        app.spool
            .announce(new, tenant, || app.spool.sweep(&app.reader, true))
    })
    .await?;
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, described(upload)).into_response())
}

/// Refuses what is no SHA-256.
pub fn check_sha256(given: Option<&str>) -> Result<(), ApiError> {
    match given {
        Some(text) if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Err(ApiError::bad_field(
                "sha256",
                "sha256: must be 64 hex digits, as `sha256sum` prints them",
            ))
        }
        _ => Ok(()),
    }
}

/// How far an upload is.
#[utoipa::path(get, path = "/v1/uploads/{id}", operation_id = "show_upload", tag = "uploads",
    params(("id" = Uuid, Path, description = "The upload.")),
    responses((status = 200, description = "The upload; `upload-offset` in the header as well.", body = Upload), NotFound))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let id = input(&app, &caller, parse(&id)?)?;
    Ok(described(app.spool.show(id)?))
}

/// Removes an upload that no live job reads.
#[utoipa::path(delete, path = "/v1/uploads/{id}", operation_id = "remove_upload", tag = "uploads",
    params(("id" = Uuid, Path, description = "The upload.")),
    responses((status = 204, description = "It is gone."), NotFound, Conflict))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = parse(&id)?;
    blocking(&app, move |app| {
        input(app, &caller, id)?;
        let uses = app
            .reader
            .upload_uses(id)
            .map_err(|error| SpoolError::Io(std::io::Error::other(error.to_string())))?;
        if uses.live > 0 {
            return Err(SpoolError::InUse(id));
        }
        app.spool.remove_upload(id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the next bytes. Answers when they are on disk.
#[utoipa::path(patch, path = "/v1/uploads/{id}", operation_id = "send_upload", tag = "uploads",
    params(
        ("id" = Uuid, Path, description = "The upload."),
        ("upload-offset" = u64, Header, description = "Where these bytes go: where the upload ends."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream", description = "The bytes."),
    responses(
        (status = 200, description = "They are on disk. `complete` says whether all of it is there and checked.", body = Upload),
        (status = 409, description = "It ends elsewhere (`upload-offset` in the header says where), or another connection sends it.", body = ErrorBody),
        (status = 422, description = "The content has another SHA-256 than announced; it was removed.", body = ErrorBody),
        (status = 507, description = "The disk is full; what was received was removed.", body = ErrorBody),
        NotFound,
    ))]
pub async fn receive(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Stream,
) -> Response {
    let id = parse(&id).and_then(|id| Ok(input(&app, &caller, id)?));
    receive_as(&app, id, &headers, body).await
}

/// Takes the next bytes of a file, if there is one, and answers.
pub async fn receive_as(
    app: &Arc<App>,
    id: Result<Uuid, ApiError>,
    headers: &HeaderMap,
    body: Stream,
) -> Response {
    let mut bytes = body.into_data_stream();
    let answer = match receive_into(app, id, headers, &mut bytes).await {
        Ok(upload) => return described(upload).into_response(),
        Err(error) => error,
    };
    let mut drained = 0;
    while drained < DRAIN_BYTES_MAX
        && let Ok(Some(Ok(chunk))) = tokio::time::timeout(SILENCE_MAX, bytes.next()).await
    {
        drained += chunk.len();
    }
    answer
}

/// An upload's id, if it is one that this caller may see; what attempts hand back is none.
///
/// # Errors
/// The same for one that is not there and one that is another tenant's.
pub fn input(app: &App, caller: &Caller, id: Uuid) -> Result<Uuid, SpoolError> {
    match app.spool.kind(id)? {
        (Kind::Input, tenant)
            if caller.tenant.is_none() || caller.tenant.as_deref() == tenant.as_deref() =>
        {
            Ok(id)
        }
        _ => Err(SpoolError::Gone(id)),
    }
}

async fn receive_into(
    app: &Arc<App>,
    id: Result<Uuid, ApiError>,
    headers: &HeaderMap,
    bytes: &mut axum::body::BodyDataStream,
) -> Result<Upload, Response> {
    let id = id.map_err(IntoResponse::into_response)?;
    let offset = offset_of(headers).map_err(IntoResponse::into_response)?;
    receive_at(&app.spool, id, offset, bytes)
        .await
        .map_err(|error| match error {
            SpoolError::Offset { expected, .. } => {
                let header = [(UPLOAD_OFFSET, expected.to_string())];
                (header, ApiError::from(error)).into_response()
            }
            error => ApiError::from(error).into_response(),
        })
}

async fn receive_at(
    spool: &Arc<Spool>,
    id: Uuid,
    offset: u64,
    bytes: &mut axum::body::BodyDataStream,
) -> Result<Upload, SpoolError> {
    let writer = tokio::time::timeout(WRITER_WAIT, spool.writer(id)?.lock_owned())
        .await
        .map_err(|_| SpoolError::Busy)?;
    let begun = spool.clone();
    let mut receiving = off_thread(move || Receiving::begin(begun, id, offset, writer)).await?;
    let mut buffer = Vec::with_capacity(WRITE_BYTES);
    loop {
        // A sender that broke off, or fell silent, is not told; what it sent is kept for when it returns.
        let next = match tokio::time::timeout(SILENCE_MAX, bytes.next()).await {
            Ok(Some(Ok(chunk))) => Some(chunk),
            Ok(Some(Err(_)) | None) | Err(_) => None,
        };
        let over = next.is_none();
        buffer.extend_from_slice(&next.unwrap_or_default());
        if over || buffer.len() >= WRITE_BYTES {
            (receiving, buffer) = off_thread(move || {
                if !buffer.is_empty() {
                    receiving.write(&buffer)?;
                }
                buffer.clear();
                Ok((receiving, buffer))
            })
            .await?;
        }
        if over {
            return off_thread(move || receiving.finish()).await;
        }
    }
}

fn offset_of(headers: &HeaderMap) -> Result<u64, ApiError> {
    headers
        .get(UPLOAD_OFFSET)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            ApiError::bad_field(
                UPLOAD_OFFSET,
                "the header upload-offset must say where these bytes go; GET the upload to see how far it is",
            )
        })
}

/// An upload's id, as a path names it.
pub fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(id).map_err(|_| {
        let given: String = id.chars().take(64).collect();
        ApiError::bad_field(
            "id",
            format!("{given:?} is not an upload's id: give its UUID (36 characters)"),
        )
    })
}

/// An upload with its offset in the header too.
pub fn described(upload: Upload) -> impl IntoResponse {
    (
        [(UPLOAD_OFFSET, HeaderValue::from(upload.offset))],
        Json(upload),
    )
}

/// Asks the spool, off the async threads.
pub async fn blocking<R: Send + 'static>(
    app: &Arc<App>,
    ask: impl FnOnce(&App) -> Result<R, SpoolError> + Send + 'static,
) -> Result<R, ApiError> {
    let app = app.clone();
    Ok(off_thread(move || ask(&app)).await?)
}

async fn off_thread<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, SpoolError> + Send + 'static,
) -> Result<R, SpoolError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(SpoolError::Io(std::io::Error::other(error))))
}

impl From<SpoolError> for ApiError {
    fn from(error: SpoolError) -> ApiError {
        let (status, code) = match &error {
            SpoolError::Gone(_) => (StatusCode::NOT_FOUND, "not_found"),
            SpoolError::Empty => return ApiError::bad_field("bytes", error.to_string()),
            SpoolError::Surplus { .. } => (StatusCode::BAD_REQUEST, "too_many_bytes"),
            SpoolError::FileTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            SpoolError::Quota { .. } => (StatusCode::INSUFFICIENT_STORAGE, "spool_full"),
            SpoolError::Disk { .. } | SpoolError::DiskFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "disk_full")
            }
            SpoolError::Offset { .. } => (StatusCode::CONFLICT, "wrong_offset"),
            SpoolError::Checksum { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_checksum"),
            SpoolError::Busy => (StatusCode::CONFLICT, "busy"),
            SpoolError::InUse(_) => (StatusCode::CONFLICT, "in_use"),
            SpoolError::Incomplete { .. } => (StatusCode::CONFLICT, "incomplete"),
            SpoolError::Directory { .. } | SpoolError::Io(_) => return ApiError::internal(error),
        };
        ApiError::new(status, code, error.to_string())
    }
}
