//! An output that is sent to a web server: one HTTP PUT of the finished, verified file, when the master orders it.
//!
//! Like a rename it happens after this attempt was chosen, so no two attempts send. It may be repeated: if the worker dies
//! between the server's answer and ours, the same file is sent once more to the same name. The address and its secrets
//! never reach a command line. It goes the way of all that a job reaches: [`crate::guard`].

use std::{fs::File, io, path::Path, time::Duration};

use ffrtmp_api::{job::FailureReason, protocol::Outcome, settings::Address};

use crate::{
    ffmpeg::{
        diagnosis::{Failure, advised},
        hidden::Hidden,
    },
    guard::{Guard, Pass},
    trust::Trust,
};

/// How long a server may take to be reached, and to answer when it has everything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Sends `temp` to `output`, an address; answers with what the master is to be told. The file goes when it has arrived.
pub(crate) fn put(guard: &Guard, trust: &Trust, temp: &Path, output: &str, bytes: u64) -> Outcome {
    let sent = Address::try_from(output.to_owned())
        .map_err(|why| Failure::new(FailureReason::UserError, format!("output: {why}")))
        .and_then(|address| {
            let pass = guard.admit();
            send(&pass, trust, temp, &address, bytes).map_err(|failure| match pass.refused() {
                Some(said) => Failure::new(
                    FailureReason::UserError,
                    format!("output {address}: {said}"),
                ),
                None => failure,
            })
        });
    match sent {
        Ok(()) => {
            crate::node::reap::remove_quietly(temp);
            Outcome::Published
        }
        Err(Failure { reason, message }) => Outcome::PublishFailed { reason, message },
    }
}

fn send(
    pass: &Pass,
    trust: &Trust,
    temp: &Path,
    address: &Address,
    bytes: u64,
) -> Result<(), Failure> {
    let here = |error: io::Error| {
        Failure::new(
            FailureReason::PlatformError,
            format!("{} cannot be sent: {error}", temp.display()),
        )
    };
    let file = File::open(temp).map_err(here)?;
    let has = file.metadata().map_err(here)?.len();
    if has != bytes {
        return Err(here(io::Error::other(format!(
            "it holds {has} bytes where {bytes} were encoded"
        ))));
    }
    let proxy = ureq::Proxy::new(pass.url()).map_err(|error| here(io::Error::other(error)))?;
    let agent = ureq::Agent::config_builder()
        .proxy(Some(proxy))
        .tls_config(trust.for_ureq())
        .http_status_as_error(false)
        // A redirect would lead a PUT, and its credentials, somewhere nobody named.
        .max_redirects(0)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .build()
        .new_agent();
    let answer = agent
        .put(address.secret())
        .header("content-type", "application/octet-stream")
        .header("content-length", bytes.to_string())
        .send(&file)
        .map_err(|error| {
            let said = error.to_string();
            Failure::new(
                FailureReason::NetworkError,
                advised(format!(
                    "output {address}: {}",
                    Hidden::of([address]).clean(&said)
                )),
            )
        })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = match status.as_u16() {
        408 | 425 | 429 | 500.. => FailureReason::NetworkError,
        _ => FailureReason::UserError,
    };
    Err(Failure::new(
        reason,
        format!("output {address}: the server answered {status} to the PUT"),
    ))
}
