//! Connections that break at any byte: nothing is lost, doubled or reordered.

use bbq_wire::client::{Call, ClientConfig, ClientSession, Input as ClientInput, Output as ClientOutput, State};

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit.max(1)
    }
}

/// A connection between a client and the gate, with bytes on their way.
struct Link {
    conn: ConnId,
    up: BytesMut,
    down: BytesMut,
    down_arrived: BytesMut,
    inlet: Inlet,
}

struct Scene {
    gate: Gate,
    client: ClientSession,
    random: Random,
    now: Time,
    link: Option<Link>,
    /// Connections that are cut, which the gate has not noticed.
    half_open: Vec<ConnId>,
    connect_at: Option<Time>,
    opened: u64,
    sid: Option<SessionId>,
    calls: u64,
    arrived: u64,
    replies: BTreeSet<u64>,
    pushes: u64,
    pushed: u64,
    cuts: u64,
    resyncs: u64,
    events: Vec<SessionEvent>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let limits = Limits { session_rate: None, connection_rate: None, ..Limits::default() };
        let mut gate = Gate::new(Config { limits, ..config() });
        gate.handle(Time::ZERO, Input::Methods(Arc::new(MethodTable::of_services(&[&ROOM]).0)));
        let client = ClientSession::new(ClientConfig { token: "ann".into(), seed, ..ClientConfig::default() });
        Self {
            gate,
            client,
            random: Random(seed | 1),
            now: Time::ZERO,
            link: None,
            half_open: Vec::new(),
            connect_at: None,
            opened: 0,
            sid: None,
            calls: 0,
            arrived: 0,
            replies: BTreeSet::new(),
            pushes: 0,
            pushed: 0,
            cuts: 0,
            resyncs: 0,
            events: Vec::new(),
        }
    }

    fn gate(&mut self, input: Input) {
        self.gate.handle(self.now, input);
        while let Some(output) = self.gate.poll() {
            self.on_gate(output);
        }
    }

    fn on_gate(&mut self, output: Output) {
        match output {
            Output::Send { conn, frames } => {
                if let Some(link) = self.link.as_mut().filter(|link| link.conn == conn) {
                    for part in frames {
                        link.down.extend_from_slice(part.prefix.as_slice());
                        link.down.extend_from_slice(&part.tail);
                    }
                }
            }
            Output::Read { conn, reading } => {
                if let Some(link) = self.link.as_mut().filter(|link| link.conn == conn) {
                    link.inlet.read_on(reading);
                }
            }
            Output::Close { conn } | Output::Abort { conn } => {
                self.half_open.retain(|one| *one != conn);
                self.gate.handle(self.now, Input::Closed { conn });
                if self.link.as_ref().is_some_and(|link| link.conn == conn) {
                    self.link = None;
                    self.client(ClientInput::Disconnected);
                }
            }
            Output::Verify { conn, .. } => {
                self.gate.handle(self.now, Input::Verified { conn, result: Ok(Verified::account("ann")) });
            }
            Output::Mesh(FromGate::Call(call)) => self.on_call(call),
            Output::Mesh(FromGate::Session { event, .. }) => self.events.push(event),
            Output::Mesh(FromGate::ClientReply { .. }) | Output::Drained => panic!("{output:?}"),
        }
    }

    /// Calls are numbered; each arrives once and in order. The answers are not in order.
    fn on_call(&mut self, call: Outgoing) {
        let client = call.meta.unwrap().client.clone().unwrap();
        if self.sid != Some(client.session) {
            self.sid = Some(client.session);
            let watcher = EntityId::new(1, 1);
            self.gate.handle(self.now, Input::Mesh(ToGate::WatchClient { watcher, client, on: true }));
        }
        let number = u64::from_le_bytes(call.body.clone().into_bytes()[..].try_into().unwrap());
        assert_eq!(number, self.arrived + 1, "lost, doubled or out of order on the way up");
        self.arrived = number;
        self.gate.handle(self.now, Input::Mesh(ToGate::Reply { call: call.call.unwrap(), result: Ok(call.body) }));
    }

    fn client(&mut self, input: ClientInput) {
        self.client.handle(self.now, input);
        while let Some(output) = self.client.poll() {
            match output {
                ClientOutput::Connect { after, .. } => self.connect_at = Some(self.now + after),
                ClientOutput::Send(bytes) => {
                    if let Some(link) = &mut self.link {
                        link.up.extend_from_slice(&bytes);
                    }
                }
                ClientOutput::Disconnect => self.cut(false),
                ClientOutput::Reply { call, result } => {
                    assert_eq!(result.as_deref(), Ok(&call.to_le_bytes()[..]));
                    assert!(self.replies.insert(call), "answered twice");
                }
                ClientOutput::Push { body, .. } => {
                    let number = u64::from_le_bytes(body[..].try_into().unwrap());
                    assert_eq!(number, self.pushed + 1, "lost, doubled or out of order on the way down");
                    self.pushed = number;
                }
                ClientOutput::State(State::Resync) => self.resyncs += 1,
                ClientOutput::State(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect(&mut self) {
        self.connect_at = None;
        self.opened += 1;
        let conn = ConnId(self.opened);
        let (up, down, down_arrived) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        self.link = Some(Link { conn, up, down, down_arrived, inlet: Inlet::default() });
        let mut entropy = [0; 24];
        entropy.iter_mut().for_each(|byte| *byte = self.random.below(256) as u8);
        self.gate(Input::Opened { conn, ip: [1, 2, 3, 4].into(), entropy: Entropy(entropy) });
        self.client(ClientInput::Connected);
    }

    /// The link breaks; what is on its way is lost. The gate may not notice.
    fn cut(&mut self, tell_client: bool) {
        let Some(link) = self.link.take() else { return };
        if self.random.below(3) == 0 {
            self.half_open.push(link.conn);
        } else {
            self.gate(Input::Closed { conn: link.conn });
        }
        if tell_client {
            self.client(ClientInput::Disconnected);
        }
    }

    fn carry_up(&mut self) {
        let Some(link) = &mut self.link else { return };
        let some = self.random.below(300).min(link.up.len() as u64) as usize;
        let part = link.up.split_to(some);
        link.inlet.push(part);
        loop {
            let Some(link) = &mut self.link else { return };
            let conn = link.conn;
            let Some(frame) = link.inlet.frame().unwrap() else { return };
            self.gate(Input::Frames { conn, bytes: 1, frames: [frame].into_iter().collect() });
        }
    }

    fn carry_down(&mut self) {
        let Some(link) = &mut self.link else { return };
        let some = self.random.below(300).min(link.down.len() as u64) as usize;
        let part = link.down.split_to(some);
        link.down_arrived.extend_from_slice(&part);
        let conn = link.conn;
        self.gate(Input::Flushed { conn, bytes: some as u32 });
        loop {
            let Some(link) = &mut self.link else { return };
            let Some(frame) = Splitter::new(1 << 20).next(&mut link.down_arrived).unwrap() else { return };
            self.client(ClientInput::Frame(Frame::decode(frame).unwrap()));
        }
    }

    fn step(&mut self, cuts: bool) {
        self.now = self.now + Duration::from_millis(self.random.below(4));
        if self.connect_at.is_some_and(|at| at <= self.now) {
            self.connect();
        }
        match self.random.below(if cuts { 40 } else { 39 }) {
            0..4 if cuts && self.calls - (self.replies.len() as u64) < 60 && self.client.has_room(8) => {
                self.calls += 1;
                let body = Bytes::copy_from_slice(&self.calls.to_le_bytes());
                self.client(ClientInput::Call(Call { call: self.calls, method: ECHO, body, ..Call::default() }));
            }
            4..7 if cuts && self.pushes - self.pushed < 100 => {
                if let Some(sid) = self.sid {
                    self.pushes += 1;
                    let message = message(sid, &self.pushes.to_le_bytes(), false);
                    self.gate(Input::Mesh(ToGate::ToClient { corr: None, message }));
                }
            }
            7 => {
                if let Some(conn) = self.half_open.pop() {
                    self.gate(Input::Closed { conn });
                }
            }
            39 if self.link.is_some() => {
                self.cuts += 1;
                self.cut(true);
            }
            odd if odd % 2 == 1 => self.carry_up(),
            _ => self.carry_down(),
        }
        if self.client.deadline().is_some_and(|at| at <= self.now) {
            self.client(ClientInput::Tick);
        }
        if self.gate.deadline().is_some_and(|at| at <= self.now) {
            self.gate(Input::Tick);
        }
    }
}

#[test]
fn a_thousand_cuts_lose_double_and_reorder_nothing() {
    let (mut cuts, mut resumed) = (0, 0);
    for seed in 1..=10 {
        let mut scene = Scene::new(seed * 0x9e37_79b9);
        while scene.cuts < 120 {
            scene.step(true);
        }
        let mut left = 200_000;
        while (scene.replies.len() as u64, scene.pushed) != (scene.calls, scene.pushes) && left > 0 {
            scene.step(false);
            left -= 1;
        }
        assert_eq!((scene.replies.len() as u64, scene.pushed), (scene.calls, scene.pushes), "seed {seed}");
        assert_eq!((scene.arrived, scene.resyncs), (scene.calls, 0), "seed {seed}");
        assert!(scene.calls > 500 && scene.pushes > 200, "{} {}", scene.calls, scene.pushes);
        let pairs = scene.events.chunks_exact(2);
        for pair in pairs {
            assert_eq!(pair, [SessionEvent::Detached, SessionEvent::Resumed], "seed {seed}");
        }
        cuts += scene.cuts;
        resumed += scene.gate.stats().resumed;
    }
    assert!(cuts >= 1000 && resumed >= 400, "{cuts} cuts, {resumed} resumes");
}
