//! Progress as live bars on a terminal's stderr, one for each job. They clear themselves at the end, so that only the
//! answer stays.

use std::{
    io,
    time::{Duration, Instant},
};

use ffrtmp_api::{clock::wall_ms, job::JobState, rest::Job};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{Show, rates};
use crate::output::{clean, colour_wanted, seconds_short};

/// Steps of a whole bar: tenths of a percent.
const STEPS: u64 = 1000;
/// Redraws a second. The master sends at most 10 states a second.
const REDRAWS_PER_SECOND: u8 = 15;

/// Shortest time a job is shown to have waited: below, it is noise.
const WAITED_SHOWN_MIN: Duration = Duration::from_secs(1);

/// The bars of the jobs that are followed, one below the other.
#[derive(Clone)]
pub struct Bars {
    all: MultiProgress,
    colour: bool,
}

impl Default for Bars {
    fn default() -> Bars {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        Bars {
            all: MultiProgress::with_draw_target(target),
            colour: colour_wanted(true),
        }
    }
}

impl Bars {
    /// One more, below the others. Not drawn before its first state.
    pub fn add(&self) -> Bar {
        Bar {
            all: self.all.clone(),
            bar: None,
            layout: None,
            colour: self.colour,
        }
    }

    /// Takes all away.
    pub fn clear(&self) {
        // Nothing can be done for a terminal that is gone.
        let _ = self.all.clear();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Prints something above them.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.all.suspend(print)
    }
}

/// What is known of a job decides how its line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// It waits: since when, and why.
    Waiting,
    /// It runs, and how long it will be is known.
    Length,
    /// It runs, and how long it will be is not known.
    NoLength,
}

/// The line of one job.
pub struct Bar {
    all: MultiProgress,
    bar: Option<ProgressBar>,
    layout: Option<Layout>,
    colour: bool,
}

impl Bar {
    /// The bar, drawn in `layout`.
    fn laid_out(&mut self, layout: Layout, waited: Duration) -> &ProgressBar {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(STEPS));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if self.layout.replace(layout) != Some(layout) {
            // The wide part gives way, so that a line is never longer than the terminal, however that is resized.
            let template = match (layout, self.colour) {
                (Layout::Waiting, _) => "{prefix} {spinner} {waited}{wide_msg}",
                (Layout::Length, true) => "{prefix} {wide_bar:.cyan/dim} {msg}",
                (Layout::Length, false) => "{prefix} {wide_bar} {msg}",
                (Layout::NoLength, _) => "{prefix} {spinner} {wide_msg}",
            };
            // The templates are constants; were one wrong, the default layout would show the same numbers.
            if let Ok(style) = ProgressStyle::with_template(template) {
                let since = Instant::now().checked_sub(waited);
                let style = style.progress_chars("━╸ ").with_key(
                    "waited",
                    move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                        let waited = since.map(|since| since.elapsed()).unwrap_or_default();
                        if waited >= WAITED_SHOWN_MIN {
                            // What is drawn next shows what this could not.
                            let _ = write!(out, "{} ", seconds_short(waited.as_secs_f64()));
                        }
                    },
                );
                bar.set_style(style);
            }
        }
        bar
    }
}

impl Show for Bar {
    fn update(&mut self, job: &Job) -> io::Result<()> {
        let progress = job.progress.as_ref().filter(|_| job.state.is_active());
        let percent = progress.and_then(|progress| progress.percent);
        let layout = match (job.state, percent) {
            (JobState::Pending, _) => Layout::Waiting,
            (_, Some(_)) => Layout::Length,
            (_, None) => Layout::NoLength,
        };
        let waited = wall_ms().saturating_sub(job.submitted_at_ms).max(0);
        let bar = self.laid_out(layout, Duration::from_millis(waited.unsigned_abs()));
        let node = job
            .node
            .as_ref()
            .filter(|_| job.state.is_active())
            .map(|node| format!(" on {}", clean(node)))
            .unwrap_or_default();
        bar.set_prefix(format!("job {} {}{node}", job.id, job.state));
        let mut message = String::new();
        if let Some(percent) = percent {
            bar.set_position((f64::from(percent) * 10.0) as u64);
            message = format!("{percent:5.1} %  ");
        }
        if let Some(progress) = progress {
            if percent.is_none() {
                message = format!("{} encoded  ", seconds_short(progress.media_seconds));
            }
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
        bar.set_message(message);
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}
