//! What goes to clients through their gates, and what gates say of sessions.

use std::collections::BTreeMap;

use bbq_wire::mesh::{self, Mesh as Message, SessionChange};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result, SessionId};
use bytes::Bytes;

use super::calls::{Origin, Request};
use super::routes::Item;
use super::translate::{
    change_from_wire, change_to_wire, session_at, to_client_from_wire, to_client_to_wire, too_large,
};
use super::{Mesh, Output, Roles, ToGate};
use crate::Payload;
use crate::world::{self, ClientRef, SessionEvent, ToClient};

/// Which entities of this node watch which sessions of other gates: when a gate dies, they are told.
#[derive(Debug, Default)]
pub(super) struct SessionWatches {
    by_gate: BTreeMap<NodeUid, BTreeMap<(SessionId, EntityId), ClientRef>>,
    count: usize,
}

impl SessionWatches {
    fn set(&mut self, watcher: &EntityId, client: &ClientRef, on: bool, limit: usize) {
        let gate = self.by_gate.entry(client.gate).or_default();
        let key = (client.session, watcher.clone());
        if !on {
            self.count -= usize::from(gate.remove(&key).is_some());
        } else if self.count < limit && gate.insert(key, client.clone()).is_none() {
            self.count += 1;
        }
    }
}

impl Mesh {
    /// A world pushes to, or calls, a client.
    pub(super) fn message_client(&mut self, index: u16, message: ToClient) {
        let Some(call) = message.call else { return self.push_to_client(message) };
        let gate = message.client.gate;
        let deadline = message.deadline;
        let origin = Origin::World(index, call);
        let Some(id) = self.register(Request::Client(message.clone()), origin, deadline) else { return };
        if let Some(call) = self.calls.get_mut(id) {
            call.place.node = gate;
        }
        if gate == self.config.me {
            self.call_client_here(id, message);
        } else {
            self.send_call(id);
        }
    }

    fn push_to_client(&mut self, message: ToClient) {
        if message.client.gate == self.config.me {
            return self.give_gate(ToGate::ToClient { corr: None, message });
        }
        if too_large(&message.body).is_some() {
            return self.dropped += 1;
        }
        let wire = to_client_to_wire(self.now, 0, &message);
        self.send(message.client.gate, Message::ToClient(wire));
    }

    fn call_client_here(&mut self, id: u64, message: ToClient) {
        if !self.config.roles.contains(Roles::GATE) {
            let why = format!("node {} is no gate", self.config.me);
            return self.settle(id, Err(Error::new(Code::CLIENT_GONE, why)));
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.place.node = self.config.me;
            call.stage = super::calls::Stage::Sent;
        }
        self.give_gate(ToGate::ToClient { corr: Some(id), message });
    }

    /// Another node pushes to, or calls, a client of our gate.
    pub(super) fn client_message_arrived(&mut self, from: NodeUid, message: mesh::ToClient) {
        let corr = message.corr;
        let message = to_client_from_wire(self.now, self.config.me, message);
        if corr == 0 {
            return self.give_gate(ToGate::ToClient { corr: None, message });
        }
        let deadline = message.deadline;
        let origin = Origin::NodeForClient(from, corr);
        if let Some(id) = self.register(Request::Client(message.clone()), origin, deadline) {
            self.call_client_here(id, message);
        }
    }

    /// A client of our gate has answered.
    pub(super) fn client_replied(&mut self, corr: u64, result: Result<Bytes>) {
        self.reply_arrived(self.config.me, corr, result.map(Payload::from_bytes));
    }

    pub(super) fn give_gate(&mut self, message: ToGate) {
        if self.config.roles.contains(Roles::GATE) {
            self.outputs.push_back(Output::Gate(message));
        } else {
            self.dropped += 1;
        }
    }

    /// An entity of ours begins or ends to watch a session.
    pub(super) fn watch_client(&mut self, watcher: EntityId, client: ClientRef, on: bool) {
        if client.gate == self.config.me {
            return self.give_gate(ToGate::WatchClient { watcher, client, on });
        }
        let limit = self.config.limits.watches;
        self.sessions.set(&watcher, &client, on, limit);
        let gone = self.view.as_ref().is_some_and(|view| !view.nodes.contains_key(&client.gate));
        if on && gone {
            self.sessions.set(&watcher, &client, false, limit);
            let index = self.world_of(&watcher);
            return self.give_world(index, world::Input::Session(watcher, client, SessionEvent::Left));
        }
        self.send(client.gate, Message::WatchClient { watcher, sid: client.session, on });
    }

    pub(super) fn watch_client_arrived(&mut self, from: NodeUid, watcher: EntityId, sid: SessionId, on: bool) {
        if on {
            self.learn(&watcher, from);
        }
        let client = session_at(self.config.me, sid);
        self.give_gate(ToGate::WatchClient { watcher, client, on });
    }

    /// Our gate has news of a session for an entity.
    pub(super) fn session_event(&mut self, target: EntityId, client: ClientRef, event: SessionEvent) {
        self.tell(&target, Item::Session(client, event));
    }

    pub(super) fn session_event_at(&mut self, to: NodeUid, target: EntityId, client: ClientRef, event: SessionEvent) {
        if to == self.config.me {
            let index = self.world_of(&target);
            return self.give_world(index, world::Input::Session(target, client, event));
        }
        let (account, event) = (client.account.to_string(), change_to_wire(event));
        self.send(to, Message::SessionEvent { target, sid: client.session, account, event });
    }

    pub(super) fn session_event_arrived(
        &mut self,
        gate: NodeUid,
        target: EntityId,
        (session, account): (SessionId, String),
        event: SessionChange,
    ) {
        let client = ClientRef { gate, session, account: account.into() };
        if event == SessionChange::Left {
            self.sessions.set(&target, &client, false, 0);
        }
        let index = self.world_of(&target);
        self.give_world(index, world::Input::Session(target, client, change_from_wire(event)));
    }

    /// The sessions of dead gates are over.
    pub(super) fn forget_gates(&mut self, dead: &[NodeUid]) {
        for gate in dead {
            let Some(watches) = self.sessions.by_gate.remove(gate) else { continue };
            self.sessions.count -= watches.len();
            for ((_, watcher), client) in watches {
                let index = self.world_of(&watcher);
                self.give_world(index, world::Input::Session(watcher, client, SessionEvent::Left));
            }
        }
    }

    pub(super) fn kick(&mut self, client: &ClientRef, error: Error) {
        let session = client.session;
        if client.gate == self.config.me {
            return self.give_gate(ToGate::Kick { session, error });
        }
        let message = Message::Kick { sid: session, code: error.code, message: error.message.into() };
        self.send(client.gate, message);
    }

    pub(super) fn kick_arrived(&mut self, session: SessionId, code: Code, message: String) {
        self.give_gate(ToGate::Kick { session, error: Error::new(code, message) });
    }
}
