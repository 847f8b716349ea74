//! The bearer token: kept as a digest, compared in constant time, never logged.

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{App, error::ApiError};

/// A token, as its SHA-256: what is held in memory or printed by mistake is not the token.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Of this text.
    pub fn new(text: &str) -> Token {
        Token(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `given` is the token. Digests of equal length are compared to the end, so time tells nothing.
    fn matches(&self, given: &str) -> bool {
        let given = Token::new(given);
        let difference = self
            .0
            .iter()
            .zip(given.0)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Lets a request through only with the token, when there is one.
pub async fn require_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(token) = &app.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    match given {
        Some(given) if token.matches(given) => next.run(request).await,
        Some(_) => ApiError::unauthorized("the bearer token is not this master's").into_response(),
        None => ApiError::unauthorized(
            "this master wants a token: set FFRTMP_TOKEN, or send `Authorization: Bearer TOKEN`",
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_matches_and_it_is_never_printed() {
        let token = Token::new("s3cret");
        assert!(token.matches("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
