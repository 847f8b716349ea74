//! Which addresses a job may be sent to.
//!
//! The one question that every address of a job is put to before anything goes there, ffprobe included. What ffmpeg may
//! open on its own account after that (playlists, redirects) is bounded by [`crate::ffmpeg::reach`].

use ffrtmp_api::settings::Address;

use crate::ffmpeg::diagnosis::Failure;

/// Whether `address` may be gone to. Schemes were checked when the job was submitted; hosts are not limited here yet.
///
/// # Errors
/// A `user_error` that names the host and what is allowed.
pub(crate) async fn allowed(address: &Address) -> Result<(), Failure> {
    tracing::debug!(%address, "an address of a job");
    Ok(())
}
