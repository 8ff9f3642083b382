//! One simulated process: a mesh machine, its worlds and its gate.

use std::collections::VecDeque;
use std::sync::Arc;

use bbq_core::gate::{self, ConnId, Gate, MethodTable, Verified};
use bbq_core::mesh::{self, FromGate, Mesh};
use bbq_core::world::{self, Config, Definition, Input, Output, ReplyTo, World};
use bbq_wire::{Code, EntityId, Error, NodeUid, Time};
use bytes::{Bytes, BytesMut};

use crate::member::{Member, roles};
use crate::settings::Settings;

/// What a node wants of its surroundings.
#[derive(Debug)]
pub(crate) enum Wish {
    Mesh(mesh::Output),
    Store(u16, world::OpId, world::StoreRequest),
    Job(u16, world::OpId, world::Job),
    Drained(Vec<(EntityId, Error)>),
    /// Bytes for the client at the other end of a connection.
    Down(ConnId, Bytes),
    /// The gate closes a connection.
    Hangup(ConnId),
}

pub(crate) struct Node {
    pub(crate) uid: NodeUid,
    pub(crate) alive: bool,
    pub(crate) wake: Option<Time>,
    pub(crate) drained: u16,
    pub(crate) lost: Vec<(EntityId, Error)>,
    pub(crate) member: Member,
    mesh: Mesh,
    gate: Gate,
    pub(crate) worlds: Vec<World>,
}

impl Node {
    pub(crate) fn new(member: Member, settings: &Settings, definitions: &[Definition]) -> Self {
        let Settings { worlds, scatter, ref world, .. } = *settings;
        let uid = member.keeper.session().uid;
        let names = definitions.iter().map(|one| (one.desc().type_id(), one.desc().name.to_owned())).collect();
        let config = mesh::Config { me: uid, roles: roles(), worlds, names, ..mesh::Config::default() };
        let by_hash: mesh::Placement = Box::new(|id, _, candidates| {
            candidates.get((id.stable_hash() >> 32) as usize % candidates.len()).map(|candidate| candidate.node)
        });
        let mesh = Mesh::with_placement(config, scatter.then_some(by_hash));
        let make = |index| {
            let seed = world.seed ^ uid.incarnation << 32 ^ u64::from(uid.node) << 16 ^ u64::from(index);
            World::new(Config { node: uid, index, seed, ..world.clone() }, definitions)
        };
        let mut gate = Gate::new(gate::Config { node: uid, ..gate::Config::default() });
        let services: Vec<_> = definitions.iter().map(Definition::desc).collect();
        gate.handle(Time::ZERO, gate::Input::Methods(Arc::new(MethodTable::of_services(&services).0)));
        Self {
            uid,
            alive: true,
            wake: None,
            drained: 0,
            lost: Vec::new(),
            member,
            mesh,
            gate,
            worlds: (0..worlds).map(make).collect(),
        }
    }

    pub(crate) fn feed_mesh(&mut self, now: Time, input: mesh::Input) {
        self.mesh.handle(now, input);
    }

    pub(crate) fn feed_world(&mut self, now: Time, index: u16, input: Input) {
        if let Some(world) = self.worlds.get_mut(usize::from(index)) {
            world.handle(now, input);
        }
    }

    pub(crate) fn feed_gate(&mut self, now: Time, input: gate::Input) {
        self.gate.handle(now, input);
    }

    pub(crate) fn tick(&mut self, now: Time) {
        self.gate.handle(now, gate::Input::Tick);
        self.mesh.handle(now, mesh::Input::Tick);
        for world in &mut self.worlds {
            world.handle(now, Input::Tick);
        }
    }

    /// Carries outputs between the machines of the process until they are quiet; the rest is for the surroundings.
    pub(crate) fn settle(&mut self, now: Time, wishes: &mut VecDeque<Wish>) {
        loop {
            let mut quiet = true;
            for index in 0..self.worlds.len() {
                while let Some(output) = self.worlds[index].poll() {
                    quiet = false;
                    self.carry(now, index as u16, output, wishes);
                }
            }
            while let Some(output) = self.mesh.poll() {
                quiet = false;
                match output {
                    mesh::Output::World { index, input } => self.feed_world(now, index, input),
                    mesh::Output::Gate(message) => self.gate.handle(now, gate::Input::Mesh(message)),
                    other => wishes.push_back(Wish::Mesh(other)),
                }
            }
            while let Some(output) = self.gate.poll() {
                quiet = false;
                self.obey_gate(now, output, wishes);
            }
            if quiet {
                return;
            }
        }
    }

    fn carry(&mut self, now: Time, index: u16, output: Output, wishes: &mut VecDeque<Wish>) {
        match output {
            Output::Store(op, request) => wishes.push_back(Wish::Store(index, op, request)),
            Output::Job(op, job) => wishes.push_back(Wish::Job(index, op, job)),
            Output::Drained(lost) => wishes.push_back(Wish::Drained(lost)),
            Output::Reply(ReplyTo::World(to, call), result) => self.feed_world(now, to, Input::Reply(call, result)),
            output => self.mesh.handle(now, mesh::Input::World { index, output }),
        }
    }

    /// Sockets that take everything at once, and a verifier that believes every name.
    fn obey_gate(&mut self, now: Time, output: gate::Output, wishes: &mut VecDeque<Wish>) {
        match output {
            gate::Output::Mesh(message) => self.gate_says(now, message),
            gate::Output::Send { conn, frames } => {
                let mut all = BytesMut::new();
                for part in &frames {
                    all.extend_from_slice(part.prefix.as_slice());
                    all.extend_from_slice(&part.tail);
                }
                self.gate.handle(now, gate::Input::Flushed { conn, bytes: all.len() as u32 });
                wishes.push_back(Wish::Down(conn, all.freeze()));
            }
            gate::Output::Verify { conn, request } => {
                let name = String::from_utf8(request.token.to_vec());
                let refused = |_| Error::new(Code::UNAUTHENTICATED, "a name is text");
                let result = name.map(Verified::account).map_err(refused);
                self.gate.handle(now, gate::Input::Verified { conn, result });
            }
            gate::Output::Close { conn } | gate::Output::Abort { conn } => wishes.push_back(Wish::Hangup(conn)),
            gate::Output::Read { .. } | gate::Output::Drained => {}
        }
    }

    fn gate_says(&mut self, now: Time, message: FromGate) {
        self.mesh.handle(now, mesh::Input::Gate(message));
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.worlds.iter().map(World::deadline).chain([self.mesh.deadline(), self.gate.deadline()]).flatten().min()
    }
}
