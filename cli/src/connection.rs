//! From the global flags and the environment to a client for the master.
//!
//! Separate because every client command begins with it. The order of settings is decided here: flag, environment (ours,
//! then upstream's), default.

use std::env;

use ffrtmp_api::{
    client::{Client, ClientError, MASTER_DEFAULT},
    clock,
    limits::CLOCK_SKEW_MS_MAX,
};

use crate::{args::GlobalArgs, exit::Result, tls, token};

/// Environment variables that may name the master, first wins; the second is upstream's.
const MASTER_VARIABLES: [&str; 2] = ["FFRTMP_MASTER", "MASTER_URL"];

/// The master's URL, as it was written.
pub fn master_url(flag: Option<&str>, env: impl Fn(&str) -> Option<String>) -> String {
    flag.map(str::to_owned)
        .or_else(|| {
            MASTER_VARIABLES
                .iter()
                .find_map(|name| env(name).filter(|value| !value.is_empty()))
        })
        .unwrap_or_else(|| MASTER_DEFAULT.to_owned())
}

/// A client as the flags and the environment describe it. Nothing is sent.
pub fn connect(global: &GlobalArgs) -> Result<Client> {
    let var = |name: &str| env::var(name).ok();
    let url = master_url(global.master.as_deref(), var);
    let token = token::find(global.token_file.as_deref(), var)?;
    let tls = tls::client(global, var)?;
    Ok(Client::new(&url, token)?
        .with_tls(&tls)
        .with_retry(global.retry_for, say_waiting))
}

/// How this machine's clock stands to the master's by its last answer (`24 h 0 min ahead of`), if it is off.
pub fn clock_off(client: &Client) -> Option<String> {
    let ms = client.clock_skew_ms()?;
    (ms.unsigned_abs() > CLOCK_SKEW_MS_MAX).then(|| clock::against(ms))
}

/// Warns when `option` was a moment by this machine's clock and that is off.
pub fn warn_of_clock(client: &Client, option: &str) {
    if let Some(off) = clock_off(client) {
        eprintln!(
            "ffrtmp: warning: this machine's clock is {off} the master's, and {option} was reckoned by it: set the clock, or give a \
             moment of the master's time, as in 2026-11-23T08:00:00Z"
        );
    }
}

fn say_waiting(url: &str, error: &ClientError) {
    match error {
        ClientError::Unreachable { cause, .. } => {
            eprintln!("ffrtmp: the master at {url} does not answer ({cause}); trying on")
        }
        _ => eprintln!("ffrtmp: the master at {url} is not ready; trying on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_our_variable_and_ours_before_upstream_s() {
        let env = |name: &str| Some(name.to_owned());
        assert_eq!(master_url(Some("flag"), env), "flag");
        assert_eq!(master_url(None, env), "FFRTMP_MASTER");
        assert_eq!(
            master_url(None, |name| (name == "MASTER_URL")
                .then(|| "theirs".to_owned())),
            "theirs"
        );
        assert_eq!(master_url(None, |_| None), "http://127.0.0.1:8080");
        assert_eq!(
            master_url(None, |_| Some(String::new())),
            "http://127.0.0.1:8080",
            "an empty variable is no setting"
        );
    }
}
