//! The one connection to the master: what waits to be said ([`outbox`]), how the connection is made ([`dial`]), how it is said ([`connection`]), when to
//! try again ([`backoff`]), and what must not go on without one ([`fence`]).
//!
//! It runs no media and decides nothing about attempts; frames that concern them go to `attempt::held`.

pub(crate) mod backoff;
pub(crate) mod connection;
mod dial;
pub(crate) mod fence;
pub(crate) mod outbox;
