//! From an accepted socket to something that speaks frames: which protocol is it?
//!
//! ```text
//! first byte 0x16 -> TLS -+-> "BBQ1"          -> native
//!                         +-> GET, Upgrade    -> WebSocket
//!                         '-> GET             -> a page, and the end
//! ```
//! The deadline is the machine's: it closes a connection that has no session in time, whatever it is doing here.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bbq_wire::frame::PREFACE;
use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::Pages;
use crate::http::{self, Request};
use crate::socket::Socket;
use crate::websocket::Decoder;

/// What a TLS client hello begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// What all openings have in common.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) only_tls: bool,
    pub(crate) pages: Pages,
    pub(crate) draining: Arc<AtomicBool>,
}

/// A connection that speaks frames.
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    /// `None`: native.
    pub(crate) websocket: Option<Box<Decoder>>,
    /// What was read beyond the opening.
    pub(crate) rest: BytesMut,
}

impl Door {
    /// Opens a connection; `None`: it was a page, or nothing that we speak.
    pub(crate) async fn open(&self, stream: TcpStream) -> io::Result<Option<Opened>> {
        let mut first = [0];
        let is_tls = stream.peek(&mut first).await? > 0 && first[0] == TLS_HANDSHAKE;
        let mut socket = match &self.tls {
            Some(tls) if is_tls => Socket::Tls(Box::new(tls.accept(stream).await?)),
            _ if is_tls || self.only_tls => return Ok(None),
            _ => Socket::Plain(stream),
        };
        let mut read = BytesMut::new();
        let request = loop {
            if !receive(&mut socket, &mut read).await? {
                return Ok(None);
            }
            if read.starts_with(PREFACE) {
                read.advance(PREFACE.len());
                return Ok(Some(Opened { socket, websocket: None, rest: read }));
            }
            if PREFACE.starts_with(&read) {
                continue;
            }
            if let Some((request, len)) = http::parse(&read) {
                read.advance(len.min(read.len()));
                break request;
            }
        };
        match request {
            Request::Upgrade(accept) => {
                send(&mut socket, &[http::switching(&accept)]).await?;
                Ok(Some(Opened { socket, websocket: Some(Box::default()), rest: read }))
            }
            Request::Page { path, head_only } => self.show(socket, &path, head_only).await,
            Request::Bad(status) => finish(socket, http::status(status)).await,
        }
    }

    async fn show(&self, socket: Socket, path: &str, head_only: bool) -> io::Result<Option<Opened>> {
        let answer = match path {
            "/healthz" => http::status("200 OK"),
            "/readyz" if self.draining.load(Ordering::Relaxed) => http::status("503 Service Unavailable"),
            "/readyz" => http::status("200 OK"),
            path => match self.pages.find(path) {
                Some((content_type, body)) => http::page("200 OK", &content_type, &body, head_only),
                None => http::status("404 Not Found"),
            },
        };
        finish(socket, answer).await
    }
}

/// Whether something came.
async fn receive(socket: &mut Socket, into: &mut BytesMut) -> io::Result<bool> {
    let bytes = poll_fn(|context| socket.poll_read(context)).await?;
    into.extend_from_slice(&bytes);
    Ok(!bytes.is_empty())
}

async fn send(socket: &mut Socket, parts: &[Bytes]) -> io::Result<()> {
    for part in parts {
        let mut part = part.clone();
        while !part.is_empty() {
            let written = poll_fn(|context| socket.poll_write(context, &[IoSlice::new(&part)])).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            part.advance(written);
        }
    }
    poll_fn(|context| socket.poll_flush(context)).await
}

/// Answers, then waits until the client has closed, so that the answer is not lost with what it still sends.
async fn finish(mut socket: Socket, answer: Vec<Bytes>) -> io::Result<Option<Opened>> {
    send(&mut socket, &answer).await?;
    poll_fn(|context| socket.poll_shutdown(context)).await?;
    while !poll_fn(|context| socket.poll_read(context)).await?.is_empty() {}
    Ok(None)
}
