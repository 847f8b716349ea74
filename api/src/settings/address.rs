//! URLs that media is read from or sent to, with their secrets kept out of sight.
//!
//! A type of its own so that no log line, error or debug print shows a password or a stream key by accident: both
//! `Debug` and `Display` hide them, and whoever needs the whole calls [`Address::secret`].

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    BadField,
    check::{bad, clip},
};
use crate::{limits, text};

words! {
    /// How media travels to or from a URL.
    Scheme {
        /// HTTP.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// RTMP.
        Rtmp = "rtmp",
        /// RTMP over TLS.
        Rtmps = "rtmps",
        /// SRT.
        Srt = "srt",
    }
}

impl Scheme {
    /// Whether it carries a stream as it happens, rather than a file.
    pub fn is_live(self) -> bool {
        matches!(self, Scheme::Rtmp | Scheme::Rtmps | Scheme::Srt)
    }
}

/// A URL that media is read from or sent to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    url: Url,
    scheme: Scheme,
    /// The host and port as written, where `url` holds an address instead; see [`Address::at`].
    named: Option<Box<str>>,
}

impl Address {
    /// Whether a text is meant as a URL: it has `scheme://` in front.
    pub fn looks_like_one(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty()
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host, as written: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Its port, or the one its scheme stands for.
    pub fn port(&self) -> u16 {
        self.url
            .port_or_known_default()
            .unwrap_or(match self.scheme {
                Scheme::Http => 80,
                Scheme::Https | Scheme::Rtmps => 443,
                Scheme::Rtmp => 1935,
                // One that names none is not accepted.
                Scheme::Srt => 0,
            })
    }

    /// The same with an IP address for its host, so that nobody looks the name up again. It is shown as it was written.
    pub fn at(&self, ip: IpAddr) -> Address {
        let mut fixed = self.clone();
        let written = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        // An IP address is a host that every URL can have.
        if fixed.url.set_host(Some(&written)).is_ok() {
            fixed.named.get_or_insert_with(|| self.host().into());
        }
        fixed
    }

    /// What an RTMP server is told it was called by, where [`Address::at`] put something else in the URL: its virtual hosts go by
    /// that. Composed as ffmpeg does: the server, and the application, which is the first part of the path or the first two.
    pub fn rtmp_tc_url(&self) -> Option<String> {
        let named = self
            .named
            .as_ref()
            .filter(|_| matches!(self.scheme, Scheme::Rtmp | Scheme::Rtmps))?;
        let path = self.url.path().trim_start_matches('/');
        let parts: Vec<&str> = path.splitn(3, '/').collect();
        let app = match parts.as_slice() {
            ["ondemand", ..] => "ondemand".to_owned(),
            [app, instance, _] if !instance.contains(':') => format!("{app}/{instance}"),
            [app, ..] => (*app).to_owned(),
            [] => String::new(),
        };
        Some(format!("{}://{named}:{}/{app}", self.scheme, self.port()))
    }

    /// The name a certificate must be for, where [`Address::at`] put an IP address in the URL.
    pub fn certificate_name(&self) -> Option<&str> {
        let named = self.named.as_deref()?;
        (self.scheme == Scheme::Rtmps).then(|| named.trim_matches(['[', ']']))
    }

    /// Its path: what an extension is looked for in.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The whole, secrets included. For the program or client that goes there, and nobody else.
    pub fn secret(&self) -> &str {
        self.url.as_str()
    }

    /// Every text of it that could be a secret, longest first: what is to be hidden wherever it turns up.
    pub fn secrets(&self) -> Vec<String> {
        let mut parts = vec![self.secret().to_owned()];
        parts.extend(self.url.password().map(str::to_owned));
        parts.extend(self.url.query().map(str::to_owned));
        if matches!(self.scheme, Scheme::Rtmp | Scheme::Rtmps) {
            parts.extend(stream_key(&self.url).map(str::to_owned));
        }
        parts.retain(|part| part.len() >= 4);
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    fn parse(text: &str) -> Result<Address, String> {
        if text.len() > limits::PATH_BYTES_MAX {
            return Err(format!(
                "{} bytes; at most {} are accepted",
                text.len(),
                limits::PATH_BYTES_MAX
            ));
        }
        if let Some(what) = text::unfit(text) {
            return Err(format!("holds {what}; leave it out"));
        }
        let (scheme, _) = text.split_once("://").unwrap_or((text, ""));
        let scheme = scheme.to_ascii_lowercase().parse::<Scheme>().map_err(|_| {
            let known: Vec<String> = Scheme::ALL.iter().map(|s| format!("{s}://")).collect();
            format!(
                "{:?} is not a scheme that is known here; use {} or a path",
                clip(scheme),
                known.join(", ")
            )
        })?;
        // The text itself is not shown: it may hold a password.
        let url = Url::parse(text).map_err(|why| format!("is not a URL: {why}"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("names no host, as in rtmp://host/app/stream".to_owned());
        }
        if url.fragment().is_some() {
            return Err("holds a fragment (#…), which no server is sent; leave it out".to_owned());
        }
        if scheme == Scheme::Srt && url.port().is_none() {
            return Err("names no port, as in srt://host:9000".to_owned());
        }
        Ok(Address {
            url,
            scheme,
            named: None,
        })
    }
}

/// The last part of an RTMP path: what lets a stream in.
fn stream_key(url: &Url) -> Option<&str> {
    let mut parts = url.path().trim_matches('/').split('/');
    let key = parts.next_back()?;
    // `rtmp://host/app` has none.
    parts.next().and((!key.is_empty()).then_some(key))
}

/// The address in `field`.
pub(super) fn address(field: &'static str, text: &str) -> Result<Address, BadField> {
    Address::parse(text).or_else(|why| bad(field, why))
}

impl fmt::Display for Address {
    /// Without user, password, query and stream key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if !self.url.username().is_empty() || self.url.password().is_some() {
            f.write_str("***@")?;
        }
        f.write_str(self.named.as_deref().unwrap_or(self.host()))?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        let key = match self.scheme {
            Scheme::Rtmp | Scheme::Rtmps => stream_key(&self.url),
            _ => None,
        };
        match key.and_then(|key| self.url.path().rfind(key)) {
            Some(at) => write!(f, "{}***", self.url.path().get(..at).unwrap_or_default())?,
            None => f.write_str(self.url.path())?,
        }
        if self.url.query().is_some() {
            f.write_str("?***")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Address, String> {
        Address::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        for (url, shown) in [
            ("rtmp://h/live/key123", "rtmp://h/live/***"),
            (
                "rtmp://u:pw@h:1936/a/b/key123?x=1",
                "rtmp://***@h:1936/a/b/***?***",
            ),
            ("rtmp://h/live", "rtmp://h/live"),
            ("https://u:pw@h/a.mp4?sig=abcd", "https://***@h/a.mp4?***"),
            ("srt://h:9000?passphrase=hushhush", "srt://h:9000?***"),
            ("http://[::1]:80/a", "http://[::1]/a"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
            let wire = serde_json::to_string(&address).unwrap();
            assert_eq!(serde_json::from_str::<Address>(&wire).unwrap(), address);
        }
    }

    #[test]
    fn a_host_can_be_replaced_by_its_address_and_the_server_is_told_its_name_all_the_same() {
        for (url, fixed, told) in [
            (
                "rtmp://u:p@media.test/live/key1",
                "rtmp://u:p@10.0.0.9/live/key1",
                Some("rtmp://media.test:1935/live"),
            ),
            (
                "rtmp://media.test:19/a/b/key1?x=1",
                "rtmp://10.0.0.9:19/a/b/key1?x=1",
                Some("rtmp://media.test:19/a/b"),
            ),
            (
                "rtmp://media.test/a/mp4:b/key1",
                "rtmp://10.0.0.9/a/mp4:b/key1",
                Some("rtmp://media.test:1935/a"),
            ),
            (
                "rtmps://media.test/live/key1",
                "rtmps://10.0.0.9/live/key1",
                Some("rtmps://media.test:443/live"),
            ),
            (
                "srt://media.test:9000?streamid=a",
                "srt://10.0.0.9:9000?streamid=a",
                None,
            ),
        ] {
            let written = Address::parse(url).unwrap();
            assert_eq!(written.rtmp_tc_url(), None);
            let address = written.at("10.0.0.9".parse().unwrap());
            assert_eq!(address.secret(), fixed);
            assert_eq!(address.rtmp_tc_url().as_deref(), told);
            assert_eq!(address.to_string(), written.to_string());
            let secure = url.starts_with("rtmps:").then_some("media.test");
            assert_eq!(address.certificate_name(), secure);
            assert_eq!(written.certificate_name(), None);
        }
        let six = Address::parse("srt://h:9")
            .unwrap()
            .at("fd00::1".parse().unwrap());
        assert_eq!(six.secret(), "srt://[fd00::1]:9");
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for (text, says) in [
            ("ftp://h/a", "is not a scheme"),
            ("file:///etc/passwd", "is not a scheme"),
            ("concat://a", "is not a scheme"),
            ("http://", "is not a URL"),
            ("http://u:secretpw@:99999/", "is not a URL"),
            ("rtmp:///app", "names no host"),
            ("srt://h", "names no port"),
            ("http://h/a#b", "fragment"),
            ("http://h/a\nb", "line break"),
        ] {
            let why = Address::parse(text).unwrap_err();
            assert!(
                why.contains(says) && !why.contains("secretpw"),
                "{text:?}: {why}"
            );
        }
    }
}
