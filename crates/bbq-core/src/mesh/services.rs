//! Which nodes serve which services, and which of them takes the next call.

use std::collections::BTreeMap;

use bbq_wire::{Code, Error, NodeUid};

use super::calls::Request;
use super::{Mesh, Roles, Spread, View};
use crate::world::{Outgoing, Target};

#[derive(Debug, Default)]
pub(super) struct Services {
    /// Live nodes that serve a type, in order of uid; draining ones only where there are no others.
    nodes: BTreeMap<u32, Vec<NodeUid>>,
    /// Whose turn it is.
    turns: BTreeMap<u32, usize>,
    world: u16,
    /// Calls that wait for the first view.
    waiting: Vec<u64>,
}

impl Services {
    pub(super) fn rebuild(&mut self, view: &View) {
        let mut ready: BTreeMap<u32, Vec<NodeUid>> = BTreeMap::new();
        let mut draining: BTreeMap<u32, Vec<NodeUid>> = BTreeMap::new();
        for (node, info) in view.nodes.iter().filter(|(_, info)| info.roles.contains(Roles::GAME)) {
            let rows = if info.draining { &mut draining } else { &mut ready };
            info.serves.iter().for_each(|kind| rows.entry(*kind).or_default().push(*node));
        }
        for (kind, nodes) in draining {
            ready.entry(kind).or_insert(nodes);
        }
        self.nodes = ready;
    }

    /// The world of this process whose turn it is.
    pub(super) fn next_world(&mut self, worlds: u16) -> u16 {
        self.world = (self.world + 1) % worlds.max(1);
        self.world
    }

    fn pick(&mut self, kind: u32, affinity: Option<u64>, me: NodeUid, view: &View, spread: Spread) -> Option<NodeUid> {
        let nodes = self.nodes.get(&kind)?;
        if let Some(hash) = affinity {
            return nodes.iter().copied().max_by_key(|node| weight(hash, *node));
        }
        if nodes.binary_search(&me).is_ok() {
            return Some(me);
        }
        match spread {
            Spread::LeastLoaded => nodes.iter().copied().min_by_key(|node| view.nodes.get(node).map(|info| info.load)),
            Spread::RoundRobin => {
                let turn = self.turns.entry(kind).or_default();
                *turn = turn.wrapping_add(1);
                nodes.get(*turn % nodes.len()).copied()
            }
        }
    }
}

impl Mesh {
    /// Chooses an instance for a call to a service and sends it there.
    pub(super) fn place_service_call(&mut self, id: u64) {
        let Some(view) = self.view.clone() else { return self.services.waiting.push(id) };
        let (me, spread) = (self.config.me, self.config.spread);
        let Some(call) = self.calls.get_mut(id) else { return };
        let Request::Call(Outgoing { target: Target::Service(kind), affinity, .. }) = call.request else { return };
        let node = self.services.pick(kind, affinity, me, &view, spread);
        match node {
            Some(node) if node == me => {
                let world = affinity.map(|hash| self.world_for(hash));
                self.deliver(id, world);
            }
            Some(node) => {
                call.place.node = node;
                self.send_call(id);
            }
            None => {
                let why = format!("no live node serves {}", self.type_name(kind));
                self.settle(id, Err(Error::new(Code::UNAVAILABLE, why)));
            }
        }
    }

    /// The first view is there.
    pub(super) fn place_waiting_services(&mut self) {
        for id in std::mem::take(&mut self.services.waiting) {
            self.place_service_call(id);
        }
    }
}

/// Rendezvous hashing (Thaler and Ravishankar, 1998): when a node comes or goes only its own share moves.
fn weight(hash: u64, node: NodeUid) -> (u64, NodeUid) {
    let mut mixed = hash ^ u64::from(node.node).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ node.incarnation.rotate_left(32);
    for _ in 0..2 {
        mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    (mixed ^ mixed >> 33, node)
}
