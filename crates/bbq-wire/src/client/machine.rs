//! The machine behind [`ClientSession`]: connection, frames from the gate, requests of the application, time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Call, ClientConfig, Input, Output, State};
use crate::code::{Code, Error};
use crate::delivery::{Arrival, Delivery, Full, RingLimits, ring_size};
use crate::frame::{Auth, Frame, Hello, LIMIT_UP, Note, Req, Resume, Rsp, VERSION, Welcome};
use crate::id::{Key, SessionId};
use crate::shared::SharedFrame;
use crate::time::Time;

/// One player's presence, across connections. See the [module](super).
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    random: u64,
    phase: Phase,
    session: Option<Session>,
    queue: VecDeque<Queued>,
    queued_bytes: u32,
    /// Calls that were sent, by seq: the shell's number and when to give up.
    calls: BTreeMap<u64, (u64, Time)>,
    /// Calls of the gate that run: the number given to the shell and their seq.
    requests: BTreeMap<u64, u64>,
    next_request: u64,
    attempt: u32,
    address: Option<String>,
    /// GOAWAY: when to reconnect, and where to.
    leave: Option<(Time, Option<String>)>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Waiting,
    Opening { since: Time, resuming: bool },
    Online { heard: Time, pinged: bool },
    Closed,
}

#[derive(Debug)]
struct Session {
    sid: SessionId,
    max_calls: u32,
    ticket: Bytes,
    heartbeat: Duration,
    max_up: u32,
    delivery: Delivery,
}

/// A frame that was never sent: a call with its deadline, or a notification.
#[derive(Debug)]
struct Queued {
    frame: SharedFrame,
    call: Option<(u64, Time)>,
}

impl ClientSession {
    /// A client that wants to connect: [`ClientSession::poll`] says so.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let outputs = VecDeque::from([
            Output::State(State::Connecting),
            Output::Connect { after: Duration::ZERO, address: None },
        ]);
        Self {
            random: config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            config,
            phase: Phase::Waiting,
            session: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            calls: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            attempt: 0,
            address: None,
            leave: None,
            outputs,
        }
    }

    /// The session, once there is one.
    #[must_use]
    pub fn sid(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.sid)
    }

    /// Most calls that the gate runs at a time for this client; `None` before it has said so.
    #[must_use]
    pub fn max_calls(&self) -> Option<u32> {
        self.session.as_ref().map(|session| session.max_calls).filter(|calls| *calls > 0)
    }

    /// Whether calls go out at once.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online { .. })
    }

    /// Whether a call or notification with a body of `body_len` bytes would be taken now.
    #[must_use]
    pub fn has_room(&self, body_len: usize) -> bool {
        let size = u32::try_from(body_len.saturating_add(128)).unwrap_or(u32::MAX);
        let limits = &self.config.ring;
        let (frames, bytes) = match (&self.session, self.phase) {
            (_, Phase::Closed) => return false,
            (Some(session), Phase::Online { .. }) if self.queue.is_empty() => {
                (session.delivery.kept(), session.delivery.kept_bytes())
            }
            (_, Phase::Online { .. }) => return false,
            _ => (self.queue.len(), self.queued_bytes),
        };
        frames < limits.frames as usize && bytes.saturating_add(size) <= limits.bytes
    }

    /// The next thing to do; drain it to `None` after every [`ClientSession::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in [`Input::Tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let queued = self.queue.iter().filter_map(|queued| queued.call).map(|(_, until)| until);
        let sent = self.calls.values().map(|(_, until)| *until);
        let leave = self.leave.iter().map(|(at, _)| *at);
        let own = match self.phase {
            Phase::Closed => return None,
            Phase::Waiting => Time::MAX,
            Phase::Opening { since, .. } => since + self.config.opening,
            Phase::Online { heard, pinged: true } => heard + self.heartbeat() * 5 / 2,
            Phase::Online { heard, pinged: false } => heard + self.heartbeat(),
        };
        let first = queued.chain(sent).chain(leave).fold(own, Time::min);
        (first < Time::MAX).then_some(first)
    }

    /// The only way in.
    pub fn handle(&mut self, now: Time, input: Input) {
        if self.phase == Phase::Closed {
            return self.refuse_after_the_end(input);
        }
        match input {
            Input::Connected => self.open(now),
            Input::Disconnected => self.lost(Duration::ZERO),
            Input::Frame(frame) => self.on_frame(now, frame),
            Input::BadFrame(_) => self.drop_connection(Duration::ZERO),
            Input::Call(call) => self.call(now, call),
            Input::Notify { method, key, body } => self.notify(method, key.as_ref(), &body),
            Input::Reply { request, result } => self.reply(request, result),
            Input::Token(token) => self.config.token = token,
            Input::Tick => self.tick(now),
            Input::Close => self.say_bye(),
        }
    }
}

/// The connection.
impl ClientSession {
    fn open(&mut self, now: Time) {
        if self.phase != Phase::Waiting {
            return;
        }
        let hello = Hello { version: VERSION, features: 0, sdk: self.config.sdk.clone() };
        self.send(&Frame::Hello(hello));
        match &mut self.session {
            Some(session) => {
                let (sid, ticket, seen) = (session.sid, session.ticket.clone(), session.delivery.tell_seen());
                self.phase = Phase::Opening { since: now, resuming: true };
                self.send(&Frame::Resume(Resume { sid, ticket, seen }));
            }
            None => self.authenticate(now),
        }
    }

    fn authenticate(&mut self, now: Time) {
        self.phase = Phase::Opening { since: now, resuming: false };
        let ClientConfig { scheme, token, device, .. } = &self.config;
        let auth = Auth { scheme: scheme.clone(), token: token.clone(), device: device.clone() };
        self.send(&Frame::Auth(auth));
    }

    /// The connection is gone; ask for another one.
    fn lost(&mut self, at_least: Duration) {
        let was = std::mem::replace(&mut self.phase, Phase::Waiting);
        if was == Phase::Waiting {
            self.address = None;
        }
        if matches!(was, Phase::Online { .. }) {
            self.outputs.push_back(Output::State(State::Detached));
        }
        self.leave = None;
        let after = at_least + self.backoff();
        self.outputs.push_back(Output::Connect { after, address: self.address.clone() });
    }

    fn drop_connection(&mut self, at_least: Duration) {
        if self.phase != Phase::Waiting {
            self.outputs.push_back(Output::Disconnect);
            self.lost(at_least);
        }
    }

    /// Anything up to a bound that doubles with every try: clients that lost the same gate, or were all told the same
    /// time to come back, spread out.
    fn backoff(&mut self) -> Duration {
        let factor = 1_u32 << self.attempt.min(16);
        let longest = self.config.backoff_min.saturating_mul(factor).min(self.config.backoff_max);
        self.attempt = self.attempt.saturating_add(1);
        Duration::from_nanos(self.below(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// A random number below `limit` (0 for 0), by xorshift64*.
    const fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let number = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        if limit == 0 { 0 } else { number % limit }
    }

    /// The application is done: a gate that hears of it need not keep the session.
    fn say_bye(&mut self) {
        if matches!(self.phase, Phase::Online { .. }) {
            self.send(&Frame::Bye);
        }
        self.close(Error::new(Code::CANCELLED, "closed by the application"));
    }

    fn close(&mut self, error: Error) {
        if self.phase != Phase::Waiting {
            self.outputs.push_back(Output::Disconnect);
        }
        self.phase = Phase::Closed;
        self.forget_session();
        self.queued_bytes = 0;
        for (call, _) in std::mem::take(&mut self.queue).into_iter().filter_map(|queued| queued.call) {
            self.outputs.push_back(Output::Reply { call, result: Err(Error::new(Code::NOT_SENT, &*error.message)) });
        }
        self.outputs.push_back(Output::State(State::Closed(error)));
    }

    /// Calls in flight fail; what was kept for a resume is dropped.
    fn forget_session(&mut self) {
        self.session = None;
        self.requests.clear();
        for (call, _) in std::mem::take(&mut self.calls).into_values() {
            let error = Error::new(Code::OUTCOME_UNKNOWN, "the session was lost after the call was sent");
            self.outputs.push_back(Output::Reply { call, result: Err(error) });
        }
    }

    fn resync(&mut self) {
        self.outputs.push_back(Output::State(State::Resync));
        self.forget_session();
    }
}

/// From the gate.
impl ClientSession {
    fn on_frame(&mut self, now: Time, frame: Frame) {
        match (self.phase, frame) {
            (Phase::Waiting | Phase::Closed, _) => {}
            (_, Frame::Kick { reason, message }) => self.close(Error { code: reason, message, retry_after_ms: 0 }),
            (_, Frame::GoAway(away)) => {
                let wait = Duration::from_millis(self.below(u64::from(away.after_ms) + 1));
                self.leave = Some((now + wait, Some(away.address).filter(|address| !address.is_empty())));
            }
            (_, Frame::Err(error)) => self.on_error(now, error),
            (Phase::Opening { resuming, .. }, Frame::Welcome(welcome)) => self.on_welcome(now, *welcome, resuming),
            (Phase::Opening { .. }, _) => self.drop_connection(Duration::ZERO),
            (Phase::Online { .. }, frame) => {
                self.phase = Phase::Online { heard: now, pinged: false };
                self.on_session_frame(frame);
            }
        }
    }

    fn on_error(&mut self, now: Time, error: Error) {
        let opening = match self.phase {
            Phase::Opening { resuming: true, .. } if error.code == Code::RESUME_FAILED => {
                self.resync();
                return self.authenticate(now);
            }
            phase => matches!(phase, Phase::Opening { .. }),
        };
        let over = match error.code {
            Code::REPLACED | Code::KICKED | Code::UNSUPPORTED_VERSION | Code::UNAUTHENTICATED => true,
            Code::PERMISSION_DENIED | Code::INVALID_ARGUMENT | Code::UNIMPLEMENTED => opening,
            _ => false,
        };
        if over {
            self.close(error);
        } else {
            self.drop_connection(Duration::from_millis(error.retry_after_ms.into()));
        }
    }

    fn on_welcome(&mut self, now: Time, welcome: Welcome, resuming: bool) {
        let Welcome { resumed, sid, ticket, account, peer_seen, max_calls, .. } = welcome;
        if resumed && !resuming {
            return self.drop_connection(Duration::ZERO);
        }
        if resuming && !resumed {
            self.resync();
        }
        let old = self.session.take().map(|session| session.delivery);
        let mut delivery = old.unwrap_or_default();
        let Ok(again) = delivery.resume(peer_seen) else {
            // The gate claims what cannot be: this session has no future.
            self.resync();
            return self.drop_connection(Duration::ZERO);
        };
        self.outputs.push_back(Output::State(State::Online { resumed, account }));
        self.outputs.extend(again.map(|(seq, frame)| Output::Send(frame.to_bytes(seq, None))));
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1).into());
        let max_up = if welcome.max_up == 0 { LIMIT_UP } else { welcome.max_up };
        self.session = Some(Session { sid, max_calls, ticket, heartbeat, max_up, delivery });
        self.phase = Phase::Online { heard: now, pinged: false };
        self.attempt = 0;
        self.flush_queue();
    }

    fn on_session_frame(&mut self, frame: Frame) {
        let fine = match frame {
            Frame::Req(req) => self.on_req(req),
            Frame::Rsp(rsp) => self.on_rsp(rsp),
            Frame::Push(note) => self.on_push(note),
            Frame::Ack { seen } => self.acked(Some(seen)),
            Frame::Ping { nonce } => {
                self.acknowledge();
                self.send(&Frame::Pong { nonce, time_ms: 0 });
                true
            }
            Frame::Pong { .. } => true,
            _ => false,
        };
        if !fine {
            self.drop_connection(Duration::ZERO);
        } else if self.session.as_ref().is_some_and(|session| session.delivery.ack_due()) {
            self.acknowledge();
        }
        // Acknowledged frames made room.
        self.flush_queue();
    }

    fn on_req(&mut self, req: Req) -> bool {
        match self.arrived(req.seq, req.ack, req.body.len()) {
            Some(false) => true,
            Some(true) if self.requests.len() < self.config.max_requests => {
                let request = self.next_request;
                self.next_request += 1;
                self.requests.insert(request, req.seq);
                let Req { method, key, deadline_ms, body, .. } = req;
                self.outputs.push_back(Output::Request { request, method, key, deadline_ms, body });
                true
            }
            _ => false,
        }
    }

    fn on_rsp(&mut self, rsp: Rsp) -> bool {
        let len = rsp.result.as_ref().map_or(0, Bytes::len);
        let Some(fresh) = self.arrived(rsp.seq, rsp.ack, len) else { return false };
        // An unknown `re` is a reply that came after its deadline.
        if fresh && let Some((call, _)) = self.calls.remove(&rsp.re) {
            self.outputs.push_back(Output::Reply { call, result: rsp.result });
        }
        true
    }

    fn on_push(&mut self, note: Note) -> bool {
        let fresh = match note.seq {
            0 if self.acked(note.ack) => Some(true),
            0 => None,
            seq => self.arrived(seq, note.ack, note.body.len()),
        };
        if fresh == Some(true) {
            let Note { method, key, body, .. } = note;
            self.outputs.push_back(Output::Push { method, key, body });
        }
        fresh.is_some()
    }

    /// Whether a sequenced frame is new; none when it breaks the protocol.
    fn arrived(&mut self, seq: u64, ack: Option<u64>, body_len: usize) -> Option<bool> {
        if seq == 0 || !self.acked(ack) {
            return None;
        }
        match self.session.as_mut()?.delivery.on_seq(seq, body_len + 16) {
            Arrival::Accept => Some(true),
            Arrival::Duplicate => Some(false),
            Arrival::Gap => None,
        }
    }

    fn acked(&mut self, ack: Option<u64>) -> bool {
        match (ack, &mut self.session) {
            (Some(seen), Some(session)) => session.delivery.on_ack(seen).is_ok(),
            _ => true,
        }
    }
}

/// From the application.
impl ClientSession {
    fn call(&mut self, now: Time, call: Call) {
        let Call { call, method, key, deadline_ms, body } = call;
        if self.calls.len() + self.queue.len() >= self.config.max_calls {
            let error = Error::new(Code::BUSY, "too many calls wait for their reply");
            return self.outputs.push_back(Output::Reply { call, result: Err(error) });
        }
        let until = deadline_ms.map_or(Time::MAX, |ms| now + Duration::from_millis(ms.into()));
        let req = Req { method, key, deadline_ms, body, ..Req::default() };
        let queued = Queued { frame: SharedFrame::request(&req), call: Some((call, until)) };
        if let Err(error) = self.enqueue(queued) {
            self.outputs.push_back(Output::Reply { call, result: Err(error) });
        }
    }

    fn notify(&mut self, method: u32, key: Option<&Key>, body: &[u8]) {
        let queued = Queued { frame: SharedFrame::notify(method, key, None, body), call: None };
        if let Err(error) = self.enqueue(queued) {
            self.outputs.push_back(Output::NotifyRefused { method, error });
        }
    }

    /// Sends at once when online, queues otherwise.
    fn enqueue(&mut self, queued: Queued) -> Result<(), Error> {
        let max_up = self.session.as_ref().map_or(LIMIT_UP, |session| session.max_up);
        if queued.frame.max_frame_len() > max_up as usize {
            return Err(Error::new(Code::FRAME_TOO_LARGE, "longer than the gate accepts"));
        }
        if self.is_online() {
            let full = Error::new(Code::BUSY, "too much is unacknowledged");
            return if self.queue.is_empty() { self.transmit(&queued).map_err(|_| full) } else { Err(full) };
        }
        let (limits, size) = (&self.config.ring, ring_size(&queued.frame));
        if self.queue.len() >= limits.frames as usize || self.queued_bytes.saturating_add(size) > limits.bytes {
            return Err(Error::new(Code::BUSY, "too much waits for a connection"));
        }
        self.queued_bytes += size;
        self.queue.push_back(queued);
        Ok(())
    }

    fn transmit(&mut self, queued: &Queued) -> Result<(), Full> {
        let Some(session) = &mut self.session else { return Err(Full) };
        let seq = session.delivery.send(queued.frame.clone(), &self.config.ring)?;
        let ack = session.delivery.take_ack();
        self.outputs.push_back(Output::Send(queued.frame.to_bytes(seq, ack)));
        if let Some(call) = queued.call {
            self.calls.insert(seq, call);
        }
        Ok(())
    }

    /// Sends what waits, as far as the ring has room.
    fn flush_queue(&mut self) {
        while self.is_online()
            && let Some(queued) = self.queue.pop_front()
        {
            if self.transmit(&queued).is_err() {
                return self.queue.push_front(queued);
            }
            self.queued_bytes -= ring_size(&queued.frame);
        }
    }

    /// Replies ignore the ring's limit: there are no more of them than calls of the gate, and those are limited.
    fn reply(&mut self, request: u64, result: Result<Bytes, Error>) {
        let (Some(re), Some(session)) = (self.requests.remove(&request), &mut self.session) else { return };
        let mut frame = SharedFrame::response(re, result.as_ref().map(|body| &body[..]));
        if frame.max_frame_len() > session.max_up as usize {
            let error = Error::new(Code::FRAME_TOO_LARGE, "the reply is longer than the gate accepts");
            frame = SharedFrame::response(re, Err(&error));
        }
        let unlimited = RingLimits { frames: u32::MAX, bytes: u32::MAX, ..self.config.ring };
        let Ok(seq) = session.delivery.send(frame.clone(), &unlimited) else { return };
        if matches!(self.phase, Phase::Online { .. }) {
            let ack = session.delivery.take_ack();
            self.outputs.push_back(Output::Send(frame.to_bytes(seq, ack)));
        }
    }

    fn refuse_after_the_end(&mut self, input: Input) {
        let error = || Error::new(Code::NOT_SENT, "the session is closed");
        match input {
            Input::Call(call) => self.outputs.push_back(Output::Reply { call: call.call, result: Err(error()) }),
            Input::Notify { method, .. } => {
                self.outputs.push_back(Output::NotifyRefused { method, error: error() });
            }
            _ => {}
        }
    }
}

/// Time.
impl ClientSession {
    fn tick(&mut self, now: Time) {
        self.expire_calls(now);
        if let Some((_, address)) = self.leave.take_if(|(at, _)| *at <= now) {
            return self.move_to(address);
        }
        match self.phase {
            Phase::Opening { since, .. } if now >= since + self.config.opening => self.drop_connection(Duration::ZERO),
            Phase::Online { heard, .. } if now >= heard + self.heartbeat() * 5 / 2 => {
                self.drop_connection(Duration::ZERO);
            }
            Phase::Online { heard, pinged: false } if now >= heard + self.heartbeat() => {
                self.phase = Phase::Online { heard, pinged: true };
                self.acknowledge();
                self.send(&Frame::Ping { nonce: now.as_millis() });
            }
            _ => {}
        }
    }

    fn move_to(&mut self, address: Option<String>) {
        if matches!(self.phase, Phase::Online { .. }) {
            self.outputs.push_back(Output::State(State::Detached));
        }
        self.phase = Phase::Waiting;
        self.address = address;
        self.outputs.push_back(Output::Disconnect);
        self.outputs.push_back(Output::Connect { after: Duration::ZERO, address: self.address.clone() });
    }

    fn expire_calls(&mut self, now: Time) {
        let outputs = &mut self.outputs;
        let mut expired = |(call, until): (u64, Time), message: &str| {
            let over = until <= now;
            if over {
                let error = Error::new(Code::DEADLINE_EXCEEDED, message);
                outputs.push_back(Output::Reply { call, result: Err(error) });
            }
            over
        };
        self.calls.retain(|_, call| !expired(*call, "sent, no reply in time"));
        self.queue.retain(|queued| !queued.call.is_some_and(|call| expired(call, "never sent")));
        self.queued_bytes = self.queue.iter().map(|queued| ring_size(&queued.frame)).sum();
    }

    fn heartbeat(&self) -> Duration {
        self.session.as_ref().map_or(self.config.opening, |session| session.heartbeat)
    }

    fn acknowledge(&mut self) {
        if let Some(seen) = self.session.as_mut().and_then(|session| session.delivery.take_ack()) {
            self.send(&Frame::Ack { seen });
        }
    }

    fn send(&mut self, frame: &Frame) {
        self.outputs.push_back(Output::Send(frame.to_bytes()));
    }
}
