//! A job as a user describes it, and the words for where it stands.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::schema;

/// The label that says whose a job is: tokens can be limited to one value of it.
pub const TENANT_LABEL: &str = "tenant";

words! {
    /// The lane a job waits in. Lanes go first to last; within a lane, by priority.
    #[derive(Default)]
    Queue {
        /// First: somebody is watching.
        Live = "live",
        /// Where a job goes that does not say.
        #[default]
        Default = "default",
        /// Last: bulk work.
        Batch = "batch",
    }
}

words! {
    /// How urgent a job is within its lane.
    #[derive(Default)]
    Priority {
        /// Before the others.
        High = "high",
        /// What a job has that does not say.
        #[default]
        Medium = "medium",
        /// After the others.
        Low = "low",
    }
}

words! {
    /// Whether pictures are encoded by special hardware (a GPU) or by the CPU.
    Hardware {
        /// By hardware; a worker without it is not given the job.
        Require = "require",
        /// By hardware where the worker has it, else by the CPU.
        Prefer = "prefer",
        /// By the CPU.
        Never = "never",
    }
}

words! {
    /// Whether a job reads a source that ends, or one that comes and goes.
    Mode {
        /// The source is happening now: it is read as it comes, waited for, and taken up again when it was gone.
        Live = "live",
        /// The source is there and ends.
        File = "file",
    }
}

words! {
    /// Where a job stands. The transitions allowed between these are one table in `host::core::transition`.
    JobState {
        /// Waiting to be placed (or held, or backing off before a retry).
        Pending = "pending",
        /// Given to a worker, whose ffmpeg has not yet started.
        Assigned = "assigned",
        /// ffmpeg is running.
        Running = "running",
        /// ffmpeg is stopped (SIGSTOP) and keeps its place on the worker.
        Paused = "paused",
        /// Encoded and verified; the master has chosen this attempt and its output is being moved into place.
        Publishing = "publishing",
        /// Done; the output, if one was asked for, is in place.
        Completed = "completed",
        /// Ended without success and will not be tried again.
        Failed = "failed",
        /// Ended because somebody asked for it.
        Canceled = "canceled",
    }
}

impl JobState {
    /// Whether the job has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            JobState::Completed | JobState::Failed | JobState::Canceled
        )
    }
    /// Whether the job holds capacity on a worker.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            JobState::Assigned | JobState::Running | JobState::Paused | JobState::Publishing
        )
    }
}

words! {
    /// Why an attempt failed. The names are upstream's, so that dashboards and scripts that know them keep working.
    FailureReason {
        /// No worker can do what the job needs, or the one chosen turned out unable to.
        CapabilityMismatch = "capability_mismatch",
        /// ffmpeg ran and failed in a way no other reason describes.
        RuntimeError = "runtime_error",
        /// The job ran longer than its limit, or made no progress for too long.
        Timeout = "timeout",
        /// The job asks for something impossible: an output that may not be overwritten, a bad filter.
        UserError = "user_error",
        /// A remote input or output could not be reached.
        NetworkError = "network_error",
        /// The input is missing, unreadable or not media.
        InputError = "input_error",
        /// Our side failed: the worker was lost, ffmpeg is missing there, the master could not record.
        PlatformError = "platform_error",
        /// The worker ran out of disk, memory or processes.
        ResourceError = "resource_error",
    }
}

impl FailureReason {
    /// Whether another attempt, later or elsewhere, can succeed.
    pub const fn is_retryable(self) -> bool {
        match self {
            FailureReason::CapabilityMismatch
            | FailureReason::RuntimeError
            | FailureReason::Timeout
            | FailureReason::NetworkError
            | FailureReason::PlatformError
            | FailureReason::ResourceError => true,
            FailureReason::UserError | FailureReason::InputError => false,
        }
    }
}

/// CPU a job that does not say is expected to use, thousandths of a core: one core, so that slots and cores agree on a
/// fresh farm.
pub const CPU_MILLICORES_DEFAULT: u32 = 1000;
/// Memory a job that does not say is expected to use, MiB: what 1080p x264 needs with a margin.
pub const MEMORY_MIB_DEFAULT: u32 = 256;

/// Times a failed attempt may be followed by another, for a job that does not say (upstream's).
pub const RETRIES_DEFAULT: u32 = 3;

/// A job as it is submitted: every field optional, unknown ones refused. `POST /v1/jobs` takes exactly this as JSON.
///
/// Media fields are text here, as users write them; [`crate::settings::Settings::resolve`] parses them once, at the edge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct JobSpec {
    /// A name for the kind of work. If it is a preset's, that preset is used; else `<height>p[fps]-<codec>` or `4K[fps]-<codec>`
    /// (as in `1440p30-h265`) sets size, frame rate and codec, and any other name is a label. Beside `preset` it is a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::ShortText>))]
    pub scenario: Option<String>,
    /// A preset of the farm: what it says holds where the job says nothing itself. A `scenario` that is a preset's name names it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::PresetName>))]
    pub preset: Option<String>,
    /// Of a job that was accepted: the fields that its preset filled in. Ignored when a job is submitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::FieldNames))]
    pub preset_fields: Vec<String>,
    /// Absolute path of the input, as the worker sees it; an `http`, `https`, `rtmp`, `rtmps` or `srt` URL; or `upload:<id>`, a
    /// complete upload. Without one, a synthetic source is encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::InputName>))]
    pub input: Option<String>,
    /// Absolute path of the output, as the worker sees it (of the playlist, for HLS and DASH: its folder is made); a URL, sent
    /// to by PUT (`http`, `https`) or streamed to (`rtmp`, `rtmps`, `srt`); or `spool:<file name>`, to hand it back to the
    /// master, where it is downloaded. Without one, the result is verified, measured and deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::OutputName>))]
    pub output: Option<String>,
    /// `live` for a source that is happening now: read as it comes, waited for, taken up again when it was gone; ended by its end,
    /// `duration_seconds` or a stop. Default: `live` for `rtmp`, `rtmps` and `srt` inputs, else `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Of a live job: seconds its source is waited for, at first and whenever it has gone. Default 60; 0 takes the first end as
    /// the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::WaitSeconds>))]
    pub input_wait_seconds: Option<f64>,
    /// Of a live job whose output is HLS: the folder stands at its place from the first segment on, and players can watch while it
    /// grows. Without it, it appears whole when it is over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub watchable: bool,
    /// Whether an existing output may be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// Seconds of input to skip before encoding begins. Not for a synthetic source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::StartSeconds>))]
    pub start_seconds: Option<f64>,
    /// Seconds of input to encode. A synthetic source defaults to 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Seconds>))]
    pub duration_seconds: Option<f64>,
    /// `h264`, `h265`, `vp9` or `av1`; `copy` to keep the pictures as they are, `none` for sound alone. Default: what the
    /// output's container is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::CodecWord>))]
    pub codec: Option<String>,
    /// `WIDTHxHEIGHT`, both even; `WIDTHx-2` or `-2xHEIGHT` keeps the input's aspect; `fit:WIDTHxHEIGHT` is what fits into
    /// that, keeping the aspect and never enlarging.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::PictureSize>))]
    pub size: Option<String>,
    /// Frames per second of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::FrameRate>))]
    pub fps: Option<f64>,
    /// Video bitrate: `2500k`, `2.5M` or plain bits per second. Excludes `crf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::BitrateText>))]
    pub bitrate: Option<String>,
    /// Constant quality, 0 (best) to 51 (63 for VP9 and AV1). Excludes `bitrate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Crf>))]
    pub crf: Option<u32>,
    /// The encoder's own preset: `ultrafast` … `veryslow` for H.264 and H.265, 0 to 13 for AV1 (and 0 to 8 as VP9's `-cpu-used`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::ShortText>))]
    pub encoder_preset: Option<String>,
    /// How a pixel is stored: `yuv420p` (what every player plays), `yuv420p10le` for 10 bits, and the like. Default `yuv420p`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::PixelFormatWord>))]
    pub pixel_format: Option<String>,
    /// Longest distance of key frames: in frames (`48`) or in seconds (`2s`). Default: the encoder's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::GopText>))]
    pub gop: Option<String>,
    /// Encodes twice, the first time to learn where the bits are needed. With `bitrate`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub two_pass: bool,
    /// `aac`, `opus`, `mp3`, `flac`, `pcm`, `copy` or `none`. Default: what the output's container is made for, when the input
    /// has sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::AudioWord>))]
    pub audio: Option<String>,
    /// Audio bitrate: `128k` or plain bits per second. Default 128k for AAC, 96k for Opus, 192k for MP3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::BitrateText>))]
    pub audio_bitrate: Option<String>,
    /// Audio channels: 1 is mono, 2 stereo, 6 is 5.1. Default: the input's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Channels>))]
    pub audio_channels: Option<u32>,
    /// Integrated loudness to bring the sound to, in LUFS (EBU R 128): -16 is usual for streaming, -23 for broadcast. Files
    /// are measured first and then changed by one factor; streams are adjusted as they come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Loudness>))]
    pub loudness: Option<f64>,
    /// `copy` to keep them as streams, `burn` to draw the first of them into the picture, `none`. Default `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::SubtitlesWord>))]
    pub subtitles: Option<String>,
    /// Title, artist and the like, written into the output.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Labels))]
    pub metadata: BTreeMap<String, String>,
    /// Whether the index of an .mp4, .mov or .m4a is moved to its front, so that it plays while it is still being downloaded.
    /// Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faststart: Option<bool>,
    /// For an output that is a picture: a sheet of so many small ones, across and down, spread over the input. Without it, the
    /// picture at `start_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::TilesText>))]
    pub sprites: Option<String>,
    /// For HLS and DASH: the renditions, `SIZE@BITRATE` each, all made from one decode. Without it there is one, as `size` and
    /// `bitrate` or `crf` say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::RenditionList))]
    pub renditions: Vec<String>,
    /// For HLS and DASH: seconds of a segment. Default 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::SegmentSeconds>))]
    pub segment_seconds: Option<f64>,
    /// Least SSIM of the output against the input, 0 to 1; below it the job fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Ssim>))]
    pub ssim_min: Option<f64>,
    /// Least PSNR of the output against the input, in dB; below it the job fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Score>))]
    pub psnr_min: Option<f64>,
    /// Least VMAF of the output against the input, 0 to 100; below it the job fails. Needs a worker whose ffmpeg has libvmaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Score>))]
    pub vmaf_min: Option<f64>,
    /// Raw arguments for ffmpeg in front of the input, one word each. Taken only where the operator allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::RawArgs))]
    pub input_args: Vec<String>,
    /// Raw arguments for ffmpeg in front of the output, one word each. Taken only where the operator allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::RawArgs))]
    pub output_args: Vec<String>,
    /// The lane.
    pub queue: Queue,
    /// Urgency within the lane.
    pub priority: Priority,
    /// Needs a GPU encoder for its codec: the same as `hardware` = `require`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gpu: bool,
    /// Whether a GPU encodes the pictures: `require`, `prefer` (where the worker has one) or `never`. Default `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// Labels a worker must carry, `key=value` each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Labels))]
    pub require: BTreeMap<String, String>,
    /// Free labels on the job, for policies and listing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::Labels))]
    pub labels: BTreeMap<String, String>,
    /// Times a failed attempt may be followed by another. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Retries>))]
    pub retries: Option<u32>,
    /// Seconds one attempt may run. Default: no limit; stalls are found by lack of progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Seconds>))]
    pub timeout_seconds: Option<f64>,
    /// CPU the job is expected to use, in thousandths of a core. Default 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Millicores>))]
    pub cpu_millicores: Option<u32>,
    /// Memory the job is expected to use, in MiB. Default 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::Mebibytes>))]
    pub memory_mib: Option<u32>,
    /// When it should be finished, in milliseconds since 1970. Only policies look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// An `http` or `https` URL that is told of the job's changes by signed POSTs, at least once each and in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::WebhookUrl>))]
    pub webhook: Option<String>,
    /// The states whose beginning `webhook` is told. Default: `completed`, `failed` and `canceled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook_events: Vec<JobState>,
    /// Submitting again with the same key answers with the first job instead of making another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schema::ShortText>))]
    pub idempotency_key: Option<String>,
}

/// The label of a worker that takes raw ffmpeg arguments, which it has by being started so, and which a job that has some
/// requires.
pub const RAW_ARGS_LABEL: (&str, &str) = ("ffrtmp/raw-args", "allowed");

impl JobSpec {
    /// Whether it has raw ffmpeg arguments.
    pub fn has_raw_args(&self) -> bool {
        !(self.input_args.is_empty() && self.output_args.is_empty())
    }

    /// The labels a worker must carry: those it names, and what comes of the rest of it.
    pub fn required_labels(&self) -> Cow<'_, BTreeMap<String, String>> {
        if !self.has_raw_args() {
            return Cow::Borrowed(&self.require);
        }
        let (key, value) = RAW_ARGS_LABEL;
        let mut all = self.require.clone();
        all.insert(key.to_owned(), value.to_owned());
        Cow::Owned(all)
    }

    /// Whether hardware encodes the pictures.
    pub fn hardware_wanted(&self) -> Hardware {
        match (self.gpu, self.hardware) {
            (true, _) => Hardware::Require,
            (false, asked) => asked.unwrap_or(Hardware::Never),
        }
    }

    /// What scheduling looks at, and nothing else: no files, no keys, nothing of how it is encoded but the codec, which may
    /// have come from a scenario's or an output's name.
    pub fn for_scheduling(self, codec: Option<String>) -> JobSpec {
        JobSpec {
            codec,
            queue: self.queue,
            priority: self.priority,
            gpu: self.gpu,
            hardware: self.hardware,
            require: self.required_labels().into_owned(),
            labels: self.labels,
            cpu_millicores: self.cpu_millicores,
            memory_mib: self.memory_mib,
            deadline_ms: self.deadline_ms,
            ..JobSpec::default()
        }
    }

    /// The names of all fields, as JSON has them.
    pub const FIELDS: &'static [&'static str] = &[
        "scenario",
        "preset",
        "preset_fields",
        "input",
        "output",
        "mode",
        "input_wait_seconds",
        "watchable",
        "overwrite",
        "start_seconds",
        "duration_seconds",
        "codec",
        "size",
        "fps",
        "bitrate",
        "crf",
        "encoder_preset",
        "pixel_format",
        "gop",
        "two_pass",
        "audio",
        "audio_bitrate",
        "audio_channels",
        "loudness",
        "subtitles",
        "metadata",
        "faststart",
        "sprites",
        "renditions",
        "segment_seconds",
        "ssim_min",
        "psnr_min",
        "vmaf_min",
        "input_args",
        "output_args",
        "queue",
        "priority",
        "gpu",
        "hardware",
        "require",
        "labels",
        "retries",
        "timeout_seconds",
        "cpu_millicores",
        "memory_mib",
        "deadline_ms",
        "webhook",
        "webhook_events",
        "idempotency_key",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_a_job_s_fields_is_what_serde_accepts() {
        let error = serde_json::from_str::<JobSpec>("{\"no such\": 1}")
            .unwrap_err()
            .to_string();
        let accepted: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(accepted, JobSpec::FIELDS, "{error}");
    }
}
