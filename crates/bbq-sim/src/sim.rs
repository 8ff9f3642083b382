//! The simulation: a queue of events by time, and the surroundings of the nodes.

mod membership;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bbq_core::control;
use bbq_core::gate::{self, ConnId, Entropy};
use bbq_core::mesh;
use bbq_core::store::{self, MemoryStore};
use bbq_core::world::{Ctx, Definition, Input, Job, OpId, Opaque, StoreReply, StoreRequest};
use bbq_wire::client;
use bbq_wire::mesh::MeshFrame;
use bbq_wire::{Code, EntityId, Error, NodeUid, Time};
use bytes::Bytes;

use crate::center::{Center, Told};
use crate::member::roles;
use crate::network::{End, Links};
use crate::node::{Node, Wish};
use crate::player::{Player, PlayerId, frames};
use crate::random::Random;
use crate::settings::{Faults, Settings};
use crate::trace::Trace;

use membership::Truth;

/// A failed dial is tried again after this.
const REDIAL: Duration = Duration::from_millis(200);
/// How long [`Sim::run`] waits, in simulated time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was waited for did not happen in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeout(pub Time);

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing came of it by {:?} of simulated time", self.0)
    }
}

impl std::error::Error for Timeout {}

#[derive(Debug)]
pub(crate) enum Event {
    Wake(usize),
    Frame(End, Bytes),
    LinkUp(End, usize),
    LinkDown(End),
    Dial(usize, NodeUid),
    /// A question of a node arrives at the center.
    Ask(usize, NodeUid, u64, Box<control::Request>),
    /// What the center says arrives.
    Told(Box<Told>),
    /// A node begins to watch the membership.
    Watch(usize, NodeUid),
    /// The session of a node has a deadline.
    KeeperWake(usize, NodeUid),
    /// The engine has a deadline.
    CenterWake,
    /// The center comes back; with its memory or without.
    CenterBack(bool),
    Store(usize, NodeUid, u16, OpId, StoreRequest),
    StoreReply(usize, NodeUid, u16, OpId, Box<StoreReply>),
    /// A client dials a gate.
    Dialled(PlayerId),
    /// A client's machine has a deadline.
    PlayerWake(PlayerId),
    /// Bytes of a client arrive at the gate of a node.
    Up(PlayerId, usize, ConnId, Bytes),
    /// Bytes of a gate arrive at a client.
    Down(usize, ConnId, Bytes),
    /// A connection is gone; its client notices.
    Lost(PlayerId, ConnId),
    Fault(Fault),
    Start(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Cut,
    Hangup,
    Kill,
    Store,
    Center,
    Partition,
    Jump,
}

type Script = Box<dyn FnMut() -> Opaque>;

/// See the crate documentation.
pub struct Sim {
    pub(crate) settings: Settings,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) random: Random,
    pub(crate) now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    last_event: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) center: Center,
    pub(crate) center_wake: Option<Time>,
    pub(crate) truth: Truth,
    links: Links,
    players: Vec<Player>,
    last_conn: u64,
    store: MemoryStore,
    pub(crate) trace: Trace,
    scripts: BTreeMap<&'static str, Script>,
    store_failures: u32,
    store_back: Time,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim(seed {}, {:?}, {} events)", self.settings.seed, self.now, self.trace.events())
    }
}

impl Sim {
    /// A cluster of `settings.nodes` nodes that serve these types, up and joined.
    #[must_use]
    pub fn new(mut settings: Settings, definitions: &[Definition]) -> Self {
        settings.worlds = settings.worlds.max(1);
        let mut sim = Self {
            random: Random::new(settings.seed),
            definitions: definitions.to_vec(),
            now: Time::ZERO,
            queue: BTreeMap::new(),
            last_event: 0,
            nodes: Vec::new(),
            center: Center::new(settings.control()),
            center_wake: None,
            truth: Truth::default(),
            links: Links::default(),
            players: Vec::new(),
            last_conn: 0,
            store: MemoryStore::new(),
            trace: Trace::default(),
            scripts: BTreeMap::new(),
            store_failures: 0,
            store_back: Time::ZERO,
            settings,
        };
        for index in 0..sim.settings.nodes.max(1) {
            sim.start(index);
        }
        let faults =
            [Fault::Cut, Fault::Hangup, Fault::Kill, Fault::Store, Fault::Center, Fault::Partition, Fault::Jump];
        for fault in faults {
            sim.schedule_fault(fault);
        }
        sim
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// A hash of all that happened so far; the same for the same seed.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace.hash()
    }

    /// How many events there were so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.trace.events()
    }

    /// Nodes that are up.
    #[must_use]
    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].alive).collect()
    }

    /// On which living nodes the entity is, with the epochs of the copies. More than one is a bug, unless the older
    /// ones can no longer write.
    #[must_use]
    pub fn copies(&self, id: &EntityId) -> Vec<(usize, u64)> {
        let living = self.nodes.iter().enumerate().filter(|(_, node)| node.alive);
        living
            .flat_map(|(index, node)| {
                let here = node.worlds.iter().flat_map(|world| world.entities());
                here.filter(|(other, _)| other == id).map(move |(_, epoch)| (index, epoch))
            })
            .collect()
    }

    /// The stored state of an entity.
    #[must_use]
    pub fn stored(&self, id: &EntityId) -> Option<bytes::Bytes> {
        self.store.records().find(|(other, _)| *other == id).and_then(|(_, record)| record.state.clone())
    }

    /// From now on, for this long, the Store refuses everything (`UNAVAILABLE`).
    pub fn store_outage(&mut self, duration: Duration) {
        self.store_back = self.now + duration;
    }

    /// Answers `ctx.external(name, ..)`: the future itself is never run.
    pub fn script<T: Send + 'static>(&mut self, name: &'static str, mut answer: impl FnMut() -> T + 'static) {
        self.scripts.insert(name, Box::new(move || Opaque(Box::new(answer()))));
    }

    /// Runs a future in a world of the first living node, beside whatever else happens there.
    pub fn spawn<F: Future<Output = ()> + 'static>(&mut self, task: impl FnOnce(Ctx) -> F) {
        let Some(&index) = self.alive().first() else { return };
        self.spawn_on(index, task);
    }

    /// Runs a future in a world of this node. It ends with the node.
    pub fn spawn_on<F: Future<Output = ()> + 'static>(&mut self, index: usize, task: impl FnOnce(Ctx) -> F) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(index).filter(|node| node.alive) {
            node.worlds[0].spawn(now, task);
            self.settle(index);
        }
    }

    /// Runs a future in a world of the first living node and time until it is done.
    ///
    /// # Errors
    /// [`Timeout`] when it is not done within two simulated minutes, or its node died.
    pub fn run<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        task: impl FnOnce(Ctx) -> F,
    ) -> Result<T, Timeout> {
        let done = Rc::new(RefCell::new(None));
        let out = Rc::clone(&done);
        self.spawn(move |ctx| {
            let future = task(ctx);
            async move {
                let value = future.await;
                *out.borrow_mut() = Some(value);
            }
        });
        let until = self.now + PATIENCE;
        loop {
            if let Some(value) = done.borrow_mut().take() {
                return Ok(value);
            }
            if !self.step(until) {
                return Err(Timeout(self.now));
            }
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// What the simulator itself found wrong: a slot with two owners in one epoch, an epoch that went back, a node that
    /// returned from the dead.
    #[must_use]
    pub fn broken(&self) -> &[String] {
        self.truth.broken()
    }

    /// From now on nothing goes wrong any more.
    pub fn stop_faults(&mut self) {
        self.settings.faults = Faults::default();
        (self.store_failures, self.store_back) = (0, self.now);
        for node in &mut self.nodes {
            node.member.cut_until = self.now;
        }
    }

    /// A new client, which dials a gate. Clients are spread over the nodes; one whose gate dies goes to another.
    pub fn connect(&mut self, name: &str) -> PlayerId {
        let id = PlayerId(self.players.len());
        let seed = self.random.number();
        self.players.push(Player::new(name, seed));
        self.settle_player(id);
        id
    }

    /// Hands an input to the machine of a client: a call, a notification, the answer to a request.
    pub fn tell_player(&mut self, id: PlayerId, input: client::Input) {
        let now = self.now;
        if let Some(player) = self.players.get_mut(id.0) {
            player.handle(now, input);
            self.settle_player(id);
        }
    }

    /// What the client was told since the last time: replies, pushes, requests, changes of state.
    pub fn told(&mut self, id: PlayerId) -> Vec<client::Output> {
        self.players.get_mut(id.0).map(|player| player.told.drain(..).collect()).unwrap_or_default()
    }

    /// Cuts the connection of a client. Its session lives on.
    pub fn hangup(&mut self, id: PlayerId) {
        let Some((node, conn)) = self.players.get_mut(id.0).and_then(|player| player.conn.take()) else { return };
        self.trace.debug(self.now, &("hangup", id));
        let delay = self.random.between(Duration::ZERO, Duration::from_millis(50));
        self.at(self.now + delay, Event::Lost(id, conn));
        let now = self.now;
        self.with(node, |node| node.feed_gate(now, gate::Input::Closed { conn }));
    }

    /// Kills a node. The others hear of it after the detection time.
    ///
    /// # Panics
    /// There is no node with this index.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].alive = false;
        self.trace.event(self.now, "kill", &[index as u8]);
        for end in self.links.of(index) {
            self.cut(end);
        }
        for id in (0..self.players.len()).map(PlayerId) {
            if self.players[id.0].conn.is_some_and(|(node, _)| node == index) {
                self.hangup(id);
            }
        }
    }

    /// Starts a dead node again, as a new incarnation; as soon as the center lets it in.
    ///
    /// # Panics
    /// There is no node with this index.
    pub fn restart(&mut self, index: usize) {
        if !self.nodes[index].alive {
            self.start(index);
        }
    }

    /// Saves and stops the entities of a node, for at most two simulated minutes, and then the node. Says which entities
    /// are lost with what they could not store, and why.
    ///
    /// # Panics
    /// There is no node with this index.
    pub fn drain(&mut self, index: usize) -> Vec<(EntityId, Error)> {
        let drained = control::Load { weight: 0, ..control::Load::default() };
        self.note(index, control::Note::Load(drained));
        let until = self.now + PATIENCE;
        for world in 0..self.settings.worlds {
            self.nodes[index].feed_world(self.now, world, Input::Drain(until));
        }
        self.settle(index);
        while self.nodes[index].drained < self.settings.worlds && self.step(until + Duration::from_secs(1)) {}
        self.leave(index);
        self.kill(index);
        std::mem::take(&mut self.nodes[index].lost)
    }

    // ---- the inside ------------------------------------------------------------------------------------------

    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.last_event += 1;
        self.queue.insert((time.max(self.now), self.last_event), event);
    }

    /// Handles the next event at or before `until`; otherwise moves the clock there and says false.
    fn step(&mut self, until: Time) -> bool {
        match self.queue.first_key_value() {
            Some((&(time, _), _)) if time <= until => {
                self.now = time;
                if let Some((_, event)) = self.queue.pop_first() {
                    self.happen(event);
                }
                true
            }
            _ => {
                self.now = until;
                false
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Wake(index) => {
                if self.nodes[index].wake.is_some_and(|wake| wake <= now) {
                    self.nodes[index].wake = None;
                    self.with(index, |node| node.tick(now));
                }
            }
            Event::Frame(to, frame) => {
                if self.links.is_up(to) {
                    self.trace.event(now, "frame", &frame);
                    let frame = Box::new(MeshFrame::decode(&frame).expect("a frame of ours"));
                    let input = mesh::Input::Frame { link: to.link, frame };
                    self.with(to.node, |node| node.feed_mesh(now, input));
                }
            }
            Event::LinkUp(end, peer) => {
                if self.links.is_up(end) {
                    self.trace.debug(now, &("up", end));
                    let peer = self.nodes[peer].uid;
                    let input = mesh::Input::LinkUp { link: end.link, peer, roles: roles() };
                    self.with(end.node, |node| node.feed_mesh(now, input));
                } else {
                    // It broke before anybody knew of it: whoever dialled goes on dialling.
                    self.at(now + REDIAL, Event::Dial(end.node, self.nodes[peer].uid));
                }
            }
            Event::LinkDown(end) => {
                self.trace.debug(now, &("down", end));
                self.with(end.node, |node| node.feed_mesh(now, mesh::Input::LinkDown { link: end.link }));
            }
            Event::Dial(from, peer) => self.dial(from, peer),
            Event::Ask(index, uid, question, request) => self.asked(index, uid, question, *request),
            Event::Told(told) => self.told_by_center(*told),
            Event::Watch(index, uid) => self.begin_watch(index, uid),
            Event::KeeperWake(index, uid) => self.keeper_wake(index, uid),
            Event::CenterWake => self.center_wake(),
            Event::CenterBack(with_memory) => self.center_back(with_memory),
            Event::Store(index, uid, world, op, request) => {
                let reply = self.serve_store(request);
                let delay = self.random.between(Duration::from_micros(50), Duration::from_millis(3));
                self.at(now + delay, Event::StoreReply(index, uid, world, op, Box::new(reply)));
            }
            Event::StoreReply(index, uid, world, op, reply) => {
                if self.nodes[index].uid == uid {
                    self.trace.debug(now, &reply);
                    self.with(index, |node| node.feed_world(now, world, Input::Store(op, *reply)));
                }
            }
            Event::Dialled(id) => self.dialled(id),
            Event::PlayerWake(id) => {
                if self.players[id.0].wake.is_some_and(|wake| wake <= now) {
                    self.players[id.0].wake = None;
                    self.tell_player(id, client::Input::Tick);
                }
            }
            Event::Up(id, node, conn, bytes) => {
                if self.players[id.0].conn == Some((node, conn)) {
                    self.trace.event(now, "up", &bytes);
                    self.arrive_at_gate(node, conn, &bytes);
                }
            }
            Event::Down(node, conn, bytes) => {
                let to = self.players.iter().position(|player| player.conn == Some((node, conn)));
                if let Some(id) = to.map(PlayerId) {
                    self.trace.event(now, "down", &bytes);
                    for frame in frames(&bytes).unwrap_or_default() {
                        self.tell_player(id, client::Input::Frame(frame));
                    }
                }
            }
            Event::Lost(id, conn) => {
                let player = &mut self.players[id.0];
                player.conn = player.conn.filter(|(_, other)| *other != conn);
                if player.believed == Some(conn) {
                    player.believed = None;
                    self.tell_player(id, client::Input::Disconnected);
                }
            }
            Event::Fault(fault) => self.inject(fault),
            Event::Start(index) => self.restart(index),
        }
    }

    /// Does something with a living node, and what follows from it.
    pub(crate) fn with(&mut self, index: usize, act: impl FnOnce(&mut Node)) {
        if self.nodes[index].alive {
            act(&mut self.nodes[index]);
            self.settle(index);
        }
    }

    pub(crate) fn settle(&mut self, index: usize) {
        let mut wishes = VecDeque::new();
        let now = self.now;
        loop {
            self.nodes[index].settle(now, &mut wishes);
            let Some(wish) = wishes.pop_front() else { break };
            self.grant(index, wish);
        }
        if let Some(deadline) = self.nodes[index].deadline() {
            let node = &mut self.nodes[index];
            if node.wake.is_none_or(|wake| wake > deadline || wake < now) {
                node.wake = Some(deadline.max(now));
                self.at(deadline, Event::Wake(index));
            }
        }
    }

    fn grant(&mut self, index: usize, wish: Wish) {
        let (now, uid) = (self.now, self.nodes[index].uid);
        match wish {
            Wish::Store(world, op, request) => {
                let delay = self.random.between(Duration::from_micros(50), Duration::from_millis(3));
                self.at(now + delay, Event::Store(index, uid, world, op, request));
            }
            Wish::Job(world, op, job) => {
                let result = match job {
                    Job::Blocking(work) => Ok(work()),
                    Job::External(name, _) => match self.scripts.get_mut(name) {
                        Some(script) => Ok(script()),
                        None => {
                            Err(Error::new(Code::UNIMPLEMENTED, format!("no script answers the external `{name}`")))
                        }
                    },
                };
                self.nodes[index].feed_world(now, world, Input::JobDone(op, result));
            }
            Wish::Drained(lost) => {
                self.nodes[index].drained += 1;
                self.nodes[index].lost.extend(lost);
            }
            Wish::Down(conn, bytes) => {
                if let Some(player) = self.players.iter_mut().find(|player| player.conn == Some((index, conn))) {
                    let network = self.settings.network;
                    let time = now + self.random.between(network.fastest, network.slowest);
                    player.last_down = player.last_down.max(time);
                    let time = player.last_down;
                    self.at(time, Event::Down(index, conn, bytes));
                }
            }
            Wish::Hangup(conn) => {
                if let Some(at) = self.players.iter().position(|player| player.conn == Some((index, conn))) {
                    // After the last words.
                    self.at(self.players[at].last_down, Event::Lost(PlayerId(at), conn));
                }
                self.nodes[index].feed_gate(now, gate::Input::Closed { conn });
            }
            Wish::Mesh(mesh::Output::Send { link, frame }) => {
                let from = End { node: index, link };
                let network = self.settings.network;
                if let Some((to, time)) = self.links.send(from, now, network, &mut self.random) {
                    self.at(time, Event::Frame(to, frame));
                }
            }
            Wish::Mesh(mesh::Output::Connect { peer, .. }) => self.at(now, Event::Dial(index, peer)),
            Wish::Mesh(mesh::Output::Disconnect { link }) => self.cut(End { node: index, link }),
            Wish::Mesh(_) => {}
        }
    }

    fn dial(&mut self, from: usize, peer: NodeUid) {
        let node = &self.nodes[from];
        let wanted = node.alive && node.member.cluster.nodes.contains_key(&peer);
        let Some(to) = self.nodes.iter().position(|node| node.uid == peer) else { return };
        if !wanted || self.links.joined(from, to) {
            return;
        }
        if !self.nodes[to].alive {
            return self.at(self.now + REDIAL, Event::Dial(from, peer));
        }
        let (a, b) = self.links.open(from, to, self.now);
        let network = self.settings.network;
        for (end, other) in [(a, to), (b, from)] {
            let time = self.now + self.random.between(network.fastest, network.slowest);
            self.at(time, Event::LinkUp(end, other));
        }
        // Nothing sent at once may overtake the news that the link is up.
        for end in [a, b] {
            self.links.send(end, self.now + network.slowest, network, &mut self.random);
        }
    }

    /// Does what the machine of a client wants.
    fn settle_player(&mut self, id: PlayerId) {
        let now = self.now;
        while let Some(output) = self.players[id.0].session.poll() {
            match output {
                client::Output::Connect { after, .. } => self.at(now + after, Event::Dialled(id)),
                client::Output::Send(bytes) => {
                    let network = self.settings.network;
                    let delay = self.random.between(network.fastest, network.slowest);
                    let player = &mut self.players[id.0];
                    player.last_up = player.last_up.max(now + delay);
                    if let Some((node, conn)) = player.conn {
                        let time = player.last_up;
                        self.at(time, Event::Up(id, node, conn, bytes));
                    }
                }
                client::Output::Disconnect => {
                    self.players[id.0].believed = None;
                    if let Some((node, conn)) = self.players[id.0].conn.take() {
                        self.with(node, |node| node.feed_gate(now, gate::Input::Closed { conn }));
                    }
                }
                told => self.players[id.0].told.push_back(told),
            }
        }
        let player = &mut self.players[id.0];
        if let Some(deadline) = player.session.deadline()
            && player.wake.is_none_or(|wake| wake > deadline || wake < now)
        {
            player.wake = Some(deadline.max(now));
            self.at(deadline, Event::PlayerWake(id));
        }
    }

    /// A client reaches the gate of its node, or of the next one that lives.
    fn dialled(&mut self, id: PlayerId) {
        let alive = self.alive();
        let home = id.0 % self.nodes.len();
        let Some(node) = alive.iter().copied().find(|&node| node >= home).or(alive.first().copied()) else {
            return self.tell_player(id, client::Input::Disconnected);
        };
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let mut entropy = [0; 24];
        for chunk in entropy.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.random.number().to_le_bytes());
        }
        let (now, ip) = (self.now, core::net::IpAddr::from([127, 0, 0, 1]));
        let player = &mut self.players[id.0];
        (player.conn, player.believed) = (Some((node, conn)), Some(conn));
        (player.last_up, player.last_down) = (now, now);
        self.trace.debug(now, &("dialled", id, node));
        let opened = gate::Input::Opened { conn, ip, entropy: Entropy(entropy) };
        self.with(node, |node| node.feed_gate(now, opened));
        self.tell_player(id, client::Input::Connected);
    }

    fn arrive_at_gate(&mut self, node: usize, conn: ConnId, bytes: &Bytes) {
        let now = self.now;
        match frames(bytes) {
            // One by one: a frame may end the connection.
            Ok(all) => {
                for frame in all {
                    let frames = smallvec::smallvec![frame];
                    self.with(node, |node| node.feed_gate(now, gate::Input::Frames { conn, bytes: 0, frames }));
                }
            }
            Err(error) => self.with(node, |node| node.feed_gate(now, gate::Input::BadFrame { conn, error })),
        }
    }

    fn cut(&mut self, end: End) {
        if let Some(other) = self.links.close(end) {
            for end in [end, other] {
                let delay = self.random.between(Duration::ZERO, Duration::from_millis(50));
                self.at(self.now + delay, Event::LinkDown(end));
            }
        }
    }

    fn serve_store(&mut self, request: StoreRequest) -> StoreReply {
        if self.now < self.store_back {
            return StoreReply::Failed(Error::new(Code::UNAVAILABLE, "the simulated store is away"));
        }
        if self.store_failures > 0 {
            self.store_failures -= 1;
            return StoreReply::Failed(Error::new(Code::UNAVAILABLE, "the simulated store is away"));
        }
        store::reply(self.store.request(request.into()))
    }

    fn schedule_fault(&mut self, fault: Fault) {
        let mean = match fault {
            Fault::Cut => self.settings.faults.cut,
            Fault::Hangup => self.settings.faults.hangup,
            Fault::Kill => self.settings.faults.kill,
            Fault::Store => self.settings.faults.store,
            Fault::Center => self.settings.faults.center,
            Fault::Partition => self.settings.faults.partition,
            Fault::Jump => self.settings.faults.jump,
        };
        if let Some(mean) = mean {
            let after = self.random.between(mean / 10, mean * 2);
            self.at(self.now + after, Event::Fault(fault));
        }
    }

    fn inject(&mut self, fault: Fault) {
        let faults = self.settings.faults;
        match fault {
            Fault::Cut if faults.cut.is_some() => {
                if let Some(end) = self.links.any(&mut self.random) {
                    self.cut(end);
                }
            }
            Fault::Hangup if faults.hangup.is_some() => {
                let player = self.random.below(self.players.len() as u64) as usize;
                self.hangup(PlayerId(player));
            }
            Fault::Kill if faults.kill.is_some() => {
                let alive = self.alive();
                // One stays, so that there is somebody to ask.
                if alive.len() > 1 {
                    let victim = alive[1 + self.random.below(alive.len() as u64 - 1) as usize];
                    self.kill(victim);
                    let back = self.random.between(Duration::from_millis(50), self.settings.detection * 2);
                    self.at(self.now + back, Event::Start(victim));
                }
            }
            Fault::Store if faults.store.is_some() => self.store_failures = 1 + self.random.below(5) as u32,
            Fault::Center if faults.center.is_some() => self.center_dies(),
            Fault::Partition if faults.partition.is_some() => self.partition(),
            Fault::Jump if faults.jump.is_some() => self.jump(),
            _ => return,
        }
        self.schedule_fault(fault);
    }
}
