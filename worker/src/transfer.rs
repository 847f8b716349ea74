//! Files from and to the master's spool, for jobs whose input or output no shared storage holds.
//!
//! The one place where the worker speaks HTTP to the master, with the credentials of its session. Transfers go on after a
//! break, a restart of the master included; what fails is a [`Failure`] like any other of an attempt. Bytes pass on
//! threads of their own, and stop soon after the attempt does.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ffrtmp_api::{
    client::{
        Client, ClientError,
        transfer::{TransferError, measure},
    },
    ids::Attempt,
    job::FailureReason,
    protocol::Outcome,
    rest::NewOutput,
    settings::Output,
};
use uuid::Uuid;

use crate::{attempt::prepare::blocking, disks::Disk, ffmpeg::diagnosis::Failure};

/// How long a transfer goes on without a single byte getting through, and a full spool is asked again.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause before a full spool is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// What must stay free on the scratch disk beside the input: the output goes there too.
const SCRATCH_RESERVE: u64 = 256 << 20;

/// See the module's head.
#[derive(Clone)]
pub(crate) struct Transfer {
    client: Arc<Client>,
    scratch: PathBuf,
}

/// Set when the attempt does not wait for the transfer any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Transfer {
    /// Transfers with the master behind `client`, into and out of `scratch`.
    pub(crate) fn new(client: Client, scratch: PathBuf) -> Transfer {
        Transfer {
            client: Arc::new(client.with_retry(PATIENCE, |url, error| {
                tracing::warn!(master = url, %error, "a transfer waits for the master");
            })),
            scratch,
        }
    }

    /// Fetches an upload into a new file.
    pub(crate) async fn fetch(&self, id: Uuid, into: &Path) -> Result<(), Failure> {
        let stop = StopOnDrop(Arc::default());
        let (this, into, stopped) = (self.clone(), into.to_owned(), stop.0.clone());
        blocking(move || this.fetch_now(id, &into, &stopped)).await
    }

    fn fetch_now(&self, id: Uuid, into: &Path, stopped: &AtomicBool) -> Result<(), Failure> {
        let failed = |error: ClientError| match error {
            error if error.is_not_found() => Failure::new(
                FailureReason::InputError,
                format!(
                    "the input, upload {id}, is not in the master's spool any more; upload it again"
                ),
            ),
            error => explain("the input cannot be fetched", error),
        };
        let bytes = self.client.upload_size(id).map_err(failed)?;
        let disk = Disk::of(&self.scratch).map_err(|error| local(&self.scratch, error))?;
        let free = disk.free;
        if free < bytes.saturating_add(SCRATCH_RESERVE) {
            return Err(Failure::new(
                FailureReason::ResourceError,
                format!(
                    "the input has {bytes} bytes, and {free} are free in this worker's scratch directory {}, where {} are to stay \
                     free",
                    self.scratch.display(),
                    SCRATCH_RESERVE
                ),
            ));
        }
        tracing::info!(%id, bytes, "fetching the input");
        let started = Instant::now();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(into)
            .map_err(|error| local(into, error))?;
        let got = self
            .client
            .fetch_upload(id, &mut file, &mut |_| !stopped.load(Ordering::Relaxed))
            .map_err(|error| match error {
                TransferError::Master(error) => failed(error),
                error => explain_transfer("the input cannot be fetched", into, error),
            })?;
        if got.bytes != bytes {
            return Err(Failure::new(
                FailureReason::NetworkError,
                format!("{} bytes of the input came, and it has {bytes}", got.bytes),
            ));
        }
        tracing::info!(%id, seconds = started.elapsed().as_secs_f64(), "the input is here");
        Ok(())
    }

    /// Hands an attempt's finished file back; answers with its name in the spool.
    pub(crate) async fn hand_back(
        &self,
        attempt: Attempt,
        made: &Path,
    ) -> Result<PathBuf, Failure> {
        let stop = StopOnDrop(Arc::default());
        let (this, made, stopped) = (self.clone(), made.to_owned(), stop.0.clone());
        blocking(move || this.hand_back_now(attempt, &made, &stopped)).await
    }

    fn hand_back_now(
        &self,
        attempt: Attempt,
        made: &Path,
        stopped: &AtomicBool,
    ) -> Result<PathBuf, Failure> {
        const WHAT: &str = "the output cannot be handed back";
        let mut go_on = |_| !stopped.load(Ordering::Relaxed);
        let mut file = File::open(made).map_err(|error| local(made, error))?;
        let measured =
            measure(&mut file, &mut go_on).map_err(|error| explain_transfer(WHAT, made, error))?;
        let new = NewOutput {
            bytes: measured.bytes,
            sha256: measured.sha256,
        };
        tracing::info!(%attempt, bytes = new.bytes, "handing the output back");
        let full_since = Instant::now();
        let upload = loop {
            match self.client.announce_output(attempt, &new) {
                // Others' files go in their time; what was encoded is worth a wait.
                Err(ClientError::Refused { status: 507, error })
                    if full_since.elapsed() < PATIENCE && go_on(0) =>
                {
                    tracing::warn!(%attempt, message = error.message, "the spool has no room; asking again");
                    std::thread::sleep(ASK_AGAIN);
                }
                Err(error) => return Err(explain(WHAT, error)),
                Ok(upload) => break upload,
            }
        };
        let upload = self
            .client
            .send_output(attempt, &upload, &mut file, &mut go_on)
            .map_err(|error| explain_transfer(WHAT, made, error))?;
        Ok(spooled(upload.id))
    }

    /// Publishes what an attempt handed back, as the master ordered. Blocks. Any worker may: all see the spool.
    pub(crate) fn publish(&self, attempt: Attempt) -> Outcome {
        match self.client.publish_output(attempt) {
            Ok(()) => Outcome::Published,
            Err(error) => Outcome::PublishFailed {
                reason: FailureReason::PlatformError,
                message: format!("the output in the spool cannot be published: {error}"),
            },
        }
    }
}

/// The name of a file in the spool, where a path is expected.
fn spooled(id: Uuid) -> PathBuf {
    Output::Spool(id.to_string()).to_string().into()
}

/// Whether a name is one of the spool's: no path of this machine, since those begin with a slash.
pub(crate) fn is_spooled(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("spool:"))
}

fn explain_transfer(what: &str, path: &Path, error: TransferError) -> Failure {
    match error {
        TransferError::Master(error) => explain(what, error),
        TransferError::File(error) => local(path, error),
        TransferError::Corrupt { .. } => {
            Failure::new(FailureReason::NetworkError, format!("{what}: {error}"))
        }
        TransferError::Changed | TransferError::Stopped => {
            Failure::new(FailureReason::PlatformError, format!("{what}: {error}"))
        }
    }
}

/// What the master's refusal means for the attempt: what another attempt would meet too is not tried again.
fn explain(what: &str, error: ClientError) -> Failure {
    let reason = match &error {
        ClientError::Unreachable { .. } | ClientError::Refused { status: 503, .. } => {
            FailureReason::NetworkError
        }
        ClientError::Refused { status: 507, .. } => FailureReason::ResourceError,
        ClientError::Refused { status: 413, .. } => FailureReason::UserError,
        // Its content came out different on the master.
        ClientError::Refused { status: 422, .. } => FailureReason::NetworkError,
        _ => FailureReason::PlatformError,
    };
    Failure::new(reason, format!("{what}: {error}"))
}

fn local(path: &Path, error: io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            FailureReason::ResourceError
        }
        _ => FailureReason::PlatformError,
    };
    Failure::new(reason, format!("{}: {error}", path.display()))
}
