//! What master and worker say to each other over one WebSocket, as JSON text frames.
//!
//! The worker connects to `GET /v1/worker/session` on the API port (so it works through NAT) with the cluster's bearer
//! token, if there is one, and speaks first: [`ToMaster::Hello`]. Frames are bounded by [`crate::limits::FRAME_BYTES_MAX`].
//!
//! Delivery: TCP keeps order within a session. What must survive a broken session is repeated until it is answered:
//! an attempt's outcome ([`ToMaster::Outcome`]) is sent again after every hello until [`ToWorker::OutcomeRecorded`] or
//! [`ToWorker::Revoke`] names it. Heartbeats and outcomes go ahead of progress and log lines, which may be dropped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    encoder::{Encoder, EncoderSet},
    ids::Attempt,
    job::{FailureReason, Queue},
    settings::Settings,
};

/// The protocol this build speaks.
pub const VERSION: u32 = 1;
/// The oldest protocol this build understands. A peer outside `VERSION_MIN..=VERSION` is refused with both ranges named.
pub const VERSION_MIN: u32 = 1;
/// Path of the session endpoint.
pub const SESSION_PATH: &str = "/v1/worker/session";

/// A worker's frame to the master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToMaster {
    /// First frame of a session.
    Hello(Box<Hello>),
    /// The worker is alive. Renews the lease of every attempt it holds. Also sent as an answer to nothing.
    Heartbeat(Heartbeat),
    /// ffmpeg was spawned for this attempt.
    Started {
        /// Which.
        attempt: Attempt,
        /// Milliseconds since 1970 by the worker's clock; for people, never for decisions.
        at_ms: i64,
    },
    /// ffmpeg was stopped by SIGSTOP (or continued by SIGCONT), as asked.
    Paused {
        /// Which.
        attempt: Attempt,
        /// `false`: continued.
        paused: bool,
    },
    /// How far running attempts are. Only the latest matters; may be dropped.
    Progress {
        /// One for each attempt that moved.
        reports: Vec<Progress>,
    },
    /// New log text of one attempt. May be dropped; the gap is counted.
    Log {
        /// Which.
        attempt: Attempt,
        /// Whole lines of ffmpeg's stderr.
        text: String,
        /// Bytes left out before `text` because the session was busy.
        bytes_dropped: u64,
    },
    /// Encoded and verified, the output fsynced beside its final place. The worker may not move it before
    /// [`ToWorker::Publish`]. Repeated after each hello until answered.
    Encoded {
        /// Which.
        attempt: Attempt,
        /// Absolute path of the finished temporary file.
        temp: String,
        /// Its size in bytes.
        bytes: u64,
        /// What was measured; becomes the job's result.
        result: MediaResult,
    },
    /// How an attempt ended. Repeated after each hello until answered.
    Outcome {
        /// Which.
        attempt: Attempt,
        /// How.
        outcome: Outcome,
        /// The end of ffmpeg's stderr, bounded by [`crate::limits::LOG_BYTES_MAX`].
        log: String,
    },
    /// The worker is shutting down: send nothing new. It goes on until its attempts end or its grace time is over.
    Draining,
}

/// A worker introduces itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol the worker speaks ([`VERSION`]).
    pub version: u32,
    /// Oldest it understands ([`VERSION_MIN`]).
    pub version_min: u32,
    /// The worker's name: unique in the cluster, `node_id` in metrics.
    pub name: String,
    /// Made once and kept in the worker's state directory. Tells a worker that returned from another with its name.
    pub install_id: Uuid,
    /// Software version, for people.
    pub software: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The attempts it still holds: encoding, or ended with an outcome not yet acknowledged. What the master believes
    /// the worker holds and is not here is lost at once.
    pub attempts: Vec<LiveAttempt>,
    /// Free labels, matched by a job's `require`.
    pub labels: BTreeMap<String, String>,
    /// Where a scraper finds its metrics, if it serves any: `host:port`, behind `https://` where that is over TLS.
    pub metrics_address: Option<String>,
    /// Its wall clock when it said this, milliseconds since 1970; none from a worker that does not tell. Compared with the
    /// master's so that people learn of a clock that is wrong; decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<i64>,
}

/// An attempt a worker still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAttempt {
    /// Which.
    pub attempt: Attempt,
    /// Whether its ffmpeg has been spawned.
    pub started: bool,
    /// Whether its ffmpeg is stopped.
    pub paused: bool,
}

/// What a worker can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Most attempts at once.
    pub slots: u32,
    /// Cores, in thousandths.
    pub cpu_millicores: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Encoders proven by a trial encode.
    pub encoders: EncoderSet,
    /// The GPUs, in the order the driver lists them.
    pub gpus: Vec<Gpu>,
    /// First line of `ffmpeg -version`, for people.
    pub ffmpeg: String,
    /// Encoders that cannot be used here, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<Unavailable>,
    /// Why nothing at all can run here at present: ffmpeg is gone, for one. A worker that says so is given nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfit: Option<String>,
    /// What keeps its jobs from harming it, each other, or what it can reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardReport>,
}

/// One of a worker's guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GuardReport {
    /// A word for it, as `hosts`.
    pub name: String,
    /// Whether it does what the operator asked for; one that was not asked for holds.
    pub holds: bool,
    /// What it leaves to jobs, or why it does not hold, for people; bounded by [`crate::limits::NAME_BYTES_MAX`] when it comes from
    /// a worker.
    pub what: String,
}

/// An encoder that cannot be used on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unavailable {
    /// Which.
    pub encoder: Encoder,
    /// On which GPU its trial failed; none where no device was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<u32>,
    /// Why, for people; bounded by [`crate::limits::NAME_BYTES_MAX`] when it comes from a worker.
    pub why: String,
}

/// A GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gpu {
    /// Model, as the driver names it.
    pub model: String,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Most encode sessions at once; 0 while it cannot be used.
    pub sessions_max: u32,
    /// What the driver tells it by: an NVIDIA GPU's UUID, a render node's path.
    #[serde(default)]
    pub uuid: String,
    /// Why it cannot be used at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
}

/// Alive, and how loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Host CPU in use, percent of all cores, average of the last 10 s.
    pub cpu_percent: f32,
    /// Host memory in use, in MiB.
    pub memory_used_mib: u32,
    /// Per GPU, in the order of [`Capabilities::gpus`].
    pub gpus: Vec<GpuLoad>,
    /// As in [`Hello::wall_ms`], so that a clock that is set, or runs away, is noticed during a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<i64>,
}

/// How loaded a GPU is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GpuLoad {
    /// How busy it is, percent. None, here and below, where the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation_percent: Option<f32>,
    /// Its memory in use, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_mib: Option<u32>,
    /// Encode sessions, whoever holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// How busy its encoders are, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_percent: Option<f32>,
    /// How busy its decoders are, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_percent: Option<f32>,
    /// Its temperature, degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f32>,
    /// What its board draws, watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f32>,
    /// What the driver could not tell, and why; none if all is well. What a GPU has no sensor for is no fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Which.
    pub attempt: Attempt,
    /// 0 to 100, where the length is known.
    pub percent: Option<f32>,
    /// Frames encoded.
    pub frames: u64,
    /// Frames per second now.
    pub fps: f32,
    /// Seconds of media per second of wall time.
    pub speed: f32,
    /// Seconds of media encoded.
    pub media_seconds: f64,
    /// Bytes written so far.
    pub bytes: u64,
    /// Of a live job: how often its source was taken up again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A job without an output finished: encoded, verified, measured, deleted.
    Completed {
        /// What was measured.
        result: MediaResult,
    },
    /// The output is at its final place, as [`ToWorker::Publish`] ordered.
    Published,
    /// The rename ordered by [`ToWorker::Publish`] cannot be done here; another worker may be asked.
    PublishFailed {
        /// The class of failure: `user_error` when the output exists and may not be replaced, `platform_error` when the
        /// finished file is gone.
        reason: FailureReason,
        /// Why, for people.
        message: String,
    },
    /// It failed.
    Failed {
        /// The class of failure.
        reason: FailureReason,
        /// What happened, for people.
        message: String,
    },
    /// It was stopped because the master said [`ToWorker::Cancel`]. Its process group is gone and its files are removed.
    Canceled,
    /// It was handed back unfinished because the worker is shutting down. Not the job's fault.
    HandedBack,
}

/// What was measured of a finished encode, by ffprobe on the output and by the operating system on the process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MediaResult {
    /// Output size, in bytes.
    pub bytes: u64,
    /// Input size, in bytes; 0 for a synthetic source.
    pub input_bytes: u64,
    /// Container, as ffprobe names it.
    pub format: String,
    /// Video codec, as ffprobe names it; empty without pictures.
    pub video_codec: String,
    /// Audio codec, as ffprobe names it; none without sound.
    pub audio_codec: Option<String>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Video frames, counted.
    pub frames: u64,
    /// Seconds of media.
    pub duration_seconds: f64,
    /// Seconds from spawn to exit.
    pub wall_seconds: f64,
    /// CPU seconds of ffmpeg, user and system.
    pub cpu_seconds: f64,
    /// Peak resident memory of ffmpeg, in KiB.
    pub memory_peak_kib: u64,
    /// The encoder that ran.
    pub encoder: String,
    /// Of a live job: how often its source was taken up again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// Structural similarity of the output to the input, 0 to 1, where the job asked for a least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<f64>,
    /// Peak signal-to-noise ratio of the output against the input, in dB, where the job asked for a least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr: Option<f64>,
    /// VMAF of the output against the input, 0 to 100, where the job asked for a least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmaf: Option<f64>,
}

/// The master's frame to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// The hello was accepted.
    Welcome {
        /// Protocol both will speak.
        version: u32,
        /// How often to send a heartbeat, in milliseconds.
        heartbeat_ms: u64,
        /// How long after the last accepted frame the worker must consider itself cut off, in milliseconds: shorter than
        /// the master's lease, so that the worker stops first.
        cutoff_ms: u64,
    },
    /// The hello was not accepted; the session closes.
    Refused {
        /// Why and what to do.
        message: String,
        /// Whether trying again later can help.
        retry: bool,
    },
    /// Run these.
    Assign {
        /// In any order.
        assignments: Vec<Assignment>,
    },
    /// Move the finished temporary file to its final place. Sent only after the choice of this attempt is durable.
    Publish {
        /// Which.
        attempt: Attempt,
        /// The temporary file to move.
        temp: String,
        /// Where to.
        output: String,
        /// Size the temporary file has, in bytes.
        bytes: u64,
        /// Whether an existing `output` may be replaced.
        overwrite: bool,
    },
    /// The outcome is durable: forget the attempt.
    OutcomeRecorded {
        /// Which.
        attempt: Attempt,
    },
    /// Stop it (SIGTERM, then SIGKILL), remove its files, answer [`Outcome::Canceled`].
    Cancel {
        /// Which.
        attempt: Attempt,
    },
    /// Of a live attempt: take no more of its source, and finish with what there is.
    Finish {
        /// Which.
        attempt: Attempt,
    },
    /// Stop (or continue) its ffmpeg.
    Pause {
        /// Which.
        attempt: Attempt,
        /// `false`: continue.
        paused: bool,
    },
    /// The attempt is no longer this worker's: stop it, remove its files, publish nothing, answer nothing.
    Revoke {
        /// Which.
        attempt: Attempt,
    },
    /// Answer with a hello again: the master lost its memory and rebuilt it from the store.
    Resync,
}

/// An order to run one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which.
    pub attempt: Attempt,
    /// The job's UUID, for logs.
    pub job_uuid: Uuid,
    /// The job's scenario, for logs.
    pub scenario: Option<String>,
    /// Everything the encode needs.
    pub settings: Settings,
    /// Index of the GPU to use, where the policy chose one.
    pub gpu: Option<u32>,
    /// Its lane.
    #[serde(default)]
    pub queue: Queue,
    /// What is reserved for it, which its worker may hold it to.
    #[serde(default)]
    pub reserved: Reserved,
}

/// What of a worker is reserved for an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Cores, in thousandths.
    pub cpu_millicores: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{AttemptNo, JobSeq},
        job::JobSpec,
    };

    #[test]
    fn an_order_to_run_survives_the_wire() {
        let order = Assignment {
            attempt: Attempt {
                job: JobSeq(1),
                no: AttemptNo(2),
            },
            job_uuid: Uuid::nil(),
            scenario: None,
            settings: Settings::resolve(&JobSpec::default()).unwrap(),
            gpu: Some(1),
            queue: Queue::Live,
            reserved: Reserved {
                cpu_millicores: 1_500,
                memory_mib: 64,
            },
        };
        for frame in [
            ToWorker::Assign {
                assignments: vec![],
            },
            ToWorker::Assign {
                assignments: vec![order.clone(), order],
            },
            ToWorker::Resync,
        ] {
            let text = serde_json::to_string(&frame).unwrap();
            assert_eq!(
                serde_json::from_str::<ToWorker>(&text).unwrap(),
                frame,
                "{text}"
            );
        }
    }
}
