//! The presets that jobs of one command name, as the farm has them.
//!
//! Separate because it is the one thing about a job that only the master knows before it is submitted. What is sent is the job
//! as it was asked for, and the master lays it over the preset; the same is done here, so that what cannot be honoured is
//! refused by its flag, and that what is shown is what will be.

use std::collections::BTreeMap;

use ffrtmp_api::{
    client::{Client, ClientError},
    job::JobSpec,
    preset::{Asked, BUILT_IN, Preset, built_in, fill, unknown, wanted},
    settings::BadField,
};

use crate::{
    args::GlobalArgs,
    connection::connect,
    exit::{Failure, Result},
};

/// Where presets are asked for.
enum Farm {
    /// Not yet anywhere.
    Unasked,
    /// Its master.
    Master(Box<Client>),
    /// Nowhere: those that are compiled into this tool stand in.
    Away,
}

/// The presets that were named so far.
pub struct Presets<'a> {
    global: &'a GlobalArgs,
    farm: Farm,
    /// Whether what is compiled in stands in for a master that cannot be asked.
    stands_in: bool,
    /// By name; `None` where there is none.
    known: BTreeMap<String, Option<Preset>>,
}

/// Why a job could not be laid over its preset.
pub enum Unfilled {
    /// It names one that is not there.
    Field(BadField),
    /// The master cannot be asked.
    Command(Failure),
}

impl<'a> Presets<'a> {
    /// Those of the farm.
    pub fn of_farm(global: &'a GlobalArgs) -> Presets<'a> {
        Presets {
            global,
            farm: Farm::Unasked,
            stands_in: false,
            known: BTreeMap::new(),
        }
    }

    /// Those of the farm if its master answers, else those that are compiled in.
    pub fn of_farm_if_it_answers(global: &'a GlobalArgs) -> Presets<'a> {
        Presets {
            stands_in: true,
            ..Presets::of_farm(global)
        }
    }

    /// The job that the master would make of what is asked.
    pub fn fill(&mut self, asked: &Asked) -> std::result::Result<JobSpec, Unfilled> {
        let Some((name, must)) = wanted(asked) else {
            return Ok(asked.spec.clone());
        };
        let found = match self.known.get(name) {
            Some(known) => known.clone(),
            None => {
                let found = self.find(name, must)?;
                self.known.insert(name.to_owned(), found.clone());
                found
            }
        };
        match found {
            Some(preset) => fill(asked, &preset).map_err(Unfilled::Field),
            None => Ok(asked.spec.clone()),
        }
    }

    fn find(&mut self, name: &str, must: bool) -> std::result::Result<Option<Preset>, Unfilled> {
        if let Farm::Unasked = self.farm {
            let mut client = connect(self.global).map_err(Unfilled::Command)?;
            if self.stands_in {
                client = client.with_retry(std::time::Duration::ZERO, |_, _| {});
            }
            self.farm = Farm::Master(Box::new(client));
        }
        if let Farm::Master(client) = &self.farm {
            match client.preset(name) {
                Ok(found) => {
                    let preset = Preset::from_fields(found.name, found.description, found.job);
                    return preset.map(Some).map_err(|error| {
                        Unfilled::Command(Failure::failed(format!(
                            "the master's preset {name:?} is not understood ({error}); use the same version of both"
                        )))
                    });
                }
                Err(error) if error.is_not_found() && !must => return Ok(None),
                Err(ClientError::Refused { status: 404, error }) => {
                    return Err(Unfilled::Field(BadField {
                        field: "preset",
                        message: error.message,
                    }));
                }
                Err(error) if self.stands_in => {
                    eprintln!(
                        "ffrtmp: {error}\n  presets are those that are compiled into this tool"
                    );
                    self.farm = Farm::Away;
                }
                Err(error) => return Err(Unfilled::Command(error.into())),
            }
        }
        match built_in(name) {
            None if must => Err(Unfilled::Field(unknown(name, BUILT_IN.keys().copied()))),
            found => Ok(found.cloned()),
        }
    }
}

impl Unfilled {
    /// As the failure of the command, with the field's error as `name` puts it.
    pub fn into_failure(self, name: impl FnOnce(&BadField) -> String) -> Failure {
        match self {
            Unfilled::Field(bad) => Failure::usage(name(&bad)),
            Unfilled::Command(failure) => failure,
        }
    }

    /// A job's error; what keeps the whole command from going on is given back.
    pub fn into_message(self) -> Result<String> {
        match self {
            Unfilled::Field(bad) => Ok(bad.to_string()),
            Unfilled::Command(failure) => Err(failure),
        }
    }
}
