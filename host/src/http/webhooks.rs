//! `/v1/webhooks` and a job's own: what is not delivered, trying it again, a test, and the secret that receivers check with.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use ffrtmp_api::{
    rest::{DeliveryList, Role, TestWebhook, WebhookSecret, WebhookTested, WebhooksRetried},
    settings::Webhook,
};

use super::{
    App,
    body::Body,
    document::{NotFound, ReadOnly},
    error::{ApiError, detail_of},
    jobs::{JobPath, find, read},
};
use crate::tokens::Caller;

/// What is not delivered to anybody, the oldest first.
#[utoipa::path(get, path = "/v1/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    responses((status = 200, description = "What waits and what was given up.", body = DeliveryList)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<DeliveryList>, ApiError> {
    Ok(Json(read(&app, |reader| reader.deliveries(None)).await?))
}

/// What of a job is not delivered, the oldest first.
#[utoipa::path(get, path = "/v1/jobs/{job}/webhooks", operation_id = "job_webhooks", tag = "webhooks", params(JobPath),
    responses((status = 200, description = "What waits and what was given up.", body = DeliveryList), NotFound))]
pub async fn of_job(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<DeliveryList>, ApiError> {
    let seq = find(&app, job.parse()?).await?.seq;
    Ok(Json(
        read(&app, move |reader| reader.deliveries(Some(seq))).await?,
    ))
}

/// Tries everything again that is to be told of a job, at once, what was given up included.
#[utoipa::path(post, path = "/v1/jobs/{job}/webhooks/retry", operation_id = "retry_webhooks", tag = "webhooks", params(JobPath),
    responses((status = 200, description = "How many are tried.", body = WebhooksRetried), NotFound, ReadOnly))]
pub async fn retry(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<WebhooksRetried>, ApiError> {
    let seq = find(&app, job.parse()?).await?.seq;
    let webhooks = Arc::clone(&app.webhooks);
    let retried = tokio::task::spawn_blocking(move || webhooks.retry(seq))
        .await
        .map_err(ApiError::internal)?;
    match retried {
        Ok(retried) => Ok(Json(WebhooksRetried { retried })),
        Err(error) => {
            tracing::error!(%error, "webhooks cannot be tried again now; the caller is told that the store is read-only");
            Err(crate::shell::ReadOnly.into())
        }
    }
}

/// Sends a signed test event and answers with what came of it. It is not tried again.
#[utoipa::path(post, path = "/v1/webhooks/test", operation_id = "test_webhook", tag = "webhooks", request_body = TestWebhook,
    responses((status = 200, description = "What the receiver said.", body = WebhookTested)))]
pub async fn test(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(test): Body<TestWebhook>,
) -> Result<Json<WebhookTested>, ApiError> {
    let hook = Webhook::new(&test.url, &[]).map_err(|error| {
        let mut detail = detail_of(error);
        detail.field = Some("url".into());
        ApiError::refused(detail)
    })?;
    Ok(Json(
        app.webhooks.test(&hook, caller.tenant.as_deref()).await,
    ))
}

/// The secret that receivers check signatures with. A tenant has one of its own, which its `submit` tokens are told; that of jobs
/// without a tenant is for administrators.
#[utoipa::path(get, path = "/v1/webhooks/secret", operation_id = "webhook_secret", tag = "webhooks",
    responses((status = 200, description = "The secret.", body = WebhookSecret)))]
pub async fn secret(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<WebhookSecret>, ApiError> {
    if caller.tenant.is_none() && caller.role != Role::Admin {
        return Err(ApiError::forbidden(
            "whoever knows this secret can sign as this master, so it is for administrators; a token that is limited to a tenant \
             is told its own",
        ));
    }
    Ok(Json(WebhookSecret {
        secret: app.webhooks.secret(caller.tenant.as_deref()),
    }))
}
