//! The OpenAPI document: made from the handlers and types themselves, so that it cannot say what is not so.
//!
//! A route exists only through [`Routes`], which takes it together with its description. A handler describes what is its
//! own (parameters, body, success, its particular refusals); what every route of a kind has (a token, a request id, the
//! refusals any request can meet) is added here. The document is checked in as `docs/openapi.json`, under test.

mod answers;
pub mod page;
mod routes;

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        self, HeaderBuilder, RefOr,
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use ffrtmp_api::rest::ErrorBody;

pub use answers::{Conflict, NotFound, NotNow, ReadOnly, UpgradeRequired};
pub use routes::Routes;

/// The name of the security scheme.
const TOKEN: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ffrtmp",
        description = "Schedules ffmpeg jobs over many machines.\n\n\
            Every answer carries `x-request-id`. Every error is JSON: `{\"error\": {\"code\", \"message\", \"field\", \"request_id\"}}`; \
            `code` is a stable word. Times are milliseconds since 1970. What is answered to a change is durable.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "jobs", description = "Submit, look at and control encodes."),
        (name = "uploads", description = "Files for machines that share no storage."),
        (name = "nodes", description = "The workers."),
        (name = "policies", description = "What decides which worker runs which job."),
        (name = "webhooks", description = "Telling web servers what became of jobs."),
        (name = "presets", description = "What an operator says once, for many jobs to name."),
        (name = "tokens", description = "Who may do what."),
        (name = "system", description = "The master itself."),
        (name = "workers", description = "What workers use."),
        (name = "upstream", description = "The routes of psantana5/ffmpeg-rtmp that its clients use, in its shapes."),
    ),
)]
struct Head;

/// The document of these routes: `open` ones need no token, `guarded` ones do.
pub fn describe(open: openapi::OpenApi, mut guarded: openapi::OpenApi) -> openapi::OpenApi {
    for operation in operations(&mut guarded) {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, [""; 0])]);
        answers::add(operation, &["401", "403"]);
    }
    let mut document = Head::openapi();
    document.merge(open);
    document.merge(guarded);
    document.info.version = env!("CARGO_PKG_VERSION").into();
    for operation in operations(&mut document) {
        operation.security.get_or_insert_with(Vec::new);
        let body = operation.request_body.is_some();
        answers::add(operation, &["400", "414", "429", "431", "500"]);
        if body {
            answers::add(operation, &["408", "413"]);
        }
        for answer in operation.responses.responses.values_mut() {
            if let RefOr::T(answer) = answer {
                answer.headers.insert("x-request-id".into(), request_id());
            }
        }
    }
    let components = document.components.get_or_insert_default();
    components
        .responses
        .extend(answers::all().map(|(name, answer)| {
            let mut answer = answer;
            answer.headers.insert("x-request-id".into(), request_id());
            (name.to_owned(), RefOr::T(answer))
        }));
    let mut schemas = vec![(
        ErrorBody::name().into_owned(),
        <ErrorBody as utoipa::PartialSchema>::schema(),
    )];
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.add_security_scheme(
        TOKEN,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "A master that has tokens wants one: `Authorization: Bearer TOKEN`.",
                ))
                .build(),
        ),
    );
    document
}

fn request_id() -> RefOr<openapi::Header> {
    let id = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new()
        .schema(Some(id))
        .description(Some("The request, as the master's log names it."))
        .build()
        .into()
}

/// Every operation of a document.
fn operations(
    document: &mut openapi::OpenApi,
) -> impl Iterator<Item = &mut openapi::path::Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ]
        .into_iter()
        .flatten()
    })
}

/// The document, as it is served.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    // A document of plain data can always be written.
    super::document().to_pretty_json().unwrap_or_default() + "\n"
});

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)))]
pub async fn openapi_json() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_that_is_checked_in_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        if std::env::var_os("FFRTMP_WRITE_OPENAPI").is_some() {
            std::fs::write(path, TEXT.as_str()).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == *TEXT,
            "docs/openapi.json is not what the routes say; `make openapi` writes it anew"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_what_it_is() {
        let mut document = super::super::document();
        let mut names = BTreeSet::new();
        for operation in operations(&mut document) {
            let name = operation.operation_id.clone().unwrap();
            assert!(operation.summary.is_some(), "{name} has no doc comment");
            assert!(
                operation.tags.as_ref().is_some_and(|tags| tags.len() == 1),
                "{name} has no tag"
            );
            assert!(names.insert(name.clone()), "{name} is there twice");
        }
        assert!(names.len() >= 15, "{names:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        for (at, _) in TEXT.match_indices("\"$ref\": \"#") {
            let pointer = TEXT[at + 9..].split('"').next().unwrap();
            assert!(
                document.pointer(&pointer[1..]).is_some(),
                "{pointer} leads nowhere"
            );
        }
    }
}
