//! A job that was not submitted: what would be encoded, how, and what worker that needs.

use std::io::{self, Write};

use ffrtmp_api::settings::{Pictures, Settings, Video};

use super::{Table, job::pairs};
use crate::output::{
    Plan,
    describe::{audio_line, gop_line, live_line, rate_line, settings_line, size_line, source_line},
    style::Style,
    units::{clean, moment, seconds_short},
};

/// The job as a paragraph. Every setting is named, so that nothing is left to guess.
pub fn show<W: Write>(table: &mut Table<W>, plan: &Plan) -> io::Result<()> {
    let Plan {
        job,
        settings,
        needs,
        commands,
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
    let mode = match &settings.live {
        Some(live) => format!("live: {}", live_line(live)),
        None => "file".to_owned(),
    };
    table.field("mode", mode)?;
    table.field("container", settings.container.ffmpeg_name())?;
    match &settings.pictures {
        Pictures::Video(video) => show_video(table, video)?,
        _ => table.field("pictures", settings_line(settings))?,
    }
    show_rest(table, settings)?;
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
            needs.encoder.map_or("ffmpeg", |encoder| encoder.name()),
            if needs.gpu { " on a GPU" } else { "" },
            f64::from(needs.cpu_millicores) / 1000.0,
            needs.memory_mib,
        ),
    )?;
    for command in commands {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        table.field("runs", clean(&words.join(" ")))?;
    }
    Ok(())
}

fn show_video<W: Write>(table: &mut Table<W>, video: &Video) -> io::Result<()> {
    table.field("codec", video.codec.ffprobe_name())?;
    let hardware = if video.prefers_hardware {
        ", or hardware where the worker has it"
    } else {
        ""
    };
    table.field("encoder", format!("{}{hardware}", video.encoder.name()))?;
    table.field("encoder_preset", &video.encoder_preset)?;
    if video.ladder.is_empty() {
        let size = video.size.map_or("as the input".to_owned(), size_line);
        table.field("size", size)?;
        table.field("rate", rate_line(video.rate))?;
    }
    for rendition in &video.ladder {
        let line = format!(
            "{} at {} kbit/s",
            size_line(rendition.size),
            rendition.bitrate / 1000
        );
        table.field("rendition", line)?;
    }
    let fps = video
        .fps
        .map_or("as the input".to_owned(), |fps| fps.to_string());
    table.field("fps", fps)?;
    table.field("pixels", video.pixel_format.as_str())?;
    let gop = video
        .gop
        .map_or("as the encoder places them".to_owned(), gop_line);
    table.field("key frames", gop)?;
    if video.two_pass {
        table.field("passes", "two")?;
    }
    Ok(())
}

fn show_rest<W: Write>(table: &mut Table<W>, settings: &Settings) -> io::Result<()> {
    let audio = match &settings.audio {
        Some(audio) => format!("{}, if the input has sound", audio_line(audio)),
        None => "none".to_owned(),
    };
    table.field("audio", audio)?;
    table.field("subtitles", settings.subtitles.as_str())?;
    if let Some(seconds) = settings.segment_seconds {
        table.field("segments", format!("{seconds} s each"))?;
    }
    if !settings.metadata.is_empty() {
        table.field("metadata", pairs(&settings.metadata))?;
    }
    if settings.faststart {
        table.field("faststart", "the index goes to the front")?;
    }
    let least = [
        ("SSIM", settings.quality.ssim),
        ("PSNR", settings.quality.psnr),
        ("VMAF", settings.quality.vmaf),
    ];
    for (name, least) in least {
        if let Some(least) = least {
            table.field("quality", format!("{name} of at least {least}"))?;
        }
    }
    Ok(())
}

/// A word as a shell takes it, so that the line can be pasted.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
