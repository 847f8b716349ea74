//! Whom a job tells of its changes: `webhook` and `webhook_events`.
//!
//! Not part of [`super::Settings`]: a worker has no business with it.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    BadField,
    check::{bad, clip},
};
use crate::{
    job::{JobSpec, JobState},
    text,
};

/// Longest URL of a webhook, in bytes: what proxies and servers commonly take.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// What is told unless a job says otherwise: that it is over.
pub const WEBHOOK_EVENTS_DEFAULT: [JobState; 3] =
    [JobState::Completed, JobState::Failed, JobState::Canceled];

/// Whom to tell of which changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// Scheme, host and port of that: what is shown of it, because the rest may be a secret.
    pub origin: String,
    /// The states whose beginning is told.
    pub events: Vec<JobState>,
}

impl Webhook {
    /// What a job asks for; none if it asks for nothing.
    ///
    /// # Errors
    /// The field that cannot be honoured.
    pub fn of(spec: &JobSpec) -> Result<Option<Webhook>, BadField> {
        match &spec.webhook {
            Some(url) => Webhook::new(url, &spec.webhook_events).map(Some),
            None if spec.webhook_events.is_empty() => Ok(None),
            None => bad(
                "webhook_events",
                "there is no webhook to tell; name one with webhook, or leave it out",
            ),
        }
    }

    /// One at `url` for these states; for the end of a job if none are named.
    ///
    /// # Errors
    /// What is wrong with the URL, as the field `webhook`.
    pub fn new(url: &str, events: &[JobState]) -> Result<Webhook, BadField> {
        if url.len() > WEBHOOK_URL_BYTES_MAX {
            return bad(
                "webhook",
                format!(
                    "{} bytes; at most {WEBHOOK_URL_BYTES_MAX} are accepted",
                    url.len()
                ),
            );
        }
        if let Some(what) = text::unfit(url) {
            return bad("webhook", format!("holds {what}; leave it out"));
        }
        let parsed = match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {
                parsed
            }
            _ => {
                return bad(
                    "webhook",
                    format!(
                        "{:?} is not an http:// or https:// URL, as in https://example.com/hooks/ffrtmp",
                        clip(url)
                    ),
                );
            }
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return bad(
                "webhook",
                "names a user or a password; put a token in its path or query, and check the signature",
            );
        }
        if parsed.fragment().is_some() {
            return bad(
                "webhook",
                "holds a fragment (#…), which is never sent; leave it out",
            );
        }
        if events.len() > JobState::ALL.len() {
            return bad(
                "webhook_events",
                format!(
                    "{} states; there are {}, and each needs to be named once",
                    events.len(),
                    JobState::ALL.len()
                ),
            );
        }
        let mut events = match events {
            [] => WEBHOOK_EVENTS_DEFAULT.to_vec(),
            named => named.to_vec(),
        };
        events.sort_unstable();
        events.dedup();
        Ok(Webhook {
            origin: parsed.origin().ascii_serialization(),
            url: parsed.into(),
            events,
        })
    }

    /// Whether a job's coming into `state` is told.
    pub fn tells(&self, state: JobState) -> bool {
        self.events.contains(&state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let hook = Webhook::new("HTTPS://Example.com:443/services/T0/s3cret?k=v", &[]).unwrap();
        assert_eq!(hook.origin, "https://example.com");
        assert_eq!(hook.url, "https://example.com/services/T0/s3cret?k=v");
        assert_eq!(hook.events, WEBHOOK_EVENTS_DEFAULT);
        let hook = Webhook::new("http://[::1]:8000", &[JobState::Running, JobState::Running]);
        let hook = hook.unwrap();
        assert_eq!(hook.origin, "http://[::1]:8000");
        assert!(hook.tells(JobState::Running) && !hook.tells(JobState::Failed));
    }

    #[test]
    fn what_cannot_be_told_is_refused_by_name() {
        let long = format!("http://x/{}", "a".repeat(WEBHOOK_URL_BYTES_MAX));
        for (url, said) in [
            ("", "not an http"),
            ("example.com/hook", "not an http"),
            ("ftp://example.com/", "not an http"),
            ("file:///etc/passwd", "not an http"),
            ("http://", "not an http"),
            ("https://u:p@example.com/", "user or a password"),
            ("https://example.com/#top", "fragment"),
            ("https://example.com/\u{7}", "holds"),
            (long.as_str(), "at most 2048"),
        ] {
            let error = Webhook::new(url, &[]).unwrap_err();
            assert!(error.message.contains(said), "{url}: {error}");
            assert_eq!(error.field, "webhook");
        }
        let spec = JobSpec {
            webhook_events: vec![JobState::Failed],
            ..JobSpec::default()
        };
        assert_eq!(Webhook::of(&spec).unwrap_err().field, "webhook_events");
    }
}
