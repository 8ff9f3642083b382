//! A client and a gate joined by a link that breaks. Both ends, byte streams included, run on one seed.
//!
//! What is checked at every step: numbers arrive in order and once, a missing one is only accepted after the client was
//! told to resync, and every call and request has exactly one outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use bbq_wire::client::{Call, ClientConfig, ClientSession, Input, Output, State};
use bbq_wire::delivery::{Delivery, RingLimits};
use bbq_wire::gate::{Attach, GateConfig, GateInput, GateOutput, GateSession, Lane};
use bbq_wire::handshake::{Handshake, Step};
use bbq_wire::{Code, Frame, SessionId, SharedFrame, Splitter, Time};
use bytes::{Bytes, BytesMut};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Bytes on their way in one direction, and what has arrived of them.
#[derive(Default)]
struct Pipe {
    wire: BytesMut,
    arrived: BytesMut,
}

impl Pipe {
    fn carry(&mut self, bytes: usize) {
        let part = self.wire.split_to(bytes.min(self.wire.len()));
        self.arrived.extend_from_slice(&part);
    }

    fn frame(&mut self, limit: u32) -> Option<Frame> {
        let frame = Splitter::new(limit).next(&mut self.arrived).unwrap()?;
        Some(Frame::decode(frame).unwrap())
    }
}

struct Connection {
    up: Pipe,
    down: Pipe,
    handshake: Option<Handshake>,
}

#[derive(Default)]
struct Counts {
    resumed: u64,
    resyncs: u64,
    cuts: u64,
}

/// Numbers sent in one direction, each expected once and in order.
#[derive(Default)]
struct Sequence {
    sent: u64,
    received: u64,
    gap_allowed: bool,
}

impl Sequence {
    fn next(&mut self) -> Bytes {
        self.sent += 1;
        Bytes::copy_from_slice(&self.sent.to_le_bytes())
    }

    fn receive(&mut self, body: &[u8]) {
        let number = u64::from_le_bytes(body.try_into().unwrap());
        if self.gap_allowed {
            assert!(number > self.received, "{number} after {}", self.received);
            self.gap_allowed = false;
        } else {
            assert_eq!(number, self.received + 1, "lost, doubled or out of order");
        }
        self.received = number;
    }
}

struct World {
    now: Time,
    random: Random,
    config: GateConfig,
    client: ClientSession,
    session: Option<GateSession>,
    connection: Option<Connection>,
    connect_at: Option<Time>,
    sessions: u64,
    up: Sequence,
    down: Sequence,
    waiting_calls: BTreeSet<u64>,
    waiting_requests: BTreeSet<u64>,
    gate_calls: Vec<(u64, Bytes)>,
    client_requests: Vec<(u64, Bytes)>,
    counts: Counts,
    gate_out: Vec<GateOutput>,
}

impl World {
    fn new(seed: u64, ring: RingLimits) -> Self {
        let config = GateConfig { ring, max_calls: 1000, max_requests: 200, ..GateConfig::default() };
        Self {
            now: Time::ZERO,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            config,
            client: ClientSession::new(ClientConfig { seed, ..ClientConfig::default() }),
            session: None,
            connection: None,
            connect_at: None,
            sessions: 0,
            up: Sequence::default(),
            down: Sequence::default(),
            waiting_calls: BTreeSet::new(),
            waiting_requests: BTreeSet::new(),
            gate_calls: Vec::new(),
            client_requests: Vec::new(),
            counts: Counts::default(),
            gate_out: Vec::new(),
        }
    }

    fn client(&mut self, input: Input) {
        self.client.handle(self.now, input);
        while let Some(output) = self.client.poll() {
            self.on_client_output(output);
        }
    }

    fn on_client_output(&mut self, output: Output) {
        match output {
            Output::Connect { after, .. } => self.connect_at = Some(self.now + after),
            Output::Send(bytes) => {
                self.connection.as_mut().expect("sends only when connected").up.wire.extend_from_slice(&bytes);
            }
            Output::Disconnect => self.connection = None,
            Output::Reply { call, result } => {
                assert!(self.waiting_calls.remove(&call), "one outcome per call");
                match result {
                    Ok(body) => assert_eq!(body, call.to_le_bytes()[..]),
                    Err(error) => assert!(error.code == Code::OUTCOME_UNKNOWN, "{error}"),
                }
            }
            Output::Push { body, .. } => self.down.receive(&body),
            Output::Request { request, body, .. } => {
                self.down.receive(&body);
                self.client_requests.push((request, body));
            }
            Output::NotifyRefused { error, .. } => panic!("asked for room first: {error}"),
            Output::State(State::Online { resumed, .. }) => self.counts.resumed += u64::from(resumed),
            Output::State(State::Resync) => {
                self.counts.resyncs += 1;
                self.down.gap_allowed = true;
                self.up.gap_allowed = true;
            }
            Output::State(State::Closed(error)) => panic!("{error}"),
            Output::State(_) => {}
        }
    }

    fn gate(&mut self, input: GateInput) {
        let Some(session) = &mut self.session else { return };
        let mut out = std::mem::take(&mut self.gate_out);
        session.handle(self.now, &self.config, input, &mut out);
        out.drain(..).for_each(|output| self.on_gate_output(output));
        self.gate_out = out;
    }

    fn on_gate_output(&mut self, output: GateOutput) {
        match output {
            GateOutput::Send { prefix, tail } => {
                // Into the void when the gate has not noticed that the connection is gone.
                if let Some(connection) = self.connection.as_mut().filter(|c| c.handshake.is_none()) {
                    connection.down.wire.extend_from_slice(prefix.as_slice());
                    connection.down.wire.extend_from_slice(&tail);
                }
            }
            GateOutput::Call { call, body, .. } => {
                self.up.receive(&body);
                self.gate_calls.push((call, body));
            }
            GateOutput::Notify { body, .. } => self.up.receive(&body),
            GateOutput::Answer { call, result } => {
                assert!(self.waiting_requests.remove(&call), "one outcome per request");
                match result {
                    Ok(body) => assert_eq!(body, call.to_le_bytes()[..]),
                    Err(error) => assert!(matches!(error.code, Code::CLIENT_GONE | Code::BUSY), "{error}"),
                }
            }
            GateOutput::Detached(None) => {}
            GateOutput::Detached(Some(error)) => {
                assert_eq!(error.code, Code::HEARTBEAT_TIMEOUT);
                assert!(self.connection.as_ref().is_none_or(|c| c.handshake.is_some()), "half open");
            }
            GateOutput::Close => {}
            GateOutput::Ended(_) => {
                self.session = None;
                self.gate_calls.clear();
            }
            GateOutput::Refused(error) => panic!("{error}"),
        }
    }

    /// Gate side of a connection: one frame.
    fn gate_frame(&mut self, frame: Frame) {
        let Some(handshake) = self.connection.as_mut().and_then(|connection| connection.handshake.as_mut()) else {
            return self.gate(GateInput::Frame(frame));
        };
        let step = handshake.on_frame(frame);
        let mut ticket = [0; 16];
        ticket[..8].copy_from_slice(&self.random.below(u64::MAX).to_le_bytes());
        let resume = match step {
            Step::Wait => return,
            Step::Fail(error) => panic!("{error}"),
            Step::Authenticate(_) => {
                // The old connection is not the one that logs in.
                self.gate(GateInput::Disconnected);
                self.gate(GateInput::Kick(bbq_wire::Error::new(Code::REPLACED, "a new login")));
                self.sessions += 1;
                self.session = Some(GateSession::new(self.now, SessionId(self.sessions), Delivery::new()));
                None
            }
            Step::Resume(resume) => {
                let can = self.session.as_ref().is_some_and(|session| {
                    session.sid() == resume.sid && session.can_resume(&resume.ticket, resume.seen)
                });
                if !can {
                    let error = handshake.resume_failed("no").to_bytes();
                    self.connection.as_mut().unwrap().down.wire.extend_from_slice(&error);
                    return;
                }
                Some(resume)
            }
        };
        self.connection.as_mut().unwrap().handshake = None;
        // The old connection, if the gate had not noticed its end.
        self.gate(GateInput::Disconnected);
        self.gate(GateInput::Attach(Attach { resume, ticket, account: "me".into() }));
    }

    fn cut(&mut self) {
        if let Some(old) = self.connection.take() {
            self.counts.cuts += 1;
            // Half of the time the gate notices only when the client is back.
            if old.handshake.is_none() && self.random.one_in(2) {
                self.gate(GateInput::Disconnected);
            }
            self.client(Input::Disconnected);
        }
    }

    fn carry(&mut self) {
        let (up, down) = (self.random.below(200) as usize, self.random.below(200) as usize);
        let Some(connection) = &mut self.connection else { return };
        connection.up.carry(up);
        connection.down.carry(down);
        while let Some(frame) = self.connection.as_mut().and_then(|connection| connection.up.frame(1 << 16)) {
            self.gate_frame(frame);
        }
        while let Some(frame) = self.connection.as_mut().and_then(|connection| connection.down.frame(1 << 20)) {
            self.client(Input::Frame(frame));
        }
    }

    fn traffic(&mut self) {
        match self.random.below(4) {
            0 if self.client.has_room(8) => {
                let body = self.up.next();
                self.waiting_calls.insert(self.up.sent);
                self.client(Input::Call(Call { call: self.up.sent, method: 7, body, ..Call::default() }));
            }
            1 if self.client.has_room(8) => {
                let body = self.up.next();
                self.client(Input::Notify { method: 8, key: Some("room".into()), body });
            }
            2 if self.session.is_some() => {
                let body = self.down.next();
                self.gate(GateInput::Push(SharedFrame::push(9, None, &body), Lane::Reliable));
            }
            3 if self.session.as_ref().is_some_and(GateSession::is_attached) && self.waiting_requests.len() < 100 => {
                let body = self.down.next();
                self.waiting_requests.insert(self.down.sent);
                let call = self.down.sent;
                self.gate(GateInput::Request { call, method: 3, key: None, deadline_ms: None, body });
            }
            _ => {}
        }
    }

    fn answer(&mut self) {
        let pick = |random: &mut Random, list: &mut Vec<(u64, Bytes)>| {
            let at = random.below(list.len() as u64) as usize;
            (!list.is_empty()).then(|| list.swap_remove(at))
        };
        if let Some((call, body)) = pick(&mut self.random, &mut self.gate_calls) {
            self.gate(GateInput::Reply { call, result: Ok(body) });
        }
        if let Some((request, body)) = pick(&mut self.random, &mut self.client_requests) {
            self.client(Input::Reply { request, result: Ok(body) });
        }
    }

    fn pass_time(&mut self) {
        self.now = self.now + Duration::from_millis(self.random.below(20));
        if self.connect_at.is_some_and(|at| at <= self.now) {
            self.connect_at = None;
            let handshake = Some(Handshake::new(self.now));
            self.connection = Some(Connection { up: Pipe::default(), down: Pipe::default(), handshake });
            self.client(Input::Connected);
        }
        if self.client.deadline().is_some_and(|at| at <= self.now) {
            self.client(Input::Tick);
        }
        let gate_deadline = self.session.as_ref().and_then(|session| session.deadline(&self.config));
        if gate_deadline.is_some_and(|at| at <= self.now) {
            self.gate(GateInput::Tick);
        }
    }

    fn run(seed: u64, ring: RingLimits, steps: u64, cut_every: u64) -> Self {
        let mut world = Self::new(seed, ring);
        while let Some(output) = world.client.poll() {
            world.on_client_output(output);
        }
        for _ in 0..steps {
            world.pass_time();
            world.traffic();
            world.answer();
            world.carry();
            if world.random.one_in(cut_every) {
                world.cut();
            }
        }
        for _ in 0..20_000 {
            world.pass_time();
            world.answer();
            world.carry();
        }
        assert!(world.client.is_online());
        assert!(world.waiting_calls.is_empty(), "{:?}", world.waiting_calls);
        world
    }
}

#[test]
fn thousands_of_messages_over_hundreds_of_cuts_arrive_once_and_in_order() {
    let ring = RingLimits { frames: 1 << 20, bytes: 1 << 30, ..RingLimits::GATE };
    let (mut cuts, mut resumed, mut up, mut down) = (0, 0, 0, 0);
    for seed in 1..=12 {
        let world = World::run(seed, ring, 10_000, 150);
        assert_eq!(world.counts.resyncs, 0, "seed {seed}: nothing forces a resync");
        assert_eq!(world.up.sent, world.up.received, "seed {seed}");
        assert_eq!(world.down.sent, world.down.received, "seed {seed}");
        assert!(world.waiting_requests.is_empty());
        cuts += world.counts.cuts;
        resumed += world.counts.resumed;
        up += world.up.received;
        down += world.down.received;
    }
    println!("{cuts} cuts, {resumed} resumed, {up} messages up, {down} down");
    assert!(resumed > 200 && up > 20_000 && down > 20_000);
}

#[test]
fn a_ring_that_overflows_leads_to_a_resync_and_never_to_a_silent_gap() {
    let mut resyncs = 0;
    for seed in 1..=20 {
        let ring = RingLimits { frames: 4 + (seed as u32 % 5) * 8, ..RingLimits::GATE };
        let world = World::run(seed, ring, 10_000, 150);
        resyncs += world.counts.resyncs;
    }
    assert!(resyncs > 20, "{resyncs}");
}

#[test]
fn an_idle_session_is_small() {
    println!("GateSession: {} bytes, GateOutput: {}", size_of::<GateSession>(), size_of::<GateOutput>());
    assert!(size_of::<GateSession>() <= 256);
}
