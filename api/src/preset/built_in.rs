//! The presets that are compiled in: `api/presets/*.toml`, read like an operator's.
//!
//! An operator's file of the same name goes before them.

use std::{collections::BTreeMap, sync::LazyLock};

use super::Preset;

/// Names and texts of files in `api/presets`.
macro_rules! files {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../presets/", $name, ".toml")))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "archive",
    "ladder-1080p-h264",
    "ladder-1080p-h265",
    "ladder-2160p-h265",
    "ladder-480p-h264",
    "ladder-720p-h264",
    "live-1080p",
    "live-720p",
    "podcast",
    "proxy",
    "small-mp4",
    "sprites",
    "thumbnail",
    "web-mp4",
    "web-webm",
    // Upstream's scenarios.
    "4K60-h264",
    "4K60-h265",
    "4K30-h264",
    "4K30-h265",
    "1080p60-h264",
    "1080p60-h265",
    "1080p30-h264",
    "1080p30-h265",
    "720p60-h264",
    "720p60-h265",
    "720p30-h264",
    "720p30-h265",
    "480p30-h264",
    "480p30-h265",
    "480p60-h264",
    "1080p60-vp9",
    "720p30-vp9",
    "480p30-av1",
];

/// All of them, by name. One that could not be read would be missing; a test says that none is.
pub static BUILT_IN: LazyLock<BTreeMap<&'static str, Preset>> = LazyLock::new(|| {
    let read = |(name, text): &(&'static str, &str)| Some((*name, Preset::parse(name, text).ok()?));
    FILES.iter().filter_map(read).collect()
});

/// The one of this name.
pub fn built_in(name: &str) -> Option<&'static Preset> {
    BUILT_IN.get(name)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_compiled_in_and_is_a_preset() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<String> = FILES
            .iter()
            .map(|(name, _)| format!("{name}.toml"))
            .collect();
        assert_eq!(there, listed);
        for (name, text) in FILES {
            let preset =
                Preset::parse(name, text).unwrap_or_else(|bad| panic!("{name}.toml: {bad}"));
            assert!(!preset.outputs().is_empty(), "{name}");
            assert_eq!(BUILT_IN.get(name), Some(&preset));
        }
    }

    #[test]
    fn a_scenario_s_preset_is_what_its_name_says() {
        use crate::{
            job::JobSpec,
            settings::{Settings, Size},
        };
        let mut seen = 0;
        for (name, preset) in BUILT_IN.iter() {
            let by_name = |input: &str| {
                Settings::resolve(&JobSpec {
                    scenario: Some((*name).into()),
                    input: Some(input.into()),
                    ..JobSpec::default()
                })
                .unwrap()
            };
            let says = by_name("/i.mkv");
            let video = says.video().unwrap();
            let (Some(Size::Height(_)), Some(_)) = (video.size, video.fps) else {
                continue; // no scenario of the known form
            };
            seen += 1;
            let spec: JobSpec = serde_json::from_value(preset.job.clone().into()).unwrap();
            let is = Settings::resolve(&JobSpec {
                input: Some("/i.mkv".into()),
                ..spec
            })
            .unwrap();
            let is = is.video().unwrap();
            assert_eq!(
                (is.codec, is.size, is.fps),
                (video.codec, video.size, video.fps),
                "{name}"
            );
        }
        assert_eq!(seen, 18, "upstream's names");
    }
}
