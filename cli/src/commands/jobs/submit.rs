//! `ffrtmp jobs submit`: from flags to a job, and, if asked, to its end.
//!
//! What cannot be honoured is refused before anything is sent, by the same code the master uses, naming the flag. Every
//! submit carries an idempotency key, so that it may be repeated while a master restarts without making two jobs.

use std::{env, path::PathBuf};

use clap::Args;
use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, Priority, Queue},
    settings::{BadField, Settings},
};
use uuid::Uuid;

use crate::{
    args::GlobalArgs,
    connection::connect,
    exit::{Failure, Result},
    output::{Format, settings_line, source_line, to_stdout},
    progress::{How, follow, verdict},
    values,
};

use super::upload::Plan;

/// What a job may say.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs submit --scenario load-test-1 --queue live --priority high
  ffrtmp jobs submit --scenario 1080p60-h265 --duration 30
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --size 1280x720 --crf 21 --follow
  ffrtmp jobs submit --input in.mp4 --output out.webm --codec vp9 --bitrate 2.5M --wait
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --require zone=eu --label show=news
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --output json
  ffrtmp jobs submit --input my.mov --upload --output small.mp4 --follow

Files are named as the worker sees them: relative paths are made absolute against the current
directory, and need not exist here. Without --input a synthetic source is encoded (10 s); without
--output the result is measured and deleted.

--output takes a path, unless it is exactly table, json or jsonl: then it is the format of the
answer, as on every other command (write ./json for a file of that name). It may be given twice,
once for each; -o FORMAT always means the format.

With --upload both are files on this machine: the input is sent to the master, and with --wait or
--follow the output is downloaded when the job has completed (else with `ffrtmp jobs fetch`).

With --wait or --follow the exit code is 0 only if the job completes.")]
pub struct SubmitArgs {
    /// Name of the kind of work; 1080p60-h265, 4K30-h264 and the like set size, rate and codec
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Media file to read, as the worker sees it
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    input: Option<PathBuf>,
    /// Media file to write (.mp4 .m4v .mov .mkv .webm .ts), as the worker sees it; or table, json, jsonl
    #[arg(long, value_name = "PATH|FORMAT", allow_hyphen_values = true)]
    output: Vec<PathBuf>,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
    /// For machines that share no storage: send the input to the master, and get the output back
    #[arg(long, requires = "input")]
    upload: bool,

    /// Length of input to encode, as in 30, 0.5, 10s or 1m30s
    #[arg(long, allow_negative_numbers = true, value_name = "TIME", value_parser = values::seconds, help_heading = "Encoding")]
    duration: Option<f64>,
    /// Video codec: h264, h265, vp9 or av1
    #[arg(long, help_heading = "Encoding")]
    codec: Option<String>,
    /// Picture size, as in 1280x720
    #[arg(long, value_name = "WxH", help_heading = "Encoding")]
    size: Option<String>,
    /// Frames per second
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "N",
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
    /// The encoder's preset, as in veryfast
    #[arg(long, help_heading = "Encoding")]
    preset: Option<String>,
    /// Sound: aac, opus, copy or none
    #[arg(long, help_heading = "Encoding")]
    audio: Option<String>,

    /// Lane: live, default or batch
    #[arg(long, default_value_t, help_heading = "Scheduling")]
    queue: Queue,
    /// Urgency within the lane: high, medium or low
    #[arg(long, default_value_t, help_heading = "Scheduling")]
    priority: Priority,
    /// Encode on a GPU
    #[arg(long, help_heading = "Scheduling")]
    gpu: bool,
    /// Label a worker must carry; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value, help_heading = "Scheduling")]
    require: Vec<(String, String)>,
    /// Label on the job; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value, help_heading = "Scheduling")]
    label: Vec<(String, String)>,
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
    /// Submitting again with the same key gives the first job instead of another
    #[arg(long, value_name = "KEY", help_heading = "Scheduling")]
    idempotency_key: Option<String>,

    /// Wait until the job has ended
    #[arg(long, help_heading = "Answer")]
    wait: bool,
    /// Wait, showing progress
    #[arg(long, short = 'f', help_heading = "Answer")]
    follow: bool,
    /// Print the job as JSON, checked but not submitted
    #[arg(long, conflicts_with_all = ["wait", "follow"], help_heading = "Answer")]
    dry_run: bool,
}

/// Submits.
pub fn run(args: SubmitArgs, global: &GlobalArgs) -> Result {
    let cwd = env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current directory: {error}")))?;
    let (follow_it, wait, dry_run) = (args.follow, args.wait, args.dry_run);
    let upload = args.upload;
    let (mut spec, format) = args.into_spec(&cwd)?;
    let files = match upload {
        true => Some(Plan::of(&mut spec, wait || follow_it)?),
        false => None,
    };
    let format = format.or(global.format).unwrap_or_default();
    let settings = Settings::resolve(&spec).map_err(|bad| Failure::usage(name_flag(&bad)))?;
    if dry_run {
        let text = serde_json::to_string_pretty(&spec)
            .map_err(|error| Failure::failed(error.to_string()))?;
        use std::io::Write;
        return Ok(writeln!(std::io::stdout(), "{text}")?);
    }

    let client = connect(global)?;
    if let Some(files) = &files {
        files.send(&client, &mut spec)?;
    }
    spec.idempotency_key
        .get_or_insert_with(|| Uuid::new_v4().to_string());
    let submitted = client.submit(&spec)?;
    let mut face = to_stdout(format);
    // With --wait, a JSON answer is one document: the job at its end.
    if !(wait || follow_it) || format == Format::Table {
        face.submitted(&submitted, &summary(&spec, &settings))?;
    }
    if !(wait || follow_it) {
        files.iter().for_each(|files| files.hint(submitted.id));
        return Ok(());
    }
    let how = if follow_it {
        How::Visibly(format)
    } else {
        How::Silently
    };
    let job = follow(&client, JobRef::Uuid(submitted.uuid), how)?;
    if !(follow_it && format == Format::Jsonl) {
        face.ended(&job)?;
    }
    verdict(&job)?;
    files.map_or(Ok(()), |files| files.fetch(&client, &job))
}

impl SubmitArgs {
    /// The job, and the format if `--output` named one.
    fn into_spec(self, cwd: &std::path::Path) -> Result<(JobSpec, Option<Format>)> {
        let (output, format) = split_outputs(self.output)?;
        let path = |flag: &str, path: Option<PathBuf>| match path {
            Some(path) => values::media_path(&path, cwd)
                .map(Some)
                .map_err(|why| Failure::usage(format!("--{flag}: {why}"))),
            None => Ok(None),
        };
        let map = |flag: &str, pairs: Vec<(String, String)>| {
            let mut map = std::collections::BTreeMap::new();
            for (key, value) in pairs {
                if map.insert(key.clone(), value).is_some() {
                    return Err(Failure::usage(format!(
                        "--{flag}: {key:?} is given twice; give it once"
                    )));
                }
            }
            Ok(map)
        };
        let spec = JobSpec {
            scenario: self.scenario,
            input: path("input", self.input)?,
            output: path("output", output)?,
            overwrite: self.overwrite,
            duration_seconds: self.duration,
            codec: self.codec,
            size: self.size,
            fps: self.fps,
            bitrate: self.bitrate,
            crf: self.crf,
            preset: self.preset,
            audio: self.audio,
            queue: self.queue,
            priority: self.priority,
            gpu: self.gpu,
            require: map("require", self.require)?,
            labels: map("label", self.label)?,
            retries: self.retries,
            timeout_seconds: self.timeout,
            idempotency_key: self.idempotency_key,
            ..JobSpec::default()
        };
        Ok((spec, format))
    }
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

/// A field's error, under the name of its flag.
fn name_flag(bad: &BadField) -> String {
    let flag = match bad.field {
        "duration_seconds" => "duration",
        "timeout_seconds" => "timeout",
        "labels" => "label",
        "idempotency_key" => "idempotency-key",
        field => field,
    };
    format!("--{flag}: {}", bad.message)
}

/// One line about what will be done.
fn summary(spec: &JobSpec, settings: &Settings) -> String {
    let name = spec
        .scenario
        .as_ref()
        .map(|name| format!("{name}: "))
        .unwrap_or_default();
    let to = settings
        .output
        .as_ref()
        .map(|path| format!(" to {path}"))
        .unwrap_or_default();
    format!(
        "{name}{}{to}; {}; {} queue, {} priority",
        source_line(settings),
        settings_line(settings),
        spec.queue,
        spec.priority
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::{
        args::{Args, Command},
        commands::jobs::JobsCommand,
    };

    fn parse(words: &str) -> Result<(JobSpec, Option<Format>, Option<Format>)> {
        let words = ["ffrtmp", "jobs", "submit"]
            .into_iter()
            .chain(words.split_whitespace());
        let args =
            Args::try_parse_from(words).map_err(|error| Failure::usage(error.to_string()))?;
        let Command::Jobs(JobsCommand::Submit(submit)) = args.command else {
            panic!("not a submit")
        };
        let (spec, format) = submit.into_spec(Path::new("/media"))?;
        Ok((spec, format, args.global.format))
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
            "--scenario s --input a.mp4 --output b.mp4 --overwrite --duration 1m30s --codec h265 --size 854x480 --fps 30 --crf 20 \
             --preset fast --audio copy --queue live --priority high --gpu --require zone=eu --require disk=ssd --label a=b \
             --timeout 2h --retries 5 --idempotency-key k",
        )
        .unwrap();
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "scenario": "s", "input": "/media/a.mp4", "output": "/media/b.mp4", "overwrite": true, "duration_seconds": 90.0,
                "codec": "h265", "size": "854x480", "fps": 30.0, "crf": 20, "preset": "fast", "audio": "copy", "queue": "live",
                "priority": "high", "gpu": true, "require": {"zone": "eu", "disk": "ssd"}, "labels": {"a": "b"},
                "timeout_seconds": 7200.0, "retries": 5, "idempotency_key": "k"
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
            (
                "--input rtmp://host/app",
                "--input: \"rtmp://host/app\" is a URL",
            ),
            ("--nonsense", "--nonsense"),
        ] {
            let Err(Failure::Usage(message)) = parse(words) else {
                panic!("{words:?} was accepted")
            };
            assert!(message.contains(says), "{words:?}: {message}");
        }
        let resolve = |words| name_flag(&Settings::resolve(&parse(words).unwrap().0).unwrap_err());
        assert!(resolve("--duration 0").starts_with("--duration: "));
        assert!(resolve("--bitrate 10X").starts_with("--bitrate: \"10X\" is not a bitrate"));
        assert!(resolve("--label a=b --output /x.exe").starts_with("--output: "));
    }
}
