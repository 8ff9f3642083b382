//! Groups of sessions: on the side of their entities, which gates hold members; on the side of a gate, what arrives.
//!
//! An entity joins sessions one by one, so its node knows to which gates they belong, and bothers no other. Groups that
//! services share are joined from many nodes, of which none knows all: what is said to them goes to every gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bbq_wire::NodeUid;
use bbq_wire::mesh::{self, GroupOp as WireOp, Mesh as Message};
use bytes::Bytes;

use super::streams::Way;
use super::translate::{session_at, too_large};
use super::{Mesh, Roles, ToGate};
use crate::world::{GroupChange, GroupOp, ToClient};

/// The gates of the groups of entities here.
#[derive(Debug, Default)]
pub(super) struct Groups {
    gates: BTreeMap<Arc<str>, BTreeSet<NodeUid>>,
    /// The table was full once: a group that is not in it may still have members.
    overflowed: bool,
}

impl Groups {
    fn remember(&mut self, group: &Arc<str>, gate: NodeUid, limit: usize) {
        if let Some(gates) = self.gates.get_mut(group) {
            gates.insert(gate);
        } else if self.gates.len() < limit {
            self.gates.insert(Arc::clone(group), BTreeSet::from([gate]));
        } else {
            self.overflowed = true;
        }
    }

    /// The gates with members; `None`: it could be any.
    fn gates_of(&self, op: &GroupOp) -> Option<Vec<NodeUid>> {
        match self.gates.get(&op.group) {
            Some(gates) => Some(gates.iter().copied().collect()),
            None if op.epoch == 0 || self.overflowed => None,
            None => Some(Vec::new()),
        }
    }
}

impl Mesh {
    /// Membership goes to the gate of the member, everything else to the gates that have members.
    pub(super) fn group(&mut self, op: GroupOp) {
        match &op.change {
            GroupChange::Join(client) => {
                let gate = client.gate;
                // A join that goes nowhere makes no member.
                let reached = gate == self.config.me || !matches!(self.way_to(gate), Way::None);
                if op.epoch > 0 && reached {
                    self.groups.remember(&op.group, gate, self.config.limits.groups);
                }
                self.tell_gates(vec![gate], op);
            }
            GroupChange::Leave(client) => self.tell_gates(vec![client.gate], op),
            GroupChange::Push { body, .. } if too_large(body).is_some() => self.dropped += 1,
            GroupChange::Push { .. } => {
                let gates = self.groups.gates_of(&op).unwrap_or_else(|| self.all_gates());
                self.tell_gates(gates, op);
            }
            GroupChange::Drop => {
                let gates = self.groups.gates_of(&op).unwrap_or_else(|| self.all_gates());
                self.groups.gates.remove(&op.group);
                self.tell_gates(gates, op);
            }
        }
    }

    /// The message is made once; links copy it.
    fn tell_gates(&mut self, gates: Vec<NodeUid>, op: GroupOp) {
        let me = self.config.me;
        let here = gates.contains(&me);
        if gates.iter().any(|gate| *gate != me) {
            let message = Message::Group(group_to_wire(&op));
            for gate in gates.into_iter().filter(|gate| *gate != me) {
                self.send(gate, message.clone());
            }
        }
        if here {
            self.give_gate(ToGate::Group(me, op));
        }
    }

    fn all_gates(&self) -> Vec<NodeUid> {
        let me = self.config.roles.contains(Roles::GATE).then_some(self.config.me);
        let nodes = self.view.iter().flat_map(|view| &view.nodes);
        let others = nodes.filter(|(node, info)| **node != self.config.me && info.roles.contains(Roles::GATE));
        others.map(|(node, _)| *node).chain(me).collect()
    }

    pub(super) fn group_arrived(&mut self, from: NodeUid, group: mesh::Group) {
        let (me, epoch) = (self.config.me, group.epoch);
        let name: Arc<str> = group.group.into();
        let mut tell =
            |change| self.give_gate(ToGate::Group(from, GroupOp { group: Arc::clone(&name), epoch, change }));
        match group.op {
            WireOp::Join => group.sids.into_iter().for_each(|sid| tell(GroupChange::Join(session_at(me, sid)))),
            WireOp::Leave => group.sids.into_iter().for_each(|sid| tell(GroupChange::Leave(session_at(me, sid)))),
            WireOp::Drop => tell(GroupChange::Drop),
            WireOp::Push if group.sids.is_empty() => tell(GroupChange::Push {
                method: group.method,
                from: group.key,
                body: group.body,
                except: group.except,
                unreliable: group.unreliable,
            }),
            WireOp::Push => {
                for sid in group.sids {
                    let message = ToClient {
                        client: session_at(me, sid),
                        method: group.method,
                        from: group.key.clone(),
                        body: group.body.clone(),
                        call: None,
                        deadline: bbq_wire::Time::MAX,
                        unreliable: group.unreliable,
                    };
                    self.give_gate(ToGate::ToClient { corr: None, message });
                }
            }
        }
    }

    /// Dead gates have no members, and groups of entities on dead nodes are over.
    pub(super) fn end_groups_of(&mut self, dead: &[NodeUid]) {
        if dead.is_empty() {
            return;
        }
        for gates in self.groups.gates.values_mut() {
            gates.retain(|gate| !dead.contains(gate));
        }
        if self.config.roles.contains(Roles::GATE) {
            self.give_gate(ToGate::Dead(dead.to_vec()));
        }
    }
}

fn group_to_wire(op: &GroupOp) -> mesh::Group {
    let mut wire = mesh::Group {
        op: WireOp::Drop,
        group: op.group.to_string(),
        sids: Vec::new(),
        except: Vec::new(),
        method: 0,
        key: None,
        unreliable: false,
        body: Bytes::new(),
        epoch: op.epoch,
    };
    match &op.change {
        GroupChange::Join(client) => (wire.op, wire.sids) = (WireOp::Join, vec![client.session]),
        GroupChange::Leave(client) => (wire.op, wire.sids) = (WireOp::Leave, vec![client.session]),
        GroupChange::Drop => {}
        GroupChange::Push { method, from, body, except, unreliable } => {
            wire.op = WireOp::Push;
            (wire.method, wire.key, wire.unreliable) = (*method, from.clone(), *unreliable);
            (wire.body, wire.except) = (body.clone(), except.clone());
            wire.except.truncate(mesh::MAX_SESSIONS);
        }
    }
    wire
}
