//! A file on its way, shown on stderr: a bar on a terminal, one line at its end elsewhere.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{clean, colour_wanted};

/// Shorter transfers are not worth a line on a terminal.
const WORTH_A_LINE: Duration = Duration::from_millis(300);

/// One transfer. Dropped before its end, it clears the bar away.
pub struct Transfer {
    verb: &'static str,
    path: PathBuf,
    started: Instant,
    began_at: Option<u64>,
    bytes: u64,
    bar: Option<ProgressBar>,
}

impl Transfer {
    /// Of a file of so many bytes.
    pub fn new(verb: &'static str, path: &Path, total: Option<u64>) -> Transfer {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
            let name = path.file_name().unwrap_or(path.as_os_str());
            bar.set_prefix(format!("{verb} {}", clean(&name.to_string_lossy())));
            let template = if colour_wanted(true) {
                "{prefix} {bar:30.cyan/dim} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} to go"
            } else {
                "{prefix} {bar:30} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} to go"
            };
            // A constant; were it wrong, the default layout would show the same numbers.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar
        });
        Transfer {
            verb,
            path: path.to_owned(),
            started: Instant::now(),
            began_at: None,
            bytes: 0,
            bar,
        }
    }

    /// So many bytes are done. Always to be gone on with.
    pub fn update(&mut self, bytes: u64) -> bool {
        if self.began_at.is_none() {
            self.began_at = Some(bytes);
            if let Some(bar) = &self.bar {
                bar.reset_eta();
            }
        }
        self.bytes = bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
        true
    }

    /// It ended well: says so, with how fast it was.
    pub fn done(self) {
        let took = self.started.elapsed();
        if self.bar.is_some() && took < WORTH_A_LINE {
            return;
        }
        let moved = self.bytes.saturating_sub(self.began_at.unwrap_or(0));
        let rate = moved as f64 / took.as_secs_f64().max(0.001);
        let done = match self.verb {
            "sending" => "sent",
            "fetching" => "fetched",
            other => other,
        };
        eprintln!(
            "ffrtmp: {done} {}: {} ({}/s)",
            clean(&self.path.to_string_lossy()),
            HumanBytes(self.bytes),
            HumanBytes(rate as u64)
        );
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
