//! The only way to serve a route: with its description.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::http::App;

/// Routes that are in the document. `axum::Router::route` is out of reach, so there is no way to add one that is not.
pub struct Routes(OpenApiRouter<Arc<App>>);

impl Routes {
    /// None yet.
    pub fn new() -> Routes {
        Routes(OpenApiRouter::default())
    }

    /// Adds the handlers of **one** path: `.path(routes!(jobs::submit, jobs::list))`. Each handler names its path and method in
    /// its `#[utoipa::path]`.
    pub fn path(self, routes: UtoipaMethodRouter<Arc<App>>) -> Routes {
        debug_assert_eq!(
            routes.1.paths.len(),
            1,
            "`routes!` serves every handler at every path it is given: one path a call"
        );
        Routes(self.0.routes(routes))
    }

    /// The routes, and their description.
    pub fn into_parts(self) -> (Router<Arc<App>>, OpenApi) {
        self.0.split_for_parts()
    }
}
