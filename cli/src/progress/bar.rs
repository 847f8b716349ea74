//! Progress as a live bar on a terminal's stderr. It clears itself at the end, so that only the answer stays.

use std::{io, time::Duration};

use ffrtmp_api::{job::JobState, rest::Job};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Show, rates};
use crate::output::{clean, colour_wanted, seconds_short};

/// Steps of a whole bar: tenths of a percent.
const STEPS: u64 = 1000;
/// Redraws a second. The master sends at most 10 states a second.
const REDRAWS_PER_SECOND: u8 = 15;

/// A bar.
pub struct Bar {
    bar: ProgressBar,
    with_length: Option<bool>,
    colour: bool,
}

impl Bar {
    /// Not drawn before the first state.
    pub fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(
            Some(STEPS),
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar {
            bar,
            with_length: None,
            colour: colour_wanted(true),
        }
    }

    /// The layout for jobs whose length is known, or not.
    fn layout(&mut self, with_length: bool) {
        if self.with_length.replace(with_length) == Some(with_length) {
            return;
        }
        let template = match (with_length, self.colour) {
            (true, true) => "{prefix} {bar:30.cyan/dim} {msg}",
            (true, false) => "{prefix} {bar:30} {msg}",
            (false, _) => "{prefix} {spinner} {msg}",
        };
        // The templates are constants; were one wrong, the default layout would show the same numbers.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("━╸ "));
        }
    }
}

impl Show for Bar {
    fn update(&mut self, job: &Job) -> io::Result<()> {
        let percent = job
            .progress
            .as_ref()
            .and_then(|progress| progress.percent)
            .filter(|_| job.state.is_active());
        self.layout(percent.is_some());
        let node = job
            .node
            .as_ref()
            .filter(|_| job.state.is_active())
            .map(|node| format!(" on {}", clean(node)));
        self.bar.set_prefix(format!(
            "job {} {}{}",
            job.id,
            job.state,
            node.unwrap_or_default()
        ));
        let mut message = String::new();
        if let Some(percent) = percent {
            self.bar.set_position((f64::from(percent) * 10.0) as u64);
            message = format!("{percent:5.1} %  ");
        }
        if let Some(progress) = job.progress.as_ref().filter(|_| job.state.is_active()) {
            message.push_str(&rates(job));
            if let Some(eta) = progress.eta_seconds {
                message.push_str(&format!("  {} to go", seconds_short(eta)));
            }
        } else if let Some(waiting) = job
            .waiting
            .as_ref()
            .filter(|_| job.state == JobState::Pending)
        {
            message = clean(waiting);
        }
        self.bar.set_message(message);
        Ok(())
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}
