//! `/v1/docs`: the document as a page to browse and try, from files inside the binary. It loads nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use utoipa_swagger_ui::Config;

use super::NotFound;
use crate::http::error::ApiError;

/// What the page may load and who may show it in a frame: its own files and this API, nobody.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                              connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/v1/openapi.json").try_it_out_enabled(true)));

/// The document, to browse.
#[utoipa::path(get, path = "/v1/docs", operation_id = "docs", tag = "system",
    responses((status = 303, description = "To `/v1/docs/index.html`.")))]
pub async fn docs() -> Redirect {
    Redirect::to("/v1/docs/index.html")
}

/// A file of the page.
#[utoipa::path(get, path = "/v1/docs/{file}", operation_id = "docs_file", tag = "system",
    params(("file" = String, Path, description = "Its name, as in `index.html`.")),
    responses((status = 200, description = "The file.", content_type = "*/*", body = String), NotFound))]
pub async fn docs_file(Path(file): Path<String>) -> Result<Response, ApiError> {
    let found = utoipa_swagger_ui::serve(&file, CONFIG.clone()).map_err(ApiError::internal)?;
    let file = found.ok_or_else(ApiError::no_route)?;
    let headers = [
        (header::CONTENT_TYPE, file.content_type.as_str()),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let encoding = file
        .gzpipped
        .then_some([(header::CONTENT_ENCODING, "gzip")]);
    Ok((headers, encoding, file.bytes.into_owned()).into_response())
}
