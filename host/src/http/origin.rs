//! Keeps web pages out. A browser on the operator's machine can be made to send requests to a master on loopback by any
//! page it shows; without a token, nothing else would stop them from submitting jobs or joining as a worker.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{App, error::ApiError};

/// Refuses what a page of another site sent, and, while there is no token, what was sent to a name that is not loopback's
/// (a page can make its own name resolve to 127.0.0.1).
pub async fn refuse_other_sites(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if is_cross_site(headers) {
        return ApiError::forbidden("web pages of other sites may not use this API")
            .into_response();
    }
    let host = text(headers, header::HOST).or_else(|| request.uri().host());
    if app.tokens.is_open() && host.is_some_and(|host| !is_loopback(host)) {
        let message = "without a token this master answers only to localhost and 127.0.0.1; set a token, or use one of those";
        return ApiError::forbidden(message).into_response();
    }
    next.run(request).await
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    let other_origin = text(headers, header::ORIGIN).is_some_and(|origin| {
        let site = origin.split_once("://").map_or(origin, |(_, site)| site);
        Some(site) != text(headers, header::HOST)
    });
    let fetched = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    other_origin || matches!(fetched, Some("cross-site" | "same-site"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or("(not text)"))
}

/// Whether a `Host` names this machine to itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "10.0.0.1:8080",
            "",
            "[fe80::1]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_and_one_of_ours_is_not() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        assert!(is_cross_site(&headers(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "http://evil.example")
        ])));
        assert!(is_cross_site(&headers(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "null")
        ])));
        assert!(is_cross_site(&headers(&[
            ("host", "a"),
            ("sec-fetch-site", "cross-site")
        ])));
        assert!(!is_cross_site(&headers(&[
            ("host", "127.0.0.1:8080"),
            ("origin", "http://127.0.0.1:8080")
        ])));
        assert!(
            !is_cross_site(&headers(&[("host", "127.0.0.1:8080")])),
            "no browser"
        );
    }
}
