//! Builds the bundled policies into components, and the hostile guests that the tests run.
//!
//! `cargo run --release --manifest-path policies/build/Cargo.toml` from the repository's root, or `make policies`. What it
//! writes is committed: the product and its tests need no wasm toolchain. Run it after changing `wit/`, the SDK, a
//! bundled policy or a hostile guest. With three arguments (a crate's folder, its package's name, a file) it builds that one
//! policy into that file.

mod bindings;
mod compile;
mod component;
mod hostile;
mod sources;
mod stamp;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let target = root.join("policies/build/target/guests");
    if let [folder, package, to] = &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        let folder = Path::new(folder).canonicalize()?;
        let module = compile::module(&folder, &folder, package, &target)?;
        return write(Path::new(to), &component::of(&module, package)?);
    }
    bindings::write(&root)?;
    for (name, to) in sources::BUNDLED {
        let folder = root.join("policies").join(name);
        let package = format!("ffrtmp-policy-{name}");
        let module = compile::module(&root, &folder, &package, &target)?;
        let mut component = component::of(&module, name)?;
        stamp::write(&mut component, &sources::digest(&root, name)?);
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
