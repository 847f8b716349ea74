//! Certificates that are wrong in each way there is, and what is said of them; and one that is replaced while it is served.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;

use super::*;

/// A self-signed certificate for `localhost` and its key, as files.
fn made(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    made_until(dir, name, 2100)
}

fn made_until(dir: &Path, name: &str, year: i32) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let cert = params.self_signed(&key).unwrap();
    let (cert_file, key_file) = (
        dir.join(format!("{name}.pem")),
        dir.join(format!("{name}-key.pem")),
    );
    fs::write(&cert_file, cert.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    (cert_file, key_file)
}

fn files((cert, key): &(PathBuf, PathBuf)) -> ServerTlsFiles {
    ServerTlsFiles {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: None,
        require_client_cert: false,
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = made(dir.path(), "a");
    let (_, other_key) = made(dir.path(), "b");
    let junk = dir.path().join("junk");
    fs::write(&junk, "hello").unwrap();
    let torn = dir.path().join("torn");
    let whole = fs::read_to_string(&cert).unwrap();
    fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let absent = dir.path().join("absent");
    for (cert, key, said) in [
        (&absent, &key, "absent"),
        (&cert, &absent, "absent"),
        (&junk, &key, "BEGIN CERTIFICATE"),
        (&cert, &junk, "BEGIN PRIVATE KEY"),
        (&torn, &key, "damaged"),
        (&key, &key, "swapped"),
        (&cert, &cert, "swapped"),
        (&cert, &other_key, "does not match"),
    ] {
        let error = ServerTls::load(files(&(cert.clone(), key.clone())))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said:?} is missing in {error:?}");
        let error = ClientTls::load(None, Some((cert, key)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said:?} is missing in {error:?}");
    }
    let error = ClientTls::load(Some(&key), None).unwrap_err().to_string();
    assert!(error.contains("no certificate"), "{error}");
    assert!(ServerTls::load(files(&(cert.clone(), key.clone()))).is_ok());
    assert!(ClientTls::load(Some(&cert), Some((&cert, &key))).is_ok());
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = made(dir.path(), "a");
    let tls = ServerTls::load(files(&(cert.clone(), key.clone()))).unwrap();
    let before = tls.config();
    fs::write(&cert, "no certificate").unwrap();
    assert!(tls.reload().is_err());
    assert!(Arc::ptr_eq(&before, &tls.config()));
    let (new_cert, new_key) = made(dir.path(), "b");
    fs::rename(new_cert, &cert).unwrap();
    fs::rename(new_key, &key).unwrap();
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &tls.config()));
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (_, key) = made(dir.path(), "a");
    assert_eq!(readable_by_others(&key), None);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let warning = readable_by_others(&key).unwrap();
    assert!(warning.contains("chmod 600"), "{warning}");
}

#[test]
fn a_certificate_that_is_over_or_soon_will_be_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let warning = |year| {
        let (cert, _) = made_until(dir.path(), "a", year);
        let chain: Vec<CertificateDer<'static>> =
            files::certificates("certificate", &cert).unwrap();
        files::time_warning(&cert, &chain)
    };
    assert_eq!(warning(2100), None);
    let over = warning(2021).unwrap();
    assert!(
        over.contains("expired") && over.contains("days ago"),
        "{over}"
    );
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1)
        + std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
        + Duration::from_secs(86_400);
    let cert = dir.path().join("soon.pem");
    fs::write(&cert, params.self_signed(&key).unwrap().pem()).unwrap();
    let chain = files::certificates("certificate", &cert).unwrap();
    let soon = files::time_warning(&cert, &chain).unwrap();
    assert!(soon.contains("within 30 days"), "{soon}");
}
