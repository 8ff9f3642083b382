//! The frames between a client and a gate (`spec/wire.md`, section 2) as plain values.
//!
//! ```text
//! frame := len:varint kind:u8 flags:u8 fields
//! ```
//! [`Frame::encode`] writes a whole frame, [`Frame::decode`] reads what follows `len`. Cutting a stream into frames is
//! [`crate::split`]; writing one body to many receivers is [`crate::shared`].

use bytes::{Bytes, BytesMut};

use crate::code::{Code, Error};
use crate::codec::{Counter, ReadError, Reader, Sink};
use crate::id::{Key, SessionId};

/// The version that this crate speaks.
pub const VERSION: u32 = 1;
/// What a client sends first on a byte stream.
pub const PREFACE: &[u8; 4] = b"BBQ1";
/// Longest frame (bytes after `len`) from a client that has no session yet.
pub const LIMIT_OPENING: u32 = 4 * 1024;
/// Longest frame from client to gate, by default.
pub const LIMIT_UP: u32 = 64 * 1024;
/// Longest frame from gate to client, by default.
pub const LIMIT_DOWN: u32 = 1024 * 1024;

/// A W3C trace context: trace id (16), span id (8), flags (1).
pub type Trace = [u8; 25];

pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const WELCOME: u8 = 2;
    pub(crate) const AUTH: u8 = 3;
    pub(crate) const RESUME: u8 = 4;
    pub(crate) const REQ: u8 = 5;
    pub(crate) const RSP: u8 = 6;
    pub(crate) const NOTIFY: u8 = 7;
    pub(crate) const PUSH: u8 = 8;
    pub(crate) const ACK: u8 = 9;
    pub(crate) const PING: u8 = 10;
    pub(crate) const PONG: u8 = 11;
    pub(crate) const GOAWAY: u8 = 12;
    pub(crate) const KICK: u8 = 13;
    pub(crate) const ERR: u8 = 15;
    pub(crate) const BYE: u8 = 16;
}

pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x01;
    pub(crate) const KEY_U64: u8 = 0x02;
    pub(crate) const KEY_STR: u8 = 0x04;
    pub(crate) const DEADLINE: u8 = 0x08;
    pub(crate) const TRACE: u8 = 0x10;
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Client: who I am.
    Hello(Hello),
    /// Gate: the session is open.
    Welcome(Box<Welcome>),
    /// Client: open a new session.
    Auth(Auth),
    /// Client: continue a session.
    Resume(Resume),
    /// A call that wants an answer.
    Req(Req),
    /// The answer to a call.
    Rsp(Rsp),
    /// Client: a call that wants no answer.
    Notify(Note),
    /// Gate: a message that wants no answer.
    Push(Note),
    /// Everything up to and including `seen` has been accepted.
    Ack {
        /// Highest seq accepted.
        seen: u64,
    },
    /// Are you there?
    Ping {
        /// Comes back in the [`Frame::Pong`].
        nonce: u64,
    },
    /// I am.
    Pong {
        /// From the [`Frame::Ping`].
        nonce: u64,
        /// Wall clock of the answering side in Unix milliseconds; 0 from clients.
        time_ms: u64,
    },
    /// Gate: reconnect somewhere within `after_ms`.
    GoAway(GoAway),
    /// Gate: the session is over.
    Kick {
        /// Why.
        reason: Code,
        /// For people.
        message: Box<str>,
    },
    /// Client: the session is over; nobody comes back for it.
    Bye,
    /// Gate: why the connection closes, or why a resume failed.
    Err(Error),
}

/// Fields of HELLO.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Hello {
    /// Highest protocol version that the client speaks.
    pub version: u32,
    /// Bit set of optional features; none are defined yet.
    pub features: u64,
    /// Name and version of the SDK, for logs.
    pub sdk: String,
}

/// Fields of WELCOME.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Welcome {
    /// The version in force.
    pub version: u32,
    /// Whether an old session goes on.
    pub resumed: bool,
    /// The session.
    pub sid: SessionId,
    /// Secret for the next RESUME; replaces any earlier one.
    pub ticket: Bytes,
    /// The account that the gate found in the token.
    pub account: String,
    /// Highest client seq that the gate has accepted.
    pub peer_seen: u64,
    /// Silence after which to PING.
    pub heartbeat_ms: u32,
    /// Longest frame that the client may send.
    pub max_up: u32,
    /// Longest frame that the gate will send.
    pub max_down: u32,
    /// How long a detached session is kept.
    pub resume_ms: u32,
    /// The gate's wall clock, Unix milliseconds.
    pub time_ms: u64,
    /// Name of the gate, for logs.
    pub server: String,
    /// Most calls of the client that may run at a time; 0: an older gate did not say.
    pub max_calls: u32,
}

/// Fields of AUTH.
#[derive(Clone, PartialEq, Default)]
pub struct Auth {
    /// How to read the token, such as `jwt`.
    pub scheme: String,
    /// The credential.
    pub token: Bytes,
    /// The device slot of the account.
    pub device: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("scheme", &self.scheme)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("device", &self.device)
            .finish()
    }
}

/// Fields of RESUME.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Resume {
    /// The session to continue.
    pub sid: SessionId,
    /// The latest ticket.
    pub ticket: Bytes,
    /// Highest gate seq that the client has accepted.
    pub seen: u64,
}

/// Fields of REQ.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Req {
    /// Number of this frame in its direction, from 1.
    pub seq: u64,
    /// Cumulative acknowledgement.
    pub ack: Option<u64>,
    /// Which method.
    pub method: u32,
    /// Which entity; none: a service, or the entity that the session is bound to.
    pub key: Option<Key>,
    /// How long the caller still waits; none: for ever.
    pub deadline_ms: Option<u32>,
    /// Trace context.
    pub trace: Option<Trace>,
    /// The encoded argument.
    pub body: Bytes,
}

/// Fields of RSP.
#[derive(Clone, Debug, PartialEq)]
pub struct Rsp {
    /// Number of this frame in its direction, from 1.
    pub seq: u64,
    /// Cumulative acknowledgement.
    pub ack: Option<u64>,
    /// Seq of the REQ that is answered.
    pub re: u64,
    /// The reply. An error with [`Code::OK`] is sent as [`Code::UNKNOWN`].
    pub result: Result<Bytes, Error>,
}

/// Fields of NOTIFY and PUSH.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Note {
    /// Number of this frame in its direction, from 1; 0: the unreliable lane.
    pub seq: u64,
    /// Cumulative acknowledgement.
    pub ack: Option<u64>,
    /// Which method.
    pub method: u32,
    /// The entity addressed or, in a PUSH, the one that speaks.
    pub key: Option<Key>,
    /// Trace context.
    pub trace: Option<Trace>,
    /// The encoded argument.
    pub body: Bytes,
}

/// Fields of GOAWAY.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GoAway {
    /// Reconnect at a random moment within this time.
    pub after_ms: u32,
    /// Why, a [`Code`].
    pub reason: u32,
    /// Where to; empty: the same address.
    pub address: String,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The length field exceeds the limit in force.
    TooLarge {
        /// Bytes after `len`.
        len: u64,
        /// The limit.
        limit: u32,
    },
    /// The length field is below 2, or not a varint.
    BadLength,
    /// Inside a WebSocket message, the last frame is incomplete.
    Incomplete,
    /// The WebSocket protocol was broken below the frames; says how.
    WebSocket(&'static str),
    /// No such kind.
    UnknownKind(u8),
    /// Flags that the kind does not have, or that exclude each other.
    BadFlags(u8),
    /// A field is malformed.
    Field(ReadError),
}

impl FrameError {
    /// The code with which it is answered.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::FRAME_TOO_LARGE,
            _ => Code::BAD_FRAME,
        }
    }

    /// What the ERR frame says.
    #[must_use]
    pub fn to_error(self) -> Error {
        Error::new(self.code(), self.to_string())
    }
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { len, limit } => write!(f, "frame of {len} bytes, limit {limit}"),
            Self::BadLength => f.write_str("bad frame length"),
            Self::Incomplete => f.write_str("a frame spans messages"),
            Self::WebSocket(how) => write!(f, "WebSocket: {how}"),
            Self::UnknownKind(kind) => write!(f, "unknown frame kind {kind}"),
            Self::BadFlags(flags) => write!(f, "bad frame flags {flags:#04x}"),
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<ReadError> for FrameError {
    fn from(error: ReadError) -> Self {
        Self::Field(error)
    }
}

impl Frame {
    /// Appends the whole frame, `len` included, to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut counter = Counter(2);
        self.write_fields(&mut counter);
        out.reserve(counter.0 + 5);
        out.varint(counter.0 as u64);
        out.u8(self.kind());
        out.u8(self.flags());
        self.write_fields(out);
    }

    /// The whole frame in a buffer of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }

    /// Reads one frame from the bytes that follow its `len`. Bodies are slices of `frame`, not copies.
    ///
    /// # Errors
    /// Whatever `spec/wire.md` does not allow.
    pub fn decode(frame: Bytes) -> Result<Self, FrameError> {
        let mut reader = Reader::new(&frame);
        let (Ok(kind), Ok(flags)) = (reader.u8(), reader.u8()) else { return Err(FrameError::BadLength) };
        let allowed = allowed_flags(kind).ok_or(FrameError::UnknownKind(kind))?;
        let both_keys = flag::KEY_U64 | flag::KEY_STR;
        if flags & !allowed != 0 || flags & both_keys == both_keys {
            return Err(FrameError::BadFlags(flags));
        }
        if allowed == 0 { Ok(read_control(kind, &mut reader)?) } else { Ok(read_message(kind, flags, reader, &frame)?) }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Auth(_) => kind::AUTH,
            Self::Resume(_) => kind::RESUME,
            Self::Req(_) => kind::REQ,
            Self::Rsp(_) => kind::RSP,
            Self::Notify(_) => kind::NOTIFY,
            Self::Push(_) => kind::PUSH,
            Self::Ack { .. } => kind::ACK,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::GoAway(_) => kind::GOAWAY,
            Self::Kick { .. } => kind::KICK,
            Self::Bye => kind::BYE,
            Self::Err(_) => kind::ERR,
        }
    }

    fn flags(&self) -> u8 {
        match self {
            Self::Req(req) => ack_flag(req.ack) | req.tail_flags(),
            Self::Rsp(rsp) => ack_flag(rsp.ack),
            Self::Notify(note) | Self::Push(note) => ack_flag(note.ack) | note.tail_flags(),
            _ => 0,
        }
    }

    fn write_fields(&self, out: &mut impl Sink) {
        match self {
            Self::Req(req) => {
                write_numbers(req.seq, req.ack, out);
                req.write_tail(out);
            }
            Self::Rsp(rsp) => {
                write_numbers(rsp.seq, rsp.ack, out);
                rsp.write_tail(out);
            }
            Self::Notify(note) | Self::Push(note) => {
                write_numbers(note.seq, note.ack, out);
                note.write_tail(out);
            }
            Self::Hello(hello) => {
                out.varint(hello.version.into());
                out.varint(hello.features);
                out.str(&hello.sdk);
            }
            Self::Welcome(welcome) => welcome.write(out),
            Self::Auth(auth) => {
                out.str(&auth.scheme);
                out.bytes(&auth.token);
                out.str(&auth.device);
            }
            Self::Resume(resume) => {
                out.varint(resume.sid.0);
                out.bytes(&resume.ticket);
                out.varint(resume.seen);
            }
            Self::Bye => {}
            Self::Ack { seen } => out.varint(*seen),
            Self::Ping { nonce } => out.varint(*nonce),
            Self::Pong { nonce, time_ms } => {
                out.varint(*nonce);
                out.varint(*time_ms);
            }
            Self::GoAway(away) => {
                out.varint(away.after_ms.into());
                out.varint(away.reason.into());
                out.str(&away.address);
            }
            Self::Kick { reason, message } => {
                out.varint(reason.0.into());
                out.str(message);
            }
            Self::Err(error) => {
                out.varint(error.code.0.into());
                out.str(&error.message);
                out.varint(error.retry_after_ms.into());
            }
        }
    }
}

impl Welcome {
    fn write(&self, out: &mut impl Sink) {
        out.varint(self.version.into());
        out.varint(self.resumed.into());
        out.varint(self.sid.0);
        out.bytes(&self.ticket);
        out.str(&self.account);
        out.varint(self.peer_seen);
        out.varint(self.heartbeat_ms.into());
        out.varint(self.max_up.into());
        out.varint(self.max_down.into());
        out.varint(self.resume_ms.into());
        out.varint(self.time_ms);
        out.str(&self.server);
        out.varint(self.max_calls.into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            version: reader.varint_u32()?,
            resumed: reader.varint()? != 0,
            sid: SessionId(reader.varint()?),
            ticket: Bytes::copy_from_slice(reader.bytes()?),
            account: reader.str()?.to_owned(),
            peer_seen: reader.varint()?,
            heartbeat_ms: reader.varint_u32()?,
            max_up: reader.varint_u32()?,
            max_down: reader.varint_u32()?,
            resume_ms: reader.varint_u32()?,
            time_ms: reader.varint()?,
            server: reader.str()?.to_owned(),
            max_calls: if reader.is_empty() { 0 } else { reader.varint_u32()? },
        })
    }
}

impl Req {
    pub(crate) fn tail_flags(&self) -> u8 {
        let deadline = if self.deadline_ms.is_some() { flag::DEADLINE } else { 0 };
        key_flag(self.key.as_ref()) | trace_flag(self.trace.as_ref()) | deadline
    }

    /// What follows seq and ack.
    pub(crate) fn write_tail(&self, out: &mut impl Sink) {
        out.varint(self.method.into());
        write_key(self.key.as_ref(), out);
        if let Some(deadline_ms) = self.deadline_ms {
            out.varint(deadline_ms.into());
        }
        if let Some(trace) = &self.trace {
            out.put(trace);
        }
        out.put(&self.body);
    }
}

impl Rsp {
    /// What follows seq and ack.
    pub(crate) fn write_tail(&self, out: &mut impl Sink) {
        write_response(self.re, self.result.as_ref().map(|body| &body[..]), out);
    }
}

impl Note {
    pub(crate) fn tail_flags(&self) -> u8 {
        key_flag(self.key.as_ref()) | trace_flag(self.trace.as_ref())
    }

    /// What follows seq and ack.
    pub(crate) fn write_tail(&self, out: &mut impl Sink) {
        write_note(self.method, self.key.as_ref(), self.trace.as_ref(), &self.body, out);
    }
}

pub(crate) fn write_response(re: u64, result: Result<&[u8], &Error>, out: &mut impl Sink) {
    out.varint(re);
    match result {
        Ok(body) => {
            out.varint(0);
            out.put(body);
        }
        Err(error) => {
            out.varint(if error.code == Code::OK { Code::UNKNOWN.0 } else { error.code.0 }.into());
            out.str(&error.message);
            out.varint(error.retry_after_ms.into());
        }
    }
}

pub(crate) fn write_note(method: u32, key: Option<&Key>, trace: Option<&Trace>, body: &[u8], out: &mut impl Sink) {
    out.varint(method.into());
    write_key(key, out);
    if let Some(trace) = trace {
        out.put(trace);
    }
    out.put(body);
}

pub(crate) fn key_flag(key: Option<&Key>) -> u8 {
    match key {
        None => 0,
        Some(Key::Number(_)) => flag::KEY_U64,
        Some(Key::Text(_)) => flag::KEY_STR,
    }
}

pub(crate) fn trace_flag(trace: Option<&Trace>) -> u8 {
    if trace.is_some() { flag::TRACE } else { 0 }
}

fn ack_flag(ack: Option<u64>) -> u8 {
    if ack.is_some() { flag::ACK } else { 0 }
}

fn write_numbers(seq: u64, ack: Option<u64>, out: &mut impl Sink) {
    out.varint(seq);
    if let Some(ack) = ack {
        out.varint(ack);
    }
}

fn write_key(key: Option<&Key>, out: &mut impl Sink) {
    match key {
        None => {}
        Some(Key::Number(number)) => out.varint(*number),
        Some(Key::Text(text)) => out.str(text),
    }
}

/// The flags of a kind; none when there is no such kind. Control frames have no flags.
fn allowed_flags(kind: u8) -> Option<u8> {
    let note = flag::ACK | flag::KEY_U64 | flag::KEY_STR | flag::TRACE;
    match kind {
        kind::REQ => Some(note | flag::DEADLINE),
        kind::NOTIFY | kind::PUSH => Some(note),
        kind::RSP => Some(flag::ACK),
        kind::HELLO..=kind::RESUME | kind::ACK..=kind::KICK | kind::ERR | kind::BYE => Some(0),
        _ => None,
    }
}

fn read_control(kind: u8, reader: &mut Reader<'_>) -> Result<Frame, ReadError> {
    Ok(match kind {
        kind::HELLO => Frame::Hello(Hello {
            version: reader.varint_u32()?,
            features: reader.varint()?,
            sdk: reader.str()?.to_owned(),
        }),
        kind::WELCOME => Frame::Welcome(Box::new(Welcome::read(reader)?)),
        kind::AUTH => Frame::Auth(Auth {
            scheme: reader.str()?.to_owned(),
            token: Bytes::copy_from_slice(reader.bytes()?),
            device: reader.str()?.to_owned(),
        }),
        kind::RESUME => Frame::Resume(Resume {
            sid: SessionId(reader.varint()?),
            ticket: Bytes::copy_from_slice(reader.bytes()?),
            seen: reader.varint()?,
        }),
        kind::ACK => Frame::Ack { seen: reader.varint()? },
        kind::PING => Frame::Ping { nonce: reader.varint()? },
        kind::PONG => Frame::Pong { nonce: reader.varint()?, time_ms: reader.varint()? },
        kind::GOAWAY => Frame::GoAway(GoAway {
            after_ms: reader.varint_u32()?,
            reason: reader.varint_u32()?,
            address: reader.str()?.to_owned(),
        }),
        kind::BYE => Frame::Bye,
        kind::KICK => Frame::Kick { reason: Code(reader.varint_u32()?), message: reader.str()?.into() },
        _ => Frame::Err(Error {
            code: Code(reader.varint_u32()?),
            message: reader.str()?.into(),
            retry_after_ms: reader.varint_u32()?,
        }),
    })
}

fn read_message(kind: u8, flags: u8, mut reader: Reader<'_>, frame: &Bytes) -> Result<Frame, ReadError> {
    let has = |bit: u8| flags & bit != 0;
    let seq = reader.varint()?;
    let ack = if has(flag::ACK) { Some(reader.varint()?) } else { None };
    if kind == kind::RSP {
        return Ok(Frame::Rsp(Rsp { seq, ack, re: reader.varint()?, result: read_result(&mut reader, frame)? }));
    }
    let method = reader.varint_u32()?;
    let key = match (has(flag::KEY_U64), has(flag::KEY_STR)) {
        (true, _) => Some(Key::Number(reader.varint()?)),
        (_, true) => Some(reader.text_key()?),
        _ => None,
    };
    let deadline_ms = if has(flag::DEADLINE) { Some(reader.varint_u32()?) } else { None };
    let trace = if has(flag::TRACE) { Some(reader.array()?) } else { None };
    let body = reader.rest_of(frame);
    Ok(match kind {
        kind::REQ => Frame::Req(Req { seq, ack, method, key, deadline_ms, trace, body }),
        kind::NOTIFY => Frame::Notify(Note { seq, ack, method, key, trace, body }),
        _ => Frame::Push(Note { seq, ack, method, key, trace, body }),
    })
}

fn read_result(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Result<Bytes, Error>, ReadError> {
    match reader.varint_u32()? {
        0 => Ok(Ok(reader.rest_of(frame))),
        code => {
            let message = reader.str()?.into();
            Ok(Err(Error { code: Code(code), message, retry_after_ms: reader.varint_u32()? }))
        }
    }
}
