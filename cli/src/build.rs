//! Which software this is: what the build script (`build.rs` of this crate) found out.

use ffrtmp_api::metrics::BuildInfo;

/// This binary.
pub const INFO: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("FFRTMP_BUILD_COMMIT"),
    rustc: env!("FFRTMP_BUILD_RUSTC"),
};
