//! The master's flags about webhooks: who is told of every job, how it is signed, and where it may go.

use std::path::PathBuf;

use clap::Args;
use ffrtmp_api::{hosts::HostPattern, job::JobState, settings::Webhook, tls::ClientTls};
use ffrtmp_host::WebhookConfig;

use crate::exit::{Failure, Result};

/// See the module's head.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookArgs {
    /// URL that is told what becomes of every job, besides those that jobs name; may be repeated
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// States whose beginning it is told: pending, assigned, running, paused, publishing, completed, failed, canceled; default:
    /// the last three
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    webhook_events: Vec<JobState>,
    /// Keys that are signed with, one a line, the newest first; default: webhook-secret in --data-dir, made at the first start
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Host that may be told, and no other: hooks.example.com, *.example.com, 10.1.2.3 or 10.1.0.0/16; may be repeated; default:
    /// all but this machine
    #[arg(long, value_name = "HOST")]
    webhook_allow_host: Vec<HostPattern>,
    /// Tell nobody on a private network but whom --webhook-allow-host names
    #[arg(long)]
    webhook_deny_private: bool,
    /// Authority that signed the receivers' certificates; default: the public ones
    #[arg(long, value_name = "FILE")]
    webhook_ca: Option<PathBuf>,
}

impl WebhookArgs {
    /// What the host is told. Reads the authority's file.
    pub fn config(&self) -> Result<WebhookConfig> {
        let everyone: std::result::Result<Vec<Webhook>, _> = self
            .webhook
            .iter()
            .map(|url| Webhook::new(url, &self.webhook_events))
            .collect();
        if self.webhook.is_empty() && !self.webhook_events.is_empty() {
            return Err(Failure::usage(
                "--webhook-events: there is no webhook to tell; name one with --webhook",
            ));
        }
        let tls = ClientTls::load(self.webhook_ca.as_deref(), None)
            .map_err(|error| Failure::usage(format!("--webhook-ca: {error}")))?;
        Ok(WebhookConfig {
            everyone: everyone
                .map_err(|error| Failure::usage(format!("--webhook: {}", error.message)))?,
            secret_file: self.webhook_secret_file.clone(),
            allow_hosts: self.webhook_allow_host.clone(),
            deny_private: self.webhook_deny_private,
            tls,
        })
    }
}
