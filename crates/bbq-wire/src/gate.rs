//! The gate's side of a session: delivery, liveness, calls in both directions, and what a connection may cost.
//!
//! ```text
//! attached <-> detached -> ended
//! ```
//! A gate holds many idle sessions, so a session owns no output queue and no copy of the configuration: both come in
//! with each call, and [`GateSession::handle`] appends to the shell's buffer.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::code::{Code, Error};
use crate::delivery::{Arrival, Delivery, RingLimits};
use crate::frame::{Frame, FrameError, GoAway, LIMIT_DOWN, LIMIT_UP, Note, Req, Resume, Rsp, Trace, VERSION, Welcome};
use crate::id::{Key, SessionId};
use crate::shared::{Prefix, SharedFrame};
use crate::time::Time;

/// The secret part of a RESUME. Made by the shell from real randomness.
pub type Ticket = [u8; 16];

/// What every session of a gate has in common.
#[derive(Clone, Debug, PartialEq)]
pub struct GateConfig {
    /// Silence after which a side PINGs; after 2.5 times as long it drops the connection.
    pub heartbeat: Duration,
    /// How long a detached session is kept.
    pub resume: Duration,
    /// What a session keeps for a resume.
    pub ring: RingLimits,
    /// Longest frame from a client.
    pub max_up: u32,
    /// Longest frame to a client.
    pub max_down: u32,
    /// Bytes waiting for the socket above which the client is a slow consumer. Above half of it, the unreliable lane
    /// is shed.
    pub max_unflushed: u32,
    /// Most calls of one client that run at a time; more are answered BUSY.
    pub max_calls: usize,
    /// Most calls to one client that run at a time; more are answered BUSY.
    pub max_requests: usize,
    /// Name of the gate, told to clients.
    pub server: String,
    /// Unix milliseconds at [`Time::ZERO`], for the times that clients are told.
    pub origin_ms: u64,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            resume: Duration::from_secs(60),
            ring: RingLimits::GATE,
            max_up: LIMIT_UP,
            max_down: LIMIT_DOWN,
            max_unflushed: 2 * LIMIT_DOWN,
            max_calls: 64,
            max_requests: 32,
            server: String::new(),
            origin_ms: 0,
        }
    }
}

impl GateConfig {
    fn unix_ms(&self, now: Time) -> u64 {
        self.origin_ms.saturating_add(now.as_millis())
    }
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum GateInput {
    /// A connection carries the session from now on: WELCOME, and the replay of a resume. An earlier connection must
    /// have been closed by the shell.
    Attach(Attach),
    /// From the client.
    Frame(Frame),
    /// The client sent bytes that are no frame.
    BadFrame(FrameError),
    /// The connection is gone.
    Disconnected,
    /// A frame made by [`SharedFrame::push`].
    Push(SharedFrame, Lane),
    /// Call the client; answered by one [`GateOutput::Answer`].
    Request {
        /// Chosen by the shell, comes back in the answer.
        call: u64,
        /// Which method.
        method: u32,
        /// The entity that speaks.
        key: Option<Key>,
        /// How long the caller waits.
        deadline_ms: Option<u32>,
        /// Encoded argument.
        body: Bytes,
    },
    /// The answer to [`GateOutput::Call`].
    Reply {
        /// From the call.
        call: u64,
        /// The reply.
        result: Result<Bytes, Error>,
    },
    /// So many bytes of [`GateOutput::Send`] went into the socket.
    Flushed(u32),
    /// [`GateSession::deadline`] has come.
    Tick,
    /// Ask the client to reconnect.
    GoAway(GoAway),
    /// End the session.
    Kick(Error),
}

/// Fields of [`GateInput::Attach`].
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// The RESUME that the client sent and [`GateSession::can_resume`] approved; none for a new session.
    pub resume: Option<Resume>,
    /// The next ticket.
    pub ticket: Ticket,
    /// The account, told to the client.
    pub account: String,
}

/// Whether a push is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Numbered, kept, sent again after a resume.
    Reliable,
    /// Sent if the client is there and keeps up.
    Unreliable,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq)]
pub enum GateOutput {
    /// Write these bytes, in this order, to the connection. `prefix` and `tail` together are one frame.
    Send {
        /// First the bytes that are this session's own,
        prefix: Prefix,
        /// then those that may be shared.
        tail: Bytes,
    },
    /// Close the connection after what was sent; the session is detached or over.
    Close,
    /// The client calls; answer with [`GateInput::Reply`].
    Call {
        /// Goes into the reply.
        call: u64,
        /// Which method.
        method: u32,
        /// Which entity.
        key: Option<Key>,
        /// How long the client waits.
        deadline_ms: Option<u32>,
        /// Trace context.
        trace: Option<Trace>,
        /// Encoded argument.
        body: Bytes,
    },
    /// The client says something.
    Notify {
        /// Which method.
        method: u32,
        /// Which entity.
        key: Option<Key>,
        /// Trace context.
        trace: Option<Trace>,
        /// Encoded argument.
        body: Bytes,
    },
    /// The outcome of a [`GateInput::Request`].
    Answer {
        /// From the request.
        call: u64,
        /// The client's reply.
        result: Result<Bytes, Error>,
    },
    /// A push was longer than the client accepts and was not sent.
    Refused(Error),
    /// The connection is gone, the session waits for a resume. An error when the gate gave up on the connection.
    Detached(Option<Error>),
    /// The session is over. Nothing follows; forget it.
    Ended(Error),
}

/// One session, attached to a connection or not.
#[derive(Clone, Debug)]
pub struct GateSession {
    sid: SessionId,
    delivery: Delivery,
    ticket: Ticket,
    /// Still good until the client shows, by sending anything, that WELCOME with the next one arrived.
    previous: Option<Ticket>,
    phase: Phase,
    pinged: bool,
    unflushed: u32,
    /// Calls of the client that run: their seqs.
    calls: Vec<u64>,
    /// Calls to the client by their seq: the shell's number and when to give up.
    requests: BTreeMap<u64, (u64, Time)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Attached { heard: Time },
    Detached { since: Time },
    Ended,
}

impl GateSession {
    /// A session that waits for [`GateInput::Attach`].
    #[must_use]
    pub const fn new(now: Time, sid: SessionId, delivery: Delivery) -> Self {
        Self {
            sid,
            delivery,
            ticket: [0; 16],
            previous: None,
            phase: Phase::Detached { since: now },
            pinged: false,
            unflushed: 0,
            calls: Vec::new(),
            requests: BTreeMap::new(),
        }
    }

    /// The session's id.
    #[must_use]
    pub const fn sid(&self) -> SessionId {
        self.sid
    }

    /// Whether a connection carries it.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Attached { .. })
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Bytes handed out and not yet flushed.
    #[must_use]
    pub const fn unflushed(&self) -> u32 {
        self.unflushed
    }

    /// Whether the holder of `ticket` may go on after `seen`. Takes the same time for every wrong ticket.
    #[must_use]
    pub fn can_resume(&self, ticket: &[u8], seen: u64) -> bool {
        let known = same(&self.ticket, ticket) | self.previous.is_some_and(|previous| same(&previous, ticket));
        known && !self.is_ended() && self.delivery.can_resume(seen).is_ok()
    }

    /// When to hand in [`GateInput::Tick`].
    #[must_use]
    pub fn deadline(&self, config: &GateConfig) -> Option<Time> {
        let own = match self.phase {
            Phase::Ended => return None,
            Phase::Detached { since } => since + config.resume,
            Phase::Attached { heard } if self.pinged => heard + config.heartbeat * 5 / 2,
            Phase::Attached { heard } => heard + config.heartbeat,
        };
        Some(self.requests.values().map(|(_, until)| *until).fold(own, Time::min))
    }

    /// The only way in. Appends to `out` what the shell must do, in order.
    pub fn handle(&mut self, now: Time, config: &GateConfig, input: GateInput, out: &mut Vec<GateOutput>) {
        if self.is_ended() {
            return refuse_after_the_end(input, out);
        }
        match input {
            GateInput::Attach(attach) => self.attach(now, config, attach, out),
            GateInput::Frame(frame) => self.on_frame(now, config, frame, out),
            GateInput::BadFrame(error) => self.give_up(now, error.to_error(), out),
            GateInput::Disconnected => self.detach(now, None, out),
            GateInput::Push(frame, lane) => self.push(now, config, frame, lane, out),
            GateInput::Request { call, method, key, deadline_ms, body } => {
                let req = Req { method, key, deadline_ms, body, ..Req::default() };
                self.request(now, config, call, req, out);
            }
            GateInput::Reply { call, result } => self.reply(now, config, call, result, out),
            GateInput::Flushed(bytes) => self.unflushed = self.unflushed.saturating_sub(bytes),
            GateInput::Tick => self.tick(now, config, out),
            GateInput::GoAway(away) => self.control(&Frame::GoAway(away), out),
            GateInput::Kick(error) => self.kick(error, out),
        }
    }

    fn attach(&mut self, now: Time, config: &GateConfig, attach: Attach, out: &mut Vec<GateOutput>) {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        self.previous = attach.resume.as_ref().and_then(|resume| Ticket::try_from(&resume.ticket[..]).ok());
        self.ticket = attach.ticket;
        self.phase = Phase::Attached { heard: now };
        self.pinged = false;
        self.unflushed = 0;
        let welcome = Welcome {
            version: VERSION,
            resumed: attach.resume.is_some(),
            sid: self.sid,
            ticket: Bytes::copy_from_slice(&attach.ticket),
            account: attach.account,
            peer_seen: self.delivery.tell_seen(),
            heartbeat_ms: millis(config.heartbeat),
            max_up: config.max_up,
            max_down: config.max_down,
            resume_ms: millis(config.resume),
            time_ms: config.unix_ms(now),
            server: config.server.clone(),
            max_calls: u32::try_from(config.max_calls).unwrap_or(u32::MAX),
        };
        self.control(&Frame::Welcome(Box::new(welcome)), out);
        if let Some(resume) = attach.resume {
            self.replay(resume.seen, out);
        }
    }

    fn replay(&mut self, seen: u64, out: &mut Vec<GateOutput>) {
        if self.delivery.can_resume(seen).is_err() {
            // The shell asked `can_resume` first; if it did not, ending the session is the only answer without a gap.
            return self.kick(Error::new(Code::RESUME_FAILED, "frames are no longer kept"), out);
        }
        for (seq, frame) in self.delivery.resume(seen).into_iter().flatten() {
            self.unflushed = self.unflushed.saturating_add(send(&frame, seq, None, out));
        }
    }

    fn on_frame(&mut self, now: Time, config: &GateConfig, frame: Frame, out: &mut Vec<GateOutput>) {
        let Phase::Attached { heard } = &mut self.phase else { return };
        *heard = now;
        self.pinged = false;
        self.previous = None;
        let handled = match frame {
            Frame::Bye => {
                out.push(GateOutput::Close);
                return self.end(Error::new(Code::CLIENT_GONE, "the client left"), out);
            }
            Frame::Req(req) => self.on_req(now, config, req, out),
            Frame::Rsp(rsp) => self.on_rsp(rsp, out),
            Frame::Notify(note) => self.on_notify(note, out),
            Frame::Ack { seen } => self.acked(Some(seen)),
            // A client that has more than this to read does not need an answer to know that we are here.
            Frame::Ping { .. } if self.unflushed > config.max_unflushed / PONG_SHARE => Ok(()),
            Frame::Ping { nonce } => {
                self.acknowledge(out);
                self.control(&Frame::Pong { nonce, time_ms: config.unix_ms(now) }, out);
                Ok(())
            }
            Frame::Pong { .. } => Ok(()),
            _ => Err("frame out of place in a session"),
        };
        match handled {
            Err(what) => self.give_up(now, Error::new(Code::BAD_FRAME, what), out),
            Ok(()) if self.delivery.ack_due() => self.acknowledge(out),
            Ok(()) => {}
        }
    }

    fn on_req(&mut self, now: Time, config: &GateConfig, req: Req, out: &mut Vec<GateOutput>) -> Handled {
        if !self.arrived(req.seq, req.ack, req.body.len())? {
            return Ok(());
        }
        if self.calls.len() >= config.max_calls {
            let busy = Error::new(Code::BUSY, "too many calls at a time");
            self.send_reliable(now, config, SharedFrame::response(req.seq, Err(&busy)), out);
            return Ok(());
        }
        self.calls.push(req.seq);
        let Req { seq, method, key, deadline_ms, trace, body, .. } = req;
        out.push(GateOutput::Call { call: seq, method, key, deadline_ms, trace, body });
        Ok(())
    }

    fn on_rsp(&mut self, rsp: Rsp, out: &mut Vec<GateOutput>) -> Handled {
        let len = rsp.result.as_ref().map_or(0, Bytes::len);
        // An unknown `re` is an answer that came after its deadline.
        if self.arrived(rsp.seq, rsp.ack, len)?
            && let Some((call, _)) = self.requests.remove(&rsp.re)
        {
            out.push(GateOutput::Answer { call, result: rsp.result });
        }
        Ok(())
    }

    fn on_notify(&mut self, note: Note, out: &mut Vec<GateOutput>) -> Handled {
        let fresh = if note.seq == 0 {
            self.acked(note.ack)?;
            true
        } else {
            self.arrived(note.seq, note.ack, note.body.len())?
        };
        if fresh {
            let Note { method, key, trace, body, .. } = note;
            out.push(GateOutput::Notify { method, key, trace, body });
        }
        Ok(())
    }

    /// Whether a sequenced frame is new.
    fn arrived(&mut self, seq: u64, ack: Option<u64>, body_len: usize) -> Result<bool, &'static str> {
        if seq == 0 {
            return Err("only NOTIFY and PUSH may be unreliable");
        }
        self.acked(ack)?;
        match self.delivery.on_seq(seq, body_len + FRAME_OVERHEAD) {
            Arrival::Accept => Ok(true),
            Arrival::Duplicate => Ok(false),
            Arrival::Gap => Err("gap in the sequence"),
        }
    }

    fn acked(&mut self, ack: Option<u64>) -> Handled {
        ack.map_or(Ok(()), |seen| self.delivery.on_ack(seen)).map_err(|_| "acknowledges what was never sent")
    }

    fn push(&mut self, now: Time, config: &GateConfig, frame: SharedFrame, lane: Lane, out: &mut Vec<GateOutput>) {
        if frame.max_frame_len() > config.max_down as usize {
            let error = Error::new(Code::FRAME_TOO_LARGE, "a push is longer than clients accept");
            return out.push(GateOutput::Refused(error));
        }
        match lane {
            Lane::Reliable => self.send_reliable(now, config, frame, out),
            Lane::Unreliable if self.is_attached() && self.unflushed <= config.max_unflushed / 2 => {
                let ack = self.delivery.take_ack();
                self.unflushed = self.unflushed.saturating_add(send(&frame, 0, ack, out));
            }
            Lane::Unreliable => {}
        }
    }

    fn request(&mut self, now: Time, config: &GateConfig, call: u64, req: Req, out: &mut Vec<GateOutput>) {
        let frame = SharedFrame::request(&req);
        let refused = if !self.is_attached() {
            Some(Error::new(Code::CLIENT_GONE, "the client is not connected"))
        } else if self.requests.len() >= config.max_requests {
            Some(Error::new(Code::BUSY, "too many calls to this client"))
        } else if frame.max_frame_len() > config.max_down as usize {
            Some(Error::new(Code::FRAME_TOO_LARGE, "the call is longer than clients accept"))
        } else {
            None
        };
        if let Some(error) = refused {
            return out.push(GateOutput::Answer { call, result: Err(error) });
        }
        let until = req.deadline_ms.map_or(Time::MAX, |ms| now + Duration::from_millis(ms.into()));
        self.requests.insert(self.delivery.sent() + 1, (call, until));
        self.send_reliable(now, config, frame, out);
    }

    fn reply(
        &mut self,
        now: Time,
        config: &GateConfig,
        call: u64,
        result: Result<Bytes, Error>,
        out: &mut Vec<GateOutput>,
    ) {
        let Some(at) = self.calls.iter().position(|seq| *seq == call) else { return };
        self.calls.swap_remove(at);
        if self.calls.is_empty() {
            self.calls = Vec::new();
        }
        let mut frame = SharedFrame::response(call, result.as_ref().map(|body| &body[..]));
        if frame.max_frame_len() > config.max_down as usize {
            let error = Error::new(Code::FRAME_TOO_LARGE, "the reply is longer than clients accept");
            frame = SharedFrame::response(call, Err(&error));
        }
        self.send_reliable(now, config, frame, out);
    }

    fn tick(&mut self, now: Time, config: &GateConfig, out: &mut Vec<GateOutput>) {
        self.requests.retain(|_, (call, until)| {
            let waiting = *until > now;
            if !waiting {
                let error = Error::new(Code::DEADLINE_EXCEEDED, "sent to the client, no answer in time");
                out.push(GateOutput::Answer { call: *call, result: Err(error) });
            }
            waiting
        });
        match self.phase {
            Phase::Ended => {}
            Phase::Detached { since } if now >= since + config.resume => {
                self.end(Error::new(Code::SESSION_EXPIRED, "detached for too long"), out);
            }
            Phase::Detached { .. } => {}
            Phase::Attached { heard } if now >= heard + config.heartbeat * 5 / 2 => {
                self.give_up(now, Error::new(Code::HEARTBEAT_TIMEOUT, "nothing heard from the client"), out);
            }
            Phase::Attached { heard } if !self.pinged && now >= heard + config.heartbeat => {
                self.pinged = true;
                self.acknowledge(out);
                self.control(&Frame::Ping { nonce: now.as_millis() }, out);
            }
            Phase::Attached { .. } => {}
        }
    }

    fn kick(&mut self, error: Error, out: &mut Vec<GateOutput>) {
        if self.is_attached() {
            self.control(&Frame::Kick { reason: error.code, message: error.message.clone() }, out);
            out.push(GateOutput::Close);
        }
        self.end(error, out);
    }

    /// Numbers and keeps a frame; sends it if somebody is there.
    fn send_reliable(&mut self, now: Time, config: &GateConfig, frame: SharedFrame, out: &mut Vec<GateOutput>) {
        // A ring that refuses is a configuration error; the frame is then neither sent nor counted.
        let Ok(seq) = self.delivery.send(frame.clone(), &config.ring) else { return };
        if !self.is_attached() {
            return;
        }
        let ack = self.delivery.take_ack();
        self.unflushed = self.unflushed.saturating_add(send(&frame, seq, ack, out));
        if self.unflushed > config.max_unflushed {
            self.give_up(now, Error::new(Code::SLOW_CONSUMER, "the client does not read fast enough"), out);
        }
    }

    fn acknowledge(&mut self, out: &mut Vec<GateOutput>) {
        if let Some(seen) = self.delivery.take_ack() {
            self.control(&Frame::Ack { seen }, out);
        }
    }

    fn control(&mut self, frame: &Frame, out: &mut Vec<GateOutput>) {
        if self.is_attached() {
            let tail = frame.to_bytes();
            self.unflushed = self.unflushed.saturating_add(tail.len() as u32);
            out.push(GateOutput::Send { prefix: Prefix::EMPTY, tail });
        }
    }

    /// Answers with ERR and lets the connection go; the session stays for a resume.
    fn give_up(&mut self, now: Time, error: Error, out: &mut Vec<GateOutput>) {
        if self.is_attached() {
            self.control(&Frame::Err(error.clone()), out);
            out.push(GateOutput::Close);
            self.detach(now, Some(error), out);
        }
    }

    fn detach(&mut self, now: Time, error: Option<Error>, out: &mut Vec<GateOutput>) {
        if self.is_attached() {
            self.phase = Phase::Detached { since: now };
            self.unflushed = 0;
            out.push(GateOutput::Detached(error));
        }
    }

    fn end(&mut self, error: Error, out: &mut Vec<GateOutput>) {
        self.phase = Phase::Ended;
        for (call, _) in std::mem::take(&mut self.requests).into_values() {
            out.push(GateOutput::Answer { call, result: Err(gone()) });
        }
        self.calls = Vec::new();
        self.delivery = Delivery::new();
        out.push(GateOutput::Ended(error));
    }
}

/// What broke the protocol, or nothing.
type Handled = Result<(), &'static str>;

/// An answer to a PING is short, but what it takes in memory is not: with more than this part of the limit waiting, none
/// is given. Twice what the socket may have taken without the session knowing.
const PONG_SHARE: u32 = 16;
/// What a message frame counts beyond its body, towards the next ACK.
const FRAME_OVERHEAD: usize = 16;

/// Appends one frame; its size.
fn send(frame: &SharedFrame, seq: u64, ack: Option<u64>, out: &mut Vec<GateOutput>) -> u32 {
    let prefix = frame.prefix(seq, ack);
    let size = prefix.as_slice().len() + frame.tail().len();
    out.push(GateOutput::Send { prefix, tail: frame.tail().clone() });
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn refuse_after_the_end(input: GateInput, out: &mut Vec<GateOutput>) {
    if let GateInput::Request { call, .. } = input {
        out.push(GateOutput::Answer { call, result: Err(gone()) });
    }
}

fn gone() -> Error {
    Error::new(Code::CLIENT_GONE, "the session is over")
}

/// Compares secrets without telling by its duration where they differ.
fn same(secret: &Ticket, claim: &[u8]) -> bool {
    secret.len() == claim.len() && secret.iter().zip(claim).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
