//! A line for the master's log. The one thing a policy may do besides answering.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the policy's author.
    Debug,
    /// For the record.
    Info,
    /// Something an operator may want to look at.
    Warn,
    /// Something an operator should look at.
    Error,
}

/// Writes a line to the master's log, under the policy's name. Natively (fallback, tests) it goes nowhere: a policy's
/// answers must not depend on it, and the master's own log is not the SDK's to write.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}
