//! Time as the core sees it: given with every call, never read. The shell reads real clocks, the simulator makes its own up.

/// The moment at which a call is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back and stands still while the master is down. Decides leases and delays.
    pub mono_ms: u64,
    /// Milliseconds since 1970 by the wall clock. For people and for policies; decides nothing here.
    pub wall_ms: i64,
}
