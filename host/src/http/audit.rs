//! One log line for every call that changes something or is refused: who, from where, what, how it ended.
//!
//! They have the target `audit`, so that a filter can send them elsewhere (`RUST_LOG=info,audit=info`). Refusals are bounded
//! in number: a stranger who guesses must not fill the disk.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};

use ffrtmp_api::ids::JobSeq;

use super::peer::Peer;
use crate::tokens::Caller;

/// Lines about refused requests a second, over time.
const REFUSALS_PER_SECOND: f64 = 10.0;
/// And at once.
const REFUSALS_AT_ONCE: f64 = 100.0;
/// Bytes of a path that are logged.
const PATH_BYTES_MAX: usize = 200;

/// The jobs that a call was about, where its path does not say. An extension of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboutJobs {
    /// How many.
    pub count: usize,
    /// The one with the smallest number.
    pub first: JobSeq,
    /// The one with the largest.
    pub last: JobSeq,
}

impl AboutJobs {
    /// About these; `None` when there are none.
    pub fn of(jobs: impl IntoIterator<Item = JobSeq>) -> Option<AboutJobs> {
        jobs.into_iter().fold(None, |about, job| {
            let (count, first, last) = about.map_or((0, job, job), |about: AboutJobs| {
                (about.count, about.first, about.last)
            });
            Some(AboutJobs {
                count: count + 1,
                first: first.min(job),
                last: last.max(job),
            })
        })
    }
}

/// Writes the line.
pub async fn audit(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    let path = request.uri().path();
    let mut cut = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(cut) {
        cut -= 1;
    }
    let path = path[..cut].to_owned();
    let answer = next.run(request).await;

    let status = answer.status();
    let refused = matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    );
    let changes =
        !matches!(method, Method::GET | Method::HEAD) || status == StatusCode::SWITCHING_PROTOCOLS;
    if !refused && !changes {
        return answer;
    }
    let left_out = match refused {
        true => match REFUSALS.admit(Instant::now()) {
            Some(left_out) => left_out,
            None => return answer,
        },
        false => 0,
    };
    let caller = answer.extensions().get::<Caller>();
    let about = answer.extensions().get::<AboutJobs>().copied();
    let many = about.filter(|about| about.count > 1);
    tracing::info!(
        target: "audit",
        %method,
        path,
        route = route.as_ref().map(MatchedPath::as_str),
        status = status.as_u16(),
        token = caller.and_then(|caller| caller.id).map(tracing::field::display),
        name = caller.map(|caller| &*caller.name),
        role = caller.map(|caller| caller.role.as_str()),
        tenant = caller.and_then(|caller| caller.tenant.as_deref()),
        address = address.map(tracing::field::display),
        job = about.filter(|about| about.count == 1).map(|about| about.first.0),
        jobs = many.map(|about| about.count),
        first_job = many.map(|about| about.first.0),
        last_job = many.map(|about| about.last.0),
        left_out = (left_out > 0).then_some(left_out),
        "{}",
        if refused { "refused" } else { "called" }
    );
    answer
}

static REFUSALS: Allowance = Allowance(Mutex::new(None));

/// So many at once, and so many a second over time.
struct Allowance(Mutex<Option<Left>>);

struct Left {
    tokens: f64,
    at: Instant,
    left_out: u64,
}

impl Allowance {
    /// Whether a line may be written, and how many were not since the last.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left.get_or_insert(Left {
            tokens: REFUSALS_AT_ONCE,
            at: now,
            left_out: 0,
        });
        let passed = now.saturating_duration_since(left.at).as_secs_f64();
        left.tokens = (left.tokens + passed * REFUSALS_PER_SECOND).min(REFUSALS_AT_ONCE);
        left.at = now;
        if left.tokens < 1.0 {
            left.left_out += 1;
            return None;
        }
        left.tokens -= 1.0;
        Some(std::mem::take(&mut left.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_jobs_of_a_call_are_counted_and_bounded_by_the_first_and_the_last() {
        assert_eq!(AboutJobs::of([]), None);
        let about = AboutJobs::of([7, 3, 5].map(JobSeq)).unwrap();
        assert_eq!((about.count, about.first.0, about.last.0), (3, 3, 7));
    }

    #[test]
    fn a_flood_of_refusals_is_logged_in_part_and_what_is_left_out_is_counted() {
        let allowance = Allowance(Mutex::new(None));
        let start = Instant::now();
        let written = (0..1_000)
            .filter(|_| allowance.admit(start).is_some())
            .count();
        assert_eq!(written, 100);
        assert_eq!(allowance.admit(start + Duration::from_secs(1)), Some(900));
        assert_eq!(allowance.admit(start + Duration::from_secs(1)), Some(0));
    }
}
