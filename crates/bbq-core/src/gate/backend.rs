//! What entities say to clients: pushes, calls, groups, watches and kicks, as they come out of the mesh.

use bbq_wire::gate::{GateInput, Lane};
use bbq_wire::{Code, EntityId, Error, Key, NodeUid, SessionId, SharedFrame, Time};

use super::Gate;
use super::admission::millis;
use super::groups::Owner;
use super::io::Output;
use super::slot::Slot;
use crate::mesh::{FromGate, ToGate};
use crate::world::{ClientRef, GroupChange, GroupOp, SessionEvent, ToClient};

impl Gate {
    pub(super) fn on_mesh(&mut self, now: Time, message: ToGate) {
        match message {
            ToGate::Reply { call, result } => self.on_reply(now, call, result),
            ToGate::ToClient { corr: None, message } => self.push(now, message),
            ToGate::ToClient { corr: Some(corr), message } => self.call_client(now, corr, message),
            ToGate::Group(from, op) => self.change_group(now, from, op),
            ToGate::Dead(nodes) => self.groups.of_nodes(&nodes).iter().for_each(|group| self.end_group(group)),
            ToGate::WatchClient { watcher, client, on } => self.watch(watcher, &client, on),
            ToGate::Kick { session, error } => {
                if let Some(slot) = self.sessions.find(session) {
                    self.drive(now, slot, GateInput::Kick(error));
                }
            }
        }
    }

    fn push(&mut self, now: Time, message: ToClient) {
        self.stats.pushes += 1;
        let ToClient { client, method, from, body, unreliable, .. } = message;
        match self.sessions.find(client.session) {
            Some(slot) => {
                let frame = SharedFrame::push(method, key_of(from.as_ref()), &body);
                self.drive(now, slot, GateInput::Push(frame, lane(unreliable)));
            }
            None => self.stats.lost_pushes += 1,
        }
    }

    fn call_client(&mut self, now: Time, corr: u64, message: ToClient) {
        let ToClient { client, method, from, body, deadline, .. } = message;
        let refused = match self.sessions.find(client.session) {
            _ if deadline <= now => Error::new(Code::DEADLINE_EXCEEDED, "not sent to the client"),
            None => Error::new(Code::CLIENT_GONE, "the session is over"),
            Some(slot) => {
                let deadline_ms = (deadline < Time::MAX).then(|| millis(deadline.since(now)));
                let key = from.map(|from| from.key);
                return self.drive(now, slot, GateInput::Request { call: corr, method, key, deadline_ms, body });
            }
        };
        self.outputs.push_back(Output::Mesh(FromGate::ClientReply { corr, result: Err(refused) }));
    }

    fn change_group(&mut self, now: Time, node: NodeUid, op: GroupOp) {
        let GroupOp { group, epoch, change } = op;
        match self.groups.epoch(&group) {
            // Of a life of its entity that is over.
            Some(known) if epoch < known => return self.stats.ignored += 1,
            Some(known) if epoch > known => self.end_group(&group),
            _ => {}
        }
        let owner = Owner { node, epoch };
        match change {
            GroupChange::Join(client) => {
                let Some((slot, session)) = self.session_mut(client.session) else { return };
                let mut mine = std::mem::take(&mut session.groups);
                if self.groups.join((&group, owner), slot, &mut mine, &self.config.limits).is_err() {
                    self.stats.ignored += 1;
                }
                self.put_back(slot, mine);
            }
            GroupChange::Leave(client) => {
                let Some((slot, session)) = self.session_mut(client.session) else { return };
                let mut mine = std::mem::take(&mut session.groups);
                self.groups.leave(&group, slot, &mut mine);
                self.put_back(slot, mine);
            }
            GroupChange::Push { method, from, body, except, unreliable } => {
                let frame = SharedFrame::push(method, key_of(from.as_ref()), &body);
                self.broadcast(now, &group, &frame, &except, lane(unreliable));
            }
            GroupChange::Drop => self.end_group(&group),
        }
    }

    fn end_group(&mut self, group: &str) {
        let Some((id, members)) = self.groups.end(group) else { return };
        for slot in members {
            if let Some(session) = self.sessions.get_mut(slot) {
                session.groups.retain(|one| *one != id);
            }
        }
    }

    fn broadcast(&mut self, now: Time, group: &str, frame: &SharedFrame, except: &[SessionId], lane: Lane) {
        self.stats.broadcasts += 1;
        let mut left_out: Vec<Slot> = except.iter().filter_map(|sid| self.sessions.find(*sid)).collect();
        left_out.sort_unstable();
        let Some(members) = self.groups.members(group) else { return };
        let members: Vec<Slot> = members.iter().copied().filter(|slot| left_out.binary_search(slot).is_err()).collect();
        self.stats.broadcast_copies += members.len() as u64;
        for slot in members {
            self.drive(now, slot, GateInput::Push(frame.clone(), lane));
        }
    }

    fn watch(&mut self, watcher: EntityId, client: &ClientRef, on: bool) {
        let most = self.config.limits.watchers_per_session;
        let Some((_, session)) = self.session_mut(client.session) else {
            if on {
                self.tell(watcher, client.clone(), SessionEvent::Left);
            }
            return;
        };
        let at = session.watchers.iter().position(|one| *one == watcher);
        match (on, at) {
            (false, Some(at)) => drop(session.watchers.remove(at)),
            (true, None) if session.watchers.len() >= most => self.stats.ignored += 1,
            (true, None) => {
                session.watchers.push(watcher.clone());
                if !session.machine.is_attached() {
                    let client = session.client.clone();
                    self.tell(watcher, client, SessionEvent::Detached);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, target: EntityId, client: ClientRef, event: SessionEvent) {
        self.outputs.push_back(Output::Mesh(FromGate::Session { target, client, event }));
    }

    fn session_mut(&mut self, sid: SessionId) -> Option<(Slot, &mut super::session::Session)> {
        let slot = self.sessions.find(sid)?;
        Some((slot, self.sessions.get_mut(slot)?))
    }

    fn put_back(&mut self, slot: Slot, mine: Vec<super::groups::GroupId>) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.groups = mine;
        }
    }
}

fn key_of(from: Option<&EntityId>) -> Option<&Key> {
    from.map(|entity| &entity.key)
}

const fn lane(unreliable: bool) -> Lane {
    if unreliable { Lane::Unreliable } else { Lane::Reliable }
}
