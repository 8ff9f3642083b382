//! The network, the control plane and the Store of the tests: seeded, and without any clock but its own.
//!
//! Frames pass through their encoding. Each direction of a link delivers in order, after a seeded delay; a cut loses
//! what is under way. A killed node is in the views of the others until its death is certified.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::id::SLOTS;
use bbq_wire::mesh::{Mesh as Message, MeshFrame};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result, Time};
use bytes::{BufMut, Bytes, BytesMut};

use crate::Payload;
use crate::mesh::{Config, FromGate, Input, LinkId, Mesh, NodeInfo, Output, Roles, SlotOwner, Spread, ToGate, View};
use crate::world::{self, CallId, Incoming, Outgoing, ReplyTo, Target};

pub(super) const KIND: u32 = 7;
pub(super) const SERVICE: u32 = 8;
const WORLDS: u16 = 2;

pub(super) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Xorshift.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// One process.
pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) alive: bool,
    roles: Roles,
    sidecar: Option<usize>,
    /// Entities here and their epochs; `false`: not yet active.
    pub(super) entities: BTreeMap<EntityId, (u64, bool)>,
    pub(super) to_gate: Vec<ToGate>,
    pub(super) to_worlds: Vec<(u16, String)>,
    pub(super) dials: u32,
}

struct Wire {
    ends: [(usize, LinkId); 2],
    /// No frame of a direction arrives before this.
    last: [Time; 2],
}

enum Event {
    Frame { wire: u64, to: usize, bytes: Bytes },
    Dial { from: usize, to: usize },
    View { node: usize, view: Arc<View> },
    World { node: usize, index: u16, output: world::Output },
    Certify { node: usize },
}

/// What one call came to.
pub(super) struct Made {
    pub(super) node: usize,
    pub(super) oneway: bool,
    pub(super) verdict: Option<Result<u64>>,
    pub(super) runs: u32,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    wires: BTreeMap<u64, Wire>,
    last_wire: u64,
    events: BTreeMap<(Time, u64), Event>,
    last_event: u64,
    pub(super) view: View,
    /// Fencing tokens.
    store: BTreeMap<EntityId, u64>,
    pub(super) calls: Vec<Made>,
    /// Calls that ran, in order: caller node, caller world, entity, number.
    pub(super) ran: Vec<(usize, u16, Option<EntityId>, usize, usize)>,
    /// Entities answer after at most this.
    pub(super) work: Duration,
    pub(super) delay: Duration,
}

pub(super) fn uid(at: usize) -> NodeUid {
    NodeUid { node: at as u32 + 1, incarnation: 1 }
}

pub(super) fn at(uid: NodeUid) -> usize {
    uid.node as usize - 1
}

pub(super) const GAME: Roles = Roles::GAME;
pub(super) const GATE: Roles = Roles::GATE;
pub(super) const PROXY: Roles = Roles::PROXY;

impl Net {
    /// Nodes with their roles and the proxies behind which they are; slots are shared by those with the role proxy.
    pub(super) fn new(seed: u64, nodes: &[(Roles, Option<usize>)]) -> Self {
        let mut net = Self {
            now: Time::from_millis(1),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            last_wire: 0,
            events: BTreeMap::new(),
            last_event: 0,
            view: View::default(),
            store: BTreeMap::new(),
            calls: Vec::new(),
            ran: Vec::new(),
            work: millis(5),
            delay: millis(10),
        };
        for (index, (roles, sidecar)) in nodes.iter().enumerate() {
            net.add(index, *roles, *sidecar);
        }
        net.share_slots();
        net.publish();
        net
    }

    fn add(&mut self, index: usize, roles: Roles, sidecar: Option<usize>) {
        let worlds = if roles.contains(GAME) { WORLDS } else { 0 };
        let config = Config {
            me: uid(index),
            roles,
            worlds,
            sidecar: sidecar.is_some(),
            spread: Spread::RoundRobin,
            names: BTreeMap::from([(SERVICE, "test.Service".to_owned())]),
            ..Config::default()
        };
        let info = NodeInfo {
            name: format!("n{index}"),
            roles,
            address: format!("mem:{index}"),
            sidecar: sidecar.map(uid),
            serves: if worlds > 0 { vec![KIND, SERVICE] } else { Vec::new() },
            ..NodeInfo::default()
        };
        self.view.nodes.insert(uid(index), info);
        self.nodes.push(Node {
            mesh: Mesh::new(config),
            alive: true,
            roles,
            sidecar,
            entities: BTreeMap::new(),
            to_gate: Vec::new(),
            to_worlds: Vec::new(),
            dials: 0,
        });
        if let Some(proxy) = sidecar {
            self.schedule(millis(1), Event::Dial { from: index, to: proxy });
        }
    }

    /// Gives every slot without a live owner to a proxy, with a new epoch.
    pub(super) fn share_slots(&mut self) {
        let owners: Vec<NodeUid> =
            self.view.nodes.iter().filter(|(_, info)| info.roles.contains(PROXY)).map(|(node, _)| *node).collect();
        self.view.slots.resize(usize::from(SLOTS), SlotOwner::default());
        for (slot, row) in self.view.slots.iter_mut().enumerate() {
            if !owners.contains(&row.owner) && !owners.is_empty() {
                *row = SlotOwner { owner: owners[slot % owners.len()], epoch: row.epoch + 1 };
            }
        }
    }

    /// Moves all slots to one node.
    pub(super) fn move_slots(&mut self, to: usize) {
        for row in &mut self.view.slots {
            *row = SlotOwner { owner: uid(to), epoch: row.epoch + 1 };
        }
        self.publish();
    }

    /// Every node learns of the view, each after its own delay.
    pub(super) fn publish(&mut self) {
        self.view.revision += 1;
        let view = Arc::new(self.view.clone());
        for node in 0..self.nodes.len() {
            let delay = Duration::from_nanos(self.random.below(self.delay.as_nanos() as u64));
            self.schedule(delay, Event::View { node, view: Arc::clone(&view) });
        }
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.last_event += 1;
        self.events.insert((self.now + delay, self.last_event), event);
    }

    fn some_delay(&mut self) -> Duration {
        Duration::from_nanos(self.random.below(self.delay.as_nanos() as u64))
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
        let row = &mut self.nodes[node];
        if !row.alive {
            return;
        }
        row.mesh.handle(self.now, input);
        while let Some(output) = self.nodes[node].mesh.poll() {
            self.act(node, output);
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        match output {
            Output::Connect { peer, .. } => {
                self.nodes[node].dials += 1;
                let delay = self.some_delay();
                self.schedule(delay, Event::Dial { from: node, to: at(peer) });
            }
            Output::Disconnect { link } => {
                let wire = self.wires.iter().find(|(_, wire)| wire.ends.contains(&(node, link))).map(|(at, _)| *at);
                if let Some(wire) = wire {
                    self.unplug(wire);
                }
            }
            Output::Send { link, frame } => self.transmit(node, link, frame),
            Output::World { index, input } => self.world(node, index, input),
            Output::Gate(ToGate::Reply { call, result }) => self.verdict(node, call, result),
            Output::Gate(other) => self.nodes[node].to_gate.push(other),
        }
    }

    fn transmit(&mut self, node: usize, link: LinkId, bytes: Bytes) {
        let Some((at, wire)) = self.wires.iter().find(|(_, wire)| wire.ends.contains(&(node, link))) else { return };
        let (at, side) = (*at, usize::from(wire.ends[0] == (node, link)));
        let to = wire.ends[side].0;
        let delay = self.some_delay();
        let wire = self.wires.get_mut(&at).expect("found above");
        let arrival = (self.now + delay).max(wire.last[side]);
        wire.last[side] = arrival;
        self.schedule(arrival.since(self.now), Event::Frame { wire: at, to, bytes });
    }

    /// A frame of one node reaches another.
    pub(super) fn arrive(&mut self, from: usize, to: usize, message: Message) {
        let joins = |wire: &&Wire| wire.ends.iter().all(|(node, _)| [from, to].contains(node));
        let wire = self.wires.values().find(joins).expect("a link");
        let link = wire.ends.iter().find(|(node, _)| *node == to).expect("its end").1;
        self.input(to, Input::Frame { link, frame: Box::new(MeshFrame::new(uid(from), uid(to), message)) });
    }

    fn plug(&mut self, from: usize, to: usize) {
        self.last_wire += 1;
        let at = self.last_wire;
        let ends = [(from, LinkId(at * 2)), (to, LinkId(at * 2 + 1))];
        self.wires.insert(at, Wire { ends, last: [self.now; 2] });
        for (end, other) in [(0, 1), (1, 0)] {
            let (peer, roles) = (uid(ends[other].0), self.nodes[ends[other].0].roles);
            self.input(ends[end].0, Input::LinkUp { link: ends[end].1, peer, roles });
        }
    }

    fn unplug(&mut self, at: u64) {
        let Some(wire) = self.wires.remove(&at) else { return };
        for (node, link) in wire.ends {
            self.input(node, Input::LinkDown { link });
        }
        let [(child, _), (proxy, _)] = wire.ends;
        if self.nodes[child].sidecar == Some(proxy) {
            self.schedule(millis(20), Event::Dial { from: child, to: proxy });
        }
    }

    /// Cuts every link between two nodes.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let between = |wire: &Wire| wire.ends.iter().all(|(node, _)| *node == a || *node == b);
        let wires: Vec<u64> = self.wires.iter().filter(|(_, wire)| between(wire)).map(|(at, _)| *at).collect();
        wires.into_iter().for_each(|wire| self.unplug(wire));
    }

    /// Ends a process; its death is certified later.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].entities.clear();
        let wires: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.ends.iter().any(|(end, _)| *end == node))
            .map(|(at, _)| *at)
            .collect();
        wires.into_iter().for_each(|wire| self.unplug(wire));
        self.schedule(millis(500), Event::Certify { node });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame { wire, to, bytes } => {
                let Some(wire) = self.wires.get(&wire) else { return };
                let Some((_, link)) = wire.ends.iter().copied().find(|(node, _)| *node == to) else { return };
                let route = MeshFrame::route(&bytes).expect("a whole frame");
                if route.dst == uid(to) {
                    let frame = MeshFrame::decode(&bytes).expect("a frame of ours");
                    self.input(to, Input::Frame { link, frame: Box::new(frame) });
                } else {
                    self.input(to, Input::Transit { link, route, frame: bytes });
                }
            }
            Event::Dial { from, to } => {
                if !self.nodes[from].alive || !self.view.nodes.contains_key(&uid(to)) {
                    return;
                }
                if self.nodes[to].alive {
                    self.plug(from, to);
                } else {
                    self.schedule(millis(50), Event::Dial { from, to });
                }
            }
            Event::View { node, view } => self.input(node, Input::View(view)),
            Event::World { node, index, output } => self.world_says(node, index, output),
            Event::Certify { node } => {
                self.view.nodes.remove(&uid(node));
                self.share_slots();
                self.publish();
            }
        }
    }

    fn next_time(&self) -> Option<Time> {
        let events = self.events.first_key_value().map(|((time, _), _)| *time);
        let meshes = self.nodes.iter().filter(|node| node.alive).filter_map(|node| node.mesh.deadline()).min();
        events.into_iter().chain(meshes).min()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].mesh.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.input(node, Input::Tick);
                }
            }
            self.check();
        }
        self.now = end;
    }

    /// Never two live copies of an entity.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.alive) {
            for (entity, (_, active)) in &node.entities {
                assert!(!active || seen.insert(entity), "{entity} is active twice at {:?}", self.now);
            }
        }
    }

    // Worlds.

    fn world(&mut self, node: usize, index: u16, input: world::Input) {
        assert!(index < WORLDS, "no such world");
        match input {
            world::Input::Activate(entity, epoch) => {
                let token = self.store.entry(entity.clone()).or_default();
                let result = if *token < epoch {
                    *token = epoch;
                    self.nodes[node].entities.insert(entity.clone(), (epoch, false));
                    Ok(())
                } else {
                    Err(Error::new(Code::FENCED, "a newer activation exists"))
                };
                let delay = self.some_delay();
                let output = world::Output::Activated(entity, epoch, result);
                self.schedule(delay, Event::World { node, index, output });
            }
            world::Input::Call(call) => self.run_call(node, index, call),
            world::Input::Reply(call, result) => self.verdict(node, call, result),
            world::Input::Supersede(entity, epoch) => {
                assert!(self.nodes[node].entities.remove(&entity).is_some_and(|(own, _)| own <= epoch));
                let delay = self.some_delay();
                let output = world::Output::Deactivated(entity, epoch);
                self.schedule(delay, Event::World { node, index, output });
            }
            other => self.nodes[node].to_worlds.push((index, format!("{other:?}"))),
        }
    }

    fn world_says(&mut self, node: usize, index: u16, output: world::Output) {
        if let world::Output::Activated(entity, epoch, Ok(())) = &output
            && let Some(entry) = self.nodes[node].entities.get_mut(entity)
        {
            assert_eq!(entry.0, *epoch);
            entry.1 = true;
        }
        self.input(node, Input::World { index, output });
    }

    fn run_call(&mut self, node: usize, index: u16, call: Incoming) {
        let here = match &call.target {
            Target::Entity(entity) => self.nodes[node].entities.contains_key(entity),
            Target::Service(_) => true,
        };
        let bytes = call.body.into_bytes();
        let word = |at: usize| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes")) as usize;
        let result = if here {
            let entity = match call.target {
                Target::Entity(entity) => Some(entity),
                Target::Service(_) => None,
            };
            self.calls[word(2)].runs += 1;
            self.ran.push((word(0), word(1) as u16, entity, word(2), node));
            Ok(Payload::from_bytes(bytes))
        } else {
            Err(Error::new(Code::ENTITY_STOPPED, "does not live in this world"))
        };
        if call.reply_to != ReplyTo::Nobody {
            let delay = Duration::from_nanos(self.random.below(self.work.as_nanos() as u64));
            let delay = if result.is_ok() { delay } else { Duration::ZERO };
            let output = world::Output::Reply(call.reply_to, result);
            self.schedule(delay, Event::World { node, index, output });
        }
    }

    /// Stops an entity wherever it is active.
    pub(super) fn stop(&mut self, entity: &EntityId) {
        for node in 0..self.nodes.len() {
            let Some((epoch, true)) = self.nodes[node].entities.get(entity).copied() else { continue };
            self.nodes[node].entities.remove(entity);
            let index = (entity.stable_hash() % u64::from(WORLDS)) as u16;
            // The world says so a little later: calls that arrive meanwhile are refused.
            let output = world::Output::Deactivated(entity.clone(), epoch);
            let delay = self.some_delay();
            self.schedule(delay, Event::World { node, index, output });
        }
    }

    // Callers.

    fn outgoing(&mut self, node: usize, world: u16, target: Target, deadline: Duration, oneway: bool) -> Outgoing {
        let number = self.calls.len();
        self.calls.push(Made { node, oneway, verdict: None, runs: 0 });
        let mut body = BytesMut::new();
        body.put_u64_le(node as u64);
        body.put_u64_le(world.into());
        body.put_u64_le(number as u64);
        Outgoing {
            target,
            method: 1,
            body: Payload::from_bytes(body.freeze()),
            call: (!oneway).then_some(CallId(number as u64)),
            deadline: self.now + deadline,
            affinity: None,
            meta: None,
        }
    }

    /// A world calls an entity; returns the number of the call.
    pub(super) fn call(&mut self, node: usize, world: u16, entity: &EntityId, deadline: Duration) -> usize {
        let call = self.outgoing(node, world, Target::Entity(entity.clone()), deadline, false);
        self.input(node, Input::World { index: world, output: world::Output::Call(call) });
        self.calls.len() - 1
    }

    pub(super) fn tell(&mut self, node: usize, entity: &EntityId) {
        let call = self.outgoing(node, 0, Target::Entity(entity.clone()), millis(5000), true);
        self.input(node, Input::World { index: 0, output: world::Output::Call(call) });
    }

    pub(super) fn call_service(&mut self, node: usize, affinity: Option<u64>) -> usize {
        let mut call = self.outgoing(node, 0, Target::Service(SERVICE), millis(5000), false);
        call.affinity = affinity;
        self.input(node, Input::World { index: 0, output: world::Output::Call(call) });
        self.calls.len() - 1
    }

    /// A client calls through the gate of a node.
    pub(super) fn call_from_gate(&mut self, node: usize, entity: &EntityId, deadline: Duration) -> usize {
        let call = self.outgoing(node, 99, Target::Entity(entity.clone()), deadline, false);
        self.input(node, Input::Gate(FromGate::Call(call)));
        self.calls.len() - 1
    }

    fn verdict(&mut self, node: usize, call: CallId, result: Result<Payload>) {
        let made = &mut self.calls[call.0 as usize];
        assert_eq!(made.node, node, "an answer reached the wrong node");
        assert!(made.verdict.is_none(), "call {} has two verdicts: {:?} and {result:?}", call.0, made.verdict);
        made.verdict = Some(result.map(|body| {
            let bytes = body.into_bytes();
            u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"))
        }));
    }

    pub(super) fn result(&self, call: usize) -> Result<u64> {
        self.calls[call].verdict.clone().expect("a verdict")
    }

    pub(super) fn code(&self, call: usize) -> Code {
        self.result(call).expect_err("an error").code
    }

    /// The node on which an entity is active.
    pub(super) fn host_of(&self, entity: &EntityId) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.entities.get(entity).is_some_and(|entry| entry.1))
    }

    /// What every history must satisfy, once it is quiet.
    pub(super) fn check_history(&self) {
        for (number, made) in self.calls.iter().enumerate() {
            let runs: Vec<_> = self.ran.iter().filter(|row| row.3 == number).collect();
            assert!(made.runs <= 1, "call {number} ran {runs:?}, one way {}: {:?}", made.oneway, made.verdict);
            if made.oneway || !self.nodes[made.node].alive {
                continue;
            }
            let verdict = made.verdict.as_ref().unwrap_or_else(|| panic!("call {number} has no verdict"));
            match verdict {
                Ok(echo) => {
                    assert_eq!((*echo, made.runs), (number as u64, 1), "call {number}");
                }
                Err(error) => {
                    let unsure = error.code == Code::OUTCOME_UNKNOWN || error.message.contains("may be processed");
                    assert!(unsure || made.runs == 0, "call {number} ran, but its caller got {error}");
                }
            }
        }
        let mut last: BTreeMap<(usize, u16, &EntityId), usize> = BTreeMap::new();
        for (node, world, entity, number, _) in &self.ran {
            let Some(entity) = entity.as_ref().filter(|_| !self.calls[*number].oneway) else { continue };
            if let Some(before) = last.insert((*node, *world, entity), *number) {
                assert!(before < *number, "{entity} ran call {number} of one caller after {before}");
            }
        }
    }

    /// Messages that reached worlds of a node, oldest first.
    pub(super) fn told(&mut self, node: usize) -> VecDeque<String> {
        std::mem::take(&mut self.nodes[node].to_worlds).into_iter().map(|(_, text)| text).collect()
    }
}
