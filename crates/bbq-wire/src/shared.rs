//! Message frames encoded once: everything after `seq` and `ack` is shared, the few bytes before are made per receiver.
//!
//! ```text
//! len:varint kind flags seq:varint [ack:varint] | method [key] [deadline] [trace] body
//!            Prefix, per receiver, on the stack | tail, shared
//! ```
//! A broadcast to ten thousand sessions is one tail. The rings that keep frames for a resume hold tails, too.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::code::Error;
use crate::codec::{Sink, varint_len};
use crate::frame::{self, Req, Trace, flag, kind, write_note, write_response};
use crate::id::Key;

/// Longest [`Prefix`]: len (5), kind, flags, seq (10), ack (10).
pub const MAX_PREFIX_BYTES: usize = 27;

/// Room for method, key, deadline and trace of most frames.
const HEAD_ROOM: usize = 16;

/// A message frame without its numbers. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedFrame {
    tail: Bytes,
    kind: u8,
    flags: u8,
}

/// The bytes that come before the tail.
#[derive(Clone, Copy)]
pub struct Prefix {
    bytes: [u8; MAX_PREFIX_BYTES],
    len: u8,
}

impl SharedFrame {
    /// A PUSH.
    #[must_use]
    pub fn push(method: u32, key: Option<&Key>, body: &[u8]) -> Self {
        Self::note(kind::PUSH, method, key, None, body)
    }

    /// A PUSH with a trace context.
    #[must_use]
    pub fn push_traced(method: u32, key: Option<&Key>, trace: Option<&Trace>, body: &[u8]) -> Self {
        Self::note(kind::PUSH, method, key, trace, body)
    }

    /// A NOTIFY.
    #[must_use]
    pub fn notify(method: u32, key: Option<&Key>, trace: Option<&Trace>, body: &[u8]) -> Self {
        Self::note(kind::NOTIFY, method, key, trace, body)
    }

    /// A REQ; its `seq` and `ack` are not used.
    #[must_use]
    pub fn request(req: &Req) -> Self {
        Self::new(kind::REQ, req.tail_flags(), req.body.len(), |out| req.write_tail(out))
    }

    /// A RSP to the REQ numbered `re`.
    #[must_use]
    pub fn response(re: u64, result: Result<&[u8], &Error>) -> Self {
        let body_len = result.map_or_else(|error| error.message.len(), <[u8]>::len);
        Self::new(kind::RSP, 0, body_len, |out| write_response(re, result, out))
    }

    /// The bytes that make this the frame number `seq`, acknowledging `ack` on the way.
    #[must_use]
    pub fn prefix(&self, seq: u64, ack: Option<u64>) -> Prefix {
        let mut prefix = Prefix::EMPTY;
        let ack_flag = if ack.is_some() { flag::ACK } else { 0 };
        prefix.varint(2 + varint_len(seq) as u64 + ack.map_or(0, varint_len) as u64 + self.tail.len() as u64);
        prefix.u8(self.kind);
        prefix.u8(self.flags | ack_flag);
        prefix.varint(seq);
        if let Some(ack) = ack {
            prefix.varint(ack);
        }
        prefix
    }

    /// The shared bytes.
    #[must_use]
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// Most bytes after `len` that the frame can have, whatever its numbers.
    #[must_use]
    pub const fn max_frame_len(&self) -> usize {
        self.tail.len() + MAX_PREFIX_BYTES - 5
    }

    /// The whole frame, in one buffer.
    #[must_use]
    pub fn to_bytes(&self, seq: u64, ack: Option<u64>) -> Bytes {
        let prefix = self.prefix(seq, ack);
        let mut out = BytesMut::with_capacity(prefix.as_slice().len() + self.tail.len());
        out.put(prefix.as_slice());
        out.put(&self.tail);
        out.freeze()
    }

    fn note(kind: u8, method: u32, key: Option<&Key>, trace: Option<&Trace>, body: &[u8]) -> Self {
        let flags = frame::key_flag(key) | frame::trace_flag(trace);
        Self::new(kind, flags, body.len(), |out| write_note(method, key, trace, body, out))
    }

    fn new(kind: u8, flags: u8, body_len: usize, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut tail = BytesMut::with_capacity(body_len + HEAD_ROOM);
        write(&mut tail);
        Self { tail: tail.freeze(), kind, flags }
    }
}

impl Prefix {
    /// No bytes.
    pub const EMPTY: Self = Self { bytes: [0; MAX_PREFIX_BYTES], len: 0 };

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Sink for Prefix {
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let slot = self.bytes.get_mut(usize::from(self.len)).expect("a prefix is at most MAX_PREFIX_BYTES");
            *slot = *byte;
            self.len += 1;
        }
    }
}

impl PartialEq for Prefix {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::frame::{Frame, Note, Rsp};

    #[test]
    fn prefix_and_tail_are_exactly_the_frame() {
        for (seq, ack, len) in [(1, None, 0), (0, Some(3), 5), (300, Some(u64::MAX), 200), (u64::MAX, None, 70_000)] {
            let (key, trace, body) = (Some(Key::from("room")), Some([7; 25]), Bytes::from(vec![9; len]));
            let note = Note { seq, ack, method: 4711, key: key.clone(), trace, body: body.clone() };
            let shared = SharedFrame::push_traced(4711, key.as_ref(), trace.as_ref(), &body);
            assert_eq!(shared.to_bytes(seq, ack), Frame::Push(note).to_bytes());

            let req = Req { seq, ack, method: 1, key: Some(5.into()), deadline_ms: Some(1000), trace, body };
            assert_eq!(SharedFrame::request(&req).to_bytes(seq, ack), Frame::Req(req).to_bytes());

            let error = Error::new(Code::BUSY, "later").retry_after(50);
            let rsp = Rsp { seq, ack, re: 9, result: Err(error.clone()) };
            assert_eq!(SharedFrame::response(9, Err(&error)).to_bytes(seq, ack), Frame::Rsp(rsp).to_bytes());
        }
    }
}
