//! One connection: dials it, writes chunks of whole frames, reads frames. Knows nothing of sessions.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bbq_wire::frame::PREFACE;
use bbq_wire::{Frame, FrameError, Splitter};
use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_websockets::{ClientBuilder, Config, Limits, Message, WebSocketStream};

use crate::address::{Address, Transport};

/// Time for TCP, TLS and the WebSocket upgrade together.
const DIAL: Duration = Duration::from_secs(10);
/// Frames that wait are joined up to this size, so that one write (one WebSocket message) carries many.
const CHUNK: usize = 16 * 1024;
/// Read at once, on the stack.
const READ: usize = 8 * 1024;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It failed or was closed.
    Gone(io::Error),
    /// The gate sent what is no frame.
    BadFrame(FrameError),
}

/// One open connection.
pub(crate) struct Wire {
    line: Line,
    /// Bytes that were read and are not yet a frame; on a WebSocket, the rest of a message.
    incoming: BytesMut,
    /// The chunk that is being written.
    chunk: Bytes,
    unflushed: bool,
    splitter: Splitter,
}

enum Line {
    Stream(Io),
    WebSocket(Box<WebSocketStream<Io>>),
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects, within ten seconds.
    pub(crate) async fn dial(
        address: Address,
        tls: Option<Arc<rustls::ClientConfig>>,
        max_frame: u32,
    ) -> io::Result<Self> {
        let dialing = Self::connect(address, tls, max_frame);
        tokio::time::timeout(DIAL, dialing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn connect(address: Address, tls: Option<Arc<rustls::ClientConfig>>, max_frame: u32) -> io::Result<Self> {
        let tcp = TcpStream::connect((&*address.host, address.port)).await?;
        tcp.set_nodelay(true)?;
        let io = if address.tls { Io::Tls(Box::new(secure(tcp, &address, tls).await?)) } else { Io::Plain(tcp) };
        let (line, chunk) = match address.transport {
            Transport::Stream => (Line::Stream(io), Bytes::from_static(PREFACE)),
            Transport::WebSocket => (Line::WebSocket(Box::new(upgrade(io, &address, max_frame).await?)), Bytes::new()),
        };
        let splitter = Splitter::new(max_frame);
        Ok(Self { line, incoming: BytesMut::new(), chunk, unflushed: false, splitter })
    }

    /// Writes `frames`; ready when the socket has taken all of them.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut VecDeque<Bytes>) -> Poll<io::Result<()>> {
        loop {
            if self.chunk.is_empty() {
                self.chunk = join(frames);
            }
            if self.chunk.is_empty() {
                break;
            }
            ready!(self.poll_chunk(cx))?;
            self.unflushed = true;
        }
        if self.unflushed {
            match &mut self.line {
                Line::Stream(io) => ready!(Pin::new(io).poll_flush(cx))?,
                Line::WebSocket(socket) => ready!(Pin::new(socket).poll_flush(cx)).map_err(io::Error::other)?,
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Lost>> {
        loop {
            if let Some(frame) = self.next_frame().map_err(Lost::BadFrame)? {
                if self.incoming.is_empty() {
                    self.incoming = BytesMut::new();
                }
                return Poll::Ready(Frame::decode(frame).map_err(Lost::BadFrame));
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// Says goodbye, as far as the socket takes it without waiting.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) {
        // The connection is dropped right after: what does not go out now never does.
        let _ = match &mut self.line {
            Line::Stream(io) => Pin::new(io).poll_shutdown(cx).map(drop),
            Line::WebSocket(socket) => Pin::new(socket).poll_close(cx).map(drop),
        };
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line {
            Line::Stream(io) => {
                let written = ready!(Pin::new(io).poll_write(cx, &self.chunk))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.chunk.advance(written);
            }
            Line::WebSocket(socket) => {
                ready!(Pin::new(&mut **socket).poll_ready(cx)).map_err(io::Error::other)?;
                let message = Message::binary(std::mem::take(&mut self.chunk));
                Pin::new(socket).start_send(message).map_err(io::Error::other)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.splitter.next(&mut self.incoming) {
            // A message ends with a whole frame.
            Ok(None) if !self.incoming.is_empty() && matches!(self.line, Line::WebSocket(_)) => {
                Err(FrameError::Incomplete)
            }
            result => result,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        match &mut self.line {
            Line::Stream(io) => {
                let mut scratch = [0; READ];
                let mut buffer = ReadBuf::new(&mut scratch);
                ready!(Pin::new(io).poll_read(cx, &mut buffer)).map_err(Lost::Gone)?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Err(Lost::Gone(io::ErrorKind::UnexpectedEof.into())));
                }
                self.incoming.extend_from_slice(buffer.filled());
            }
            Line::WebSocket(socket) => match ready!(Pin::new(socket).poll_next(cx)) {
                None => return Poll::Ready(Err(Lost::Gone(io::ErrorKind::UnexpectedEof.into()))),
                Some(Err(error)) => return Poll::Ready(Err(Lost::Gone(io::Error::other(error)))),
                Some(Ok(message)) if message.is_binary() => self.incoming = BytesMut::from(message.into_payload()),
                Some(Ok(message)) if message.is_text() => {
                    return Poll::Ready(Err(Lost::BadFrame(FrameError::BadLength)));
                }
                Some(Ok(_)) => {}
            },
        }
        Poll::Ready(Ok(()))
    }
}

async fn secure(
    tcp: TcpStream,
    address: &Address,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> io::Result<TlsStream<TcpStream>> {
    let config = tls.ok_or_else(|| io::Error::other("TLS needs Options::roots_pem or Options::tls"))?;
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, tcp).await
}

async fn upgrade(io: Io, address: &Address, max_frame: u32) -> io::Result<WebSocketStream<Io>> {
    // A message may carry several frames; two of the longest is what a gate keeps for a slow client.
    let limits = Limits::default().max_payload_len(Some(max_frame as usize * 2 + 64));
    let builder = ClientBuilder::new().uri(&address.uri()).map_err(io::Error::other)?;
    let builder = builder.limits(limits).config(Config::default().frame_size(usize::MAX));
    Ok(builder.connect_on(io).await.map_err(io::Error::other)?.0)
}

/// Takes frames off the front, up to [`CHUNK`] bytes of them; a single frame is not copied.
fn join(frames: &mut VecDeque<Bytes>) -> Bytes {
    let Some(first) = frames.pop_front() else {
        *frames = VecDeque::new();
        return Bytes::new();
    };
    if frames.front().is_none_or(|second| first.len() + second.len() > CHUNK) {
        return first;
    }
    let mut chunk = BytesMut::from(first);
    while let Some(frame) = frames.pop_front_if(|frame| chunk.len() + frame.len() <= CHUNK) {
        chunk.extend_from_slice(&frame);
    }
    chunk.freeze()
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_joined_and_large_ones_are_not() {
        let frame = |len: usize| Bytes::from(vec![1; len]);
        let mut frames = VecDeque::from([frame(10), frame(20), frame(CHUNK), frame(5)]);
        assert_eq!(join(&mut frames).len(), 30);
        assert_eq!(join(&mut frames).len(), CHUNK);
        assert_eq!(join(&mut frames).len(), 5);
        assert!(join(&mut frames).is_empty());
        assert_eq!(frames.capacity(), 0);
    }
}
