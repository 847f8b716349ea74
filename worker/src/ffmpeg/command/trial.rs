//! The encode that proves that an encoder works here.

use std::ffi::OsString;

use ffrtmp_api::encoder::Encoder;

use super::{Args, pictures::add_device};

/// A trial encode: five frames of 256x256 (NVENC refuses much smaller ones) thrown away.
pub(crate) fn trial_arguments(encoder: Encoder, gpu: Option<u32>) -> Vec<OsString> {
    let mut args = Args::default();
    args.all(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    add_device(&mut args, encoder, gpu);
    args.all([
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=256x256:rate=30",
        "-frames:v",
        "5",
    ]);
    args.pair(
        "-vf",
        match encoder {
            Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => "format=nv12,hwupload",
            Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => "format=nv12",
            _ => "format=yuv420p",
        },
    );
    args.pair("-c:v", encoder.name());
    args.all(["-f", "null", "-"]);
    args.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_large_enough_for_a_gpu() {
        let args = trial_arguments(Encoder::H264Vaapi, None);
        assert!(args.contains(&"testsrc2=size=256x256:rate=30".into()));
        assert!(args.contains(&"/dev/dri/renderD128".into()));
    }
}
