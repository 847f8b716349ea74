//! The presets of a farm: those compiled in, and the operator's files, which go before them.
//!
//! Separate from `policy`, whose folder it resembles: a preset is text of a few lines, so it is read when a job names one, and
//! there is nothing to warm up or to swap. What a preset *is* stands in `ffrtmp_api::preset`; here is only which there are.

mod folder;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, RwLock},
    time::Duration,
};

use ffrtmp_api::{
    job::JobSpec,
    preset::{self, Asked, BUILT_IN, Preset},
    rest::{PresetDetail, PresetList, PresetSource, PresetSummary, RefusedPreset},
    settings::BadField,
};

use folder::Folder;

/// How often the folder is looked at while nobody asks, so that a broken file is told of soon.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a submit waits for a look at the folder. A network mount that hangs must not keep jobs out.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// What jobs can name.
#[derive(Debug)]
pub struct Presets {
    known: RwLock<Arc<Known>>,
    /// Looked at by one at a time.
    folder: Arc<tokio::sync::Mutex<Folder>>,
}

/// The presets at one moment.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The operator's.
    files: BTreeMap<String, Arc<Preset>>,
    /// Names (without `.toml`) of files that cannot be used, and why.
    refused: BTreeMap<String, String>,
}

impl Presets {
    /// Those of `dir`, which need not be there. Looks once, and waits for it.
    pub fn open(dir: PathBuf) -> Presets {
        let mut folder = Folder::new(dir);
        let known = folder.look();
        Presets {
            known: RwLock::new(Arc::new(known)),
            folder: Arc::new(tokio::sync::Mutex::new(folder)),
        }
    }

    /// Those that were there at the last look.
    pub fn known(&self) -> Arc<Known> {
        // Nobody panics while holding it; what is there would be whole all the same.
        let known = self
            .known
            .read()
            .unwrap_or_else(|broken| broken.into_inner());
        known.clone()
    }

    /// Those that are there now; if the folder does not answer, those of the last look.
    pub async fn look(&self) -> Arc<Known> {
        let looking = async {
            let mut folder = self.folder.clone().lock_owned().await;
            tokio::task::spawn_blocking(move || folder.look()).await
        };
        match tokio::time::timeout(LOOK_WAIT, looking).await {
            Ok(Ok(known)) => {
                let mut place = self
                    .known
                    .write()
                    .unwrap_or_else(|broken| broken.into_inner());
                *place = Arc::new(known);
                place.clone()
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the presets could not be looked at; those of before stay in force");
                self.known()
            }
            Err(_) => self.known(),
        }
    }

    /// Those that count for these jobs: as they are now, if one names a preset. Most scenarios are labels, of which there may be
    /// thousands a second: for those, what the last look saw is new enough.
    pub async fn for_jobs<'a>(&self, mut jobs: impl Iterator<Item = &'a Asked>) -> Arc<Known> {
        match jobs.any(|job| job.spec.preset.is_some()) {
            true => self.look().await,
            false => self.known(),
        }
    }

    /// Looks for as long as the master runs.
    pub async fn keep_looking(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }
}

impl Known {
    /// The preset of this name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        let file = self.files.get(name).map(Arc::as_ref);
        file.or_else(|| preset::built_in(name))
    }

    fn source_of(&self, name: &str) -> PresetSource {
        match self.files.contains_key(name) {
            true => PresetSource::File,
            false => PresetSource::BuiltIn,
        }
    }

    /// All names.
    fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = BUILT_IN.keys().copied();
        let built_in = built_in.filter(|name| !self.files.contains_key(*name));
        self.files.keys().map(String::as_str).chain(built_in)
    }

    /// The job that is asked for, laid over the preset it names.
    ///
    /// # Errors
    /// When there is no such preset.
    pub fn fill(&self, asked: Asked) -> Result<JobSpec, BadField> {
        let mut asked = asked;
        asked.spec.preset_fields.clear();
        let Some((name, must)) = preset::wanted(&asked) else {
            return Ok(asked.spec);
        };
        match self.get(name) {
            Some(preset) => preset::fill(&asked, preset),
            None if must => Err(self.no_preset(name)),
            None => Ok(asked.spec),
        }
    }

    /// There is none of this name.
    pub fn no_preset(&self, name: &str) -> BadField {
        match self.refused.get(name) {
            Some(why) => BadField {
                field: "preset",
                message: format!("{name:?} cannot be used: {name}.toml: {why}"),
            },
            None => preset::unknown(name, self.names()),
        }
    }

    /// All, for those who ask.
    pub fn list(&self) -> PresetList {
        let mut presets: Vec<PresetSummary> = self
            .names()
            .filter_map(|name| self.get(name))
            .map(|preset| PresetSummary {
                name: preset.name.clone(),
                description: preset.description.clone(),
                source: self.source_of(&preset.name),
            })
            .collect();
        presets.sort_by(|a, b| a.name.cmp(&b.name));
        let refused = self.refused.iter().map(|(name, why)| RefusedPreset {
            file: format!("{name}.toml"),
            message: why.clone(),
        });
        PresetList {
            presets,
            refused: refused.collect(),
        }
    }

    /// One, all of it.
    pub fn detail(&self, name: &str) -> Option<PresetDetail> {
        let preset = self.get(name)?;
        Some(PresetDetail {
            name: preset.name.clone(),
            description: preset.description.clone(),
            source: self.source_of(name),
            outputs: preset.outputs().into_iter().map(str::to_owned).collect(),
            job: preset.job.clone(),
            refused: self.refused.get(name).cloned(),
        })
    }
}
