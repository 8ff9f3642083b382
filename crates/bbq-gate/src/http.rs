//! The little HTTP that a gate speaks: the WebSocket upgrade, and single answers to GET. Sans I/O.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

/// Longest head of a request; a longer one is answered 431.
pub(crate) const MAX_HEAD: usize = 8 * 1024;
/// Most headers of a request; more are answered 431.
const MAX_HEADERS: usize = 64;

/// What is asked.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// Become a WebSocket; the value of `Sec-WebSocket-Accept`.
    Upgrade(String),
    /// Show a page.
    Page {
        /// Without query.
        path: String,
        /// Only the head of the answer is wanted.
        head_only: bool,
    },
    /// Not understood, or not allowed: the status line's end.
    Bad(&'static str),
}

/// Reads the head of a request: what is asked and how long the head is; `None`: more bytes are needed.
pub(crate) fn parse(input: &[u8]) -> Option<(Request, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Complete(len)) => Some((judge(&request), len)),
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Some((Request::Bad("431 Request Header Fields Too Large"), input.len()))
        }
        Err(_) => Some((Request::Bad("400 Bad Request"), input.len())),
    }
}

fn judge(request: &httparse::Request<'_, '_>) -> Request {
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let method = request.method.unwrap_or_default();
    let wants_websocket = header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    if wants_websocket {
        return match (method, header("sec-websocket-version"), header("sec-websocket-key")) {
            ("GET", Some("13"), Some(key)) if !key.is_empty() => Request::Upgrade(accept(key)),
            ("GET", Some("13"), _) => Request::Bad("400 Bad Request"),
            ("GET", _, _) => Request::Bad("426 Upgrade Required"),
            _ => Request::Bad("405 Method Not Allowed"),
        };
    }
    if !matches!(method, "GET" | "HEAD") {
        return Request::Bad("405 Method Not Allowed");
    }
    let path = request.path.unwrap_or("/");
    let path = path.split(['?', '#']).next().unwrap_or("/").to_owned();
    Request::Page { path, head_only: method == "HEAD" }
}

/// RFC 6455, section 4.2.2.
fn accept(key: &str) -> String {
    let text = [key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// The answer to an upgrade.
pub(crate) fn switching(accept: &str) -> Bytes {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").into()
}

/// A page; the connection ends with it.
pub(crate) fn page(status: &str, content_type: &str, body: &Bytes, head_only: bool) -> Vec<Bytes> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\n\
         Sec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if head_only { Bytes::new() } else { body.clone() };
    vec![head.into(), body]
}

/// A status and nothing else to say.
pub(crate) fn status(status: &str) -> Vec<Bytes> {
    page(status, "text/plain; charset=utf-8", &Bytes::from(format!("{status}\n")), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgrade_of_the_rfc_is_answered_as_in_the_rfc() {
        let text = "GET /chat?x HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let (request, len) = parse(format!("{text}rest").as_bytes()).unwrap();
        assert_eq!(request, Request::Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into()));
        assert_eq!(len, text.len());
    }

    #[test]
    fn pages_are_asked_for_by_path_and_heads_are_bounded() {
        let page = Request::Page { path: "/a".into(), head_only: false };
        assert_eq!(parse(b"GET /a?b=c HTTP/1.1\r\n\r\n").unwrap().0, page);
        assert_eq!(parse(b"GET /a HTTP/1.1\r\nHost: x\r\n"), None);
        assert!(matches!(parse(b"POST / HTTP/1.1\r\n\r\n"), Some((Request::Bad(_), _))));
        assert!(matches!(parse(b"\x00\x01\x02"), Some((Request::Bad(_), _))));
        let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; MAX_HEAD]].concat();
        assert!(matches!(parse(&endless), Some((Request::Bad(status), _)) if status.starts_with("431")));
    }
}
