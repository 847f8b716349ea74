//! End-to-end tests: the real `ffrtmp` binary, real ffmpeg, real SQLite, real wasm policies, on loopback.
//!
//! Each test has a cluster of its own (see `cluster`) in a temporary folder on free ports; dropping it ends every process,
//! and [`cluster::Cluster::finish`] checks what must hold at the end of every test: the metrics equal a recount of the
//! store. Waiting is always for a condition, with a deadline that fails the test; never for a length of time.

// The harness fails tests by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod http;

mod attacks;
mod backup;
mod bad_input;
mod bad_start;
mod cli;
mod clock;
mod config;
mod containers;
mod control;
mod dashboards;
mod deployment;
mod discovery;
mod encode;
mod events;
mod faults;
mod figures;
mod follow;
mod fuzz_api;
mod lists;
mod live;
mod master_crash;
mod media;
mod metrics;
mod metrics_stack;
mod new_policies;
mod odd_media;
mod peers;
mod policies;
mod policy_corpus;
mod policy_eyes;
mod policy_failures;
mod policy_metrics;
mod policy_shadow;
mod presets;
mod raw_args;
mod roles;
mod secrets;
mod seed_loop;
mod sessions;
mod shells;
mod simulate;
mod spool;
mod survival;
mod tls;
mod tokens;
mod two_machines;
mod upstream;
#[cfg(target_arch = "x86_64")]
mod vm;
#[cfg(target_arch = "x86_64")]
mod vm_services;
mod watchable;
mod web;
mod webhooks;
