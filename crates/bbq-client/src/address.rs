//! Where a gate is: `tcp://host:port`, `tls://host:port`, `ws://host[:port][/path]`, `wss://host[:port][/path]`.

use bbq_wire::{Code, Error, Result};

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Stream,
    WebSocket,
}

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) transport: Transport,
    pub(crate) tls: bool,
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query, WebSocket only.
    pub(crate) path: String,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Error::new(
                Code::INVALID_ARGUMENT,
                format!("`{text}` is no address such as tcp://host:port or ws://host/path"),
            )
        })
    }

    /// What a gate wrote into GOAWAY: a whole address, or `host:port` reached in the same way as `self`.
    pub(crate) fn moved(&self, text: &str) -> Result<Self> {
        if text.contains("://") {
            return Self::parse(text);
        }
        let (host, port) = split_port(text, None)
            .ok_or_else(|| Error::new(Code::INVALID_ARGUMENT, format!("`{text}` is not host:port")))?;
        Ok(Self { host, port, ..self.clone() })
    }

    /// The target of the WebSocket upgrade.
    pub(crate) fn uri(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{}://{host}:{}{}", if self.tls { "wss" } else { "ws" }, self.port, self.path)
    }

    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (transport, tls, port) = match scheme {
            "tcp" => (Transport::Stream, false, None),
            "tls" => (Transport::Stream, true, None),
            "ws" => (Transport::WebSocket, false, Some(80)),
            "wss" => (Transport::WebSocket, true, Some(443)),
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_port(authority, port)?;
        let path = match path {
            "" => "/bbq".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Some(Self { transport, tls, host, port, path })
    }
}

fn split_port(authority: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => default?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_read() {
        let ws = Address::parse("ws://127.0.0.1:4000/bbq?x=1").unwrap();
        assert_eq!((ws.transport, ws.tls, ws.port, &*ws.path), (Transport::WebSocket, false, 4000, "/bbq?x=1"));
        assert_eq!(ws.uri(), "ws://127.0.0.1:4000/bbq?x=1");
        assert_eq!(Address::parse("wss://gate.example").unwrap().uri(), "wss://gate.example:443/bbq");
        let tls = Address::parse("tls://[::1]:9").unwrap();
        assert_eq!((tls.transport, tls.tls, &*tls.host, tls.port), (Transport::Stream, true, "::1", 9));
        assert_eq!(Address::parse("ws://[::1]/a").unwrap().uri(), "ws://[::1]:80/a");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "127.0.0.1:1", "tcp://host", "tcp://:1", "udp://a:1", "tcp://a:65536", "tcp://[::1:5"] {
            assert_eq!(Address::parse(text).unwrap_err().code, Code::INVALID_ARGUMENT, "{text}");
        }
    }

    #[test]
    fn a_gate_may_send_its_clients_elsewhere() {
        let first = Address::parse("wss://a:1/play").unwrap();
        assert_eq!(first.moved("b:2").unwrap().uri(), "wss://b:2/play");
        assert_eq!(first.moved("tcp://b:2").unwrap().transport, Transport::Stream);
        assert!(first.moved("nowhere").is_err());
    }
}
