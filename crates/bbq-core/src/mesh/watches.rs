//! Watches between entities of different worlds: who is told when whom is gone, even by the death of a node.

use std::collections::BTreeMap;

use bbq_wire::mesh::Mesh as Message;
use bbq_wire::{EntityId, NodeUid};
use bytes::Bytes;

use super::Mesh;
use super::routes::Item;
use super::translate::too_large;
use crate::Payload;
use crate::world::{self, Note};

/// Pairs of watcher and subject of which one lives on another node.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// The subject lives there.
    out: BTreeMap<(EntityId, EntityId), NodeUid>,
    /// The watcher lives there.
    inward: BTreeMap<(EntityId, EntityId), NodeUid>,
}

impl Watches {
    fn set_out(&mut self, pair: (EntityId, EntityId), node: NodeUid, on: bool, limit: usize) {
        if !on {
            self.out.remove(&pair);
        } else if self.out.len() < limit || self.out.contains_key(&pair) {
            self.out.insert(pair, node);
        }
    }

    fn set_inward(&mut self, pair: (EntityId, EntityId), node: NodeUid, on: bool, limit: usize) {
        if !on {
            self.inward.remove(&pair);
        } else if self.inward.len() < limit || self.inward.contains_key(&pair) {
            self.inward.insert(pair, node);
        }
    }
}

fn take_of(table: &mut BTreeMap<(EntityId, EntityId), NodeUid>, dead: &[NodeUid]) -> Vec<(EntityId, EntityId)> {
    let pairs: Vec<_> = table.iter().filter(|(_, node)| dead.contains(node)).map(|(pair, _)| pair.clone()).collect();
    pairs.iter().for_each(|pair| {
        table.remove(pair);
    });
    pairs
}

impl Mesh {
    /// An entity of ours begins or ends to watch one of another world.
    pub(super) fn watch(&mut self, watcher: EntityId, subject: EntityId, on: bool) {
        self.tell(&subject, Item::Watch(watcher, on));
    }

    /// The place of the subject is known.
    pub(super) fn watch_at(&mut self, to: NodeUid, watcher: EntityId, subject: EntityId, on: bool) {
        if to == self.config.me {
            let index = self.world_of(&subject);
            return self.give_world(index, world::Input::Watch(watcher, subject, on));
        }
        let limit = self.config.limits.watches;
        self.watches.set_out((watcher.clone(), subject.clone()), to, on, limit);
        self.send(to, Message::Watch { watcher, subject, on });
    }

    pub(super) fn watch_arrived(&mut self, from: NodeUid, watcher: EntityId, subject: EntityId, on: bool) {
        if !self.host.hosts(&subject, 0) {
            if on {
                self.send(from, Message::Gone { subject, watchers: vec![watcher] });
            }
            return;
        }
        if on {
            self.learn(&watcher, from);
        }
        let limit = self.config.limits.watches;
        self.watches.set_inward((watcher.clone(), subject.clone()), from, on, limit);
        let index = self.world_of(&subject);
        self.give_world(index, world::Input::Watch(watcher, subject, on));
    }

    /// An entity of ours speaks to one that watches it.
    pub(super) fn note(&mut self, to: EntityId, note: Note) {
        let pair = (to, note.from.clone());
        if let Some(node) = self.watches.inward.get(&pair).copied() {
            let body = note.body.into_bytes();
            if too_large(&body).is_some() {
                return self.dropped += 1;
            }
            let name = note.name.to_string();
            self.send(node, Message::Notify { to: pair.0, from: note.from, name, body });
        } else if self.host.hosts(&pair.0, 0) {
            let index = self.world_of(&pair.0);
            self.give_world(index, world::Input::Note(pair.0, note));
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn note_arrived(&mut self, to: EntityId, from: EntityId, name: String, body: Bytes) {
        let index = self.world_of(&to);
        let note = Note { from, name: name.into(), body: Payload::from_bytes(body) };
        self.give_world(index, world::Input::Note(to, note));
    }

    /// An entity of ours that was watched is gone.
    pub(super) fn gone(&mut self, watcher: EntityId, subject: EntityId) {
        let pair = (watcher, subject);
        if let Some(node) = self.watches.inward.remove(&pair) {
            self.send(node, Message::Gone { subject: pair.1, watchers: vec![pair.0] });
        } else {
            let index = self.world_of(&pair.0);
            self.give_world(index, world::Input::Gone(pair.0, pair.1));
        }
    }

    pub(super) fn gone_arrived(&mut self, subject: &EntityId, watchers: Vec<EntityId>) {
        for watcher in watchers {
            let pair = (watcher, subject.clone());
            self.watches.out.remove(&pair);
            let index = self.world_of(&pair.0);
            self.give_world(index, world::Input::Gone(pair.0, pair.1));
        }
    }

    /// What lived on dead nodes is gone, and watches nobody.
    pub(super) fn forget_watches(&mut self, dead: &[NodeUid]) {
        if dead.is_empty() {
            return;
        }
        for (watcher, subject) in take_of(&mut self.watches.out, dead) {
            let index = self.world_of(&watcher);
            self.give_world(index, world::Input::Gone(watcher, subject));
        }
        for (watcher, subject) in take_of(&mut self.watches.inward, dead) {
            let index = self.world_of(&subject);
            self.give_world(index, world::Input::Watch(watcher, subject, false));
        }
    }
}
