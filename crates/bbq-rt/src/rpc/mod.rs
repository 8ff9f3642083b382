//! One ordered request/response protocol on a byte stream, between nodes and their center.
//!
//! ```text
//! frame   len: u32, big-endian (of what follows) │ kind: u8 │ id: u64, big-endian │ body
//!
//! client ► server   HELLO {protocol, nonce}   PROOF   CALL id request   WATCH id request   CANCEL id   PING
//! server ► client   HELLO {protocol, nonce}   PROOF   ANSWER id reply   ITEM id event      END id      PONG
//!                                             REFUSED {code, message}, then the end
//! ```
//! PROOF only where both ends have a [`Pass`]: the client's first, then the server's (`spec/mesh.md`, "Secret").
//!
//! Calls are pipelined, and begin on the server in the order in which they were sent; answers come in any order. Bodies
//! are MessagePack with named fields, so that the two ends may differ in version; this module does not look into them.
//!
//! Nothing is reserved because of a length that a peer wrote. A peer that is silent for too long is given up. Who has not
//! said hello is nobody yet: he may send one small frame, within a short time, and only so many may be in that state.

mod pass;
mod client;
mod server;
mod call;

pub use call::{Answer, Call, Item};
pub use client::{CallError, Client, ClientConfig};
pub use pass::Pass;
pub use server::{Handler, Server};

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bbq_core::control::{decode_named, encode_named};
use bbq_wire::proof::Nonce;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::secret::nonce;

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Largest frame, in bytes after its length. A larger one ends the connection.
pub const MAX_FRAME_BYTES: usize = 8 << 20;

/// Largest frame of an opening: who has not said who it is fills no memory.
const MAX_OPENING_BYTES: usize = 4096;

/// The protocol described above. Another number at the other end ends the connection.
const PROTOCOL: u32 = 1;

/// How often a client asks whether the server is there.
const PING_EVERY: Duration = Duration::from_secs(1);

/// A client gives up a connection when it heard nothing for this long.
const SILENCE: Duration = Duration::from_secs(3);

/// A server gives up a connection when it heard nothing for this long.
const CLIENT_SILENCE: Duration = Duration::from_secs(10);

/// No new frames are written while more than this many bytes wait for the socket.
const OUTBOX_BYTES: usize = 16 << 20;

const READ_BYTES: usize = 64 << 10;
const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 9;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Hello = 0,
    Call = 1,
    Answer = 2,
    Watch = 3,
    Item = 4,
    End = 5,
    Cancel = 6,
    Ping = 7,
    Pong = 8,
    Proof = 9,
    Refused = 10,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        const ALL: [Kind; 11] = [
            Kind::Hello,
            Kind::Call,
            Kind::Answer,
            Kind::Watch,
            Kind::Item,
            Kind::End,
            Kind::Cancel,
            Kind::Ping,
            Kind::Pong,
            Kind::Proof,
            Kind::Refused,
        ];
        ALL.get(usize::from(byte)).copied()
    }
}

#[derive(Debug)]
struct Frame {
    kind: Kind,
    id: u64,
    body: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    /// Of an end that has a [`Pass`].
    #[serde(default)]
    nonce: Option<Nonce>,
}

impl Hello {
    /// The nonce of the other end.
    fn check(frame: &Frame) -> io::Result<Option<Nonce>> {
        let other = decode_named::<Self>(&frame.body).ok().filter(|_| frame.kind == Kind::Hello);
        match other {
            Some(Self { protocol: PROTOCOL, nonce }) => Ok(nonce),
            Some(Self { protocol, .. }) => Err(broken(format!("the peer speaks protocol {protocol}, not {PROTOCOL}"))),
            None => Err(broken("the peer did not say hello")),
        }
    }
}

fn broken(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// One end of a connection.
#[derive(Debug)]
struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    inbox: BytesMut,
    outbox: BytesMut,
    /// Largest frame that is read.
    limit: usize,
    /// What we sent with our hello.
    nonce: Option<Nonce>,
}

impl Connection {
    /// Begins with a hello.
    fn new(stream: TcpStream, has_pass: bool) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let (inbox, outbox) = (BytesMut::new(), BytesMut::new());
        let nonce = has_pass.then(nonce);
        let mut connection = Self { reader, writer, inbox, outbox, limit: MAX_OPENING_BYTES, nonce };
        connection.push(Kind::Hello, 0, &encode_named(&Hello { protocol: PROTOCOL, nonce }));
        Ok(connection)
    }

    /// Writes what is queued, says that nothing follows, and waits for the other end to close: what lies unread in a
    /// socket when it is closed would take our last words with it.
    async fn finish(mut self) -> io::Result<()> {
        self.writer.write_all_buf(&mut self.outbox).await?;
        self.writer.shutdown().await?;
        let mut nothing = [0; 1024];
        while self.reader.read(&mut nothing).await? > 0 {}
        Ok(())
    }

    /// Queues a frame. Bodies are at most [`MAX_FRAME_BYTES`] less the head; callers see to it.
    fn push(&mut self, kind: Kind, id: u64, body: &[u8]) {
        let len = u32::try_from(body.len() + HEAD_BYTES).expect("bodies are at most a few MiB");
        self.outbox.put_u32(len);
        self.outbox.put_u8(kind as u8);
        self.outbox.put_u64(id);
        self.outbox.put_slice(body);
    }

    /// Whether another frame should be queued.
    fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_BYTES
    }

    /// Writes what is queued, and reads until there is a frame; without `read` it only writes, for ever. Nothing is lost
    /// when the future is dropped.
    async fn turn(&mut self, read: bool) -> io::Result<Frame> {
        loop {
            if read && let Some(frame) = cut(&mut self.inbox, self.limit)? {
                return Ok(frame);
            }
            self.inbox.reserve(READ_BYTES);
            let idle = self.outbox.is_empty();
            tokio::select! {
                written = self.writer.write_buf(&mut self.outbox), if !idle => drop(written?),
                count = self.reader.read_buf(&mut self.inbox), if read => if count? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                },
                () = std::future::pending(), if idle && !read => {}
            }
        }
    }
}

/// Takes a whole frame off the front.
fn cut(inbox: &mut BytesMut, limit: usize) -> io::Result<Option<Frame>> {
    let Some(len) = inbox.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    if !(HEAD_BYTES..=limit).contains(&len) {
        return Err(broken(format!("a frame of {len} bytes")));
    }
    if inbox.len() < LENGTH_BYTES + len {
        return Ok(None);
    }
    inbox.advance(LENGTH_BYTES);
    let mut body = inbox.split_to(len).freeze();
    let kind = body.get_u8();
    let id = body.get_u64();
    let kind = Kind::of(kind).ok_or_else(|| broken(format!("a frame of the unknown kind {kind}")))?;
    Ok(Some(Frame { kind, id, body }))
}

#[cfg(test)]
mod tests;
