//! A look at a folder that changes nothing: whether it could be made and written, or read.

use std::{fs, path::Path};

use rustix::fs::{Access, access};

/// Whether this process could make files in `dir`, making it first if it is not there. `Ok(false)`: it is not there yet.
///
/// # Errors
/// Why not.
pub fn writable(dir: &Path) -> Result<bool, String> {
    let mut place = std::path::absolute(dir).map_err(|error| error.to_string())?;
    let mut exists = true;
    loop {
        match fs::metadata(&place) {
            Ok(meta) if !meta.is_dir() => {
                return Err(format!("{} is a file, not a directory", place.display()));
            }
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => exists = false,
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => exists = false,
            Err(error) => return Err(format!("{}: {error}", place.display())),
        }
        if !place.pop() {
            return Err(format!("{} has no directory above it", dir.display()));
        }
    }
    match access(&place, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(exists),
        Err(error) => Err(format!("{} cannot be written: {error}", place.display())),
    }
}

/// The policies in `dir`, by file name, and those among them that are no WebAssembly.
///
/// # Errors
/// It cannot be read.
pub fn policies(dir: &Path) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut there, mut junk) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let entry = entry.map_err(|error| format!("{}: {error}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".wasm") || name.starts_with('.') {
            continue;
        }
        // A FIFO would be waited for.
        let regular = fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file());
        if !regular || !begins_as_wasm(&entry.path()) {
            junk.push(name.clone());
        }
        there.push(name);
    }
    there.sort();
    junk.sort();
    Ok((there, junk))
}

fn begins_as_wasm(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read =
        fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    read.is_ok() && magic == *b"\0asm"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_judged_without_being_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(dir.path()), Ok(true));
        assert_eq!(writable(&dir.path().join("a/b")), Ok(false));
        assert!(!dir.path().join("a").exists());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = writable(&path).unwrap_err();
            assert!(
                error.ends_with("file is a file, not a directory"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_wasm_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("good.wasm"), b"\0asm....").unwrap();
        fs::write(dir.path().join("junk.wasm"), "junk").unwrap();
        fs::write(dir.path().join("README"), "junk").unwrap();
        let (there, junk) = policies(dir.path()).unwrap();
        assert_eq!((there.len(), junk), (2, vec!["junk.wasm".to_owned()]));
    }
}
