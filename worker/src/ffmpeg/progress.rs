//! Reads what `ffmpeg -progress pipe:1` prints: blocks of `key=value` lines, each block ended by `progress=…`.
//!
//! ffmpeg's own `fps` and `speed` are averages since its start; [`Pace`] tells what they are now.
//!
//! Pure. A key that is missing, `N/A` or nonsense keeps its last value; nothing here can fail.

use std::{collections::VecDeque, time::Instant};

/// The state of an encode after one block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Report {
    /// Video frames encoded.
    pub(crate) frames: u64,
    /// Frames per second, as ffmpeg averages it.
    pub(crate) fps: f32,
    /// Seconds of media per second of wall time.
    pub(crate) speed: f32,
    /// Seconds of media written.
    pub(crate) media_seconds: f64,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Whether ffmpeg said that this is its last report.
    pub(crate) ended: bool,
}

/// Turns reports into a speed of now: over the last few of them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    recent: VecDeque<(Instant, u64, f64)>,
}

/// Reports looked back on: with one each 0.5 s, two seconds.
const PACE_REPORTS: usize = 5;

impl Pace {
    /// Takes a report and answers with frames per second and seconds of media per second.
    pub(crate) fn add(&mut self, now: Instant, report: &Report) -> (f32, f32) {
        let oldest = self.recent.front().copied();
        self.recent
            .push_back((now, report.frames, report.media_seconds));
        if self.recent.len() > PACE_REPORTS {
            self.recent.pop_front();
        }
        let Some((since, frames, media_seconds)) = oldest else {
            return (report.fps, report.speed);
        };
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds < 0.1 {
            return (report.fps, report.speed);
        }
        let fps = report.frames.saturating_sub(frames) as f64 / seconds;
        let speed = (report.media_seconds - media_seconds).max(0.0) / seconds;
        (fps as f32, speed as f32)
    }
}

/// Longest line kept; ffmpeg's are under 64 bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Turns bytes into [`Report`]s.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    report: Report,
}

impl Parser {
    /// Takes what was read and answers with the newest complete report in it, if any.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Report> {
        let mut newest = None;
        for &byte in bytes {
            if byte == b'\n' {
                if self.take_line() {
                    newest = Some(self.report);
                }
                self.line.clear();
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(byte);
            }
        }
        newest
    }

    /// Whether the line ended a block.
    fn take_line(&mut self) -> bool {
        let Ok(line) = std::str::from_utf8(&self.line) else {
            return false;
        };
        let Some((key, value)) = line.split_once('=') else {
            return false;
        };
        let value = value.trim();
        let report = &mut self.report;
        match key.trim() {
            "frame" => set(&mut report.frames, value.parse().ok()),
            "fps" => set(
                &mut report.fps,
                value.parse().ok().filter(|n: &f32| n.is_finite()),
            ),
            "speed" => {
                set(
                    &mut report.speed,
                    value
                        .trim_end_matches('x')
                        .parse()
                        .ok()
                        .filter(|n: &f32| n.is_finite()),
                );
            }
            "total_size" => set(&mut report.bytes, value.parse().ok()),
            // Before the first packet ffmpeg prints the smallest 64-bit number, or something negative.
            "out_time_us" => set(
                &mut report.media_seconds,
                value
                    .parse::<i64>()
                    .ok()
                    .filter(|us| *us >= 0)
                    .map(|us| us as f64 / 1e6),
            ),
            "progress" => {
                report.ended = value == "end";
                return true;
            }
            _ => {}
        }
        false
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "frame=71\nfps=35.50\nstream_0_0_q=23.0\nbitrate=5869.0kbits/s\ntotal_size=2097200\n\
        out_time_us=2858667\nout_time_ms=2858667\nout_time=00:00:02.858667\ndup_frames=0\ndrop_frames=0\nspeed=5.49x\n\
        progress=continue\n";

    #[test]
    fn a_block_becomes_a_report() {
        let report = Parser::default().feed(BLOCK.as_bytes()).unwrap();
        let expected = Report {
            frames: 71,
            fps: 35.5,
            speed: 5.49,
            media_seconds: 2.858667,
            bytes: 2_097_200,
            ended: false,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn blocks_cut_anywhere_are_put_together() {
        let text = format!("{BLOCK}frame=132\nprogress=end\n");
        for step in 1..40 {
            let mut parser = Parser::default();
            let reports: Vec<Report> = text
                .as_bytes()
                .chunks(step)
                .filter_map(|chunk| parser.feed(chunk))
                .collect();
            let last = reports.last().unwrap();
            assert_eq!((last.frames, last.ended), (132, true), "step {step}");
        }
    }

    #[test]
    fn what_is_not_a_number_changes_nothing() {
        let mut parser = Parser::default();
        parser.feed(BLOCK.as_bytes());
        let odd = "frame=x\nfps=nan\nspeed=N/A\ntotal_size=N/A\nout_time_us=-9223372036854775808\nnoise\n=\nprogress=continue\n";
        let report = parser.feed(odd.as_bytes()).unwrap();
        assert_eq!(
            (report.frames, report.fps, report.speed, report.bytes),
            (71, 35.5, 5.49, 2_097_200)
        );
        assert_eq!(report.media_seconds, 2.858667);
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds_not_the_average() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut answer = (0.0, 0.0);
        for half_seconds in 0..20u64 {
            // Ten frames each half second at first, one hundred from the tenth on.
            let frames = if half_seconds < 10 {
                half_seconds * 10
            } else {
                100 + (half_seconds - 10) * 100
            };
            let report = Report {
                frames,
                media_seconds: frames as f64 / 25.0,
                ..Report::default()
            };
            answer = pace.add(
                start + std::time::Duration::from_millis(500 * half_seconds),
                &report,
            );
        }
        assert_eq!(answer, (200.0, 8.0));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut parser = Parser::default();
        parser.feed(&vec![b'a'; 1 << 20]);
        assert!(parser.line.len() <= LINE_BYTES_MAX);
        parser.feed(b"\n");
        assert!(parser.feed(BLOCK.as_bytes()).is_some());
    }
}
