//! Who may ask.
//!
//! With a token every request but the probes' and those for the page's own files must bring it (`Authorization: Bearer …`). Without one, everybody who reaches the address
//! may ask, but a browser may not for the pages of others: a request with a body whose `Origin` is not this server is refused, else any web
//! site could have records learned by a model on its visitor's own machine. A site may also give its own name the address of that machine, and
//! then is of one origin with the server; so one on loopback without a token knows no other names than addresses and `localhost`.

use super::ServeError;
use super::api::failure;
use super::page;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Shortest and longest token, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=1024;

/// A secret that requests bring. Compared in constant time; never shown.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Takes `text`, without white space around it.
    ///
    /// # Errors
    /// Fewer than 16 characters, more than 1024, or others than visible ASCII.
    pub fn new(text: &str) -> Result<Self, ServeError> {
        let text = text.trim();
        let fits = LENGTHS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(ServeError::Token) }
    }

    fn fits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let Some((scheme, given)) = given.and_then(|given| given.split_at_checked(7)) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(self.0.as_bytes()))
    }
}

/// Lets a request pass, or says why not.
pub(super) async fn check(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // The page's own files hold nothing of the run, and a browser must get as far as to ask for the token.
    let is_open = matches!(path, "/healthz" | "/readyz") || page::is_file(path);
    if !is_open && token.is_some_and(|token| !token.fits(request.headers())) {
        let why = "expected the header Authorization: Bearer TOKEN";
        return ([(header::WWW_AUTHENTICATE, "Bearer")], failure(StatusCode::UNAUTHORIZED, why))
            .into_response();
    }
    if request.method() == Method::POST && !is_own(request.headers()) {
        return failure(StatusCode::FORBIDDEN, "a browser may not ask for the page of another site");
    }
    next.run(request).await
}

/// Lets a request pass that calls this machine by an address or `localhost`.
pub(super) async fn by_own_name(request: Request, next: Next) -> Response {
    if request.headers().get(header::HOST).is_some_and(|host| !is_own_name(host.as_bytes())) {
        let why = "expected localhost or an address as the host: without a token only this machine may ask";
        return failure(StatusCode::FORBIDDEN, why);
    }
    next.run(request).await
}

fn is_own_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether no page of another origin asks.
fn is_own(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    authority.is_some_and(|authority| headers.get(header::HOST).is_some_and(|host| host == authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_address_and_as_localhost() {
        let own = ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]:8080", "10.0.0.7:1"];
        own.iter().for_each(|own| assert!(is_own_name(own.as_bytes()), "{own}"));
        let other = ["example.com", "example.com:8080", "localhost.example.com", "127.0.0.1.example.com", ""];
        other.iter().for_each(|other| assert!(!is_own_name(other.as_bytes()), "{other}"));
    }
}
