//! A job as upstream's clients ask for it, and what it is here.

use std::collections::BTreeMap;

use ffrtmp_api::{
    job::{JobSpec, Priority, Queue},
    schema::ShortText,
    settings::Codec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::error::ApiError;

/// The label that keeps a job's `confidence`.
pub const CONFIDENCE: &str = "confidence";
/// The label that keeps a job's `classification`.
pub const CLASSIFICATION: &str = "classification";

/// A job as upstream's clients ask for it. `confidence` and `classification` become labels; the only engine is ffmpeg.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(as = UpstreamJobRequest)]
#[serde(deny_unknown_fields, default)]
pub struct JobRequest {
    /// A name for the kind of work. `<height>p[fps]-<codec>` and `4K[fps]-<codec>` set size, frame rate and codec.
    #[schema(max_length = 256)]
    scenario: String,
    /// Free text.
    #[schema(max_length = 256)]
    confidence: String,
    /// `auto` or `ffmpeg`.
    #[schema(value_type = Engine)]
    engine: String,
    /// Free text.
    #[schema(max_length = 256)]
    classification: String,
    /// What to encode, and how.
    parameters: Parameters,
    /// The lane.
    queue: Queue,
    /// Urgency within the lane.
    priority: Priority,
}

/// The engines there are.
#[derive(ToSchema)]
#[schema(as = UpstreamEngine)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)] // a schema
enum Engine {
    #[serde(rename = "")]
    Unsaid,
    Auto,
    Ffmpeg,
}

/// Upstream's parameters. Those for streams (`rtmp_url`, `stream_key`, another `output_mode`) and for its own process
/// (`threads`, `max_disk_mb`) are refused: they would change nothing here.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(as = UpstreamParameters)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Seconds to encode, as a number or as text.
    #[schema(value_type = Option<Number>)]
    duration: Option<Value>,
    /// The same.
    #[schema(value_type = Option<Number>)]
    duration_seconds: Option<Value>,
    /// `2500k`, `2.5M`, or bits per second as a number.
    #[schema(value_type = Option<Number>)]
    bitrate: Option<Value>,
    /// `h264`, `h265`, `vp9`, `av1`, or the name of an encoder for one of them.
    #[schema(value_type = Option<ShortText>)]
    codec: Option<String>,
    /// The encoder's preset.
    #[schema(value_type = Option<ShortText>)]
    preset: Option<String>,
    /// Absolute path of the input, as the worker sees it.
    input: Option<String>,
    /// Absolute path of the output, as the worker sees it.
    output: Option<String>,
    /// Only `file`.
    output_mode: Option<String>,
    /// `WIDTHxHEIGHT`.
    resolution: Option<String>,
    /// Pixels; with `resolution_height`.
    resolution_width: Option<u32>,
    /// Pixels; with `resolution_width`.
    resolution_height: Option<u32>,
    /// Frames per second.
    #[schema(value_type = Option<Number>)]
    fps: Option<Value>,
    /// The same.
    #[schema(value_type = Option<Number>)]
    frame_rate: Option<Value>,
    /// `auto` or `ffmpeg`.
    #[schema(value_type = Option<Engine>)]
    engine: Option<String>,
    /// Anything but `none` asks for a GPU encoder.
    hwaccel: Option<String>,
    /// What the job may use.
    resource_limits: ResourceLimits,
}

/// What a job may use.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(as = UpstreamResourceLimits)]
#[serde(deny_unknown_fields, default)]
struct ResourceLimits {
    /// Percent of one core.
    max_cpu_percent: Option<u32>,
    /// MiB.
    max_memory_mb: Option<u32>,
    /// Seconds one attempt may run.
    #[schema(value_type = Option<Number>)]
    timeout_sec: Option<Value>,
}

/// A number, or the text of one.
#[derive(ToSchema)]
#[schema(as = UpstreamNumber)]
#[serde(untagged)]
#[allow(dead_code)] // a schema
enum Number {
    /// As a number.
    Number(f64),
    /// As text.
    Text(String),
}

/// Words for an encoder where upstream takes a codec: what it encodes, and whether that is on a GPU.
const ENCODERS: &[(&str, &str, bool)] = &[
    ("libx264", "h264", false),
    ("libx265", "h265", false),
    ("libvpx-vp9", "vp9", false),
    ("libsvtav1", "av1", false),
    ("h264_nvenc", "h264", true),
    ("hevc_nvenc", "h265", true),
    ("av1_nvenc", "av1", true),
];

impl JobRequest {
    /// What was asked, as a job of this API.
    ///
    /// # Errors
    /// What cannot be done here, by its upstream name. What is behind that is checked as every job is.
    pub fn into_spec(self) -> Result<JobSpec, ApiError> {
        let JobRequest {
            scenario,
            confidence,
            engine,
            classification,
            parameters: given,
            queue,
            priority,
        } = self;
        check_engine("engine", &engine)?;
        check_engine(
            "parameters.engine",
            given.engine.as_deref().unwrap_or_default(),
        )?;
        if let Some(mode) = given.output_mode.filter(|mode| mode != "file") {
            return Err(ApiError::bad_field(
                "parameters.output_mode",
                format!(
                    "parameters.output_mode: {mode:?} is not made here; leave it out, or say \"file\""
                ),
            ));
        }
        let limits = given.resource_limits;
        let (codec, by_codec) = match given.codec {
            None => (None, false),
            Some(word) => codec(word)?,
        };
        let labels = [(CONFIDENCE, confidence), (CLASSIFICATION, classification)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key.to_owned(), text));
        Ok(JobSpec {
            scenario: Some(scenario).filter(|name| !name.is_empty()),
            input: given.input,
            output: given.output,
            duration_seconds: either(
                ("parameters.duration", given.duration),
                ("parameters.duration_seconds", given.duration_seconds),
            )?,
            codec,
            size: size(
                given.resolution,
                given.resolution_width,
                given.resolution_height,
            )?,
            fps: either(
                ("parameters.fps", given.fps),
                ("parameters.frame_rate", given.frame_rate),
            )?,
            bitrate: given.bitrate.map(bitrate).transpose()?,
            encoder_preset: given.preset,
            queue,
            priority,
            gpu: by_codec
                || given
                    .hwaccel
                    .is_some_and(|word| !matches!(word.as_str(), "" | "none")),
            labels: labels.collect::<BTreeMap<_, _>>(),
            timeout_seconds: number("parameters.resource_limits.timeout_sec", limits.timeout_sec)?,
            cpu_millicores: limits
                .max_cpu_percent
                .map(|percent| percent.saturating_mul(10)),
            memory_mib: limits.max_memory_mb,
            ..JobSpec::default()
        })
    }
}

fn check_engine(field: &str, engine: &str) -> Result<(), ApiError> {
    match engine {
        "" | "auto" | "ffmpeg" => Ok(()),
        other => Err(ApiError::bad_field(
            field,
            format!(
                "{field}: {:?} is not an engine here; the only one is ffmpeg (or auto)",
                clip(other)
            ),
        )),
    }
}

fn codec(word: String) -> Result<(Option<String>, bool), ApiError> {
    if let Some((_, codec, gpu)) = ENCODERS.iter().find(|(encoder, ..)| *encoder == word) {
        return Ok((Some((*codec).to_owned()), *gpu));
    }
    if Codec::parse(&word).is_none() {
        return Err(ApiError::bad_field(
            "parameters.codec",
            format!(
                "parameters.codec: {:?} is not one of {}",
                clip(&word),
                Codec::ACCEPTED
            ),
        ));
    }
    Ok((Some(word), false))
}

fn size(
    text: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
) -> Result<Option<String>, ApiError> {
    match (text, width, height) {
        (text, None, None) => Ok(text),
        (None, Some(width), Some(height)) => Ok(Some(format!("{width}x{height}"))),
        _ => Err(ApiError::bad_field(
            "parameters.resolution",
            "parameters.resolution: give either resolution, or resolution_width and resolution_height",
        )),
    }
}

fn bitrate(given: Value) -> Result<String, ApiError> {
    match given {
        Value::String(text) => Ok(text),
        Value::Number(bits) => Ok(bits.to_string()),
        other => Err(not_a_number("parameters.bitrate", &other)),
    }
}

/// The one of two names that was used.
fn either(
    one: (&'static str, Option<Value>),
    other: (&'static str, Option<Value>),
) -> Result<Option<f64>, ApiError> {
    if one.1.is_some() && other.1.is_some() {
        let message = format!(
            "{}: cannot be given together with {}; choose one",
            one.0, other.0
        );
        return Err(ApiError::bad_field(one.0, message));
    }
    Ok(number(one.0, one.1)?.or(number(other.0, other.1)?))
}

fn number(field: &'static str, given: Option<Value>) -> Result<Option<f64>, ApiError> {
    match given {
        None => Ok(None),
        Some(Value::Number(n)) => Ok(n.as_f64()),
        Some(Value::String(text)) => match text.trim().parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(not_a_number(field, &Value::String(text))),
        },
        Some(other) => Err(not_a_number(field, &other)),
    }
}

fn not_a_number(field: &'static str, given: &Value) -> ApiError {
    ApiError::bad_field(
        field,
        format!("{field}: {} is not a number", clip(&given.to_string())),
    )
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body;

    fn spec(json: &str) -> Result<JobSpec, String> {
        body::parse::<JobRequest>(json.as_bytes())
            .and_then(JobRequest::into_spec)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_upstream_s_own_command_line_sends_is_understood() {
        let given = spec(
            r#"{"scenario":"1080p30-h264","confidence":"auto","engine":"auto","queue":"live","priority":"high",
                "parameters":{"duration":120,"bitrate":"5M","engine":"ffmpeg"}}"#,
        )
        .unwrap();
        let expected = JobSpec {
            scenario: Some("1080p30-h264".into()),
            duration_seconds: Some(120.0),
            bitrate: Some("5M".into()),
            queue: Queue::Live,
            priority: Priority::High,
            labels: [("confidence".into(), "auto".into())].into(),
            ..JobSpec::default()
        };
        assert_eq!(given, expected);
    }

    #[test]
    fn every_parameter_reaches_the_job() {
        let given = spec(
            r#"{"parameters":{"duration_seconds":"2.5","bitrate":2500000,"codec":"hevc_nvenc","preset":"p4","input":"/a.mp4",
                "output":"/b.mp4","output_mode":"file","resolution_width":640,"resolution_height":360,"frame_rate":"25",
                "hwaccel":"none","resource_limits":{"max_cpu_percent":150,"max_memory_mb":512,"timeout_sec":60}}}"#,
        )
        .unwrap();
        let expected = JobSpec {
            duration_seconds: Some(2.5),
            bitrate: Some("2500000".into()),
            codec: Some("h265".into()),
            gpu: true,
            encoder_preset: Some("p4".into()),
            input: Some("/a.mp4".into()),
            output: Some("/b.mp4".into()),
            size: Some("640x360".into()),
            fps: Some(25.0),
            cpu_millicores: Some(1500),
            memory_mib: Some(512),
            timeout_seconds: Some(60.0),
            ..JobSpec::default()
        };
        assert_eq!(given, expected);
    }

    #[test]
    fn what_cannot_be_done_here_is_refused_by_name() {
        for (body, message) in [
            (
                r#"{"engine":"gstreamer"}"#,
                "engine: \"gstreamer\" is not an engine here; the only one is ffmpeg (or auto)",
            ),
            (
                r#"{"parameters":{"engine":"gst"}}"#,
                "parameters.engine: \"gst\" is not an engine here; the only one is ffmpeg (or auto)",
            ),
            (
                r#"{"parameters":{"output_mode":"rtmp"}}"#,
                "parameters.output_mode: \"rtmp\" is not made here; leave it out, or say \"file\"",
            ),
            (
                r#"{"parameters":{"codec":"mpeg2video"}}"#,
                "parameters.codec: \"mpeg2video\" is not one of h264, h265 (or hevc), vp9, av1",
            ),
            (
                r#"{"parameters":{"duration":"long"}}"#,
                "parameters.duration: \"long\" is not a number",
            ),
            (
                r#"{"parameters":{"duration":1,"duration_seconds":1}}"#,
                "parameters.duration: cannot be given together with parameters.duration_seconds; choose one",
            ),
            (
                r#"{"parameters":{"fps":[]}}"#,
                "parameters.fps: [] is not a number",
            ),
            (
                r#"{"parameters":{"resolution_width":640}}"#,
                "parameters.resolution: give either resolution, or resolution_width and resolution_height",
            ),
            (
                r#"{"parameters":{"bitrat":"1M"}}"#,
                "parameters.bitrat: there is no field \"bitrat\"; did you mean \"bitrate\"?",
            ),
            (
                r#"{"queue":"urgent"}"#,
                "queue: \"urgent\" is not one of live, default, batch",
            ),
        ] {
            assert_eq!(spec(body).unwrap_err(), message, "{body}");
        }
        assert!(
            spec(r#"{"parameters":{"rtmp_url":"rtmp://x"}}"#)
                .unwrap_err()
                .contains("there is no field \"rtmp_url\"")
        );
    }
}
