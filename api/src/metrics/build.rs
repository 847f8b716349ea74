//! Which software runs: `ffrtmp_build_info`.

use prometheus::{IntGaugeVec, Opts};

use super::Exposition;

/// What was built, of what, by which compiler. Filled in by the binary, which knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The product's version.
    pub version: &'static str,
    /// First digits of the commit; `dev` for a build that is no release, `unknown` outside a repository.
    pub commit: &'static str,
    /// The compiler's version.
    pub rustc: &'static str,
}

impl Default for BuildInfo {
    fn default() -> Self {
        BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
            commit: "unknown",
            rustc: "unknown",
        }
    }
}

impl BuildInfo {
    /// Registers it.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn export(&self, exposition: &Exposition) -> prometheus::Result<()> {
        let info = IntGaugeVec::new(
            Opts::new(
                "ffrtmp_build_info",
                "Always 1; the labels say which version runs, of which commit, and by which compiler it was built.",
            ),
            &["version", "commit", "rustc"],
        )?;
        info.with_label_values(&[self.version, self.commit, self.rustc])
            .set(1);
        exposition.register(info).map(drop)
    }
}
