//! How loud an input is, read from what ffmpeg's `loudnorm` prints when it has heard all of it.

use serde::Deserialize;

/// A measurement, in the filter's own words: they are given back to it for the second pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Integrated loudness, LUFS.
    pub(crate) integrated: f64,
    /// True peak, dBTP.
    pub(crate) true_peak: f64,
    /// Loudness range, LU.
    pub(crate) range: f64,
    /// Threshold, LUFS.
    pub(crate) threshold: f64,
    /// Offset gain, LU.
    pub(crate) offset: f64,
}

#[derive(Deserialize)]
struct Printed {
    input_i: String,
    input_tp: String,
    input_lra: String,
    input_thresh: String,
    target_offset: String,
}

/// The measurement in a log; `None` if there is none that can be used, as after silence, which has no loudness.
pub(crate) fn measured(log: &str) -> Option<Measured> {
    let end = log.rfind('}')?;
    let start = log.get(..end)?.rfind('{')?;
    let printed: Printed = serde_json::from_str(log.get(start..=end)?).ok()?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    // What the filter accepts back: outside of it, it would refuse to start.
    let within = |n: f64, least: f64, most: f64| (least..=most).contains(&n).then_some(n);
    Some(Measured {
        integrated: within(number(&printed.input_i)?, -99.0, 0.0)?,
        true_peak: within(number(&printed.input_tp)?, -99.0, 99.0)?,
        range: within(number(&printed.input_lra)?, 0.0, 99.0)?,
        threshold: within(number(&printed.input_thresh)?, -99.0, 0.0)?,
        offset: within(number(&printed.target_offset)?, -99.0, 99.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_measurement_is_read_and_silence_has_none() {
        let log = |i: &str| {
            format!(
                "Stream #0 {{x}}\n[Parsed_loudnorm_0 @ 0x1]\n{{\n\"input_i\" : \"{i}\",\n\"input_tp\" : \"-4.11\",\n\
                 \"input_lra\" : \"1.20\",\n\"input_thresh\" : \"-31.5\",\n\"output_i\" : \"-16.0\",\n\
                 \"target_offset\" : \"0.02\"\n}}\nsize=N/A"
            )
        };
        assert_eq!(measured(&log("-21.30")).unwrap().integrated, -21.3);
        assert_eq!(measured(&log("-inf")), None);
        assert_eq!(measured("nothing"), None);
    }
}
