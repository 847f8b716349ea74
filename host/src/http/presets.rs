//! `/v1/presets`: what jobs can name.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use ffrtmp_api::{
    rest::{PresetDetail, PresetList},
    schema::PresetName,
};

use super::{App, document::NotFound, error::ApiError};

/// A preset, in a path.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // describes what `Path<String>` takes
pub struct PresetPath {
    /// Its name.
    #[param(inline, value_type = PresetName)]
    name: String,
}

/// The presets: those that are compiled in, and the operator's.
#[utoipa::path(get, path = "/v1/presets", operation_id = "list_presets", tag = "presets",
    responses((status = 200, description = "All of them, and the files that cannot be used.", body = PresetList)))]
pub async fn list(State(app): State<Arc<App>>) -> Json<PresetList> {
    Json(app.presets.look().await.list())
}

/// One preset: what it says of a job.
#[utoipa::path(get, path = "/v1/presets/{name}", operation_id = "show_preset", tag = "presets", params(PresetPath),
    responses((status = 200, description = "The preset.", body = PresetDetail), NotFound))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<PresetDetail>, ApiError> {
    let known = app.presets.look().await;
    known.detail(&name).map(Json).ok_or_else(|| {
        let message = known.no_preset(&name).message;
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    })
}
