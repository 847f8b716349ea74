//! What must not be read in a log: passwords, stream keys and signatures in the URLs of a job.
//!
//! ffmpeg repeats the URLs it is given in what it says. The command line it is started with cannot be hidden from its own
//! user and root; logs, messages and errors can.

use std::borrow::Cow;

use ffrtmp_api::settings::{Address, Output, Settings, Source};

/// Texts that are replaced wherever they turn up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden(Vec<(String, String)>);

impl Hidden {
    /// The secrets of these addresses.
    pub(crate) fn of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Hidden {
        let mut hidden = Vec::new();
        for address in addresses {
            // The whole URL reads better without its secrets than as stars alone; its parts may turn up apart from it.
            let whole = address.secret().to_owned();
            for secret in address.secrets() {
                let shown = match secret == whole {
                    true => address.to_string(),
                    false => "***".to_owned(),
                };
                hidden.push((secret, shown));
            }
        }
        Hidden(hidden)
    }

    /// The secrets of a job.
    pub(crate) fn of_job(settings: &Settings) -> Hidden {
        let input = match &settings.source {
            Source::Url(address) => Some(address),
            _ => None,
        };
        let output = match &settings.output {
            Some(Output::Put(address) | Output::Push(address)) => Some(address),
            _ => None,
        };
        Hidden::of(input.into_iter().chain(output))
    }

    /// `text` without them.
    pub(crate) fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for (secret, shown) in &self.0 {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), shown));
            }
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;

    #[test]
    fn a_stream_key_and_a_password_are_not_repeated() {
        let settings = Settings::resolve(&JobSpec {
            input: Some("https://u:hush1@h/a.mp4?sig=hush2".into()),
            output: Some("rtmp://h/live/hush3".into()),
            ..JobSpec::default()
        })
        .unwrap();
        let hidden = Hidden::of_job(&settings);
        let said = "Output #0, flv, to 'rtmp://h/live/hush3': https://u:hush1@h/a.mp4?sig=hush2 playpath hush3 hush1";
        assert_eq!(
            hidden.clean(said),
            "Output #0, flv, to 'rtmp://h/live/***': https://***@h/a.mp4?*** playpath *** ***"
        );
        assert_eq!(Hidden::default().clean(said), said);
    }
}
