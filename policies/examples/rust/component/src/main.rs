//! Makes `my-policy.wasm`: `cargo run -p component`.

mod compile;
mod component;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let module = compile::module(&root, &root, "policy", &root.join("target/guest"))?;
    let component = component::of(&module, "the policy")?;
    std::fs::write(root.join("my-policy.wasm"), &component)?;
    println!("my-policy.wasm: {} bytes", component.len());
    Ok(())
}
