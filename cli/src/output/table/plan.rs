//! A job that was not submitted: what would be encoded, how, and what worker that needs.

use std::io::{self, Write};

use ffrtmp_api::settings::{Audio, RateControl, Size};

use super::{Table, job::pairs};
use crate::output::{
    Plan,
    describe::source_line,
    style::Style,
    units::{clean, moment, seconds_short},
};

/// The job as a paragraph. Every setting is named, so that nothing is left to guess.
pub fn show<W: Write>(table: &mut Table<W>, plan: &Plan) -> io::Result<()> {
    let Plan {
        job,
        settings,
        needs,
    } = plan;
    let head = table.paint(Style::Strong, "Not submitted");
    writeln!(table.out, "{head}")?;
    if let Some(scenario) = &job.scenario {
        table.field("scenario", clean(scenario))?;
    }
    table.field("input", clean(&source_line(settings)))?;
    let output = match &settings.output {
        Some(path) if settings.overwrite => {
            format!("{} (may replace what is there)", clean(&path.to_string()))
        }
        Some(path) => clean(&path.to_string()),
        None => "none: measured, then deleted".to_owned(),
    };
    table.field("output", output)?;
    table.field("container", settings.container.ffmpeg_name())?;
    table.field("codec", settings.codec.ffprobe_name())?;
    table.field("encoder", settings.encoder.name())?;
    table.field("preset", &settings.preset)?;
    let size = match settings.size {
        Some(Size::Exact { width, height }) => format!("{width}x{height}"),
        Some(Size::Height(height)) => format!("{height} lines high, as wide as the input's shape"),
        None => "as the input".to_owned(),
    };
    table.field("size", size)?;
    let fps = match settings.fps {
        Some(fps) => fps.to_string(),
        None => "as the input".to_owned(),
    };
    table.field("fps", fps)?;
    let rate = match settings.rate {
        RateControl::Crf(crf) => format!("constant quality {crf}"),
        RateControl::Bitrate(bits) => format!("{} kbit/s on average", bits / 1000),
    };
    table.field("rate", rate)?;
    let audio = match settings.audio {
        Audio::Aac => "aac, if the input has sound",
        Audio::Opus => "opus, if the input has sound",
        Audio::Copy => "copied",
        Audio::None => "none",
    };
    table.field("audio", audio)?;
    table.field("queue", format!("{}, {} priority", job.queue, job.priority))?;
    if let Some(deadline) = job.deadline_ms {
        table.field("deadline", moment(deadline))?;
    }
    if let Some(seconds) = settings.timeout_seconds {
        table.field("timeout", seconds_short(seconds))?;
    }
    if !job.labels.is_empty() {
        table.field("labels", pairs(&job.labels))?;
    }
    let labels = match needs.labels.is_empty() {
        true => String::new(),
        false => format!(", the labels {}", pairs(&needs.labels)),
    };
    table.field(
        "needs",
        format!(
            "a worker with {}{}, {} cores and {} MiB free{labels}",
            needs.encoder.name(),
            if needs.gpu { " on a GPU" } else { "" },
            f64::from(needs.cpu_millicores) / 1000.0,
            needs.memory_mib,
        ),
    )
}
