//! The translator of one connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::codec::Sink;
use bbq_wire::compat::{CallType, CompatFrame, GATE_SERVICE, Header, RequestType, ServiceType};
use bbq_wire::delivery::{Arrival, Delivery};
use bbq_wire::frame::{Auth, Frame, Hello, LIMIT_OPENING, Note, Req, Rsp, VERSION, Welcome};
use bbq_wire::{Code, Error, Key, Result, SessionId, Time};
use bytes::Bytes;

use super::names::Names;

/// A client that was silent for longer than this is gone, as the original has it; it sends a `Ping` every ten seconds.
pub const IDLE: Duration = Duration::from_secs(30);

/// Most calls of a client that wait for their answer; the gate allows fewer unless it is set up otherwise.
const MAX_CALLS: usize = 1024;
/// Room for the header of an original frame.
const HEADER_ROOM: u32 = 4096;

/// As whom clients log in: the original knows no credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Scheme of the token, `guest` as a rule.
    pub scheme: String,
    /// Must be another one for every connection, or its sessions replace each other.
    pub token: Bytes,
    /// The device slot.
    pub device: String,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Hand this to the gate machine.
    Native(Frame),
    /// Write this to the client.
    Original(CompatFrame),
    /// Close the connection after what was written, and end its session.
    Close,
}

/// The translator of one connection. Its session is over when the connection is.
#[derive(Debug)]
pub struct Bridge {
    names: Arc<Names>,
    stage: Stage,
    /// Numbers what comes from the gate. Nothing is kept for a resume.
    delivery: Delivery,
    /// Number of the last frame to the gate.
    sent: u64,
    /// Calls that run, by seq: the header of their response.
    calls: BTreeMap<u64, Header>,
    heard: Time,
    limit: u32,
}

#[derive(Debug)]
enum Stage {
    /// Nobody yet.
    Fresh(Login),
    /// `RegisterClient` waits for WELCOME.
    Opening(Box<Header>),
    Online(SessionId),
    Closed,
}

impl Bridge {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub fn new(now: Time, names: Arc<Names>, login: Login) -> Self {
        Self {
            names,
            stage: Stage::Fresh(login),
            delivery: Delivery::new(),
            sent: 0,
            calls: BTreeMap::new(),
            heard: now,
            limit: LIMIT_OPENING,
        }
    }

    /// The session, once there is one.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self.stage {
            Stage::Online(sid) => Some(sid),
            _ => None,
        }
    }

    /// Longest frame to take from the client, `total` excluded.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// From the client.
    pub fn on_original(&mut self, now: Time, frame: CompatFrame, out: &mut Vec<Output>) {
        self.heard = now;
        let CompatFrame { header, body } = frame;
        match header.request_type {
            _ if matches!(self.stage, Stage::Closed) => {}
            RequestType::Response => self.on_response(header, body, out),
            RequestType::Request if header.service == GATE_SERVICE => self.on_gate_call(header, out),
            RequestType::Request => self.on_request(header, body, out),
        }
    }

    /// From the gate machine.
    pub fn on_native(&mut self, now: Time, frame: Frame, out: &mut Vec<Output>) {
        match frame {
            _ if matches!(self.stage, Stage::Closed) => {}
            Frame::Welcome(welcome) => self.on_welcome(*welcome, out),
            Frame::Rsp(rsp) => self.on_rsp(rsp, out),
            Frame::Push(note) => self.on_push(note, out),
            Frame::Req(req) => self.on_req(req, out),
            Frame::Ping { nonce } if now.since(self.heard) < IDLE => {
                self.acknowledge(out);
                out.push(Output::Native(Frame::Pong { nonce, time_ms: 0 }));
            }
            Frame::Err(error) => self.close(&error, out),
            Frame::Kick { reason, message } => self.close(&Error { code: reason, message, retry_after_ms: 0 }, out),
            // The client cannot be sent elsewhere; it stays until the gate ends.
            Frame::GoAway(_) => {}
            _ => {}
        }
    }
}

/// From the client.
impl Bridge {
    fn on_gate_call(&mut self, header: Header, out: &mut Vec<Output>) {
        match (&*header.method, &self.stage) {
            ("RegisterClient", Stage::Fresh(_)) => self.register(header, out),
            ("RegisterClient", Stage::Online(sid)) => out.push(answer(header.response(), registered(*sid))),
            ("Ping", _) => out.push(answer(header.response(), Bytes::new())),
            ("UnregisterClient", _) => {
                self.close(&Error::new(Code::CANCELLED, "the client has unregistered itself"), out);
            }
            ("RegisterClient", _) => refuse(header.response(), &Error::new(Code::BUSY, "registering already"), out),
            _ => refuse(header.response(), &Error::new(Code::UNIMPLEMENTED, "no such method"), out),
        }
    }

    fn register(&mut self, header: Header, out: &mut Vec<Output>) {
        let stage = Stage::Opening(Box::new(header.response()));
        let Stage::Fresh(login) = std::mem::replace(&mut self.stage, stage) else { return };
        let Login { scheme, token, device } = login;
        let hello = Hello { version: VERSION, features: 0, sdk: "gobbq-ts".to_owned() };
        out.push(Output::Native(Frame::Hello(hello)));
        out.push(Output::Native(Frame::Auth(Auth { scheme, token, device })));
    }

    fn on_request(&mut self, header: Header, body: Bytes, out: &mut Vec<Output>) {
        let one_way = header.call_type == CallType::OneWay;
        match self.admit(&header, &body) {
            Ok((method, key)) if one_way => {
                let (seq, ack) = self.number();
                let note = Note { seq, ack, method, key, trace: None, body };
                out.push(Output::Native(Frame::Notify(note)));
            }
            Ok((method, key)) => {
                let (seq, ack) = self.number();
                let deadline_ms = (header.timeout_ms > 0).then_some(header.timeout_ms);
                self.calls.insert(seq, header.response());
                let req = Req { seq, ack, method, key, deadline_ms, trace: None, body };
                out.push(Output::Native(Frame::Req(req)));
            }
            Err(_) if one_way => {}
            Err(error) => refuse(header.response(), &error, out),
        }
    }

    /// Whether a request goes to the gate, and as what.
    fn admit(&self, header: &Header, body: &Bytes) -> Result<(u32, Option<Key>)> {
        if self.session().is_none() {
            return Err(Error::new(Code::UNAUTHENTICATED, "RegisterClient comes first"));
        }
        if header.compress_type != 0 || header.content_type != 0 {
            return Err(Error::new(Code::UNIMPLEMENTED, "only uncompressed protobuf is understood"));
        }
        if body.len() > self.limit.saturating_sub(HEADER_ROOM) as usize {
            return Err(Error::new(Code::FRAME_TOO_LARGE, "longer than the gate accepts"));
        }
        if self.calls.len() >= MAX_CALLS {
            return Err(Error::new(Code::BUSY, "too many calls wait for their answer"));
        }
        self.names.callee(header)
    }

    /// The answer to a call of an entity. The client also answers pushes, which have no id: nobody waits for that.
    fn on_response(&mut self, header: Header, body: Bytes, out: &mut Vec<Output>) {
        let (Ok(re), Some(_)) = (header.request_id.parse::<u64>(), self.session()) else { return };
        let result = match u32::try_from(header.error_code) {
            Ok(0) if header.compress_type == 0 => Ok(body),
            Ok(0) => Err(Error::new(Code::UNIMPLEMENTED, "only uncompressed protobuf is understood")),
            Ok(code) => Err(Error::new(Code(code), header.error_message)),
            Err(_) => Err(Error::new(Code::UNKNOWN, header.error_message)),
        };
        self.send_response(re, result, out);
    }
}

/// From the gate machine.
impl Bridge {
    fn on_welcome(&mut self, welcome: Welcome, out: &mut Vec<Output>) {
        self.limit = welcome.max_up.saturating_add(HEADER_ROOM);
        if let Stage::Opening(response) = std::mem::replace(&mut self.stage, Stage::Online(welcome.sid)) {
            out.push(answer(*response, registered(welcome.sid)));
        }
    }

    fn on_rsp(&mut self, rsp: Rsp, out: &mut Vec<Output>) {
        if !self.accept(rsp.seq, rsp.result.as_ref().map_or(0, Bytes::len), out) {
            return;
        }
        let Some(response) = self.calls.remove(&rsp.re) else { return };
        match rsp.result {
            Ok(body) => out.push(answer(response, body)),
            Err(error) => refuse(response, &error, out),
        }
    }

    fn on_push(&mut self, note: Note, out: &mut Vec<Output>) {
        if note.seq != 0 && !self.accept(note.seq, note.body.len(), out) {
            return;
        }
        // A method that no descriptor names cannot be dispatched by the client.
        if let Some(header) = self.to_client(note.method, note.key.as_ref()) {
            let header = Header { call_type: CallType::OneWay, ..header };
            out.push(Output::Original(CompatFrame { header, body: note.body }));
        }
    }

    fn on_req(&mut self, req: Req, out: &mut Vec<Output>) {
        if !self.accept(req.seq, req.body.len(), out) {
            return;
        }
        match self.to_client(req.method, req.key.as_ref()) {
            Some(header) => {
                let timeout_ms = req.deadline_ms.unwrap_or(0);
                let header = Header { request_id: req.seq.to_string(), timeout_ms, ..header };
                out.push(Output::Original(CompatFrame { header, body: req.body }));
            }
            None => {
                let error = Error::new(Code::UNIMPLEMENTED, "this client knows no such method");
                self.send_response(req.seq, Err(error), out);
            }
        }
    }

    /// The header of a request to the client.
    fn to_client(&self, method: u32, from: Option<&Key>) -> Option<Header> {
        let (service, method) = self.names.of_client(method)?;
        let src_entity = match from {
            Some(Key::Number(number)) => *number,
            _ => 0,
        };
        Some(Header {
            service_type: ServiceType::Entity,
            src_entity,
            dst_entity: self.session().unwrap_or_default().0,
            service: service.to_owned(),
            method: method.to_owned(),
            ..Header::default()
        })
    }

    /// Everything that waits fails, and the connection closes.
    fn close(&mut self, error: &Error, out: &mut Vec<Output>) {
        if let Stage::Opening(response) = std::mem::replace(&mut self.stage, Stage::Closed) {
            refuse(*response, error, out);
        }
        std::mem::take(&mut self.calls).into_values().for_each(|response| refuse(response, error, out));
        out.push(Output::Close);
    }

    /// Whether a numbered frame is the next one; it always is, within one process.
    fn accept(&mut self, seq: u64, body_len: usize, out: &mut Vec<Output>) -> bool {
        let arrival = self.delivery.on_seq(seq, body_len);
        if self.delivery.ack_due() {
            self.acknowledge(out);
        }
        match arrival {
            Arrival::Accept => true,
            Arrival::Duplicate => false,
            Arrival::Gap => {
                self.close(&Error::new(Code::INTERNAL, "frames of the gate are missing"), out);
                false
            }
        }
    }

    fn acknowledge(&mut self, out: &mut Vec<Output>) {
        out.extend(self.delivery.take_ack().map(|seen| Output::Native(Frame::Ack { seen })));
    }

    fn send_response(&mut self, re: u64, result: Result<Bytes>, out: &mut Vec<Output>) {
        let (seq, ack) = self.number();
        out.push(Output::Native(Frame::Rsp(Rsp { seq, ack, re, result })));
    }

    fn number(&mut self) -> (u64, Option<u64>) {
        self.sent += 1;
        (self.sent, self.delivery.take_ack())
    }
}

fn answer(header: Header, body: Bytes) -> Output {
    Output::Original(CompatFrame { header, body })
}

/// The original's codes are signed; one that does not fit, or would mean success, is `UNKNOWN`. Nobody waits for the
/// answer to a one-way request.
fn refuse(header: Header, error: &Error, out: &mut Vec<Output>) {
    if header.call_type == CallType::OneWay {
        return;
    }
    let code = i32::try_from(error.code.0).ok().filter(|code| *code != 0);
    let error_code = code.unwrap_or(Code::UNKNOWN.0 as i32);
    out.push(answer(Header { error_code, error_message: error.message.to_string(), ..header }, Bytes::new()));
}

/// `{ EntityID: uint64 = 1 }`
fn registered(sid: SessionId) -> Bytes {
    let mut body = Vec::with_capacity(11);
    body.varint(1 << 3);
    body.varint(sid.0);
    body.into()
}
