//! The refusals, described once: as `components/responses` of the document, and as types that a handler names among its
//! `responses(…)` where a refusal is its own.

use std::collections::BTreeMap;

use ffrtmp_api::rest::ErrorBody;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        schema::{ObjectBuilder, Type},
    },
};

/// Status, name, meaning.
const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "400",
        "BadRequest",
        "Something in the request is wrong; `message` says what would be right and `field` where. Nothing was done.",
    ),
    ("401", "Unauthorized", "The token is missing or not known."),
    ("403", "Forbidden", "This caller may not do that."),
    ("404", "NotFound", "There is no such thing."),
    ("408", "TooSlow", "The body did not arrive in time."),
    (
        "409",
        "Conflict",
        "It cannot be told that in its present state; `message` says what can be done instead.",
    ),
    ("413", "TooLarge", "The body is too large."),
    ("414", "UriTooLong", "The URL is too long."),
    (
        "426",
        "UpgradeRequired",
        "This route speaks WebSocket only.",
    ),
    (
        "429",
        "TooManyRequests",
        "Too many requests from this caller; `Retry-After` says when to come again. Nothing was done.",
    ),
    (
        "431",
        "HeadersTooLarge",
        "The request's headers are too large.",
    ),
    (
        "500",
        "Internal",
        "The master failed; its log says why, under the request's id.",
    ),
    (
        "503",
        "NotNow",
        "Not known or not possible at this moment; try again.",
    ),
    (
        "507",
        "ReadOnly",
        "The store cannot be written (disk full, or failing). Nothing was recorded.",
    ),
];

/// The refusals as components.
pub fn all() -> impl Iterator<Item = (&'static str, Response)> {
    REFUSALS.iter().map(|(status, name, meaning)| {
        let body = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(ErrorBody::name())))
            .build();
        let mut answer = ResponseBuilder::new()
            .description(*meaning)
            .content("application/json", body);
        if matches!(*status, "429" | "503") {
            let seconds = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[0-9]+$"));
            answer = answer.header(
                "retry-after",
                HeaderBuilder::new()
                    .schema(Some(seconds))
                    .description(Some("Seconds to wait."))
                    .build(),
            );
        }
        (*name, answer.build())
    })
}

/// Adds refusals to an operation, by status.
pub fn add(operation: &mut Operation, statuses: &[&str]) {
    for (status, name, _) in REFUSALS
        .iter()
        .filter(|(status, ..)| statuses.contains(status))
    {
        operation
            .responses
            .responses
            .entry((*status).to_owned())
            .or_insert_with(|| RefOr::Ref(Ref::from_response_name(*name)));
    }
}

/// Declares a refusal that handlers name.
macro_rules! refusals {
    ($($(#[$meta:meta])* $name:ident = $status:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let answer = Ref::from_response_name(stringify!($name));
                [($status.to_owned(), RefOr::Ref(answer))].into()
            }
        }
    )*};
}

refusals! {
    /// There is no such thing.
    NotFound = "404";
    /// Not in its present state.
    Conflict = "409";
    /// Speaks WebSocket only.
    UpgradeRequired = "426";
    /// Not known now.
    NotNow = "503";
    /// The store cannot be written. For every route that changes something.
    ReadOnly = "507";
}
