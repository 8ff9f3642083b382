//! The two languages that clients speak: the gate's, and that of the floors.
//!
//! The floors' frames are `len:u32 big-endian` and then that many bytes.

use std::io::{self, Read, Write};

use bbq_wire::frame::{Auth, Hello, PREFACE, Req};
use bbq_wire::{Frame, Key, Splitter};
use bytes::{Bytes, BytesMut};

/// Bytes of a question and of its answer.
pub(crate) const QUESTION_BYTES: usize = 64;
/// Bytes of a push.
pub(crate) const PUSH_BYTES: usize = 100;
/// Bytes before a frame of the floors.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Ids of the methods in `proto/gate.proto`.
mod method {
    pub(super) const SAY: u32 = 1;
    pub(super) const ENTER: u32 = 2;
    pub(super) const SHOUT: u32 = 3;
}
/// Key of the only hall.
const HALL: u64 = 1;
/// Pushes after which a client acknowledges, as `spec/wire.md` says.
const ACK_AFTER: u64 = 32;

/// What arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrived {
    /// The answer to the question with this number, or to the entrance (0).
    Answer(u64),
    Push,
}

/// One client's side of a conversation. Bytes to send are appended to `out`.
pub(crate) trait Dialect: Sized {
    /// What is sent first, and until when to wait before anything else is sent.
    fn open(number: u64, stream: &mut (impl Read + Write)) -> io::Result<Self>;
    /// Asks for 64 bytes; questions are numbered 1, 2, 3 ..
    fn question(&mut self, out: &mut BytesMut);
    /// Wants to get pushes; answered with [`Arrived::Answer`] unless there is nothing to enter.
    fn enter(&mut self, out: &mut BytesMut) -> bool;
    /// Asks for one push to everybody.
    fn shout(&mut self, out: &mut BytesMut);
    /// The next frame of `input`, if it is all there.
    fn next(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> io::Result<Option<Arrived>>;
}

/// A session at a gate.
pub(crate) struct Session {
    number: u64,
    sent: u64,
    seen: u64,
    told: u64,
    /// Seq of the first question, minus one.
    before_questions: u64,
    splitter: Splitter,
    body: Bytes,
}

/// A client of a floor.
pub(crate) struct Plain {
    answers: u64,
}

impl Dialect for Session {
    fn open(number: u64, stream: &mut (impl Read + Write)) -> io::Result<Self> {
        let mut out = BytesMut::from(&PREFACE[..]);
        opening(number).iter().for_each(|frame| frame.encode(&mut out));
        stream.write_all(&out)?;
        let (splitter, mut input) = (Splitter::new(u32::MAX), BytesMut::new());
        loop {
            let mut buffer = [0; 1024];
            let len = stream.read(&mut buffer)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            input.extend_from_slice(&buffer[..len]);
            if let Some(frame) = splitter.next(&mut input).map_err(io::Error::other)? {
                return match Frame::decode(frame).map_err(io::Error::other)? {
                    Frame::Welcome(_) => Ok(Self::new(number)),
                    other => Err(io::Error::other(format!("no welcome: {other:?}"))),
                };
            }
        }
    }

    fn question(&mut self, out: &mut BytesMut) {
        self.request(method::SAY, self.number, self.body.clone(), out);
    }

    fn enter(&mut self, out: &mut BytesMut) -> bool {
        self.request(method::ENTER, HALL, Bytes::new(), out);
        self.before_questions = self.sent;
        true
    }

    fn shout(&mut self, out: &mut BytesMut) {
        self.request(method::SHOUT, HALL, words(PUSH_BYTES), out);
    }

    fn next(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> io::Result<Option<Arrived>> {
        while let Some(frame) = self.splitter.next(input).map_err(io::Error::other)? {
            match Frame::decode(frame).map_err(io::Error::other)? {
                Frame::Rsp(rsp) => {
                    self.seen = rsp.seq;
                    let body = rsp.result.map_err(|error| io::Error::other(error.to_string()))?;
                    if !body.is_empty() && body != self.body {
                        return Err(io::Error::other("the answer is not what was asked"));
                    }
                    return Ok(Some(Arrived::Answer(rsp.re.saturating_sub(self.before_questions))));
                }
                Frame::Push(note) => {
                    self.seen = note.seq;
                    if note.body.len() != PUSH_BYTES {
                        return Err(io::Error::other("a push of another size"));
                    }
                    if self.seen - self.told >= ACK_AFTER {
                        self.told = self.seen;
                        Frame::Ack { seen: self.seen }.encode(out);
                    }
                    return Ok(Some(Arrived::Push));
                }
                Frame::Ping { nonce } => Frame::Pong { nonce, time_ms: 0 }.encode(out),
                Frame::Ack { .. } | Frame::Pong { .. } => {}
                other => return Err(io::Error::other(format!("unexpected: {other:?}"))),
            }
        }
        Ok(None)
    }
}

impl Session {
    fn new(number: u64) -> Self {
        let (splitter, body) = (Splitter::new(u32::MAX), words(QUESTION_BYTES));
        Self { number, sent: 0, seen: 0, told: 0, before_questions: 0, splitter, body }
    }

    fn request(&mut self, method: u32, key: u64, body: Bytes, out: &mut BytesMut) {
        self.sent += 1;
        let ack = (self.seen > self.told).then_some(self.seen);
        self.told = self.seen;
        let (seq, key) = (self.sent, Some(Key::from(key)));
        Frame::Req(Req { seq, ack, method, key, body, ..Req::default() }).encode(out);
    }
}

impl Dialect for Plain {
    fn open(_: u64, _: &mut (impl Read + Write)) -> io::Result<Self> {
        Ok(Self { answers: 0 })
    }

    fn question(&mut self, out: &mut BytesMut) {
        plain_frame(QUESTION_BYTES, out);
    }

    fn enter(&mut self, _: &mut BytesMut) -> bool {
        false
    }

    fn shout(&mut self, out: &mut BytesMut) {
        plain_frame(PUSH_BYTES, out);
    }

    fn next(&mut self, input: &mut BytesMut, _: &mut BytesMut) -> io::Result<Option<Arrived>> {
        let Some(len) = plain_length(input) else { return Ok(None) };
        if input.len() < LENGTH_BYTES + len {
            return Ok(None);
        }
        drop(input.split_to(LENGTH_BYTES + len));
        if len == PUSH_BYTES {
            return Ok(Some(Arrived::Push));
        }
        self.answers += 1;
        Ok(Some(Arrived::Answer(self.answers)))
    }
}

/// HELLO and AUTH of a guest.
pub(crate) fn opening(number: u64) -> [Frame; 2] {
    let auth = Auth { scheme: "guest".into(), token: format!("guest{number}").into(), device: String::new() };
    [Frame::Hello(Hello { version: 1, ..Hello::default() }), Frame::Auth(auth)]
}

/// A frame of a floor.
pub(crate) fn plain_frame(len: usize, out: &mut BytesMut) {
    out.extend_from_slice(&(len as u32).to_be_bytes());
    out.resize(out.len() + len, 7);
}

/// What a frame of a floor says of its length; `None`: not all of that has arrived.
pub(crate) fn plain_length(input: &[u8]) -> Option<usize> {
    let len = input.first_chunk::<LENGTH_BYTES>()?;
    Some(u32::from_be_bytes(*len) as usize)
}

/// An encoded `bench.Words` of so many bytes, at most 129.
fn words(len: usize) -> Bytes {
    let text = len - 2;
    let mut body = vec![7; len];
    body[0] = 1 << 3 | 2;
    body[1] = text as u8;
    body.into()
}
