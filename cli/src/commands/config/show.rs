//! `ffrtmp config show`: every setting of a part, the value in force and where it came from.

use std::{env, ffi::OsString};

use clap::Args;

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::worker::METRICS_PORT_DEFAULT,
    dirs,
    exit::Result,
    output::{SettingList, SettingShown},
    settings::{Loaded, Role, Source, Value, load_for, token_variable},
};

/// What to show.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Whose settings: client, master, worker or up
    #[arg(value_name = "PART", value_enum, default_value = "client")]
    part: Role,
    /// How.
    #[command(flatten)]
    output: OutputArg,
}

/// Prints them.
pub fn run(args: ShowArgs, global: &GlobalArgs) -> Result {
    let loaded = load_for(args.part, &words(args.part, global))?;
    let settings = loaded.values.iter().map(|value| shown(value, &loaded));
    let mut settings: Vec<SettingShown> = settings.collect();
    settings.push(token(args.part, &loaded));
    let list = SettingList { settings };
    Ok(crate::commands::face(args.output.output, global).settings(&list)?)
}

/// The flags of this call that are settings of the part too, so that what is shown is what they make of it.
pub fn words(part: Role, global: &GlobalArgs) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut flag = |name: &str, value: Option<OsString>| {
        if let Some(value) = value {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            words.push(word);
        }
    };
    flag("config", global.config.clone().map(Into::into));
    flag("token-file", global.token_file.clone().map(Into::into));
    if part != Role::Master {
        flag("tls-ca", global.tls_ca.clone().map(Into::into));
        for (name, file) in [
            ("tls-client-cert", &global.tls_client_cert),
            ("tls-client-key", &global.tls_client_key),
        ] {
            flag(name, file.clone().map(Into::into));
        }
    }
    if matches!(part, Role::Client | Role::Worker) {
        flag("master", global.master.clone().map(Into::into));
    }
    words
}

fn shown(value: &Value, loaded: &Loaded) -> SettingShown {
    let setting = &value.setting;
    SettingShown {
        part: setting.role.word().to_owned(),
        key: setting.key.clone(),
        value: value.shown().or_else(|| worked_out(value, loaded)),
        source: value.source.clone(),
        flag: Some(setting.flag.clone()),
        variables: setting.variables.clone(),
        reloads: setting.reloads,
    }
}

/// The default of a setting whose default is worked out at start, by the rule the start follows.
fn worked_out(value: &Value, loaded: &Loaded) -> Option<String> {
    let data_dir = || {
        let given = loaded.values.iter().find(|v| v.setting.key == "data_dir");
        match given.and_then(Value::shown) {
            Some(given) => Some(given.into()),
            None => dirs::data_dir().ok(),
        }
    };
    let text = |path: std::path::PathBuf| path.display().to_string();
    match (value.setting.role, value.setting.key.as_str()) {
        (Role::Master, "data_dir") => dirs::data_dir().ok().map(|dir| text(dir.join("master"))),
        (Role::Up, "data_dir") => dirs::data_dir().ok().map(text),
        (Role::Worker, "state_dir") => dirs::data_dir().ok().map(|dir| text(dir.join("worker"))),
        (Role::Master | Role::Up, "policies") => {
            let dir = match value.setting.role {
                Role::Master if loaded_says_nothing(loaded, "data_dir") => {
                    data_dir()?.join("master")
                }
                _ => data_dir()?,
            };
            Some(text(dirs::policies_dir(None, &dir)))
        }
        (Role::Master | Role::Up, "presets") => {
            let said = loaded.values.iter().find(|v| v.setting.key == "policies")?;
            let policies = match said.shown() {
                Some(said) => said,
                None => worked_out(said, loaded)?,
            };
            Some(text(dirs::presets_dir(None, policies.as_ref())))
        }
        (Role::Worker, "metrics_listen") => Some(format!("127.0.0.1:{METRICS_PORT_DEFAULT}")),
        (_, "master") => Some(ffrtmp_api::client::MASTER_DEFAULT.to_owned()),
        (Role::Up, "log_level") => Some("warn".to_owned()),
        (_, "log_level") => Some("info".to_owned()),
        _ => None,
    }
}

fn loaded_says_nothing(loaded: &Loaded, key: &str) -> bool {
    loaded
        .values
        .iter()
        .any(|value| value.setting.key == key && value.texts.is_empty())
}

/// The token is no setting, but where it comes from is worth knowing.
fn token(part: Role, loaded: &Loaded) -> SettingShown {
    let file = loaded.values.iter().find(|v| v.setting.key == "token_file");
    let (value, source) = match (file, token_variable(|name| env::var(name).ok())) {
        (Some(file), _) if !file.texts.is_empty() => {
            (Some("(in token_file, not shown)"), file.source.clone())
        }
        (_, Some(name)) => (
            Some("(set, not shown)"),
            Source::Variable { name: name.into() },
        ),
        _ => (None, Source::Default),
    };
    SettingShown {
        part: part.word().to_owned(),
        key: "token".to_owned(),
        value: value.map(str::to_owned),
        source,
        flag: None,
        variables: crate::token::TOKEN_VARIABLES.map(str::to_owned).to_vec(),
        reloads: false,
    }
}
