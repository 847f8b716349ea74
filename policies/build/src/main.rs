//! Builds the bundled policies into components, and the hostile guests that the tests run.
//!
//! `cargo run --release --manifest-path policies/build/Cargo.toml` from the repository's root, or `make policies`. What it
//! writes is committed: the product and its tests need no wasm toolchain. Run it after changing `wit/`, the SDK, a
//! bundled policy or a hostile guest.

mod bindings;
mod compile;
mod component;
mod hostile;
mod sources;

use std::path::Path;

/// The bundled policies and where their components go, from the repository's root. The live folder holds one alone:
/// whatever lies there may be chosen.
const BUNDLED: [(&str, &str); 2] = [
    ("balanced", "policies/balanced.wasm"),
    ("binpack", "policies/bundled/binpack.wasm"),
];

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    bindings::write(&root)?;
    for (name, to) in BUNDLED {
        let module = compile::module(&root, name)?;
        let mut component = component::of(&module, name)?;
        component::stamp(&mut component, &sources::digest(&root, name)?);
        write(&root.join(to), &component)?;
    }
    for (name, bytes) in hostile::all(&root)? {
        write(
            &root.join("tests/hostile").join(name).with_extension("wasm"),
            &bytes,
        )?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)?;
    println!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}
