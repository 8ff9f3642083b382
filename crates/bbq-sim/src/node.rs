//! One simulated process: a mesh machine and its worlds.

use std::collections::VecDeque;

use bbq_core::mesh::{self, Mesh, Roles};
use bbq_core::world::{self, Config, Definition, Input, Output, ReplyTo, World};
use bbq_wire::{NodeUid, Time};

/// What a node wants of its surroundings.
#[derive(Debug)]
pub(crate) enum Wish {
    Mesh(mesh::Output),
    Store(u16, world::OpId, world::StoreRequest),
    Job(u16, world::OpId, world::Job),
    Drained,
}

pub(crate) struct Node {
    pub(crate) uid: NodeUid,
    pub(crate) alive: bool,
    pub(crate) wake: Option<Time>,
    pub(crate) drained: u16,
    mesh: Mesh,
    pub(crate) worlds: Vec<World>,
}

impl Node {
    pub(crate) fn new(uid: NodeUid, worlds: u16, scatter: bool, definitions: &[Definition], world: &Config) -> Self {
        let names = definitions.iter().map(|one| (one.desc().type_id(), one.desc().name.to_owned())).collect();
        let roles = Roles::GAME | Roles::PROXY;
        let config = mesh::Config { me: uid, roles, worlds, names, ..mesh::Config::default() };
        let by_hash: mesh::Placement = Box::new(|id, _, candidates| {
            candidates.get((id.stable_hash() >> 32) as usize % candidates.len()).map(|candidate| candidate.node)
        });
        let mesh = Mesh::with_placement(config, scatter.then_some(by_hash));
        let make = |index| {
            let seed = world.seed ^ uid.incarnation << 32 ^ u64::from(uid.node) << 16 ^ u64::from(index);
            World::new(Config { node: uid, index, seed, ..world.clone() }, definitions)
        };
        Self { uid, alive: true, wake: None, drained: 0, mesh, worlds: (0..worlds).map(make).collect() }
    }

    pub(crate) fn feed_mesh(&mut self, now: Time, input: mesh::Input) {
        self.mesh.handle(now, input);
    }

    pub(crate) fn feed_world(&mut self, now: Time, index: u16, input: Input) {
        if let Some(world) = self.worlds.get_mut(usize::from(index)) {
            world.handle(now, input);
        }
    }

    pub(crate) fn tick(&mut self, now: Time) {
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
                    other => wishes.push_back(Wish::Mesh(other)),
                }
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
            Output::Drained => wishes.push_back(Wish::Drained),
            Output::Reply(ReplyTo::World(to, call), result) => self.feed_world(now, to, Input::Reply(call, result)),
            output => self.mesh.handle(now, mesh::Input::World { index, output }),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.worlds.iter().map(World::deadline).chain([self.mesh.deadline()]).flatten().min()
    }
}
