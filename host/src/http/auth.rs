//! Lets a request through only if its caller may make it: token, role, certificate, tenant, in that order.

use std::sync::Arc;

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ffrtmp_api::job::{JobSpec, TENANT_LABEL};
use futures_util::StreamExt;

use super::{
    App,
    access::{self, Needs, Scope},
    error::ApiError,
    jobs,
    peer::Peer,
};
use crate::tokens::Caller;

/// See the module's head. What it lets through carries its [`Caller`] as an extension, and so does every answer.
pub async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // No route: the fallback says so, to anybody.
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let brings_more = !request.body().is_end_stream();
    let caller = match app.tokens.check(bearer(request.headers())) {
        Ok(caller) => caller,
        Err(refused) => return refusal(ApiError::unauthorized(&refused.to_string()), brings_more),
    };
    let Some(access) = access::of(request.method(), route.as_str()) else {
        // A path nobody wrote into the table answers nobody; the log says so to whoever added it.
        return match access::is_known(route.as_str()) {
            true => ApiError::no_method().into_response(),
            false => ApiError::internal(format!(
                "{} is not in the table of http/access",
                route.as_str()
            ))
            .into_response(),
        };
    };
    let (mut parts, body) = request.into_parts();
    let mut answer = match may(&app, &caller, access, &mut parts).await {
        Ok(()) => {
            parts.extensions.insert(caller.clone());
            let answer = next.run(Request::from_parts(parts, body)).await;
            until_ended(answer, &caller)
        }
        Err(error) => refusal(error, brings_more),
    };
    answer.extensions_mut().insert(caller);
    answer
}

/// A refusal. What the request brings is not read, so its connection ends with the answer; unless told so, a caller sends its next
/// request into it.
fn refusal(error: ApiError, brings_more: bool) -> Response {
    let mut answer = error.into_response();
    if brings_more {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

/// The token that was shown, if one was.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    // What is no text, or no bearer token, is a wrong token: an open master must not take it for none.
    let given = value.to_str().unwrap_or_default();
    match given.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => Some(""),
    }
}

async fn may(
    app: &Arc<App>,
    caller: &Caller,
    access: access::Access,
    parts: &mut Parts,
) -> Result<(), ApiError> {
    if !access.needs.allows(caller.role) {
        return Err(ApiError::forbidden(&format!(
            "this needs a token with the role {}; yours ({}) has the role {}",
            access.needs.least(),
            caller.name,
            caller.role
        )));
    }
    let has_cert = parts
        .extensions
        .get::<Peer>()
        .is_some_and(|peer| peer.client_cert);
    if app.workers_show_certs && !has_cert && matches!(access.needs, Needs::Worker | Needs::Join) {
        return Err(ApiError::forbidden(
            "this master wants workers to show a certificate that its client CA signed; give it with --tls-client-cert and \
             --tls-client-key (`ffrtmp tls init --worker NAME` makes one)",
        ));
    }
    let Some(tenant) = &caller.tenant else {
        return Ok(());
    };
    match access.scope {
        Scope::Own => Ok(()),
        Scope::Cluster => Err(ApiError::forbidden(&format!(
            "this shows or changes the whole cluster, and your token ({}) is limited to the tenant {tenant:?}",
            caller.name
        ))),
        Scope::Job => {
            let params = RawPathParams::from_request_parts(parts, &())
                .await
                .map_err(ApiError::internal)?;
            let job = params
                .iter()
                .find(|(name, _)| *name == "job")
                .map_or("", |(_, value)| value);
            let job = job.parse()?;
            let row = jobs::find(app, job).await?;
            match is_own(caller, &row.spec) {
                true => Ok(()),
                false => Err(ApiError::no_job(job)),
            }
        }
    }
}

/// Whether the caller may know of a stored job, by its spec: it is limited to no tenant, or to the job's.
pub fn is_own(caller: &Caller, spec: &str) -> bool {
    let Some(tenant) = &caller.tenant else {
        return true;
    };
    let spec: Option<JobSpec> = serde_json::from_str(spec).ok();
    spec.is_some_and(|spec| spec.labels.get(TENANT_LABEL).map(String::as_str) == Some(tenant))
}

/// Marks a job as the caller's tenant's, if the caller is limited to one.
///
/// # Errors
/// When it is marked as another's.
pub fn claim(caller: &Caller, spec: &mut JobSpec) -> Result<(), ApiError> {
    let Some(tenant) = &caller.tenant else {
        return Ok(());
    };
    match spec.labels.get(TENANT_LABEL) {
        Some(given) if **given != **tenant => Err(ApiError::forbidden(&format!(
            "your token ({}) is limited to the tenant {tenant:?}, and the job has the label tenant={given}; leave the label out",
            caller.name
        ))),
        Some(_) => Ok(()),
        None => {
            spec.labels
                .insert(TENANT_LABEL.to_owned(), tenant.to_string());
            Ok(())
        }
    }
}

/// Leaves only the caller's tenant's jobs in a list, if the caller is limited to one. All labels given must match.
pub fn narrow(caller: &Caller, labels: &mut Vec<(String, String)>) {
    if let Some(tenant) = &caller.tenant {
        labels.push((TENANT_LABEL.to_owned(), tenant.to_string()));
    }
}

/// Keeps tenants' idempotency keys apart: one must not be answered with another's job. The job shows the key as it was given.
pub fn scope_key(caller: &Caller, spec: &mut JobSpec) {
    if let (Some(tenant), Some(key)) = (&caller.tenant, &mut spec.idempotency_key) {
        // Neither may hold a control character.
        *key = format!("{tenant}\u{1f}{key}");
    }
}

/// A stream of events ends with the token that opened it.
fn until_ended(answer: Response, caller: &Caller) -> Response {
    let is_stream = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream || caller.id.is_none() {
        return answer;
    }
    let ended = Box::pin(caller.clone().ended());
    answer.map(|body| Body::from_stream(body.into_data_stream().take_until(ended)))
}
