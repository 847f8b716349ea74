//! Where a job's pictures and sound come from, and where they go.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    BadField, Container,
    address::{Address, Scheme, address},
    check::{absolute, bad},
    spooled,
};
use crate::job::JobSpec;

/// Where the pictures come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file at this absolute path on the worker.
    File(String),
    /// A complete upload in the master's spool, to be fetched first.
    Upload(Uuid),
    /// A file or a stream that the worker reaches over the network.
    Url(Address),
    /// ffmpeg's `testsrc2` and `sine`, generated inside the encoding process itself.
    Synthetic,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// To this absolute path on the worker.
    File(String),
    /// To the master's spool, to be downloaded under this file name.
    Spool(String),
    /// To this new folder on the worker, of which the named file is the index: HLS and DASH.
    Folder {
        /// Its absolute path.
        path: String,
        /// The playlist or manifest in it.
        index: String,
    },
    /// By HTTP PUT to this address, once encoded and verified.
    Put(Address),
    /// As a stream to this address, while it is encoded.
    Push(Address),
}

impl Output {
    /// Whether it gets its final name in a second step, on the master's order. What is streamed cannot be: it is gone
    /// when it is encoded.
    pub fn is_published(&self) -> bool {
        !matches!(self, Output::Push(_))
    }
}

impl fmt::Display for Output {
    /// As a [`JobSpec`] writes it, secrets hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::File(path) => f.write_str(path),
            Output::Spool(name) => write!(f, "{}{name}", spooled::OUTPUT_PREFIX),
            Output::Folder { path, index } => write!(f, "{path}/{index}"),
            Output::Put(address) | Output::Push(address) => address.fmt(f),
        }
    }
}

/// Where a job reads from.
pub(super) fn source(spec: &JobSpec) -> Result<Source, BadField> {
    let Some(text) = &spec.input else {
        return Ok(Source::Synthetic);
    };
    if let Some(id) = spooled::upload(text)? {
        return Ok(Source::Upload(id));
    }
    if Address::looks_like_one(text) {
        return Ok(Source::Url(address("input", text)?));
    }
    Ok(Source::File(absolute("input", text)?))
}

/// Where a job writes to, and what kind of file that is.
pub(super) fn output(
    spec: &JobSpec,
    source: &Source,
) -> Result<(Option<Output>, Container), BadField> {
    let Some(text) = &spec.output else {
        return Ok((None, Container::Matroska));
    };
    if text.starts_with(spooled::OUTPUT_PREFIX) {
        let name = spooled::output_name(text)?;
        let container = Container::of_path(&name)?;
        if container.is_folder() {
            return bad(
                "output",
                "the master keeps files, not folders; name a .mp4 file, or a path that the workers share",
            );
        }
        return Ok((Some(Output::Spool(name)), container));
    }
    if Address::looks_like_one(text) {
        return remote(address("output", text)?);
    }
    let path = absolute("output", text)?;
    if Path::new(&path).file_name().is_none() || path.ends_with('/') {
        return bad(
            "output",
            format!("{path:?} names a directory; name the file to write"),
        );
    }
    if *source == Source::File(path.clone()) {
        return bad("output", "is the input itself; name another file");
    }
    let container = Container::of_path(&path)?;
    if !container.is_folder() {
        return Ok((Some(Output::File(path)), container));
    }
    let (folder, index) = path.rsplit_once('/').unwrap_or(("", &path));
    if folder.is_empty() {
        return bad(
            "output",
            format!(
                "{path:?} would make the root of all files the folder of segments; name a folder, as in /media/show{path}"
            ),
        );
    }
    // These names are handed to muxers, which read some characters as their own.
    if !index
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        || index.starts_with(['.', '-'])
    {
        return bad(
            "output",
            format!(
                "{index:?}: the name of a playlist is letters, digits, dots, hyphens and underscores, as in index.m3u8"
            ),
        );
    }
    let output = Output::Folder {
        path: folder.to_owned(),
        index: index.to_owned(),
    };
    Ok((Some(output), container))
}

fn remote(to: Address) -> Result<(Option<Output>, Container), BadField> {
    match to.scheme() {
        Scheme::Rtmp | Scheme::Rtmps => Ok((Some(Output::Push(to)), Container::Flv)),
        Scheme::Srt => Ok((Some(Output::Push(to)), Container::Mpegts)),
        Scheme::Http | Scheme::Https => {
            let container = Container::of_path(to.path())?;
            if container.is_folder() {
                return bad(
                    "output",
                    "a folder of segments cannot be sent by PUT; name a file, or a path that the workers share",
                );
            }
            Ok((Some(Output::Put(to)), container))
        }
    }
}
