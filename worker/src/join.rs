//! How a worker comes by its token: given, kept from an earlier join, or got now for a join token.
//!
//! Separate from the session because it happens once in a worker's life, over plain request and answer.

use anyhow::Context;
use ffrtmp_api::{
    client::{Client, ClientError},
    rest::JoinRequest,
};
use tokio::time::sleep;

use crate::{WorkerConfig, node::state_dir::StateDir, session::backoff::Backoff};

/// The token to show; none if nobody gave one. Waits for a master that does not answer, for ever.
///
/// # Errors
/// When the master does not take the join token, or the new token cannot be kept.
pub(crate) async fn token(
    config: &WorkerConfig,
    name: &str,
    state: &StateDir,
) -> anyhow::Result<Option<String>> {
    if config.token.is_some() {
        return Ok(config.token.clone());
    }
    if let Some(kept) = state.token()? {
        return Ok(Some(kept));
    }
    let Some(join_token) = &config.join_token else {
        return Ok(None);
    };
    let client = Client::new(&config.master, Some(join_token.clone()))?.with_tls(&config.tls);
    let client = std::sync::Arc::new(client);
    let mut backoff = Backoff::default();
    let made = loop {
        let request = JoinRequest {
            name: name.to_owned(),
            install_id: state.install_id,
        };
        let asking = client.clone();
        match tokio::task::spawn_blocking(move || asking.join(&request)).await? {
            Ok(made) => break made,
            Err(error) if error.is_passing() => {
                let pause = backoff.pause();
                tracing::warn!(%error, retry_in_ms = pause.as_millis() as u64, "not joined yet");
                sleep(pause).await;
            }
            Err(error @ ClientError::Refused { .. }) => {
                return Err(error).with_context(|| {
                    format!(
                        "the master at {} does not let this worker join",
                        config.master
                    )
                });
            }
            Err(error) => return Err(error.into()),
        }
    };
    state
        .keep_token(&made.secret)
        .context("the master admitted this worker, and its token cannot be kept")?;
    tracing::info!(name, token = %made.token.id, "joined the cluster");
    Ok(Some(made.secret))
}
