//! What the API says of webhooks.

use super::{Client, Result};
use crate::{
    ids::JobRef,
    rest::{DeliveryList, TestWebhook, WebhookSecret, WebhookTested, WebhooksRetried},
};

#[allow(clippy::missing_errors_doc)] // each is what `ClientError` says
impl Client {
    /// `GET /v1/webhooks`, or of one job.
    pub fn deliveries(&self, job: Option<JobRef>) -> Result<DeliveryList> {
        match job {
            Some(job) => self.read(&format!("/v1/jobs/{job}/webhooks")),
            None => self.read("/v1/webhooks"),
        }
    }

    /// `POST /v1/jobs/{job}/webhooks/retry`. Repeatable: trying again twice is trying again.
    pub fn retry_webhooks(&self, job: JobRef) -> Result<WebhooksRetried> {
        self.call(true, |client| {
            let path = format!("/v1/jobs/{job}/webhooks/retry");
            client.send("POST", &path, None::<&()>)
        })
    }

    /// `POST /v1/webhooks/test`. Waits as long as the receiver may take.
    pub fn test_webhook(&self, url: &str) -> Result<WebhookTested> {
        let test = TestWebhook {
            url: url.to_owned(),
        };
        self.call(false, |client| client.post("/v1/webhooks/test", &test))
    }

    /// `GET /v1/webhooks/secret`.
    pub fn webhook_secret(&self) -> Result<WebhookSecret> {
        self.read("/v1/webhooks/secret")
    }
}
