//! Runs a short program to its end and keeps what it printed, within bounds of time and size.
//!
//! For ffprobe, trial encodes and version queries. Never for an encode: that is watched, not awaited.

use std::{io, os::fd::OwnedFd, process::Command, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::unix::pipe,
};

use super::{process::Exit, spawner::Spawner};

/// Most bytes kept of each stream; ffprobe's answer for a file with hundreds of streams is a fraction of it.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a finished program left.
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) exit: Exit,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
}

impl Captured {
    /// The last line of stderr that says something.
    pub(crate) fn last_words(&self) -> &str {
        self.stderr
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it said nothing")
    }
}

/// Runs `command`; after `timeout` its group is killed and the error is `TimedOut`.
pub(crate) async fn capture(
    spawner: &Spawner,
    command: Command,
    timeout: Duration,
) -> io::Result<Captured> {
    let mut process = spawner.spawn(command).await?;
    let stdout = process
        .stdout
        .take()
        .map(|pipe| reader(pipe.into()))
        .transpose()?;
    let stderr = process
        .stderr
        .take()
        .map(|pipe| reader(pipe.into()))
        .transpose()?;
    let work = async {
        let (stdout, stderr) = tokio::join!(read_all(stdout), read_all(stderr));
        process.exited().await?;
        Ok::<_, io::Error>((stdout?, stderr?))
    };
    let (stdout, stderr) = tokio::time::timeout(timeout, work).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", timeout.as_secs_f64()),
        )
    })??;
    Ok(Captured {
        exit: process.reap()?,
        stdout,
        stderr,
    })
}

/// A child's pipe as an async reader.
pub(crate) fn reader(pipe: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(pipe)
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut stream) = stream else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    (&mut stream)
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .await?;
    // Beyond the bound: read on and forget, so that the writer is not blocked for ever.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
