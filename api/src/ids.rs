//! Identities. A job has two: a short sequence number people type, and a UUID that is unique across clusters.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A job's sequence number: 1, 2, 3, … in the order the master accepted them. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct JobSeq(pub u64);

impl fmt::Display for JobSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a job's attempt: 1 for its first run, and only ever rising. With the job it is the fencing token:
/// whatever an older attempt says after a newer one exists is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct AttemptNo(pub u32);

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of one job on one worker. What leases, results and published outputs are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job: JobSeq,
    /// Which of its attempts.
    pub no: AttemptNo,
}

impl fmt::Display for Attempt {
    /// `42.1`: job 42, first attempt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.no)
    }
}

/// A job as a user names it: its sequence number or its UUID.
///
/// The two are never confused: all digits is a sequence number, the 36-character hyphenated form is a UUID, and
/// anything else is refused. (Upstream read a UUID that starts with a digit as a sequence number.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRef {
    /// `42`
    Seq(JobSeq),
    /// `0192f0c1-…`
    Uuid(Uuid),
}

/// Why a string is not a [`JobRef`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a job id: give its number (as in 42) or its UUID (36 characters)")]
pub struct BadJobRef {
    /// What was given.
    pub given: String,
}

impl FromStr for JobRef {
    type Err = BadJobRef;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bad = || BadJobRef {
            given: s.chars().take(64).collect(),
        };
        if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) {
            return s.parse().map(|n| JobRef::Seq(JobSeq(n))).map_err(|_| bad());
        }
        if s.len() == 36 {
            return Uuid::try_parse(s).map(JobRef::Uuid).map_err(|_| bad());
        }
        Err(bad())
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobRef::Seq(seq) => seq.fmt(f),
            JobRef::Uuid(uuid) => uuid.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_that_starts_with_digits_is_not_a_sequence_number() {
        let text = "12345678-0000-4000-8000-000000000000";
        assert_eq!(
            text.parse(),
            Ok(JobRef::Uuid(Uuid::try_parse(text).unwrap()))
        );
        assert_eq!("12345678".parse(), Ok(JobRef::Seq(JobSeq(12_345_678))));
        for bad in [
            "",
            "12x",
            "-1",
            "+1",
            "99999999999999999999999",
            "12345678-0000-4000-8000-00000000000g",
        ] {
            assert!(bad.parse::<JobRef>().is_err(), "{bad:?} was accepted");
        }
    }
}
