//! A job that was not submitted: what would be encoded, how, who said so, and what worker that needs.

use std::io::{self, Write};

use ffrtmp_api::{
    job::RETRIES_DEFAULT,
    settings::{Audio, AudioCodec, Pictures, Settings, Video},
};

use super::{Table, job::pairs};
use crate::output::{
    Origins, Plan,
    describe::{gop_line, live_line, rate_line, settings_line, size_line, source_line},
    style::Style,
    units::{clean, moment, seconds_short},
};

/// The job as a paragraph. Every setting is named with who said it, so that nothing is left to guess.
pub fn show<W: Write>(table: &mut Table<W>, plan: &Plan) -> io::Result<()> {
    let Plan {
        job,
        settings,
        origins,
        needs,
        commands,
    } = plan;
    let head = table.paint(Style::Strong, "Not submitted");
    writeln!(table.out, "{head}")?;
    for (name, word) in [("scenario", &job.scenario), ("preset", &job.preset)] {
        if let Some(word) = word {
            table.field(name, clean(word))?;
        }
    }
    let mut lines = Lines {
        preset: job.preset.as_deref(),
        table,
        origins,
    };
    let source = [
        ("input", "input"),
        ("start", "start_seconds"),
        ("length", "duration_seconds"),
    ];
    lines.line("input", clean(&source_line(settings)), &source)?;
    let output = match &settings.output {
        Some(path) if settings.overwrite => {
            format!("{} (may replace what is there)", clean(&path.to_string()))
        }
        Some(path) => clean(&path.to_string()),
        None => "none: measured, then deleted".to_owned(),
    };
    lines.line("output", output, &[("", "output")])?;
    let mode = match &settings.live {
        Some(live) => format!("live: {}", live_line(live)),
        None => "file".to_owned(),
    };
    lines.line(
        "mode",
        mode,
        &[("mode", "mode"), ("wait", "input_wait_seconds")],
    )?;
    lines.line(
        "container",
        settings.container.ffmpeg_name(),
        &[("", "output")],
    )?;
    match &settings.pictures {
        Pictures::Video(video) => show_video(&mut lines, video)?,
        _ => {
            let fields = [("codec", "codec"), ("size", "size"), ("sprites", "sprites")];
            lines.line("pictures", settings_line(settings), &fields)?;
        }
    }
    match &settings.audio {
        Some(audio) => show_audio(&mut lines, audio)?,
        None => lines.line("audio", "none", &[("", "audio")])?,
    }
    show_rest(&mut lines, settings)?;
    let queue = format!("{}, {} priority", job.queue, job.priority);
    lines.line(
        "queue",
        queue,
        &[("queue", "queue"), ("priority", "priority")],
    )?;
    let retries = job.retries.unwrap_or(RETRIES_DEFAULT);
    lines.line("retries", retries.to_string(), &[("", "retries")])?;
    if let Some(deadline) = job.deadline_ms {
        lines.line("deadline", moment(deadline), &[("", "deadline_ms")])?;
    }
    let timeout = settings
        .timeout_seconds
        .map_or("none".to_owned(), seconds_short);
    lines.line("timeout", timeout, &[("", "timeout_seconds")])?;
    if !job.labels.is_empty() {
        lines.table.field("labels", pairs(&job.labels))?;
    }
    let labels = match needs.labels.is_empty() {
        true => String::new(),
        false => format!(", the labels {}", pairs(&needs.labels)),
    };
    let need = format!(
        "a worker with {}{}, {} cores and {} MiB free{labels}",
        needs.encoder.map_or("ffmpeg", |encoder| encoder.name()),
        if needs.gpu { " on a GPU" } else { "" },
        f64::from(needs.cpu_millicores) / 1000.0,
        needs.memory_mib,
    );
    let fields = [
        ("cpu", "cpu_millicores"),
        ("memory", "memory_mib"),
        ("labels", "require"),
    ];
    lines.line("needs", need, &fields)?;
    for command in commands {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        table.field("runs", clean(&words.join(" ")))?;
    }
    Ok(())
}

/// Lines that say where their values came from.
struct Lines<'a, W> {
    table: &'a mut Table<W>,
    origins: &'a Origins,
    preset: Option<&'a str>,
}

impl<W: Write> Lines<'_, W> {
    /// `name   value   [who said it]`; `fields` are those the line is made of, each with a word that tells it from the others.
    fn line(
        &mut self,
        name: &str,
        value: impl AsRef<str>,
        fields: &[(&str, &str)],
    ) -> io::Result<()> {
        let origin = self.origins.of_line(fields, self.preset);
        let origin = self.table.paint(Style::Faint, &format!("[{origin}]"));
        self.table
            .field(name, format!("{}  {origin}", value.as_ref()))
    }
}

fn show_video<W: Write>(lines: &mut Lines<'_, W>, video: &Video) -> io::Result<()> {
    lines.line("codec", video.codec.ffprobe_name(), &[("", "codec")])?;
    let hardware = if video.prefers_hardware {
        ", or hardware where the worker has it"
    } else {
        ""
    };
    let encoder = format!("{}{hardware}", video.encoder.name());
    let by = [("codec", "codec"), ("hardware", "hardware"), ("gpu", "gpu")];
    lines.line("encoder", encoder, &by)?;
    lines.line(
        "its preset",
        &video.encoder_preset,
        &[("", "encoder_preset")],
    )?;
    if video.ladder.is_empty() {
        let size = video.size.map_or("as the input".to_owned(), size_line);
        lines.line("size", size, &[("", "size")])?;
        let rate = [("bitrate", "bitrate"), ("crf", "crf")];
        lines.line("rate", rate_line(video.rate), &rate)?;
    }
    for rendition in &video.ladder {
        let line = format!(
            "{} at {} kbit/s",
            size_line(rendition.size),
            rendition.bitrate / 1000
        );
        lines.line("rendition", line, &[("", "renditions")])?;
    }
    let fps = video
        .fps
        .map_or("as the input".to_owned(), |fps| fps.to_string());
    lines.line("fps", fps, &[("", "fps")])?;
    lines.line(
        "pixels",
        video.pixel_format.as_str(),
        &[("", "pixel_format")],
    )?;
    let gop = video
        .gop
        .map_or("as the encoder places them".to_owned(), gop_line);
    lines.line("key frames", gop, &[("", "gop")])?;
    let passes = if video.two_pass { "two" } else { "one" };
    lines.line("passes", passes, &[("", "two_pass")])
}

fn show_audio<W: Write>(lines: &mut Lines<'_, W>, audio: &Audio) -> io::Result<()> {
    let codec = match audio.codec {
        AudioCodec::Copy => "copied".to_owned(),
        codec => codec.word().to_owned(),
    };
    lines.line(
        "audio",
        format!("{codec}, if the input has sound"),
        &[("", "audio")],
    )?;
    if let Some(bits) = audio.bitrate {
        let rate = format!("{} kbit/s", bits / 1000);
        lines.line("audio rate", rate, &[("", "audio_bitrate")])?;
    }
    if audio.codec == AudioCodec::Copy {
        return Ok(());
    }
    let channels = audio
        .channels
        .map_or("as the input".to_owned(), |channels| channels.to_string());
    lines.line("channels", channels, &[("", "audio_channels")])?;
    match audio.loudness {
        Some(lufs) => lines.line("loudness", format!("{lufs} LUFS"), &[("", "loudness")]),
        None => Ok(()),
    }
}

fn show_rest<W: Write>(lines: &mut Lines<'_, W>, settings: &Settings) -> io::Result<()> {
    lines.line(
        "subtitles",
        settings.subtitles.as_str(),
        &[("", "subtitles")],
    )?;
    if let Some(seconds) = settings.segment_seconds {
        lines.line(
            "segments",
            format!("{seconds} s each"),
            &[("", "segment_seconds")],
        )?;
    }
    if !settings.metadata.is_empty() {
        lines.line("metadata", pairs(&settings.metadata), &[("", "metadata")])?;
    }
    if settings.faststart {
        lines.line(
            "faststart",
            "the index goes to the front",
            &[("", "faststart")],
        )?;
    }
    for (name, field, words) in [
        ("input args", "input_args", &settings.raw.input),
        ("output args", "output_args", &settings.raw.output),
    ] {
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            lines.line(name, clean(&words.join(" ")), &[("", field)])?;
        }
    }
    let least = [
        ("SSIM", "ssim_min", settings.quality.ssim),
        ("PSNR", "psnr_min", settings.quality.psnr),
        ("VMAF", "vmaf_min", settings.quality.vmaf),
    ];
    for (name, field, least) in least {
        if let Some(least) = least {
            lines.line(
                "quality",
                format!("{name} of at least {least}"),
                &[("", field)],
            )?;
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
