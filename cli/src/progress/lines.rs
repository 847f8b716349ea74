//! Progress as plain lines, for pipes, files and CI logs.
//!
//! The rate is bounded: a line for each change of state, and at most one a second between them, however fast the master
//! sends. It never moves the cursor.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use ffrtmp_api::{job::JobState, rest::Job};

use super::{Show, rates};
use crate::output::{clean, seconds_short};

/// Least time between two lines about the same state.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Prints lines.
pub struct Lines<W> {
    out: W,
    last: Option<(JobState, Instant)>,
}

impl<W: Write> Lines<W> {
    /// On `out`.
    pub fn new(out: W) -> Lines<W> {
        Lines { out, last: None }
    }
}

impl<W: Write> Show for Lines<W> {
    fn update(&mut self, job: &Job) -> io::Result<()> {
        let now = Instant::now();
        let due = match self.last {
            Some((state, at)) => state != job.state || now.duration_since(at) >= PAUSE_MIN,
            None => true,
        };
        if !due {
            return Ok(());
        }
        self.last = Some((job.state, now));
        writeln!(self.out, "{}", line(job))?;
        self.out.flush()
    }
}

/// `job 42 running on w1   45.2 %  118 fps  4.7x  3s to go`.
fn line(job: &Job) -> String {
    let mut line = format!("job {} {}", job.id, job.state);
    if let Some(node) = job.node.as_ref().filter(|_| job.state.is_active()) {
        line.push_str(&format!(" on {}", clean(node)));
    }
    if let Some(waiting) = job
        .waiting
        .as_ref()
        .filter(|_| job.state == JobState::Pending)
    {
        line.push_str(&format!(": {}", clean(waiting)));
    }
    if let Some(progress) = job.progress.as_ref().filter(|_| job.state.is_active()) {
        match progress.percent {
            Some(percent) => line.push_str(&format!("  {percent:5.1} %")),
            None => line.push_str(&format!(
                "  {} encoded",
                seconds_short(progress.media_seconds)
            )),
        }
        line.push_str(&format!("  {}", rates(job)));
        if let Some(eta) = progress.eta_seconds {
            line.push_str(&format!("  {} to go", seconds_short(eta)));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: &str, percent: f32) -> Job {
        serde_json::from_value(serde_json::json!({
            "id": 42, "uuid": "12345678-0000-4000-8000-000000000000", "state": state, "spec": {}, "queue": "default",
            "priority": "medium", "attempt": 1, "failures": 0, "submitted_at_ms": 0, "node": "w1", "cancel_requested": false,
            "progress": {"percent": percent, "frames": 1, "fps": 118.4, "speed": 4.72, "media_seconds": 1.0, "bytes": 0, "eta_seconds": 3.0}
        }))
        .unwrap()
    }

    #[test]
    fn a_flood_of_progress_is_one_line_for_each_state() {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out);
        lines.update(&job("assigned", 0.0)).unwrap();
        (0..1000).for_each(|i| lines.update(&job("running", i as f32 / 10.0)).unwrap());
        lines.update(&job("completed", 100.0)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "job 42 assigned on w1    0.0 %  118 fps  4.7x  3.0s to go
job 42 running on w1    0.0 %  118 fps  4.7x  3.0s to go
job 42 completed
"
        );
    }
}
