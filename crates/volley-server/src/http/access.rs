//! Who may ask: whoever has the token; without one, whoever is on this machine.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Failed;
use crate::error::ServerError;
use crate::token::Token;

/// What is asked of a request before anything else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// What it has to bring.
    pub(crate) token: Option<Token>,
    /// Whether it has to name this machine as its host: a page of the web whose name leads here does not.
    pub(crate) only_local_names: bool,
}

pub(super) async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.of(request.method(), request.headers(), request.uri().host()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failed(error).into_response(),
    }
}

impl Access {
    /// Errors: `unauthenticated`, `foreign_host`.
    fn of(&self, method: &Method, headers: &HeaderMap, host: Option<&str>) -> Result<(), ServerError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| text(HOST)).unwrap_or_default();
        if self.only_local_names && !is_local(host) {
            return Err(foreign("a request without a token names this machine as `localhost` or by its address"));
        }
        let is_foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, origin)| origin != host);
        if method != Method::GET && text(ORIGIN).is_some_and(is_foreign) {
            return Err(foreign("a page of another server may not ask this one to do anything"));
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = text(AUTHORIZATION).and_then(|value| value.split_once(' '));
        match given {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) => Ok(()),
            Some(_) => Err(ServerError::new("unauthenticated", "the token is not the one of this server")),
            None => Err(ServerError::new(
                "unauthenticated",
                "this server asks for a token: send `Authorization: Bearer TOKEN`, or set VOLLEY_TOKEN",
            )),
        }
    }
}

fn foreign(message: &str) -> ServerError {
    ServerError::new("foreign_host", message)
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access: &Access, method: Method, headers: &[(&'static str, &str)]) -> String {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        access.of(&method, &headers, None).map_or_else(|error| error.code().to_owned(), |()| "open".to_owned())
    }

    #[test]
    fn a_request_brings_the_token() {
        let access = Access { token: Token::new("s3cret"), only_local_names: false };
        for (given, expected) in [
            ("Bearer s3cret", "open"),
            ("bearer  s3cret", "open"),
            ("Bearer s3cre", "unauthenticated"),
            ("Bearer ", "unauthenticated"),
            ("Basic s3cret", "unauthenticated"),
            ("s3cret", "unauthenticated"),
        ] {
            assert_eq!(asked(&access, Method::GET, &[("authorization", given)]), expected, "{given}");
        }
        assert_eq!(asked(&access, Method::GET, &[]), "unauthenticated");
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        let access = Access { token: None, only_local_names: true };
        for host in ["localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "LocalHost"] {
            assert_eq!(asked(&access, Method::POST, &[("host", host)]), "open", "{host}");
        }
        for host in ["evil.example.org", "localhost.evil.org:8080", "10.0.0.1:8080", ""] {
            assert_eq!(asked(&access, Method::GET, &[("host", host)]), "foreign_host", "{host}");
        }
    }

    #[test]
    fn a_page_of_another_server_may_not_ask_for_anything_to_be_done() {
        let access = Access::default();
        let asked = |method, origin| asked(&access, method, &[("host", "localhost:8080"), ("origin", origin)]);
        assert_eq!(asked(Method::POST, "http://localhost:8080"), "open");
        for origin in ["http://evil.example.org", "null", "http://localhost:3000"] {
            assert_eq!(asked(Method::POST, origin), "foreign_host", "{origin}");
        }
    }
}
