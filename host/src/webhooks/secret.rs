//! The file of the keys that signatures are made with: in the data directory, for the master's eyes alone, made at the first start.
//!
//! A key a line, lines that begin with `#` aside. The first is the one receivers are told; every one signs, so an operator puts a
//! new one in front, tells it to receivers, and takes the old one out.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rustls::crypto::ring::default_provider;

use super::signature::Key;

/// Most keys at once: an old and a new one, and one more.
const KEYS_MAX: usize = 3;
/// Most bytes read of the file.
const FILE_BYTES_MAX: u64 = 4_096;

/// Its name in a data directory.
pub(crate) const FILE: &str = "webhook-secret";

/// Where it is, unless said otherwise.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The keys of `file`, the newest first. Makes the file if it is missing and `make` allows.
///
/// # Errors
/// When it cannot be read or made, is readable by others, or holds something else.
pub(super) fn load(file: &Path, make: bool) -> anyhow::Result<Vec<Key>> {
    let shown = file.display();
    match fs::metadata(file) {
        Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
            let key = random()?;
            write(file, &key).with_context(|| format!("{shown} cannot be made"))?;
            return Ok(vec![key]);
        }
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => bail!(
            "{shown} can be read by others, who could sign as this master: `chmod 600 {shown}`"
        ),
        Ok(meta) if meta.len() > FILE_BYTES_MAX => bail!(
            "{shown} has {} bytes; it is to hold at most {KEYS_MAX} lines, one key each",
            meta.len()
        ),
        Ok(_) => {}
    }
    let text = fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    let mut keys = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Key::parse(line) {
            Ok(key) => keys.push(key),
            Err(why) => bail!("{shown}, line {}: {why}", n + 1),
        }
    }
    if keys.is_empty() || keys.len() > KEYS_MAX {
        bail!(
            "{shown} holds {} keys; 1 to {KEYS_MAX} are accepted, one a line",
            keys.len()
        );
    }
    Ok(keys)
}

fn random() -> anyhow::Result<Key> {
    let mut bytes = [0; 32];
    default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(Key::new(bytes))
}

/// Whole or not at all, and never readable by others.
fn write(file: &Path, key: &Key) -> io::Result<()> {
    let part = file.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    writeln!(made, "{}", key.written())?;
    made.sync_all()?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_read_ever_after() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        assert!(
            load(&file, false).is_err(),
            "a file that was named is not made"
        );
        let made = load(&file, true).unwrap();
        assert_eq!(load(&file, true).unwrap(), made);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let old = fs::read_to_string(&file).unwrap();
        let new = Key::new([3; 32]);
        fs::write(&file, format!("# since May\n{}\n{old}", new.written())).unwrap();
        assert_eq!(load(&file, true).unwrap(), [vec![new], made].concat());
    }

    #[test]
    fn what_it_may_not_hold_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        load(&file, true).unwrap();
        for (text, said) in [
            ("", "holds 0 keys"),
            ("# none\n\nsecret", "line 3"),
            (&"x".repeat(5_000), "5000 bytes"),
        ] {
            fs::write(&file, text).unwrap();
            let error = load(&file, true).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("webhook-secret"),
                "{error}"
            );
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            load(&file, true)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
    }
}
