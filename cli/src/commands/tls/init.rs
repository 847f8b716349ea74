//! `ffrtmp tls init`: the files, who may read them, and what to do with them.

use std::{
    fs,
    io::{self, Write, stdout},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use rcgen::KeyPair;

use super::authority::{Authority, SIGNED_DAYS, Signed};
use crate::exit::{Failure, Result};

/// Names every master's certificate holds: it is reached by them on its own machine.
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What to make.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder for the files, made if it is missing
    #[arg(long, value_name = "DIR", default_value = "tls")]
    dir: PathBuf,
    /// Name or address by which workers and clients reach the master; may be repeated
    #[arg(long, value_name = "NAME|IP", value_parser = host)]
    host: Vec<String>,
    /// Make a certificate for this worker to show; may be repeated
    #[arg(long, value_name = "NAME", value_parser = worker)]
    worker: Vec<String>,
    /// Replace certificates that are there already; never the authority
    #[arg(long)]
    force: bool,
}

/// A host name or an address.
fn host(text: &str) -> std::result::Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_prefix("*.").unwrap_or(text);
    if text.len() <= 253 && name.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is neither a host name nor an address, as in farm.example or 10.0.0.5 (no scheme, no port)"
        ))
    }
}

/// A worker's name, as a part of a file name.
fn worker(text: &str) -> std::result::Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?}: letters, digits, '-', '_' and '.' only, at most 64, as in encoder-7"
        ))
    }
}

/// Makes them, and says what to do next.
pub fn run(args: &InitArgs) -> Result {
    let dir = &args.dir;
    // The master's certificate is made when it is asked for, or when nothing else is.
    let for_master = !args.host.is_empty() || args.worker.is_empty();
    let pairs: Vec<(String, Option<&str>)> = for_master
        .then(|| ("server".to_owned(), None))
        .into_iter()
        .chain(
            args.worker
                .iter()
                .map(|name| (format!("worker-{name}"), Some(name.as_str()))),
        )
        .collect();
    if !args.force {
        for name in pairs
            .iter()
            .flat_map(|(pair, _)| [cert_name(pair), key_name(pair)])
        {
            let file = dir.join(name);
            if file.exists() {
                return Err(Failure::failed(format!(
                    "{} is there already; --force replaces it, another --dir leaves it",
                    file.display()
                )));
            }
        }
    }
    make_dir(dir)?;
    let (authority, made) = authority(dir)?;
    let mut hosts: Vec<String> = ALWAYS.map(String::from).to_vec();
    hosts.extend(
        args.host
            .iter()
            .filter(|h| !ALWAYS.contains(&h.as_str()))
            .cloned(),
    );
    for (pair, worker) in &pairs {
        let signed = match worker {
            None => authority.server(hosts.clone()),
            Some(name) => authority.worker(name),
        };
        write_pair(dir, pair, &signed.map_err(crypto)?)?;
    }
    tell(args, &hosts, for_master, made)
}

/// The authority in `dir`, made if there is none; and whether it was.
fn authority(dir: &Path) -> Result<(Authority, bool)> {
    let (cert, key) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
    match (cert.exists(), key.exists()) {
        (false, false) => {
            let pair = KeyPair::generate().map_err(crypto)?;
            let key_pem = pair.serialize_pem();
            let authority = Authority::of(pair).map_err(crypto)?;
            write(&key, &key_pem, 0o600)?;
            write(&cert, &authority.pem, 0o644)?;
            Ok((authority, true))
        }
        (_, true) => {
            let shown = key.display();
            let text = fs::read_to_string(&key)
                .map_err(|error| Failure::failed(format!("cannot read {shown}: {error}")))?;
            let pair = KeyPair::from_pem(&text)
                .map_err(|error| Failure::failed(format!("{shown} is no private key: {error}")))?;
            let authority = Authority::of(pair).map_err(crypto)?;
            // Lost or not, the same key gives an authority of the same name.
            if !cert.exists() {
                write(&cert, &authority.pem, 0o644)?;
            }
            Ok((authority, false))
        }
        (true, false) => Err(Failure::failed(format!(
            "{} is there but its key ca-key.pem is not, so nothing can be signed; bring the key back, or choose \
             another --dir for a new authority",
            cert.display()
        ))),
    }
}

fn tell(args: &InitArgs, hosts: &[String], for_master: bool, new_authority: bool) -> Result {
    let mut out = stdout();
    let at = |name: &str| args.dir.join(name).display().to_string();
    let ca = at("ca.pem");
    if new_authority {
        writeln!(
            out,
            "{ca}: the cluster's authority; copy it to every worker and client"
        )?;
        writeln!(
            out,
            "{}: its key, which can admit anybody; no machine needs it but the one you run this on",
            at("ca-key.pem")
        )?;
    }
    if for_master {
        writeln!(
            out,
            "{}, {}: the master's certificate and key, for {}, valid {SIGNED_DAYS} days",
            at(&cert_name("server")),
            at(&key_name("server")),
            hosts.join(", ")
        )?;
    }
    for name in &args.worker {
        let pair = format!("worker-{name}");
        writeln!(
            out,
            "{}, {}: for the worker {name}, valid {SIGNED_DAYS} days",
            at(&cert_name(&pair)),
            at(&key_name(&pair))
        )?;
    }
    writeln!(out, "\nNext:")?;
    let host = args.host.first().map_or("HOST", String::as_str);
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    };
    if for_master {
        let client_ca = if args.worker.is_empty() {
            String::new()
        } else {
            format!(" --tls-client-ca {ca}")
        };
        writeln!(
            out,
            "  on the master:   ffrtmp master --listen 0.0.0.0:8080 --token-file TOKEN --tls-cert {} --tls-key {}{client_ca}",
            at(&cert_name("server")),
            at(&key_name("server"))
        )?;
    }
    match args.worker.first() {
        Some(name) => {
            let pair = format!("worker-{name}");
            writeln!(
                out,
                "  on each worker:  ffrtmp worker --master https://{host}:8080 --token-file TOKEN --name {name} --tls-ca ca.pem \
                 --tls-client-cert {} --tls-client-key {}",
                cert_name(&pair),
                key_name(&pair)
            )?;
            if !for_master {
                writeln!(
                    out,
                    "  on the master:   start it with --tls-client-ca {ca}, and workers must show one of these"
                )?;
            }
        }
        None => writeln!(
            out,
            "  on each worker:  ffrtmp worker --master https://{host}:8080 --token-file TOKEN --tls-ca ca.pem"
        )?,
    }
    writeln!(
        out,
        "  on each client:  export FFRTMP_MASTER=https://{host}:8080 FFRTMP_TLS_CA=$PWD/ca.pem"
    )?;
    Ok(out.flush()?)
}

fn cert_name(pair: &str) -> String {
    format!("{pair}.pem")
}

fn key_name(pair: &str) -> String {
    format!("{pair}-key.pem")
}

fn make_dir(dir: &Path) -> Result {
    fs::create_dir_all(dir).map_err(|error| {
        Failure::failed(format!("cannot make the folder {}: {error}", dir.display()))
    })
}

/// The key first, so that a master that looks at the certificate's file does not find it without.
fn write_pair(dir: &Path, pair: &str, signed: &Signed) -> Result {
    write(&dir.join(key_name(pair)), &signed.key, 0o600)?;
    write(&dir.join(cert_name(pair)), &signed.cert, 0o644)
}

/// Writes a file so that it is never there half, nor with other permissions than it should have.
fn write(file: &Path, text: &str, mode: u32) -> Result {
    let mut temp = file.as_os_str().to_owned();
    temp.push(".new");
    let temp = PathBuf::from(temp);
    let written = || -> io::Result<()> {
        // One of an earlier run that was cut off may have other permissions.
        match fs::remove_file(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temp)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&temp, file)
    };
    written().map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
}

fn crypto(error: rcgen::Error) -> Failure {
    Failure::failed(format!("cannot make a certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn args(dir: &Path, hosts: &[&str], workers: &[&str], force: bool) -> InitArgs {
        InitArgs {
            dir: dir.to_owned(),
            host: hosts.iter().map(|h| (*h).to_owned()).collect(),
            worker: workers.iter().map(|w| (*w).to_owned()).collect(),
            force,
        }
    }

    #[test]
    fn keys_are_for_their_owner_only_and_nothing_is_overwritten_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        run(&args(dir, &["farm.example"], &["w1"], false)).unwrap();
        for key in ["ca-key.pem", "server-key.pem", "worker-w1-key.pem"] {
            assert_eq!(
                fs::metadata(dir.join(key)).unwrap().mode() & 0o777,
                0o600,
                "{key}"
            );
        }
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let (ca, server) = (text("ca.pem"), text("server.pem"));
        let Err(Failure::Failed(message)) = run(&args(dir, &["farm.example"], &[], false)) else {
            panic!("it was overwritten")
        };
        assert!(
            message.contains("server.pem") && message.contains("--force"),
            "{message}"
        );
        assert_eq!(text("server.pem"), server);
        run(&args(dir, &["farm.example"], &[], true)).unwrap();
        assert_ne!(text("server.pem"), server);
        run(&args(dir, &[], &["w2"], false)).unwrap();
        assert_eq!(text("ca.pem"), ca, "the authority stays");
    }

    #[test]
    fn an_authority_without_its_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        run(&args(dir.path(), &[], &["w1"], false)).unwrap();
        fs::remove_file(dir.path().join("ca-key.pem")).unwrap();
        let Err(Failure::Failed(message)) = run(&args(dir.path(), &[], &["w2"], false)) else {
            panic!("it was replaced")
        };
        assert!(message.contains("ca-key.pem"), "{message}");
    }

    #[test]
    fn hosts_are_names_or_addresses_without_scheme_or_port() {
        for good in [
            "farm",
            "farm.example",
            "10.0.0.5",
            "fe80::1",
            "*.farm.example",
        ] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["", "https://farm", "farm:8080", "a b", "-a", "a..b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        for bad in ["", "../x", ".x", "a/b"] {
            assert!(worker(bad).is_err(), "{bad}");
        }
    }
}
