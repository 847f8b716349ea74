//! Generates the SDK's half of the contract from `wit/`, into a file that is committed.
//!
//! Committed, so that neither the product nor a policy author's crate needs a binding generator: the SDK has no
//! dependency at all, on any target.

use std::path::Path;

use anyhow::Context;
use wit_bindgen_core::Files;
use wit_parser::{Resolve, WorldId};

/// Where the generated file lies, from the repository's root.
pub const PATH: &str = "policies/sdk/src/component/bindings.rs";

/// Reads `wit/`.
pub fn world(root: &Path) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(root.join("wit"))
        .context("wit/ does not parse")?;
    let world = resolve.select_world(&[package], Some("scheduling-policy"))?;
    Ok((resolve, world))
}

/// Writes the bindings.
pub fn write(root: &Path) -> anyhow::Result<()> {
    let (mut resolve, world) = world(root)?;
    let mut options = wit_bindgen_rust::Opts::default();
    options.runtime_path = Some("crate::component::rt".into());
    options.format = true;
    options.generate_all = true;
    options.pub_export_macro = true;
    options.default_bindings_module = Some("$crate::component::bindings".into());
    let mut files = Files::default();
    let mut generator = options.build();
    wit_bindgen_core::WorldGenerator::generate(&mut generator, &mut resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("no bindings were generated")?;
    let head = "// Generated from wit/ by policies/build; do not edit.\n";
    let path = root.join(PATH);
    std::fs::create_dir_all(path.parent().context("no parent")?)?;
    std::fs::write(&path, [head.as_bytes(), text].concat())?;
    Ok(())
}
