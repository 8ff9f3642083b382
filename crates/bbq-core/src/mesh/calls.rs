//! Who waits for which answer, and until when. Every call that is accepted ends in exactly one verdict.
//!
//! ```text
//!            +--> Waiting (its entity is searched for, or no view yet) <--+
//!  accept ---+                                                            | bounced, or its node died before it left
//!            +--> Queued (no link yet) --> Sent (a node or a world has it)+--> verdict
//! ```
//! A call that leaves `Waiting` or `Queued` without being sent was certainly not processed; one that was sent and gets
//! no answer may have been. One-way calls live here until their node has taken them.

use std::collections::BTreeSet;

use bbq_wire::mesh::{self, Mesh as Message, Place};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result, Time};
// tidy: looked up by number; where all are visited, the numbers are sorted first.
use hashbrown::HashMap;

use super::routes::Item;
use super::translate::{call_from_wire, call_to_wire, to_client_to_wire, too_large};
use super::{Alarm, Mesh, Output, ToGate};
use crate::Payload;
use crate::timer::TimerKey;
use crate::world::{self, CallId, Incoming, Outgoing, ReplyTo, Target, ToClient};

/// So often is a call to a service sent to another instance when it bounces.
const SERVICE_TRIES: u32 = 3;

/// Who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A world of this process.
    World(u16, CallId),
    /// The gate of this process.
    Gate(CallId),
    /// Another node, which called an entity or service here.
    Node(NodeUid, u64),
    /// Another node, which called a client here.
    NodeForClient(NodeUid, u64),
    /// Nobody: a one-way call.
    Nobody,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Request {
    /// Of an entity or service.
    Call(Outgoing),
    /// Of a client.
    Client(ToClient),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Waiting,
    Queued,
    Sent,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) origin: Origin,
    pub(super) request: Request,
    pub(super) deadline: Time,
    timer: TimerKey,
    pub(super) stage: Stage,
    /// Where it goes or is; not meaningful while it waits.
    pub(super) place: Place,
    /// The number of the frame in which it left; 0: it is here.
    seq: u64,
    /// It counts among the calls that its entity has not answered yet.
    pub(super) counted: bool,
    tries: u32,
}

impl Call {
    /// The entity that it is for.
    pub(super) fn entity(&self) -> Option<&EntityId> {
        match &self.request {
            Request::Call(Outgoing { target: Target::Entity(id), .. }) => Some(id),
            _ => None,
        }
    }

    fn is_oneway(&self) -> bool {
        self.origin == Origin::Nobody
    }
}

/// All calls without an answer, by the number under which the answer comes back.
#[derive(Debug, Default)]
pub(super) struct Calls {
    // Boxed: a call is large, and is moved neither into the table nor within it nor out of it.
    table: HashMap<u64, Box<Call>>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Call> {
        self.table.get_mut(&id).map(|call| &mut **call)
    }

    /// The call waits to leave.
    pub(super) fn queued(&mut self, id: u64) {
        if let Some(call) = self.table.get_mut(&id) {
            call.stage = Stage::Queued;
        }
    }

    /// Whether this frame to this node is where the call is now.
    pub(super) fn left_as(&self, id: u64, node: NodeUid, seq: u64) -> bool {
        let here = |call: &Call| call.stage == Stage::Sent && call.place.node == node && call.seq == seq;
        self.table.get(&id).is_some_and(|call| here(call))
    }

    pub(super) fn is_queued(&self, id: u64) -> bool {
        self.table.get(&id).is_some_and(|call| call.stage == Stage::Queued)
    }

    /// Numbers of the calls that `choose` chooses, in the order in which they were made.
    fn select(&self, choose: impl Fn(&Call) -> bool) -> BTreeSet<u64> {
        self.table.iter().filter(|(_, call)| choose(call)).map(|(id, _)| *id).collect()
    }
}

impl Mesh {
    /// A call of a world, the gate, or another node that passes it on.
    pub(super) fn accept_call(&mut self, call: Outgoing, origin: Origin) {
        let deadline = call.deadline;
        let entity = match &call.target {
            Target::Entity(id) => Some(id.clone()),
            Target::Service(_) => None,
        };
        let Some(id) = self.register(Request::Call(call), origin, deadline) else { return };
        match entity {
            Some(entity) => self.route_item(&entity, Item::Call(id)),
            None => self.place_service_call(id),
        }
    }

    /// Enters a call into the table, unless there is a reason not to.
    pub(super) fn register(&mut self, request: Request, origin: Origin, deadline: Time) -> Option<u64> {
        let limits = self.config.limits;
        if self.calls.len() >= limits.calls {
            let why = format!("this node waits for the answers of {} calls", limits.calls);
            self.answer(origin, Err(Error::new(Code::BUSY, why)));
            return None;
        }
        let deadline = deadline.min(self.now + limits.longest_call);
        if deadline <= self.now {
            self.answer(origin, Err(overdue_unsent()));
            return None;
        }
        let id = self.next_id();
        let timer = self.wheel.insert(deadline, Alarm::Call(id));
        let (stage, place) = (Stage::Waiting, Place { node: NodeUid::default(), epoch: 0 });
        let call = Call { origin, request, deadline, timer, stage, place, seq: 0, counted: false, tries: 0 };
        self.calls.table.insert(id, Box::new(call));
        Some(id)
    }

    /// Sends a call whose place is known: to a world of ours, onto a link, or into an outbox.
    pub(super) fn send_call(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let to = call.place.node;
        if to == self.config.me {
            return self.deliver(id, None);
        }
        self.send_call_to(to, id);
    }

    /// A call as a frame; one that does not fit into a frame is settled here.
    pub(super) fn frame_of(&mut self, id: u64) -> Option<Message> {
        let now = self.now;
        let call = self.calls.table.get_mut(&id)?;
        let oneway = call.is_oneway();
        let (message, error) = match &mut call.request {
            Request::Client(message) => {
                (Message::ToClient(to_client_to_wire(now, id, message)), too_large(&message.body))
            }
            Request::Call(outgoing) => {
                // Encoded once: a bounced call is sent again from these bytes.
                let body = std::mem::take(&mut outgoing.body).into_bytes();
                outgoing.body = Payload::from_bytes(body.clone());
                let epoch = outgoing.affinity.unwrap_or(call.place.epoch);
                let mut wire = call_to_wire(now, id, outgoing, call.deadline, epoch);
                wire.oneway = oneway;
                let error = too_large(&body).or_else(|| too_long(&wire.chain));
                (Message::Call(wire), error)
            }
        };
        match error {
            None => Some(message),
            Some(error) => {
                self.settle(id, Err(error));
                None
            }
        }
    }

    /// A call has left, in the frame with this number or to a world of ours: from now on it may be processed.
    pub(super) fn sent(&mut self, id: u64, seq: Option<u64>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.stage = Stage::Sent;
        call.seq = seq.unwrap_or(0);
        if call.is_oneway() && seq.is_none() {
            self.remove_call(id);
            return;
        }
        // Calls of other nodes are kept in order there.
        let ours = !matches!(call.origin, Origin::Node(..) | Origin::NodeForClient(..));
        if let Some(entity) = call.entity().cloned().filter(|_| ours) {
            call.counted = true;
            self.routes.count(&entity);
        }
    }

    /// A node has taken the call for good; if it is one-way, that is all.
    pub(super) fn taken(&mut self, node: NodeUid, seq: u64, id: u64) {
        if self.calls.left_as(id, node, seq) && self.calls.get_mut(id).is_some_and(|call| call.is_oneway()) {
            self.remove_call(id);
        }
    }

    /// Gives a call to a world of this process; `None`: the world of its entity, or any for a service.
    pub(super) fn deliver(&mut self, id: u64, world: Option<u16>) {
        let Some(call) = self.calls.table.get_mut(&id) else { return };
        let oneway = call.is_oneway();
        let Request::Call(outgoing) = &mut call.request else { return };
        let (target, method, meta) = (outgoing.target.clone(), outgoing.method, outgoing.meta.clone());
        // An entity may stop before the call runs: then it is tried again, so a copy stays here. A service runs it.
        let body = match target {
            Target::Entity(_) if !oneway => outgoing.body.clone(),
            _ => std::mem::take(&mut outgoing.body),
        };
        let reply_to = if oneway { ReplyTo::Nobody } else { ReplyTo::Remote(id) };
        let index = match (&target, world) {
            (_, Some(world)) => world,
            (Target::Entity(entity), None) => (entity.stable_hash() % u64::from(self.config.worlds.max(1))) as u16,
            (Target::Service(_), None) => self.services.next_world(self.config.worlds),
        };
        let incoming = Incoming { target, method, body, reply_to, deadline: call.deadline, meta };
        call.place.node = self.config.me;
        self.sent(id, None);
        self.give_world(index, world::Input::Call(incoming));
    }

    /// Another node calls something here.
    pub(super) fn call_arrived(&mut self, from: NodeUid, call: mesh::Call) {
        let (corr, oneway) = (call.corr, call.oneway);
        let (outgoing, epoch) = call_from_wire(self.now, call);
        let here = match &outgoing.target {
            Target::Entity(id) => self.host.hosts(id, epoch),
            Target::Service(_) => self.config.worlds > 0,
        };
        if !here {
            let error = Error::new(Code::ENTITY_STOPPED, format!("not at node {}", self.config.me));
            return self.give_back(from, corr, error);
        }
        let world = match &outgoing.target {
            Target::Entity(_) => None,
            Target::Service(_) => outgoing.affinity.map(|hash| self.world_for(hash)),
        };
        let origin = if oneway { Origin::Nobody } else { Origin::Node(from, corr) };
        let deadline = outgoing.deadline;
        if let Some(id) = self.register(Request::Call(outgoing), origin, deadline) {
            self.deliver(id, world);
        }
    }

    /// A world answers.
    pub(super) fn world_replied(&mut self, to: ReplyTo, result: Result<Payload>) {
        match to {
            ReplyTo::Nobody => {}
            ReplyTo::World(index, call) => self.give_world(index, world::Input::Reply(call, result)),
            ReplyTo::Remote(id) => match result {
                Err(error) if error.code == Code::ENTITY_STOPPED => self.bounced(id, error),
                result => self.reply_arrived(self.config.me, id, result),
            },
        }
    }

    /// Somebody answers; an answer that nobody waits for any more is dropped.
    pub(super) fn reply_arrived(&mut self, from: NodeUid, id: u64, result: Result<Payload>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.stage == Stage::Sent && call.place.node == from {
            self.settle(id, result);
        } else {
            self.dropped += 1;
        }
    }

    /// A call was certainly not processed where it was sent.
    pub(super) fn bounced(&mut self, id: u64, error: Error) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.tries += 1;
        match (call.origin, &call.request) {
            (Origin::Node(node, corr), _) => {
                self.remove_call(id);
                self.send(node, Message::Bounced { corr, error });
            }
            (_, Request::Client(_)) => self.settle(id, Err(Error::new(Code::CLIENT_GONE, error.message))),
            (_, Request::Call(Outgoing { target: Target::Entity(entity), .. })) => {
                let entity = entity.clone();
                self.call_returned(id, &entity);
            }
            (_, Request::Call(_)) if call.tries >= SERVICE_TRIES => {
                self.settle(id, Err(Error::new(Code::UNAVAILABLE, error.message)));
            }
            (_, Request::Call(_)) => {
                call.stage = Stage::Waiting;
                self.place_service_call(id);
            }
        }
    }

    /// Ends a call with its verdict.
    pub(super) fn settle(&mut self, id: u64, result: Result<Payload>) {
        if let Some(call) = self.remove_call(id) {
            self.answer(call.origin, result);
        }
    }

    /// Takes a call out of the table and out of the count of its entity.
    fn remove_call(&mut self, id: u64) -> Option<Box<Call>> {
        let call = self.calls.table.remove(&id)?;
        self.wheel.cancel(call.timer);
        if call.counted
            && let Some(entity) = call.entity()
        {
            let entity = entity.clone();
            self.uncount(&entity);
        }
        Some(call)
    }

    /// Gives the verdict to whoever waits for it.
    pub(super) fn answer(&mut self, origin: Origin, result: Result<Payload>) {
        match origin {
            Origin::World(index, call) => self.give_world(index, world::Input::Reply(call, result)),
            Origin::Gate(call) => self.outputs.push_back(Output::Gate(ToGate::Reply { call, result })),
            Origin::Node(node, corr) => {
                let result = encode(result);
                self.send(node, Message::Reply { corr, result });
            }
            Origin::NodeForClient(node, corr) => {
                let result = encode(result);
                self.send(node, Message::ClientReply { corr, result });
            }
            Origin::Nobody => {
                if let Err(error) = result {
                    self.dropped += 1;
                    tracing::debug!(%error, "a one-way call was not delivered");
                }
            }
        }
    }

    /// The deadline of a call.
    pub(super) fn call_overdue(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if matches!(call.origin, Origin::Node(..) | Origin::NodeForClient(..)) {
            // The caller has its own deadline and does not wait any more.
            self.remove_call(id);
            return;
        }
        let (stage, node, entity) = (call.stage, call.place.node, call.entity().cloned());
        if let (Stage::Waiting, Some(entity)) = (stage, entity) {
            self.stop_waiting(&entity, id);
        }
        let error = match stage {
            Stage::Sent => {
                let why = format!("no answer from node {node} in time; the call had been sent and may be processed");
                Error::new(Code::DEADLINE_EXCEEDED, why)
            }
            Stage::Waiting | Stage::Queued => overdue_unsent(),
        };
        self.settle(id, Err(error));
    }

    /// Ends the calls that dead nodes had, and finds other places for those that had not left yet.
    pub(super) fn end_calls_on(&mut self, dead: &[NodeUid]) {
        if dead.is_empty() {
            return;
        }
        let lost = self.calls.select(|call| call.stage != Stage::Waiting && dead.contains(&call.place.node));
        for id in lost {
            let Some(call) = self.calls.get_mut(id) else { continue };
            let node = call.place.node;
            if call.stage == Stage::Sent {
                let why = format!("node {node} died while it had the call; it may or may not have run");
                self.settle(id, Err(Error::new(Code::OUTCOME_UNKNOWN, why)));
            } else {
                self.bounced(id, Error::new(Code::NOT_SENT, format!("node {node} died before the call left")));
            }
        }
    }

    pub(super) fn world_for(&self, hash: u64) -> u16 {
        (hash % u64::from(self.config.worlds.max(1))) as u16
    }
}

fn encode(result: Result<Payload>) -> Result<bytes::Bytes> {
    let body = result?.into_bytes();
    too_large(&body).map_or(Ok(body), Err)
}

fn too_long(chain: &[EntityId]) -> Option<Error> {
    let limit = mesh::MAX_CHAIN;
    let why = || format!("{} entities wait for each other, limit {limit}", chain.len());
    (chain.len() > limit).then(|| Error::new(Code::RESOURCE_EXHAUSTED, why()))
}

fn overdue_unsent() -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, "the deadline passed before the call was sent; it was not processed")
}
