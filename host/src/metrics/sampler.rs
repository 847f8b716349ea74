//! Looks once a second at what must be asked of the operating system: the process, the store's size, its disk. On a thread of its
//! own, so that neither a scrape nor the core ever waits for a disk.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// The running sampler. It ends when this is dropped.
#[derive(Debug)]
pub struct Sampler {
    _stop: mpsc::Sender<()>,
}

impl Sampler {
    /// Starts the thread, for a store in `data_dir`.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(metrics: Arc<Metrics>, data_dir: PathBuf) -> io::Result<Sampler> {
        let (stop, stopped) = mpsc::channel::<()>();
        metrics.store.look(&data_dir);
        std::thread::Builder::new()
            .name("sampler".into())
            .spawn(move || {
                while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    metrics.process.look();
                    metrics.store.look(&data_dir);
                }
            })?;
        Ok(Sampler { _stop: stop })
    }
}
