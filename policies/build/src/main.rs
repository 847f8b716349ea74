//! Builds the bundled policies; see the modules.
mod bindings;
fn main() -> anyhow::Result<()> {
    bindings::write(std::path::Path::new("../.."))
}
