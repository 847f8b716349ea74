//! The addresses a job names itself: checked before anything is made for it, and, for streams, fixed.
//!
//! RTMP and SRT know no proxy, and RTMP over TLS hangs over one. Their host is looked up once and ffmpeg is given the address that was
//! checked, so that it looks up nothing itself; an RTMP server is told the name the job used, and its certificate must be for that.

use std::{borrow::Cow, net::IpAddr};

use ffrtmp_api::settings::{Address, Output, Scheme, Settings, Source};

use super::Guard;
use crate::ffmpeg::diagnosis::Failure;

impl Guard {
    /// Whether a job may name `address`.
    ///
    /// # Errors
    /// A `user_error` that names the host, why it is not reached, and what would change that; a `network_error` if it has no
    /// address.
    pub(crate) async fn allowed(&self, address: &Address) -> Result<(), Failure> {
        self.look_up(address).await.map(|_| ())
    }

    /// `settings` with the addresses of streams in place of their names.
    ///
    /// # Errors
    /// As [`Guard::allowed`].
    pub(crate) async fn fixed<'a>(
        &self,
        settings: &'a Settings,
    ) -> Result<Cow<'a, Settings>, Failure> {
        let mut settings = Cow::Borrowed(settings);
        if let Source::Url(address) = &settings.source
            && let Some(fixed) = self.fix(address).await?
        {
            settings.to_mut().source = Source::Url(fixed);
        }
        if let Some(Output::Push(address)) = &settings.output
            && let Some(fixed) = self.fix(address).await?
        {
            settings.to_mut().output = Some(Output::Push(fixed));
        }
        Ok(settings)
    }

    async fn fix(&self, address: &Address) -> Result<Option<Address>, Failure> {
        match address.scheme() {
            Scheme::Rtmp | Scheme::Rtmps | Scheme::Srt if !listens(address) => {
                let ip = self.look_up(address).await?;
                Ok(ip.map(|ip| address.at(ip)))
            }
            _ => Ok(None),
        }
    }

    /// The address to connect to; IPv4 first, because nothing tries another one if it does not answer.
    async fn look_up(&self, address: &Address) -> Result<Option<IpAddr>, Failure> {
        let (host, port) = (address.host(), address.port());
        if listens(address) && matches!(host, "0.0.0.0" | "[::]") {
            return Ok(None);
        }
        let found = self.hosts.addresses(host, port).await;
        let found = found.map_err(|trouble| trouble.into_failure(&address.to_string()))?;
        let first = found.iter().find(|a| a.is_ipv4()).or(found.first());
        Ok(first.map(|address| address.ip()))
    }
}

/// Whether ffmpeg waits for somebody to call, instead of calling: `srt://…?mode=listener`. Read exactly as ffmpeg reads it, which
/// takes the first `mode` and decodes nothing.
fn listens(address: &Address) -> bool {
    let query = address
        .secret()
        .split_once('?')
        .map_or("", |(_, query)| query);
    let mode = query.split('&').find_map(|word| word.strip_prefix("mode="));
    address.scheme() == Scheme::Srt && mode == Some("listener")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ffrtmp_api::job::{FailureReason, JobSpec};

    use super::*;
    use crate::guard::{hosts, proxy::Proxy};

    async fn guard() -> Guard {
        let hosts = Arc::new(hosts::tests::hosts(&[], false, false));
        Guard {
            proxy: Arc::new(Proxy::start(Arc::clone(&hosts)).await.unwrap()),
            hosts,
            roots: Arc::default(),
            raw_args: false,
        }
    }

    async fn fixed(input: &str, output: &str) -> Result<(String, String), Failure> {
        let spec = JobSpec {
            input: Some(input.into()),
            output: Some(output.into()),
            ..JobSpec::default()
        };
        let settings = Settings::resolve(&spec).unwrap();
        let fixed = guard().await.fixed(&settings).await?;
        let (Source::Url(input), Some(Output::Push(output))) = (&fixed.source, &fixed.output)
        else {
            panic!("{fixed:?}")
        };
        Ok((input.secret().to_owned(), output.secret().to_owned()))
    }

    #[tokio::test]
    async fn a_stream_is_given_to_ffmpeg_by_the_address_that_was_checked() {
        assert_eq!(
            fixed(
                "srt://nas.test:9000?streamid=x",
                "rtmp://u:p@public.test/live/key"
            )
            .await
            .unwrap(),
            (
                "srt://10.0.0.9:9000?streamid=x".into(),
                "rtmp://u:p@192.0.2.1/live/key".into()
            )
        );
        // Who listens calls nobody.
        assert_eq!(
            fixed(
                "srt://0.0.0.0:9000?mode=listener",
                "rtmps://public.test/live/key"
            )
            .await
            .unwrap(),
            (
                "srt://0.0.0.0:9000?mode=listener".into(),
                "rtmps://192.0.2.1/live/key".into()
            )
        );
    }

    #[tokio::test]
    async fn an_address_that_may_not_be_reached_is_the_user_s_error_and_says_no_secret() {
        for input in [
            "rtmp://metadata.test/live/key",
            "rtmp://169.254.169.254/live/key",
            "srt://rebind.test:9?mode=caller",
            "srt://127.0.0.1:9000",
            "srt://0.0.0.0:9000",
            // What ffmpeg would not take for a listener is none.
            "srt://127.0.0.1:9000?%6dode=listener",
            "srt://0.0.0.0:9000?mode=caller&mode=listener",
        ] {
            let failure = fixed(input, "rtmp://public.test/live/hush")
                .await
                .unwrap_err();
            assert_eq!(
                failure.reason,
                FailureReason::UserError,
                "{input}: {failure:?}"
            );
            assert!(!failure.message.contains("key"), "{failure:?}");
        }
    }
}
