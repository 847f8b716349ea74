//! What the texts and numbers of a job look like, as the OpenAPI document says it, with the bounds of [`crate::limits`].
//!
//! These types hold nothing: fields name them as their schema. JSON Schema counts characters where the master counts bytes,
//! so a text of characters beyond ASCII may be refused although it is short enough here.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema, schema::Type},
};

use crate::{
    job::JobSpec,
    limits,
    settings::{RENDITIONS_MAX, WEBHOOK_URL_BYTES_MAX},
};

/// Declares types that are nothing but a named schema.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:expr;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                Schema::Object($schema.description(Some(concat!($($doc),*).trim())).build()).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*};
}

schemas! {
    /// A short text without control characters or characters that change the direction of writing.
    ShortText = text(1, limits::NAME_BYTES_MAX).pattern(Some(PRINTABLE));
    /// An absolute path, as the worker sees it, without `..`; an `http`, `https`, `rtmp`, `rtmps` or `srt` URL; or `upload:`
    /// and the id of a complete upload.
    InputName = text(2, limits::PATH_BYTES_MAX)
        .pattern(Some("^(/[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+|(https?|rtmps?|srt)://[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+|upload:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"))
        .examples(["/media/in.mp4"]);
    /// An absolute path, as the worker sees it, without `..`; an `http`, `https`, `rtmp`, `rtmps` or `srt` URL; or `spool:` and
    /// a file name, for an output that is handed back to the master and downloaded there.
    OutputName = text(2, limits::PATH_BYTES_MAX)
        .pattern(Some("^(/[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+|(https?|rtmps?|srt)://[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+|spool:[^./\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069][^/\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]*)$"))
        .examples(["/media/out.mp4"]);
    /// Where changes are told: an `http` or `https` URL without user, password and fragment.
    WebhookUrl = text(8, WEBHOOK_URL_BYTES_MAX)
        .pattern(Some("^https?://[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069#@]+$"))
        .examples(["https://example.com/hooks/ffrtmp"]);
    /// A SHA-256 in hex.
    Sha256Text = text(64, 64).pattern(Some("^[0-9a-fA-F]{64}$"));
    /// The name of a file, without its folder.
    FileName = text(1, limits::FILE_NAME_BYTES_MAX).pattern(Some(PRINTABLE));
    /// A job: its number, or its UUID.
    JobId = text(1, 36)
        .pattern(Some("^([0-9]{1,19}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$")).examples(["42"]);
    /// How many of a list.
    PageLimit = number(Type::Integer, 1.0, limits::LIST_LIMIT_MAX as f64);
    /// A label to look for: `KEY=VALUE`.
    LabelPair = text(2, 2 * limits::NAME_BYTES_MAX + 1).pattern(Some("^[^=]+=.*$")).examples(["team=sports"]);
    /// Where a page of a list begins. Opaque: it comes from the page before.
    PageCursor = text(1, limits::NAME_BYTES_MAX);
    /// Seconds: 1 ms to 30 days.
    Seconds = number(Type::Number, limits::DURATION_SECONDS_MIN, limits::DURATION_SECONDS_MAX).examples([30.0]);
    /// Seconds from the beginning: 0 to 30 days.
    StartSeconds = number(Type::Number, 0.0, limits::DURATION_SECONDS_MAX).examples([90.0]);
    /// Seconds to wait: 0 to a day.
    WaitSeconds = number(Type::Number, 0.0, limits::INPUT_WAIT_SECONDS_MAX).examples([60.0]);
    /// A codec. `avc` is h264 and `hevc` is h265.
    CodecWord = words(&["h264", "avc", "h265", "hevc", "vp9", "av1", "copy", "none"]);
    /// What becomes of sound.
    AudioWord = words(&["aac", "opus", "mp3", "flac", "pcm", "copy", "none"]);
    /// `WIDTHxHEIGHT`, even numbers from 16 to 16384; `WIDTHx-2` and `-2xHEIGHT` keep the aspect; `fit:` in front is what fits.
    PictureSize = text(3, 15)
        .pattern(Some("^((fit:)?[1-9][0-9]{1,4}x[1-9][0-9]{1,4}|[1-9][0-9]{1,4}x(-[12])?|(-[12])?x[1-9][0-9]{1,4})$"))
        .examples(["1280x720", "1280x-2"]);
    /// How a pixel is stored, by ffmpeg's name.
    PixelFormatWord = words(&["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]);
    /// A distance of key frames: in frames, or in seconds with `s` behind it.
    GopText = text(1, 16).pattern(Some("^[0-9]+(\\.[0-9]+)?s?$")).examples(["48", "2s"]);
    /// A number of audio channels.
    Channels = number(Type::Integer, 1.0, 8.0);
    /// Integrated loudness in LUFS.
    Loudness = number(Type::Number, -70.0, -5.0).examples([-16.0]);
    /// What becomes of subtitles.
    SubtitlesWord = words(&["none", "copy", "burn"]);
    /// `ACROSSxDOWN`: numbers from 1 to 20.
    TilesText = text(3, 5).pattern(Some("^[1-9][0-9]?x[1-9][0-9]?$")).examples(["5x5"]);
    /// Seconds of a segment.
    SegmentSeconds = number(Type::Number, 0.5, 60.0).examples([6.0]);
    /// A structural similarity.
    Ssim = number(Type::Number, 0.0, 1.0).examples([0.95]);
    /// A quality score: dB of PSNR, or VMAF.
    Score = number(Type::Number, 0.0, 100.0);
    /// Frames per second.
    FrameRate = number(Type::Number, 1.0, 240.0).examples([29.97]);
    /// A bitrate between 1k and 1000M: bits per second, or with `k` or `M` behind it.
    BitrateText = text(1, 32).pattern(Some("^([0-9]+\\.?[0-9]*|\\.[0-9]+)[kKmM]?$")).examples(["2500k", "2.5M"]);
    /// Constant quality: 0 is best; 51 is worst for H.264 and H.265, 63 for VP9 and AV1.
    Crf = number(Type::Integer, 0.0, 63.0);
    /// A number of retries.
    Retries = number(Type::Integer, 0.0, f64::from(limits::RETRIES_MAX));
    /// Thousandths of a core.
    Millicores = number(Type::Integer, 1.0, f64::from(limits::CPU_MILLICORES_MAX));
    /// MiB.
    Mebibytes = number(Type::Integer, 1.0, f64::from(limits::MEMORY_MIB_MAX));
    /// The name of a preset: ASCII letters and digits, `-`, `_`, `.` and `+`, the first a letter or a digit.
    PresetName = text(1, limits::PRESET_NAME_BYTES_MAX)
        .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._+-]*$")).examples(["web-mp4"]);
    /// Texts by name. No name twice.
    Labels = ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(limits::LABELS_MAX))
        .property_names(Some(text(1, limits::NAME_BYTES_MAX).pattern(Some(PRINTABLE))))
        .additional_properties(Some(
            text(0, limits::NAME_BYTES_MAX).pattern(Some(PRINTABLE_OR_EMPTY)),
        ));
}

/// The renditions of a job, `SIZE@BITRATE` each.
#[derive(Debug)]
pub enum RenditionList {}

impl PartialSchema for RenditionList {
    fn schema() -> RefOr<Schema> {
        let one = text(4, 32)
            .pattern(Some("^[^@]+@([0-9]+\\.?[0-9]*|\\.[0-9]+)[kKmM]?$"))
            .examples(["1280x720@2.8M"]);
        let list = ArrayBuilder::new()
            .items(one)
            .max_items(Some(RENDITIONS_MAX));
        Schema::Array(list.build()).into()
    }
}

impl ToSchema for RenditionList {
    fn name() -> Cow<'static, str> {
        "RenditionList".into()
    }
}

/// Names of fields of a job.
#[derive(Debug)]
pub enum FieldNames {}

impl PartialSchema for FieldNames {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new()
            .items(words(JobSpec::FIELDS))
            .max_items(Some(JobSpec::FIELDS.len()));
        Schema::Array(list.build()).into()
    }
}

impl ToSchema for FieldNames {
    fn name() -> Cow<'static, str> {
        "FieldNames".into()
    }
}

/// Raw ffmpeg arguments, one word each.
#[derive(Debug)]
pub enum RawArgs {}

impl PartialSchema for RawArgs {
    fn schema() -> RefOr<Schema> {
        let list = ArrayBuilder::new()
            .items(text(0, limits::RAW_ARG_BYTES_MAX).pattern(Some(PRINTABLE_OR_EMPTY)))
            .max_items(Some(limits::RAW_ARGS_MAX));
        Schema::Array(list.build()).into()
    }
}

impl ToSchema for RawArgs {
    fn name() -> Cow<'static, str> {
        "RawArgs".into()
    }
}

/// The jobs of a batch.
#[derive(Debug)]
pub enum Batch {}

impl PartialSchema for Batch {
    fn schema() -> RefOr<Schema> {
        let job = Ref::from_schema_name(JobSpec::name());
        let jobs = ArrayBuilder::new()
            .items(job)
            .max_items(Some(limits::BATCH_JOBS_MAX));
        Schema::Array(jobs.build()).into()
    }
}

impl ToSchema for Batch {
    fn name() -> Cow<'static, str> {
        "Batch".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((JobSpec::name().into_owned(), JobSpec::schema()));
        JobSpec::schemas(schemas);
    }
}

// The complement of what `text::is_unfit` finds.
const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+$";
const PRINTABLE_OR_EMPTY: &str =
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]*$";

fn text(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(min))
        .max_length(Some(max))
}

fn number(kind: Type, min: f64, max: f64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(kind)
        .minimum(Some(min))
        .maximum(Some(max))
}

fn words(words: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
}
