//! One socket, plain or TLS, and the buffer that all connections of a thread read into and write out of.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How much one read takes at most.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Reads what is there: at most [`READ_BYTES`], in a buffer that is as large as what was read. Empty: the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let poll = match self {
                Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                Self::Tls(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            };
            poll.map_ok(|()| BytesMut::from(buffer.filled()))
        })
    }

    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, parts) {
            // One piece has a cheaper way through the system.
            (Self::Plain(stream), [part]) => Pin::new(stream).poll_write(context, part),
            (Self::Plain(stream), parts) => Pin::new(stream).poll_write_vectored(context, parts),
            (Self::Tls(stream), parts) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    /// Writes copies of `parts` as one piece; they are at most [`READ_BYTES`] together.
    pub(crate) fn poll_write_joined(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut len = 0;
            for part in parts {
                let Some(room) = buffer.get_mut(len..len + part.len()) else { break };
                room.copy_from_slice(part);
                len += part.len();
            }
            self.poll_write(context, &[IoSlice::new(&buffer[..len])])
        })
    }

    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
