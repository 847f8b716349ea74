//! The worker as a whole, with real ffmpeg, against a scripted master that speaks the real protocol.
//!
//! One binary, so that it is linked once. Nothing waits by the clock: every wait is for something that is seen to
//! happen, with a bound after which the test fails.

// Everything here is test code, helpers included; the lints that spare `#[test]` functions do not see that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod astray;
mod bad_ffmpeg;
mod disk;
mod files;
mod hostile;
mod machine;
mod master;
mod node;
mod reach;
mod run_as;
mod sandbox;
mod session;
mod shutdown;
