//! What crosses a process boundary in ffrtmp: the job a user describes, the HTTP types, the frames between master and
//! worker, (feature `tls`) how TLS is set up on either side, (feature `metrics`) what both sides' metrics have in common, and (feature
//! `client`) a small blocking HTTP client.
//!
//! It is a crate of its own so that `host` and `worker` agree on these types without importing each other.
//! It never does I/O outside `client`, `metrics` and `tls`, and it decides nothing: rules of scheduling live in `host::core`.

#[macro_use]
mod words;

pub mod clock;
pub mod encoder;
pub mod hosts;
pub mod ids;
pub mod job;
pub mod limits;
pub mod preset;
pub mod protocol;
pub mod rest;
pub mod settings;
pub mod text;

#[cfg(feature = "openapi")]
pub mod schema;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tls")]
pub mod tls;
