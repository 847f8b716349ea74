//! What a list of jobs can be asked for, as the query of a URL.

use std::fmt::Write as _;

use crate::{
    job::{JobState, Priority, Queue},
    rest::JobSort,
};

/// What to ask `GET /v1/jobs` for. Conditions are joined by *and*, the values of one by *or*.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// In one of these states; empty: in any.
    pub states: Vec<JobState>,
    /// In one of these lanes; empty: in any.
    pub queues: Vec<Queue>,
    /// Of one of these urgencies; empty: of any.
    pub priorities: Vec<Priority>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// Whose latest attempt is or was on this worker.
    pub node: Option<String>,
    /// Accepted at or after this time, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Accepted before this time.
    pub until_ms: Option<i64>,
    /// In this order.
    pub sort: JobSort,
    /// At most so many.
    pub limit: Option<usize>,
    /// From here on, as the page before said.
    pub cursor: Option<String>,
}

impl JobQuery {
    /// The part of the URL after the path.
    pub fn to_query(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        pairs.extend(self.states.iter().map(|state| ("state", state.to_string())));
        pairs.extend(self.queues.iter().map(|queue| ("queue", queue.to_string())));
        pairs.extend(self.priorities.iter().map(|p| ("priority", p.to_string())));
        pairs.extend(
            self.labels
                .iter()
                .map(|(key, value)| ("label", format!("{key}={value}"))),
        );
        pairs.extend(self.node.iter().map(|node| ("node", node.clone())));
        pairs.extend(self.since_ms.map(|at| ("since_ms", at.to_string())));
        pairs.extend(self.until_ms.map(|at| ("until_ms", at.to_string())));
        if self.sort != JobSort::default() {
            pairs.push(("sort", self.sort.to_string()));
        }
        pairs.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        pairs.extend(self.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let mut query = String::new();
        for (key, value) in pairs {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(key);
            query.push('=');
            query.push_str(&escape(&value));
        }
        query
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986. Also right for one segment of a path.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_only_what_was_asked() {
        assert_eq!(JobQuery::default().to_query(), "");
        let query = JobQuery {
            states: vec![JobState::Running, JobState::Paused],
            labels: vec![("a&b".into(), "1 2".into())],
            sort: JobSort::Oldest,
            limit: Some(5),
            ..JobQuery::default()
        };
        assert_eq!(
            query.to_query(),
            "?state=running&state=paused&label=a%26b%3D1%202&sort=oldest&limit=5"
        );
    }
}
