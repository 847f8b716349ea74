//! How like its input an output is: the command that compares them, and what it says.
//!
//! Pure. Both are decoded; the input is scaled to the output's size, so that what is measured is what a viewer of that
//! size loses.

use std::{ffi::OsString, path::Path};

use ffrtmp_api::{
    job::FailureReason,
    settings::{Quality, Settings, Source},
};

use super::{diagnosis::Failure, probe::Media, reach::Reach};

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Likeness {
    /// Structural similarity, 0 to 1.
    pub(crate) ssim: Option<f64>,
    /// Peak signal-to-noise ratio, dB.
    pub(crate) psnr: Option<f64>,
    /// VMAF, 0 to 100.
    pub(crate) vmaf: Option<f64>,
}

/// PSNR of pictures that are the same, which is infinite and not a number JSON has.
const PSNR_SAME: f64 = 100.0;

/// The arguments of the comparison of the input with `output`, which is at `path`.
pub(crate) fn arguments(
    settings: &Settings,
    input: &Media,
    output: &Media,
    path: &Path,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = [
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-progress",
        "pipe:1",
        "-stats_period",
        "0.5",
    ]
    .map(OsString::from)
    .to_vec();
    let Source::File(reference) = &settings.source else {
        return args;
    };
    let reference = Reach::File(Path::new(reference));
    args.extend(reference.options());
    for (option, seconds) in [
        ("-ss", settings.start_seconds),
        ("-t", settings.duration_seconds),
    ] {
        if let Some(seconds) = seconds {
            args.extend([option.into(), format!("{seconds:.6}").into()]);
        }
    }
    args.extend(["-i".into(), reference.url()]);
    let made = Reach::File(path);
    args.extend(made.options());
    args.extend(["-i".into(), made.url()]);
    args.extend([
        "-filter_complex".into(),
        graph(settings, input, output).into(),
    ]);
    args.extend(["-f", "null", "-"].map(OsString::from));
    args
}

fn graph(settings: &Settings, input: &Media, output: &Media) -> String {
    let index = |media: &Media| media.video.as_ref().map_or(0, |video| video.index);
    let (width, height) = output
        .video
        .as_ref()
        .map_or((0, 0), |video| (video.width, video.height));
    let video = settings.video();
    let format = video.map_or("yuv420p", |video| video.pixel_format.as_str());
    let fps = match video.and_then(|video| video.fps) {
        Some(fps) => format!("fps={fps},"),
        None => String::new(),
    };
    let asked = filters(&settings.quality);
    let n = asked.len();
    let mut graph = format!(
        "[0:{}]{fps}scale={width}:{height}:flags=bicubic,format={format},settb=AVTB,setpts=PTS-STARTPTS,split={n}",
        index(input)
    );
    (0..n).for_each(|i| graph.push_str(&format!("[r{i}]")));
    graph.push_str(&format!(
        ";[1:{}]{}format={format},settb=AVTB,setpts=PTS-STARTPTS,split={n}",
        index(output),
        repeated(settings, input, output).unwrap_or_default()
    ));
    (0..n).for_each(|i| graph.push_str(&format!("[d{i}]")));
    for (i, filter) in asked.iter().enumerate() {
        graph.push_str(&format!(";[d{i}][r{i}]{filter}=shortest=1"));
    }
    graph
}

/// Leaves out what the output begins with before the input has pictures: where its container has a constant rate, the first of them is
/// repeated until then.
fn repeated(settings: &Settings, input: &Media, output: &Media) -> Option<String> {
    let (was, is) = (input.video.as_ref()?, output.video.as_ref()?);
    let late = was.span.begins - settings.start_seconds.unwrap_or(0.0) - is.span.begins;
    let half = 0.5 / is.fps?;
    (late > half).then(|| format!("trim=start={:.6},", late - half))
}

fn filters(quality: &Quality) -> Vec<&'static str> {
    [
        (quality.ssim, "ssim"),
        (quality.psnr, "psnr"),
        (quality.vmaf, "libvmaf"),
    ]
    .into_iter()
    .filter_map(|(asked, filter)| asked.map(|_| filter))
    .collect()
}

/// What the comparison said.
pub(crate) fn likeness(log: &str) -> Likeness {
    let behind = |line: &str, mark: &str| {
        let rest = line.split_once(mark)?.1;
        let word = rest.split_whitespace().next()?;
        match word {
            "inf" => Some(PSNR_SAME),
            word => word.parse::<f64>().ok().filter(|n| n.is_finite()),
        }
    };
    let mut found = Likeness::default();
    for line in log.lines() {
        if line.contains("SSIM ") {
            found.ssim = behind(line, "All:").or(found.ssim);
        } else if line.contains("PSNR ") {
            found.psnr = behind(line, "average:").or(found.psnr);
        } else if line.contains("VMAF score") {
            found.vmaf = behind(line, "VMAF score:").or(found.vmaf);
        }
    }
    found
}

/// Whether it comes up to what the job asks. Another attempt would make the same again, so it is not tried.
pub(crate) fn judge(asked: &Quality, found: &Likeness) -> Result<(), Failure> {
    for (name, least, has) in [
        ("SSIM", asked.ssim, found.ssim),
        ("PSNR", asked.psnr, found.psnr),
        ("VMAF", asked.vmaf, found.vmaf),
    ] {
        let Some(least) = least else { continue };
        let Some(has) = has else {
            return Err(Failure::new(
                FailureReason::RuntimeError,
                format!("ffmpeg compared the output with the input, but gave no {name}"),
            ));
        };
        if has < least {
            return Err(Failure::new(
                FailureReason::UserError,
                format!(
                    "the output's {name} is {has:.4}, below the {least} the job asks for; allow it more bits, a slower \
                     preset, or a lower minimum"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_held_against_the_minimum() {
        let log = "[Parsed_ssim_8 @ 0x55] SSIM Y:0.97 (15.3) U:0.98 (17) V:0.98 (17.1) All:0.973211 (15.72)\n\
                   [Parsed_psnr_9 @ 0x55] PSNR y:35.1 u:41 v:42 average:36.214 min:30 max:40\n[x] VMAF score: 91.5";
        let found = likeness(log);
        assert_eq!(
            found,
            Likeness {
                ssim: Some(0.973_211),
                psnr: Some(36.214),
                vmaf: Some(91.5)
            }
        );
        assert_eq!(likeness("PSNR y:inf average:inf min:inf").psnr, Some(100.0));
        let asked = |ssim, psnr| Quality {
            ssim: Some(ssim),
            psnr: Some(psnr),
            vmaf: None,
        };
        judge(&asked(0.97, 36.0), &found).unwrap();
        let failure = judge(&asked(0.98, 36.0), &found).unwrap_err();
        assert_eq!(failure.reason, FailureReason::UserError);
        assert!(
            failure.message.contains("SSIM is 0.9732, below the 0.98"),
            "{}",
            failure.message
        );
        assert_eq!(
            judge(&asked(0.9, 30.0), &Likeness::default())
                .unwrap_err()
                .reason,
            FailureReason::RuntimeError
        );
    }
}
