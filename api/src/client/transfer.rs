//! Files between this machine and the master's spool: sent in pieces and fetched in parts, gone on with after any break.
//!
//! The command line sends inputs and fetches outputs with it, workers the other way round. It holds one piece in memory,
//! whatever the file's size. Where a transfer stands is always asked of the master, never remembered.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use sha2::{Digest, Sha256};
use ureq::http::{Request, StatusCode};
use uuid::Uuid;

use super::{Client, ClientError, READ_TIMEOUT, Retry};
use crate::{
    ids::{Attempt, JobRef},
    rest::{NewOutput, NewUpload, UPLOAD_OFFSET, Upload},
    text::hex,
};

/// Bytes sent in one request: acknowledged, synced to the master's disk, before the next. Large enough that waiting for
/// that costs little, small enough to hold in memory.
const PIECE_BYTES: usize = 16 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Longest wait for the answer to a piece. After a restart the master reads what it has of the file once more: about a
/// second for each GB.
const PIECE_SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(120);

/// Why a transfer did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The master refused, or does not answer any more.
    #[error(transparent)]
    Master(#[from] ClientError),
    /// The file here cannot be read or written.
    #[error("{0}")]
    File(io::Error),
    /// The file here is not what it was when the transfer began.
    #[error("the file changed while it was sent; send it again when nothing writes it")]
    Changed,
    /// What came has not the SHA-256 it must have.
    #[error("what came from the master is not the file it has: {bytes} bytes with another SHA-256")]
    Corrupt {
        /// How many came.
        bytes: u64,
    },
    /// The caller did not want to go on.
    #[error("stopped")]
    Stopped,
}

/// What a file is, before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// Told the bytes done so far; answers whether to go on.
pub type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Reads a file once, for its size and digest.
///
/// # Errors
/// When it cannot be read, or the caller stopped it.
pub fn measure(file: &mut File, go_on: GoOn<'_>) -> Result<Measured, TransferError> {
    let mut digest = Sha256::new();
    let bytes = digest_from_start(file, &mut digest, go_on)?;
    Ok(Measured {
        bytes,
        sha256: hex(&digest.finalize()),
    })
}

impl Client {
    /// `POST /v1/uploads`. Repeated on a broken connection only if it states the SHA-256, which finds the first one again.
    #[allow(clippy::missing_errors_doc)]
    pub fn create_upload(&self, new: &NewUpload) -> super::Result<Upload> {
        self.call(new.sha256.is_some(), |client| {
            client.post("/v1/uploads", new)
        })
    }

    /// `GET /v1/uploads/{id}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn upload(&self, id: Uuid) -> super::Result<Upload> {
        self.read(&format!("/v1/uploads/{id}"))
    }

    /// `DELETE /v1/uploads/{id}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn remove_upload(&self, id: Uuid) -> super::Result<()> {
        self.delete(&format!("/v1/uploads/{id}"))
    }

    /// `POST /v1/jobs/{id}/attempts/{n}/output`: a worker announces what its attempt made.
    #[allow(clippy::missing_errors_doc)]
    pub fn announce_output(&self, attempt: Attempt, new: &NewOutput) -> super::Result<Upload> {
        let path = output_path(attempt);
        self.call(true, |client| client.post(&path, new))
    }

    /// `POST /v1/jobs/{id}/attempts/{n}/publish`: what was announced becomes the job's output, if the master chose it.
    #[allow(clippy::missing_errors_doc)]
    pub fn publish_output(&self, attempt: Attempt) -> super::Result<()> {
        let path = format!("/v1/jobs/{}/attempts/{}/publish", attempt.job, attempt.no);
        self.call(true, |client| client.post(&path, &super::NO_BODY))
    }

    /// `DELETE /v1/jobs/{id}/output`.
    #[allow(clippy::missing_errors_doc)]
    pub fn remove_output(&self, job: JobRef) -> super::Result<()> {
        self.delete(&format!("/v1/jobs/{job}/output"))
    }

    /// Sends what is missing of an upload, and answers when it is complete. Goes on after a break for as long as this
    /// client retries, counted from the last byte that got through.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn send_upload(
        &self,
        upload: &Upload,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Upload, TransferError> {
        self.send_file(&format!("/v1/uploads/{}", upload.id), upload, file, go_on)
    }

    /// Sends what is missing of an output that was announced, likewise.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn send_output(
        &self,
        attempt: Attempt,
        announced: &Upload,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Upload, TransferError> {
        self.send_file(&output_path(attempt), announced, file, go_on)
    }

    fn send_file(
        &self,
        path: &str,
        upload: &Upload,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Upload, TransferError> {
        let mut upload = upload.clone();
        let mut piece = Vec::new();
        let mut retry = Retry::new(self.retry_for);
        while !upload.complete {
            if !go_on(upload.offset) {
                return Err(TransferError::Stopped);
            }
            let left = upload.bytes.saturating_sub(upload.offset);
            let wanted = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
            read_at(file, upload.offset, wanted, &mut piece)?;
            match self.send_piece(path, upload.offset, &piece) {
                Ok(now) => {
                    if now.offset > upload.offset {
                        retry = Retry::new(self.retry_for);
                    }
                    upload = now;
                }
                // The master may have less or more than we believe: after a break, or when another sends the same file.
                Err(error) if is_out_of_step(&error) && retry.pause() => {
                    upload = self.read(path)?;
                }
                Err(error) if error.is_passing() && retry.pause() => {
                    self.tell(&error);
                    upload = self.read(path)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        go_on(upload.bytes);
        Ok(upload)
    }

    fn send_piece(&self, path: &str, offset: u64, piece: &[u8]) -> super::Result<Upload> {
        let mut request = Request::builder()
            .method("PATCH")
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/offset+octet-stream")
            .header(UPLOAD_OFFSET, offset.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(piece)
            .map_err(|error| ClientError::Unexpected {
                url: self.base.clone(),
                what: format!("the request cannot be made: {error}"),
            })?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_per_read(Some(PIECE_SILENCE_MAX))
            .build();
        let response = self
            .agent
            .run(request)
            .map_err(|error| ClientError::from_ureq(&self.base, error))?;
        self.json(response)
    }

    /// Fetches the output of a job into `file`, going on with what the file holds already, and checks it.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn fetch_output(
        &self,
        job: JobRef,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Measured, TransferError> {
        self.fetch(&format!("/v1/jobs/{job}/output"), file, go_on)
    }

    /// Fetches the content of an upload into `file`, and checks it.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn fetch_upload(
        &self,
        id: Uuid,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Measured, TransferError> {
        self.fetch(&format!("/v1/uploads/{id}/content"), file, go_on)
    }

    /// The size of a job's output.
    ///
    /// # Errors
    /// When there is none; the message says why.
    pub fn output_size(&self, job: JobRef) -> super::Result<u64> {
        self.size_of(&format!("/v1/jobs/{job}/output"))
    }

    /// The size of a complete upload.
    ///
    /// # Errors
    /// When there is none.
    pub fn upload_size(&self, id: Uuid) -> super::Result<u64> {
        self.size_of(&format!("/v1/uploads/{id}/content"))
    }

    /// From a GET whose body is left alone: the answer to a HEAD could not say what is wrong.
    fn size_of(&self, path: &str) -> super::Result<u64> {
        let mut retry = Retry::new(self.retry_for);
        loop {
            let answer = self.get(path, READ_TIMEOUT).and_then(|response| {
                match (
                    response.status().is_success(),
                    response.body().content_length(),
                ) {
                    (true, Some(bytes)) => Ok(bytes),
                    (true, None) => Err(ClientError::Unexpected {
                        url: self.base.clone(),
                        what: "a file without a length".to_owned(),
                    }),
                    (false, _) => self.json(response),
                }
            });
            match answer {
                Err(error) if error.is_passing() && retry.pause() => self.tell(&error),
                answer => return answer,
            }
        }
    }

    fn fetch(
        &self,
        path: &str,
        file: &mut File,
        go_on: GoOn<'_>,
    ) -> Result<Measured, TransferError> {
        let mut digest = Sha256::new();
        let mut bytes = digest_from_start(file, &mut digest, go_on)?;
        let mut etag: Option<String> = None;
        let mut retry = Retry::new(self.retry_for);
        // What was there before may be of another file: then everything is fetched once more.
        let mut fresh = bytes == 0;
        loop {
            let before = bytes;
            let part = self.fetch_part(path, file, &mut bytes, &mut digest, &mut etag, go_on);
            if bytes > before {
                retry = Retry::new(self.retry_for);
            }
            match part {
                Ok(()) => {
                    let sha256 = hex(&digest.clone().finalize());
                    if etag.as_deref().is_none_or(|etag| etag == sha256) {
                        return Ok(Measured { bytes, sha256 });
                    }
                    if fresh {
                        return Err(TransferError::Corrupt { bytes });
                    }
                    fresh = true;
                    start_over(file, &mut bytes, &mut digest)?;
                }
                // More is here than there: it was another file.
                Err(TransferError::Master(ClientError::Refused { status: 416, .. })) if !fresh => {
                    fresh = true;
                    start_over(file, &mut bytes, &mut digest)?;
                }
                Err(TransferError::Master(error)) if error.is_passing() && retry.pause() => {
                    self.tell(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches from where the file ends.
    fn fetch_part(
        &self,
        path: &str,
        file: &mut File,
        bytes: &mut u64,
        digest: &mut Sha256,
        etag: &mut Option<String>,
        go_on: GoOn<'_>,
    ) -> Result<(), TransferError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if *bytes > 0 {
            request = request.header("range", format!("bytes={bytes}-"));
            if let Some(etag) = etag {
                request = request.header("if-range", format!("\"{etag}\""));
            }
        }
        let mut response = request
            .call()
            .map_err(|error| ClientError::from_ureq(&self.base, error))?;
        let status = response.status();
        if !status.is_success() {
            // All of it is here already, if the digest says so.
            if status == StatusCode::RANGE_NOT_SATISFIABLE {
                let total = response
                    .headers()
                    .get("content-range")
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| text.strip_prefix("bytes */"))
                    .and_then(|text| text.parse::<u64>().ok());
                if total == Some(*bytes) {
                    *etag = self.head_etag(path)?;
                    return Ok(());
                }
            }
            let refused = self.json::<()>(response);
            return Err(refused.err().map_or(TransferError::Stopped, Into::into));
        }
        if let Some(value) = response.headers().get("etag").and_then(|v| v.to_str().ok()) {
            *etag = Some(value.trim_matches('"').to_owned());
        }
        if status != StatusCode::PARTIAL_CONTENT && *bytes > 0 {
            start_over(file, bytes, digest)?;
        }
        let mut content = response.body_mut().as_reader();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if !go_on(*bytes) {
                return Err(TransferError::Stopped);
            }
            let read = content
                .read(&mut buffer)
                .map_err(|error| ClientError::from_ureq(&self.base, ureq::Error::Io(error)))?;
            if read == 0 {
                return Ok(());
            }
            file.write_all(&buffer[..read])
                .map_err(TransferError::File)?;
            digest.update(&buffer[..read]);
            *bytes += read as u64;
        }
    }

    fn head_etag(&self, path: &str) -> Result<Option<String>, TransferError> {
        let response = self.get(path, READ_TIMEOUT)?;
        let etag = response.headers().get("etag");
        let text = etag.and_then(|value| value.to_str().ok());
        Ok(text.map(|text| text.trim_matches('"').to_owned()))
    }
}

/// Where an attempt's output is sent.
fn output_path(attempt: Attempt) -> String {
    format!("/v1/jobs/{}/attempts/{}/output", attempt.job, attempt.no)
}

/// Whether a refusal says only that we and the master differ about how far the upload is, or that another sends it.
fn is_out_of_step(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 409, error } if error.code == "wrong_offset" || error.code == "busy")
}

fn read_at(
    file: &mut File,
    offset: u64,
    wanted: usize,
    piece: &mut Vec<u8>,
) -> Result<(), TransferError> {
    piece.clear();
    file.seek(SeekFrom::Start(offset))
        .map_err(TransferError::File)?;
    let read = Read::by_ref(file)
        .take(wanted as u64)
        .read_to_end(piece)
        .map_err(TransferError::File)?;
    if read < wanted {
        return Err(TransferError::Changed);
    }
    Ok(())
}

fn start_over(file: &mut File, bytes: &mut u64, digest: &mut Sha256) -> Result<(), TransferError> {
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .map_err(TransferError::File)?;
    (*bytes, *digest) = (0, Sha256::new());
    Ok(())
}

/// Digests a file from its start to its end, and leaves it positioned there. Answers with its size.
fn digest_from_start(
    file: &mut File,
    digest: &mut Sha256,
    go_on: GoOn<'_>,
) -> Result<u64, TransferError> {
    file.seek(SeekFrom::Start(0)).map_err(TransferError::File)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(TransferError::File)?;
        if read == 0 {
            return Ok(bytes);
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
        if !go_on(bytes) {
            return Err(TransferError::Stopped);
        }
    }
}
