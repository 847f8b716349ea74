//! Puts the alert rules of `deploy/rules` into the binary, for `ffrtmp up --metrics-stack`: a list of file names and contents,
//! made from the folder so that a new file of rules needs no second mention.

use std::{env, fmt::Write, fs, io, path::Path};

fn main() -> io::Result<()> {
    let rules = Path::new("../deploy/rules").canonicalize()?;
    println!("cargo:rerun-if-changed={}", rules.display());
    let mut files: Vec<_> = fs::read_dir(&rules)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default();
        writeln!(list, "({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    list.push(']');
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("rules.rs"), list)
}
