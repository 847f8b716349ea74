//! A certificate authority for one cluster, and what it signs.
//!
//! The authority's certificate can be made again from its key alone (its name is derived from it), so signing later needs no
//! reading of certificates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ffrtmp_api::text::hex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// How long the authority is valid, in days: ten years, the life of a farm.
pub const CA_DAYS: u64 = 3_650;
/// How long what it signs is valid, in days. 825 is the most that Apple's clients accept.
pub const SIGNED_DAYS: u64 = 825;
/// How far before now certificates begin, in days: clocks differ.
const BACKDATED_DAYS: u64 = 1;

/// An authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Signed {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// The authority of this key.
    pub fn of(key: KeyPair) -> Result<Authority, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        // Two clusters' authorities must not have one name: a client that trusts the wrong one is then told so.
        let id: String = hex(&params.key_identifier(&key)).chars().take(8).collect();
        params.distinguished_name = name(&format!("ffrtmp cluster authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_days(&mut params, CA_DAYS);
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A certificate for a server that is reached by these names and addresses.
    pub fn server(&self, hosts: Vec<String>) -> Result<Signed, rcgen::Error> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = name("ffrtmp master");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A certificate for a worker to show.
    pub fn worker(&self, worker: &str) -> Result<Signed, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name(worker);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Signed, rcgen::Error> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_days(&mut params, SIGNED_DAYS);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Signed {
            cert,
            key: key.serialize_pem(),
        })
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn set_days(params: &mut CertificateParams, days: u64) {
    // A clock before 1970 makes certificates of 1970, which every client refuses with a word about clocks.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let day = Duration::from_secs(86_400);
    let today = date_time_ymd(1970, 1, 1) + now;
    params.not_before = today - day * BACKDATED_DAYS as u32;
    params.not_after = today + day * days as u32;
}
