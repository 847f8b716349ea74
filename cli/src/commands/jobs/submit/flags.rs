//! The flags of `ffrtmp jobs submit`, and what they come to: fields of a job, and what to do with it.
//!
//! Separate from what is then done, so that every way of saying a job is one file. Nothing here is sent or read.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use ffrtmp_api::{
    clock::wall_ms,
    job::{Hardware, JobState, Mode, Priority, Queue},
    preset::FieldSet,
};
use serde::Serialize;
use serde_json::Value;

use super::fields::{self, Fields, SEQ};
use crate::{
    exit::{Failure, Result},
    output::Format,
    values::{self, Resource},
};

/// Most jobs one `--count` makes: more is a slip of the keyboard, or a file's work.
const COUNT_MAX: u64 = 1_000_000;

/// What a job may say.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs submit --scenario load-test-1 --queue live --priority high
  ffrtmp jobs submit --scenario 1080p60-h265 --duration 30
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --preset web-mp4 --crf 21 --follow
  ffrtmp jobs submit --input in.mp4 --output out.webm --codec vp9 --bitrate 2.5M --wait
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --require zone=eu --label show=news
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --output json
  ffrtmp jobs submit --input in.mp4 --start 90 --duration 30 --deadline +2h
  ffrtmp jobs submit --scenario 4K30-av1 --resources cpu=4,memory=2G --dry-run
  ffrtmp jobs submit --input in/{seq}.mp4 --output out/{seq}.mp4 --count 20 --wait
  ffrtmp jobs submit --file jobs.jsonl --queue batch
  ffrtmp jobs submit --input my.mov --upload --output small.mp4 --follow
  ffrtmp jobs submit --input film.mkv --output song.mp3 --loudness -16
  ffrtmp jobs submit --input film.mkv --output show/index.m3u8 --rendition 1280x720@2.8M
  ffrtmp jobs submit --input film.mkv --output small.mp4 --size fit:1280x720 --hardware prefer
  ffrtmp jobs submit --input film.mkv --output small.mp4 --bitrate 2M --two-pass --loudness -16
  ffrtmp jobs submit --input film.mkv --output sheet.jpg --sprites 5x5
  ffrtmp jobs submit --input rtmp://cam.example/live/1 --output show.mp4 --input-wait 5m

Files are named as the worker sees them: relative paths are made absolute against the current
directory, and need not exist here. Without --input a synthetic source is encoded (10 s); without
--output the result is measured and deleted.

--output takes a path, unless it is exactly table, json or jsonl: then it is the format of the
answer, as on every other command (write ./json for a file of that name). It may be given twice,
once for each; -o FORMAT always means the format.

--file takes one job as JSON, an array of jobs, or one job a line (- is standard input); its fields
are those of the API and of --param. Flags given beside it hold for all its jobs. A job that is
refused is named by its line and does not keep the others from being submitted; the exit code is
then 1. Submitting the same file again with the same --idempotency-key makes no second jobs.

With --upload both are files on this machine: the input is sent to the master, and with --wait or
--follow the output is downloaded when the job has completed (else with `ffrtmp jobs fetch`).

With --wait or --follow the exit code is 0 only if every job completes.")]
pub struct SubmitArgs {
    /// Name of the kind of work: a preset's name uses that preset, as in 1080p60-h265; any other is a label
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Media to read: a file as the worker sees it, or an http, https, rtmp, rtmps or srt URL
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    input: Option<PathBuf>,
    /// What to write: a file as the worker sees it, or a URL (.mp4 .mov .mkv .webm .ts, .mp3 .m4a .flac .ogg .wav,
    /// .jpg .png; .m3u8 and .mpd make a folder); or table, json, jsonl
    #[arg(long, value_name = "PATH|FORMAT", allow_hyphen_values = true)]
    output: Vec<PathBuf>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
    /// Whether the input is happening now: live (unless said otherwise for rtmp, rtmps and srt inputs) or file
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// How long a live input is waited for, at first and whenever it has gone, as in 30s; 0 takes its first end as the end
    #[arg(long, allow_negative_numbers = true, value_name = "TIME", value_parser = values::seconds)]
    input_wait: Option<f64>,
    /// Of a live input and an .m3u8 output: let players watch from the first segment on, not only when it is over
    #[arg(long)]
    watchable: bool,
    /// For machines that share no storage: send the input to the master, and get the output back
    #[arg(long, requires = "input", conflicts_with_all = ["count", "file"])]
    upload: bool,

    /// Preset that says what no flag does; `ffrtmp presets list` shows them
    #[arg(long, value_name = "NAME", help_heading = "Encoding")]
    preset: Option<String>,
    /// Where in the input to begin, as in 90, 10s or 1m30s
    #[arg(long, allow_negative_numbers = true, value_name = "TIME", value_parser = values::seconds, help_heading = "Encoding")]
    start: Option<f64>,
    /// Length of input to encode, as in 30, 0.5, 10s or 1m30s
    #[arg(long, allow_negative_numbers = true, value_name = "TIME", value_parser = values::seconds, help_heading = "Encoding")]
    duration: Option<f64>,
    /// Video codec: h264, h265, vp9 or av1; copy keeps the pictures as they are, none leaves them out
    #[arg(long, help_heading = "Encoding")]
    codec: Option<String>,
    /// Picture size, as in 1280x720; 1280x-2 or -2x720 keeps the aspect, fit:1280x720 is what fits
    #[arg(
        long,
        value_name = "WxH",
        allow_hyphen_values = true,
        help_heading = "Encoding"
    )]
    size: Option<String>,
    /// Frames per second
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "N",
        value_parser = values::number,
        help_heading = "Encoding"
    )]
    fps: Option<f64>,
    /// Video bitrate, as in 2500k or 2.5M; excludes --crf
    #[arg(
        long,
        value_name = "RATE",
        conflicts_with = "crf",
        help_heading = "Encoding"
    )]
    bitrate: Option<String>,
    /// Constant quality: 0 is best, 51 worst (63 for vp9 and av1)
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "N",
        help_heading = "Encoding"
    )]
    crf: Option<u32>,
    /// The encoder's own preset, as in veryfast
    #[arg(long, value_name = "WORD", help_heading = "Encoding")]
    encoder_preset: Option<String>,
    /// How a pixel is stored: yuv420p (unless said otherwise), or yuv420p10le for 10 bits
    #[arg(long, value_name = "FORMAT", help_heading = "Encoding")]
    pixel_format: Option<String>,
    /// Longest distance of key frames, in frames (48) or seconds (2s)
    #[arg(long, value_name = "N|TIME", help_heading = "Encoding")]
    gop: Option<String>,
    /// Encode twice, to spend --bitrate where it is needed
    #[arg(long, help_heading = "Encoding")]
    two_pass: bool,
    /// A GPU encodes: require (as --gpu), prefer (where the worker has one) or never
    #[arg(
        long,
        value_name = "WHEN",
        conflicts_with = "gpu",
        help_heading = "Encoding"
    )]
    hardware: Option<Hardware>,
    /// One rendition of an HLS or DASH output, as in 1280x720@2.8M; may be repeated
    #[arg(
        long,
        value_name = "SIZE@RATE",
        allow_hyphen_values = true,
        help_heading = "Encoding"
    )]
    rendition: Vec<String>,
    /// Seconds of a segment of an HLS or DASH output
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = values::number, help_heading = "Encoding")]
    segment_seconds: Option<f64>,
    /// A sheet of so many small pictures, as in 5x5; for a .jpg or .png output
    #[arg(long, value_name = "AxD", help_heading = "Encoding")]
    sprites: Option<String>,
    /// Sound: aac, opus, mp3, flac, pcm, copy or none
    #[arg(long, help_heading = "Sound, subtitles and the rest")]
    audio: Option<String>,
    /// No pictures: as --codec none
    #[arg(
        long,
        conflicts_with = "codec",
        help_heading = "Sound, subtitles and the rest"
    )]
    audio_only: bool,
    /// Audio bitrate, as in 128k
    #[arg(
        long,
        value_name = "RATE",
        help_heading = "Sound, subtitles and the rest"
    )]
    audio_bitrate: Option<String>,
    /// Audio channels: 1 is mono, 2 stereo, 6 is 5.1
    #[arg(long, value_name = "N", help_heading = "Sound, subtitles and the rest")]
    audio_channels: Option<u32>,
    /// Loudness to bring the sound to, in LUFS: -16 for streaming, -23 for broadcast
    #[arg(long, allow_negative_numbers = true, value_name = "LUFS", value_parser = values::number, help_heading = "Sound, subtitles and the rest")]
    loudness: Option<f64>,
    /// Subtitles: copy, burn or none
    #[arg(long, help_heading = "Sound, subtitles and the rest")]
    subtitles: Option<String>,
    /// Written into the output, as in title="My film"; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value, help_heading = "Sound, subtitles and the rest")]
    metadata: Vec<(String, String)>,
    /// Leave the index of an .mp4 or .mov at its end
    #[arg(long, help_heading = "Sound, subtitles and the rest")]
    no_faststart: bool,
    /// Fail the job if the output's SSIM against the input is lower, as in 0.95
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = values::number, help_heading = "Sound, subtitles and the rest")]
    ssim_min: Option<f64>,
    /// Fail the job if the output's PSNR against the input is lower, in dB
    #[arg(long, allow_negative_numbers = true, value_name = "DB", value_parser = values::number, help_heading = "Sound, subtitles and the rest")]
    psnr_min: Option<f64>,
    /// Fail the job if the output's VMAF against the input is lower; needs an ffmpeg with libvmaf
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = values::number, help_heading = "Sound, subtitles and the rest")]
    vmaf_min: Option<f64>,
    /// Raw ffmpeg arguments in front of the input, as one text split like a shell does; where the operator allows them
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        help_heading = "Sound, subtitles and the rest"
    )]
    input_args: Option<String>,
    /// Raw ffmpeg arguments in front of the output, as in '-x264-params keyint=30'; where the operator allows them
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        help_heading = "Sound, subtitles and the rest"
    )]
    output_args: Option<String>,

    /// Lane: live, default or batch
    #[arg(long, help_heading = "Scheduling")]
    queue: Option<Queue>,
    /// Urgency within the lane: high, medium (unless said otherwise) or low
    #[arg(long, help_heading = "Scheduling")]
    priority: Option<Priority>,
    /// Encode on a GPU
    #[arg(long, help_heading = "Scheduling")]
    gpu: bool,
    /// Label a worker must carry; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value, help_heading = "Scheduling")]
    require: Vec<(String, String)>,
    /// Label on the job; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value, help_heading = "Scheduling")]
    label: Vec<(String, String)>,
    /// What it is expected to use of its worker: cpu in cores or thousandths (500m), memory with its unit
    #[arg(long, value_name = "cpu=N,memory=N", value_parser = values::resource, value_delimiter = ',', help_heading = "Scheduling")]
    resources: Vec<Resource>,
    /// When it should be finished, as in +2h or 2026-11-23T18:00:00Z; for policies that look at it
    #[arg(long, value_name = "WHEN", value_parser = deadline, help_heading = "Scheduling")]
    deadline: Option<i64>,
    /// Longest an attempt may run, as in 90s or 2h
    #[arg(long, allow_negative_numbers = true, value_name = "TIME", value_parser = values::seconds, help_heading = "Scheduling")]
    timeout: Option<f64>,
    /// Attempts that may follow one that failed
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "N",
        help_heading = "Scheduling"
    )]
    retries: Option<u32>,
    /// URL that is told of the job's changes by signed POSTs
    #[arg(long, value_name = "URL", help_heading = "Scheduling")]
    webhook: Option<String>,
    /// States whose beginning it is told; default: completed,failed,canceled
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        help_heading = "Scheduling"
    )]
    webhook_events: Vec<JobState>,
    /// Any field of the job by its JSON name, its value as JSON or as text; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = fields::param, help_heading = "Scheduling")]
    param: Vec<(String, Value)>,
    /// Submitting again with the same key gives the first job instead of another
    #[arg(long, value_name = "KEY", help_heading = "Scheduling")]
    idempotency_key: Option<String>,

    /// Make so many jobs, numbered from 1: {seq} in any value is a job's number; --output must hold it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX), conflicts_with = "file", help_heading = "Many jobs")]
    count: Option<u64>,
    /// Submit the jobs of a JSON or JSON lines file; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Many jobs")]
    file: Option<PathBuf>,

    /// Wait until the job has ended
    #[arg(long, help_heading = "Answer")]
    wait: bool,
    /// Wait, showing progress
    #[arg(long, short = 'f', help_heading = "Answer")]
    follow: bool,
    /// Print the job and everything it would be encoded with, checked but not submitted
    #[arg(long, conflicts_with_all = ["wait", "follow"], help_heading = "Answer")]
    dry_run: bool,
}

/// What the flags come to.
#[derive(Debug)]
pub struct Request {
    /// The job's fields, or those that hold for every job of `file`.
    pub fields: Fields,
    /// The names of all of them.
    pub given: FieldSet,
    /// Those of them that came by `--param`.
    pub params: Vec<String>,
    /// The format, if `--output` named one.
    pub format: Option<Format>,
    /// How many.
    pub count: Option<u64>,
    /// From where.
    pub file: Option<PathBuf>,
    /// `--wait`.
    pub wait: bool,
    /// `--follow`.
    pub follow: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--upload`.
    pub upload: bool,
}

impl Request {
    /// A field's error, under the name of its flag.
    pub fn name_flag(&self, field: &str, message: &str) -> String {
        if self.params.iter().any(|name| name == field) {
            return format!("--param {field}: {message}");
        }
        let flag = match field {
            "start_seconds" => "start",
            "duration_seconds" => "duration",
            "timeout_seconds" => "timeout",
            "input_wait_seconds" => "input-wait",
            "labels" => "label",
            "idempotency_key" => "idempotency-key",
            "cpu_millicores" => "resources cpu",
            "memory_mib" => "resources memory",
            "deadline_ms" => "deadline",
            "renditions" => "rendition",
            "faststart" => "no-faststart",
            field => field,
        };
        format!("--{}: {message}", flag.replace('_', "-"))
    }
}

impl SubmitArgs {
    /// The fields, with paths made absolute against `cwd`, and what to do.
    pub fn into_request(self, cwd: &Path) -> Result<Request> {
        let (output, format) = split_outputs(self.output)?;
        let path = |flag: &str, path: Option<PathBuf>| match path {
            Some(path) => values::media_path(&path, cwd)
                .map(Some)
                .map_err(|why| Failure::usage(format!("--{flag}: {why}"))),
            None => Ok(None),
        };
        let map = |flag: &str, pairs: Vec<(String, String)>| {
            let mut map = BTreeMap::new();
            for (key, value) in pairs {
                if map.insert(key.clone(), value).is_some() {
                    return Err(Failure::usage(format!(
                        "--{flag}: {key:?} is given twice; give it once"
                    )));
                }
            }
            Ok(Some(map).filter(|map| !map.is_empty()))
        };
        let (cpu, memory) = split_resources(&self.resources)?;
        let mut given = Given::default();
        given.set("scenario", self.scenario)?;
        given.set("preset", self.preset)?;
        given.set("input", path("input", self.input)?)?;
        given.set("output", path("output", output)?)?;
        given.set("mode", self.mode)?;
        given.set("input_wait_seconds", self.input_wait)?;
        given.set("watchable", self.watchable.then_some(true))?;
        given.set("overwrite", self.overwrite.then_some(true))?;
        given.set("start_seconds", self.start)?;
        given.set("duration_seconds", self.duration)?;
        given.set(
            "codec",
            self.audio_only.then(|| "none".to_owned()).or(self.codec),
        )?;
        given.set("size", self.size)?;
        given.set("fps", self.fps)?;
        given.set("bitrate", self.bitrate)?;
        given.set("crf", self.crf)?;
        given.set("encoder_preset", self.encoder_preset)?;
        given.set("pixel_format", self.pixel_format)?;
        given.set("gop", self.gop)?;
        given.set("two_pass", self.two_pass.then_some(true))?;
        given.set("hardware", self.hardware)?;
        given.set(
            "renditions",
            Some(self.rendition).filter(|list| !list.is_empty()),
        )?;
        given.set("segment_seconds", self.segment_seconds)?;
        given.set("sprites", self.sprites)?;
        given.set("audio", self.audio)?;
        given.set("audio_bitrate", self.audio_bitrate)?;
        given.set("audio_channels", self.audio_channels)?;
        given.set("loudness", self.loudness)?;
        given.set("subtitles", self.subtitles)?;
        given.set("metadata", map("metadata", self.metadata)?)?;
        given.set("faststart", self.no_faststart.then_some(false))?;
        given.set("ssim_min", self.ssim_min)?;
        given.set("psnr_min", self.psnr_min)?;
        given.set("vmaf_min", self.vmaf_min)?;
        given.set("input_args", words("input-args", self.input_args)?)?;
        given.set("output_args", words("output-args", self.output_args)?)?;
        given.set("queue", self.queue)?;
        given.set("priority", self.priority)?;
        given.set("gpu", self.gpu.then_some(true))?;
        given.set("require", map("require", self.require)?)?;
        given.set("labels", map("label", self.label)?)?;
        given.set("cpu_millicores", cpu)?;
        given.set("memory_mib", memory)?;
        given.set("deadline_ms", self.deadline)?;
        given.set("timeout_seconds", self.timeout)?;
        given.set("retries", self.retries)?;
        given.set("webhook", self.webhook)?;
        given.set(
            "webhook_events",
            Some(self.webhook_events).filter(|list| !list.is_empty()),
        )?;
        given.set("idempotency_key", self.idempotency_key)?;
        let mut fields = given.0;
        let mut params = Vec::new();
        for (name, value) in self.param {
            if fields.contains_key(&name) {
                return Err(Failure::usage(format!(
                    "--param: {name:?} is given twice, here and by another flag; give it once"
                )));
            }
            params.push(name.clone());
            fields.insert(name, value);
        }
        fields::absolute_paths(&mut fields, cwd)
            .map_err(|why| Failure::usage(format!("--param {why}")))?;
        if let (Some(count), Some(Value::String(output))) = (self.count, fields.get("output"))
            && !output.contains(SEQ)
        {
            return Err(Failure::usage(format!(
                "--output: with --count {count} it must hold {SEQ}, as in out-{SEQ}.mp4; else all would write one file"
            )));
        }
        let mut names = FieldSet::default();
        fields.keys().for_each(|name| names.insert(name));
        Ok(Request {
            fields,
            given: names,
            params,
            format,
            count: self.count,
            file: self.file,
            wait: self.wait,
            follow: self.follow,
            dry_run: self.dry_run,
            upload: self.upload,
        })
    }
}

/// Fields, as flags give them.
#[derive(Default)]
struct Given(Fields);

impl Given {
    fn set(&mut self, name: &str, value: Option<impl Serialize>) -> Result {
        if let Some(value) = value {
            let value = serde_json::to_value(value)
                .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
            self.0.insert(name.to_owned(), value);
        }
        Ok(())
    }
}

/// A moment that is still to come.
fn deadline(text: &str) -> std::result::Result<i64, String> {
    match values::future(text)? {
        at if at <= wall_ms() => Err(format!("{text:?} is over; give a moment that is to come")),
        at => Ok(at),
    }
}

/// Thousandths of a core, and MiB.
fn split_resources(given: &[Resource]) -> Result<(Option<u32>, Option<u32>)> {
    let (mut cpu, mut memory) = (None, None);
    for resource in given {
        let (name, twice) = match *resource {
            Resource::CpuMillicores(amount) => ("cpu", cpu.replace(amount).is_some()),
            Resource::MemoryMib(amount) => ("memory", memory.replace(amount).is_some()),
        };
        if twice {
            return Err(Failure::usage(format!(
                "--resources: {name} is given twice; give it once"
            )));
        }
    }
    Ok((cpu, memory))
}

/// A text as a shell would split it into words.
fn words(flag: &str, text: Option<String>) -> Result<Option<Vec<String>>> {
    let Some(text) = text else {
        return Ok(None);
    };
    let words = shlex::split(&text).ok_or_else(|| {
        Failure::usage(format!(
            "--{flag}: {text:?} ends within quotes, or with a backslash"
        ))
    })?;
    Ok(Some(words))
}

/// Tells the path from the format among the values of `--output`.
fn split_outputs(given: Vec<PathBuf>) -> Result<(Option<PathBuf>, Option<Format>)> {
    let (mut path, mut format) = (None, None);
    for value in given {
        let word = match value.to_str() {
            Some("table") => Some(Format::Table),
            Some("json") => Some(Format::Json),
            Some("jsonl") => Some(Format::Jsonl),
            _ => None,
        };
        let twice = match word {
            Some(word) => format.replace(word).is_some(),
            None => path.replace(value).is_some(),
        };
        if twice {
            return Err(Failure::usage(
                "--output: give at most one path and one format (table, json or jsonl)",
            ));
        }
    }
    Ok((path, format))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ffrtmp_api::{job::JobSpec, settings::Settings};

    use super::*;
    use crate::{
        args::{Args, Command},
        commands::jobs::JobsCommand,
    };

    fn request(words: &str) -> Result<(Request, Option<Format>)> {
        let words = ["ffrtmp", "jobs", "submit"]
            .into_iter()
            .chain(words.split_whitespace());
        let args =
            Args::try_parse_from(words).map_err(|error| Failure::usage(error.to_string()))?;
        let Command::Jobs(JobsCommand::Submit(submit)) = args.command else {
            panic!("not a submit")
        };
        Ok((
            submit.into_request(Path::new("/media"))?,
            args.global.format,
        ))
    }

    fn parse(words: &str) -> Result<(JobSpec, Option<Format>, Option<Format>)> {
        let (request, global) = request(words)?;
        let asked = fields::job(request.fields).map_err(Failure::usage)?;
        Ok((asked.spec, request.format, global))
    }

    #[test]
    fn output_is_a_path_unless_it_is_exactly_a_format() {
        let (spec, format, _) = parse("--output out.mp4").unwrap();
        assert_eq!(
            (spec.output.as_deref(), format),
            (Some("/media/out.mp4"), None)
        );
        let (spec, format, _) = parse("--output json").unwrap();
        assert_eq!((spec.output.as_deref(), format), (None, Some(Format::Json)));
        let (spec, format, _) = parse("--output jsonl --output ./json").unwrap();
        assert_eq!(
            (spec.output.as_deref(), format),
            (Some("/media/json"), Some(Format::Jsonl))
        );
        let (spec, format, global) = parse("-o json --output x.mp4").unwrap();
        assert_eq!(
            (spec.output.as_deref(), format, global),
            (Some("/media/x.mp4"), None, Some(Format::Json))
        );
        for words in [
            "--output a.mp4 --output b.mp4",
            "--output json --output table",
        ] {
            assert!(matches!(parse(words), Err(Failure::Usage(_))), "{words}");
        }
    }

    #[test]
    fn every_flag_reaches_the_job() {
        let (spec, ..) = parse(
            "--scenario s --preset p --input a.mp4 --output b.mp4 --overwrite --duration 1m30s --codec h265 --size 854x480 --fps 30 --crf 20 \
             --encoder-preset fast --audio copy --queue live --priority high --gpu --require zone=eu --require disk=ssd --label a=b \
             --timeout 2h --retries 5 --idempotency-key k --start 2m --resources cpu=2,memory=1G \
             --deadline 2999-01-01T00:00:00Z",
        )
        .unwrap();
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "scenario": "s", "preset": "p", "input": "/media/a.mp4", "output": "/media/b.mp4", "overwrite": true, "duration_seconds": 90.0,
                "codec": "h265", "size": "854x480", "fps": 30.0, "crf": 20, "encoder_preset": "fast", "audio": "copy", "queue": "live",
                "priority": "high", "gpu": true, "require": {"zone": "eu", "disk": "ssd"}, "labels": {"a": "b"},
                "timeout_seconds": 7200.0, "retries": 5, "idempotency_key": "k", "start_seconds": 120.0,
                "cpu_millicores": 2000, "memory_mib": 1024, "deadline_ms": 32_472_144_000_000_i64
            })
        );
    }

    #[test]
    fn a_file_named_like_an_option_or_a_protocol_is_a_file() {
        let (spec, ..) = parse("--input -y --output concat:x.mp4").unwrap();
        assert_eq!(
            (spec.input.as_deref(), spec.output.as_deref()),
            (Some("/media/-y"), Some("/media/concat:x.mp4"))
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_the_flag_s_name() {
        for (words, says) in [
            ("--queue urgent", "live, default, batch"),
            ("--priority 1", "high, medium, low"),
            ("--label novalue", "KEY=VALUE"),
            ("--label a=1 --label a=2", "given twice"),
            ("--duration -1", "--duration"),
            ("--crf 20 --bitrate 1M", "--bitrate"),
            ("--nonsense", "--nonsense"),
            ("--fps nan", "--fps"),
            ("--start -1", "--start"),
            ("--deadline 2001-01-01T00:00:00Z", "is over"),
            ("--deadline tomorrow", "+2h"),
            ("--resources cpu=1,cpu=2", "cpu is given twice"),
            ("--resources gpu=1", "known are cpu and memory"),
            ("--param crff=1", "did you mean \"crf\"?"),
            ("--param crf=1 --crf 2", "\"crf\" is given twice"),
            ("--count 0", "--count"),
            ("--count 2 --file x", "--file"),
            (
                "--count 3 --output x.mp4",
                "must hold {seq}, as in out-{seq}.mp4",
            ),
        ] {
            let Err(Failure::Usage(message)) = parse(words) else {
                panic!("{words:?} was accepted")
            };
            assert!(message.contains(says), "{words:?}: {message}");
        }
        let resolve = |words| {
            let (request, _) = request(words).unwrap();
            let asked = fields::job(request.fields.clone()).unwrap();
            let bad = Settings::resolve(&asked.spec).unwrap_err();
            request.name_flag(bad.field, &bad.message)
        };
        assert!(resolve("--duration 0").starts_with("--duration: "));
        assert!(resolve("--bitrate 10X").starts_with("--bitrate: \"10X\" is not a bitrate"));
        assert!(resolve("--param bitrate=10X").starts_with("--param bitrate: \"10X\""));
        assert!(resolve("--start 3").starts_with("--start: a synthetic source"));
        assert!(resolve("--label a=b --output /x.exe").starts_with("--output: "));
    }
}
