//! One connection as a stream of bytes in both directions: TCP, WebSocket or KCP.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::conversation::Conversation;
use crate::opening::{Door, Opened};
use crate::socket::Socket;
use crate::websocket::{self, Decoder, Event, MAX_HEADER};

/// Pause between two looks at a connection that has sent a single byte.
const SECOND_BYTE: Duration = Duration::from_millis(5);
/// Bytes on their way, above which pings are not answered: a client that does not read needs no pong.
const PONGS: usize = 4096;

/// One connection.
pub(super) enum Line {
    Stream(Stream),
    Kcp(Box<Conversation>),
}

/// TCP, perhaps with WebSocket on it.
pub(super) struct Stream {
    socket: Socket,
    websocket: Option<WebSocket>,
    /// On the way into the socket.
    writing: BytesMut,
}

struct WebSocket {
    decoder: Box<Decoder>,
    /// What was read and not yet decoded.
    raw: BytesMut,
}

impl Line {
    /// Tells TCP and WebSocket apart: the length of a frame that begins with `GE` would be over the limit. None: it is
    /// neither.
    pub(super) async fn of_stream(stream: TcpStream, door: &Door) -> io::Result<Option<Self>> {
        let mut first = [0; 2];
        while stream.peek(&mut first).await? == 1 {
            sleep(SECOND_BYTE).await;
        }
        if first != *b"GE" {
            let stream = Stream { socket: Socket::Plain(stream), websocket: None, writing: BytesMut::new() };
            return Ok(Some(Self::Stream(stream)));
        }
        let Some(Opened { socket, websocket: Some(decoder), rest }) = door.open(stream).await? else { return Ok(None) };
        let websocket = Some(WebSocket { decoder, raw: rest });
        Ok(Some(Self::Stream(Stream { socket, websocket, writing: BytesMut::new() })))
    }

    /// What arrived; empty: the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        match self {
            Self::Stream(stream) => stream.poll_read(context),
            Self::Kcp(conversation) => conversation.poll_read(context),
        }
    }

    /// Ready when `out` is empty and everything before it is on its way.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => stream.poll_write(context, out),
            Self::Kcp(conversation) => conversation.poll_write(context, out),
        }
    }

    /// Says goodbye. Ready when the peer has read everything, or is gone.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        ready!(self.poll_write(context, out))?;
        match self {
            Self::Stream(stream) => stream.poll_close(context),
            Self::Kcp(conversation) => conversation.poll_delivered(context),
        }
    }
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        let Some(websocket) = &mut self.websocket else { return self.socket.poll_read(context) };
        loop {
            let event = websocket.decoder.next(&mut websocket.raw);
            match event.map_err(|violation| io::Error::other(violation.0))? {
                Some(Event::Data { piece, .. }) if piece.is_empty() => {}
                Some(Event::Data { piece, .. }) => return Poll::Ready(Ok(piece)),
                Some(Event::Ping(_)) if self.writing.len() >= PONGS => {}
                Some(Event::Ping(payload)) => self.writing.extend_from_slice(&websocket::pong(&payload)),
                Some(Event::Close) => return Poll::Ready(Ok(BytesMut::new())),
                None => {
                    let bytes = ready!(self.socket.poll_read(context))?;
                    if bytes.is_empty() {
                        return Poll::Ready(Ok(bytes));
                    }
                    websocket.raw.extend_from_slice(&bytes);
                }
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        loop {
            while !self.writing.is_empty() {
                let written = ready!(self.socket.poll_write(context, &[IoSlice::new(&self.writing)]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.writing.advance(written);
            }
            self.writing = BytesMut::new();
            if out.is_empty() {
                return self.socket.poll_flush(context);
            }
            if self.websocket.is_some() {
                let mut header = [0; MAX_HEADER];
                let len = websocket::binary_header(out.len(), &mut header);
                self.writing.extend_from_slice(&header[..len]);
            }
            self.writing.unsplit(out.split());
        }
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.websocket.take().is_some() {
            self.writing.extend_from_slice(&websocket::close(1000));
        }
        ready!(self.poll_write(context, &mut BytesMut::new()))?;
        ready!(self.socket.poll_shutdown(context))?;
        while !ready!(self.socket.poll_read(context))?.is_empty() {}
        Poll::Ready(Ok(()))
    }
}
