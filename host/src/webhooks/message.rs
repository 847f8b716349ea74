//! What a receiver reads: the body of an event.

use std::collections::BTreeMap;

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{JobSpec, JobState},
    protocol::MediaResult,
    rest::Failure,
    settings::Address,
};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::store::Letter;

#[derive(Serialize)]
struct Message<'a, D> {
    /// `job.completed` and the like.
    r#type: String,
    /// When it happened, RFC 3339.
    timestamp: String,
    data: &'a D,
}

#[derive(Serialize)]
struct Data<'a> {
    job: JobSeq,
    uuid: Uuid,
    attempt: AttemptNo,
    from: JobState,
    state: JobState,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a MediaResult>,
}

/// The body that tells `letter`. The same each time: what is in it does not change once it happened.
pub(super) fn body(letter: &Letter, spec: &JobSpec) -> serde_json::Result<String> {
    let failed = letter.to == JobState::Failed || letter.to == JobState::Pending;
    let data = Data {
        job: letter.seq,
        uuid: letter.uuid,
        attempt: letter.attempt,
        from: letter.from,
        state: letter.to,
        detail: &letter.detail,
        node: letter.worker.as_deref(),
        scenario: spec.scenario.as_deref(),
        input: spec.input.as_deref().map(without_secrets),
        output: spec.output.as_deref().map(without_secrets),
        labels: &spec.labels,
        failure: letter.failure.as_ref().filter(|_| failed),
        result: letter
            .result
            .as_ref()
            .filter(|_| letter.to == JobState::Completed),
    };
    serde_json::to_string(&Message {
        r#type: format!("job.{}", letter.to),
        timestamp: rfc3339(letter.at_ms),
        data: &data,
    })
}

/// The body of a test.
pub(super) fn test_body(now_ms: i64) -> serde_json::Result<String> {
    let data = BTreeMap::from([(
        "message",
        "a test by `ffrtmp webhooks test`; no job is behind it",
    )]);
    serde_json::to_string(&Message {
        r#type: "test".to_owned(),
        timestamp: rfc3339(now_ms),
        data: &data,
    })
}

fn rfc3339(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms)
        .unwrap_or_default()
        .to_string()
}

/// A path as it is; of a URL what is no secret: neither user, password, query nor, for streams, the key in the path.
fn without_secrets(text: &str) -> String {
    match Address::try_from(text.to_owned()) {
        Ok(address) => address.to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(to: JobState) -> Letter {
        Letter {
            event_id: "evt_1".into(),
            url: "http://h/".into(),
            seq: JobSeq(4),
            uuid: Uuid::nil(),
            spec: String::new(),
            attempt: AttemptNo(2),
            at_ms: 1_790_000_000_123,
            from: JobState::Running,
            to,
            worker: Some("w1".into()),
            detail: "why".into(),
            failure: Some(Failure {
                reason: ffrtmp_api::job::FailureReason::Timeout,
                message: "slow".into(),
            }),
            result: Some(MediaResult::default()),
        }
    }

    #[test]
    fn a_message_says_what_happened_and_no_secret() {
        let spec = JobSpec {
            input: Some("rtmp://user:pass@cam.test/live/s3cret-key?token=x".into()),
            output: Some("/out.mp4".into()),
            labels: [("show".into(), "42".into())].into(),
            ..JobSpec::default()
        };
        let text = body(&letter(JobState::Failed), &spec).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["type"], "job.failed");
        assert_eq!(json["timestamp"], "2026-09-21T14:13:20.123Z");
        let data = &json["data"];
        assert_eq!((&data["job"], &data["attempt"]), (&4.into(), &2.into()));
        assert_eq!(data["failure"]["reason"], "timeout");
        assert_eq!(data["labels"]["show"], "42");
        assert_eq!(data["output"], "/out.mp4");
        assert!(data.get("result").is_none());
        for secret in ["pass", "s3cret-key", "token=x"] {
            assert!(!text.contains(secret), "{text}");
        }
        let done = body(&letter(JobState::Completed), &spec).unwrap();
        assert!(
            done.contains("\"result\"") && !done.contains("\"failure\""),
            "{done}"
        );
    }
}
