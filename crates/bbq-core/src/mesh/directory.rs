//! The directory: which entities of the slots held here are where.
//!
//! ```text
//!              Locate           Activated(Ok)            Deactivated, or its node died
//!   unknown ───────► Activating ────────────► Active ─────────────────────────────────► unknown
//!                      ▲   │ told again; after too many times the askers get UNAVAILABLE, the order stands
//!                      └───┘           Locate(stale) ──► Activating at the same node: "are you sure?"
//! ```
//! A new owner first collects reports of what runs already. An entity is ordered to a second node only when the first
//! has refused, or is dead. `act_epoch = slot_epoch << 32 | sequence`, so it grows whatever happens to owners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bbq_wire::mesh::{Mesh as Message, Place};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result, Time};
// tidy: looked up by id; visited only where the order does not matter.
use hashbrown::HashMap;

use super::{Candidate, Limits, Placement, Roles, View};

/// So many nodes may refuse an entity before its askers are told.
const MAX_REFUSALS: usize = 3;

/// A `Locate`.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) asker: NodeUid,
    pub(super) corr: u64,
    pub(super) entity: EntityId,
    pub(super) stale: u64,
    pub(super) activate: bool,
}

/// An `Activated`.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) node: NodeUid,
    pub(super) corr: u64,
    pub(super) entity: EntityId,
    pub(super) epoch: u64,
    pub(super) result: Result<()>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    /// `Some`: the node has not confirmed yet.
    order: Option<Box<Order>>,
}

/// An activation under way.
#[derive(Debug)]
struct Order {
    corr: u64,
    again: Time,
    tries: u32,
    askers: BTreeMap<NodeUid, u64>,
    refused: Vec<NodeUid>,
}

#[derive(Debug)]
struct Slot {
    epoch: u32,
    sequence: u32,
    /// Reports are in: what is unknown is not active.
    ready: bool,
    entries: HashMap<EntityId, Entry>,
}

/// Reports asked for, after slots were taken over.
#[derive(Debug)]
struct Collection {
    corr: u64,
    slots: Vec<(u16, u32)>,
    awaited: BTreeSet<NodeUid>,
    until: Time,
    again: Time,
}

/// The slots of one node. Says what to send through [`Directory::poll`].
pub(super) struct Directory {
    me: NodeUid,
    limits: Limits,
    placement: Option<Placement>,
    slots: BTreeMap<u16, Slot>,
    entries: usize,
    parked: VecDeque<Question>,
    collections: Vec<Collection>,
    /// Orders by the time of their next step.
    due: BTreeSet<(Time, EntityId)>,
    /// Load that the view reported, and what was placed since.
    placed: BTreeMap<NodeUid, (u32, u64)>,
    last_corr: u64,
    outbox: VecDeque<(NodeUid, Message)>,
}

impl Directory {
    pub(super) fn new(me: NodeUid, limits: Limits, placement: Option<Placement>) -> Self {
        Self {
            me,
            limits,
            placement,
            slots: BTreeMap::new(),
            entries: 0,
            parked: VecDeque::new(),
            collections: Vec::new(),
            due: BTreeSet::new(),
            placed: BTreeMap::new(),
            last_corr: 0,
            outbox: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn poll(&mut self) -> Option<(NodeUid, Message)> {
        self.outbox.pop_front()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let orders = self.due.first().map(|(at, _)| *at);
        let collections = self.collections.iter().map(|collection| collection.again.min(collection.until)).min();
        orders.into_iter().chain(collections).min()
    }

    pub(super) fn tick(&mut self, now: Time, view: Option<&View>) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, entity)) = self.due.pop_first() {
                self.order_overdue(now, &entity);
            }
        }
        self.ask_for_reports_again(now);
        self.end_collections(now, view);
    }

    // What the view changes.

    pub(super) fn accept_view(&mut self, now: Time, view: &View, dead: &[NodeUid]) {
        self.drop_lost_slots(view);
        let taken = self.take_over(view);
        for (node, info) in &view.nodes {
            let placed = self.placed.entry(*node).or_insert((info.load, 0));
            if placed.0 != info.load {
                *placed = (info.load, 0);
            }
        }
        self.placed.retain(|node, _| view.nodes.contains_key(node));
        if !dead.is_empty() {
            self.forget_dead(now, view);
        }
        if !taken.is_empty() {
            self.begin_collection(now, view, taken);
        }
        self.end_collections(now, Some(view));
    }

    fn drop_lost_slots(&mut self, view: &View) {
        let me = self.me;
        let kept = |slot: u16, epoch: u32| {
            view.slots.get(usize::from(slot)).is_some_and(|row| row.owner == me && row.epoch == epoch)
        };
        let lost: Vec<u16> =
            self.slots.iter().filter(|(at, slot)| !kept(**at, slot.epoch)).map(|(at, _)| *at).collect();
        for at in lost {
            let Some(slot) = self.slots.remove(&at) else { continue };
            self.entries -= slot.entries.len();
            let mut orders: Vec<(EntityId, Box<Order>)> =
                slot.entries.into_iter().filter_map(|(id, entry)| Some((id, entry.order?))).collect();
            orders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            for (entity, order) in orders {
                self.due.remove(&(order.again, entity.clone()));
                self.answer_all(&entity, &order.askers, &Err(not_the_owner()));
            }
        }
        let slots = &self.slots;
        let (kept, lost): (VecDeque<Question>, VecDeque<Question>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|question| slots.contains_key(&question.entity.slot()));
        self.parked = kept;
        for question in lost {
            self.answer(question.asker, question.corr, question.entity, Err(not_the_owner()));
        }
    }

    fn take_over(&mut self, view: &View) -> Vec<(u16, u32)> {
        let mut taken = Vec::new();
        let ours = view.slots.iter().enumerate().filter(|(_, row)| row.owner == self.me);
        for (at, row) in ours {
            let Ok(at) = u16::try_from(at) else { continue };
            self.slots.entry(at).or_insert_with(|| {
                taken.push((at, row.epoch));
                Slot { epoch: row.epoch, sequence: 0, ready: false, entries: HashMap::new() }
            });
        }
        taken
    }

    fn forget_dead(&mut self, now: Time, view: &View) {
        let mut orphans: Vec<(EntityId, Box<Order>)> = Vec::new();
        for slot in self.slots.values_mut() {
            slot.entries.retain(|entity, entry| {
                let alive = view.nodes.contains_key(&entry.place.node);
                if let Some(order) = entry.order.take_if(|_| !alive) {
                    orphans.push((entity.clone(), order));
                }
                alive
            });
        }
        self.entries = self.slots.values().map(|slot| slot.entries.len()).sum();
        orphans.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (entity, order) in orphans {
            self.due.remove(&(order.again, entity.clone()));
            self.place(now, view, entity, order.askers, order.refused);
        }
        for collection in &mut self.collections {
            collection.awaited.retain(|node| view.nodes.contains_key(node));
        }
    }

    // Reports.

    fn begin_collection(&mut self, now: Time, view: &View, slots: Vec<(u16, u32)>) {
        let hosts = view.nodes.iter().filter(|(_, info)| info.roles.contains(Roles::GAME));
        let awaited: BTreeSet<NodeUid> = hosts.map(|(node, _)| *node).collect();
        let corr = self.next_corr();
        for node in &awaited {
            self.outbox.push_back((*node, Message::Collect { corr, slots: slots.clone() }));
        }
        let (until, again) = (now + self.limits.report_wait, now + self.limits.report_retry);
        self.collections.push(Collection { corr, slots, awaited, until, again });
    }

    fn ask_for_reports_again(&mut self, now: Time) {
        for collection in self.collections.iter_mut().filter(|collection| collection.again <= now) {
            collection.again = now + self.limits.report_retry;
            for node in &collection.awaited {
                let question = Message::Collect { corr: collection.corr, slots: collection.slots.clone() };
                self.outbox.push_back((*node, question));
            }
        }
    }

    pub(super) fn report(
        &mut self,
        now: Time,
        view: Option<&View>,
        node: NodeUid,
        (corr, more): (u64, u32),
        entries: Vec<(EntityId, u64)>,
    ) {
        if view.is_none_or(|view| !view.nodes.contains_key(&node)) {
            return;
        }
        for (entity, epoch) in entries {
            self.reported(node, entity, epoch);
        }
        if more == 0 {
            let known = self.collections.iter_mut().find(|collection| collection.corr == corr);
            if let Some(collection) = known {
                collection.awaited.remove(&node);
            }
            self.end_collections(now, view);
        }
    }

    /// An entity runs at a node. If two nodes say so, the newer activation is the one that the Store accepts.
    fn reported(&mut self, node: NodeUid, entity: EntityId, epoch: u64) {
        let Some(slot) = self.slots.get_mut(&entity.slot()) else { return };
        let place = Place { node, epoch };
        match slot.entries.get_mut(&entity) {
            None => {
                slot.entries.insert(entity, Entry { place, order: None });
                self.entries += 1;
            }
            Some(entry) if entry.place.node != node && entry.place.epoch != epoch => {
                let older = if entry.place.epoch < epoch { std::mem::replace(&mut entry.place, place) } else { place };
                let newer = entry.place.node;
                tracing::warn!(%entity, older = %older.node, %newer, "an entity is active twice; the older copy ends");
                self.outbox.push_back((older.node, Message::Deactivated { entity, epoch: older.epoch }));
            }
            Some(entry) => entry.place.epoch = entry.place.epoch.max(epoch),
        }
    }

    /// Slots whose reports are in, or overdue, begin to work.
    fn end_collections(&mut self, now: Time, view: Option<&View>) {
        let Some(view) = view else { return };
        let done = |collection: &Collection| collection.awaited.is_empty() || collection.until <= now;
        if !self.collections.iter().any(done) {
            return;
        }
        let (ended, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.collections).into_iter().partition(done);
        self.collections = open;
        for collection in ended {
            if !collection.awaited.is_empty() {
                tracing::warn!(missing = ?collection.awaited, "slots are used before every node has reported");
            }
            for (at, epoch) in collection.slots {
                if let Some(slot) = self.slots.get_mut(&at).filter(|slot| slot.epoch == epoch) {
                    slot.ready = true;
                }
            }
        }
        for question in std::mem::take(&mut self.parked) {
            self.locate(now, Some(view), question);
        }
    }

    // Questions and orders.

    /// Answers a question, now or when the entity is active.
    pub(super) fn locate(&mut self, now: Time, view: Option<&View>, question: Question) {
        let at = question.entity.slot();
        let (Some(view), Some(slot)) = (view, self.slots.get_mut(&at)) else {
            return self.answer(question.asker, question.corr, question.entity, Err(not_the_owner()));
        };
        let ready = slot.ready;
        let Some(entry) = slot.entries.get_mut(&question.entity) else {
            return match (ready, question.activate) {
                (false, _) => self.park(question),
                (true, false) => self.answer(question.asker, question.corr, question.entity, Err(not_active())),
                (true, true) => {
                    let askers = BTreeMap::from([(question.asker, question.corr)]);
                    self.place(now, view, question.entity, askers, Vec::new());
                }
            };
        };
        if let Some(order) = &mut entry.order {
            order.askers.insert(question.asker, question.corr);
            if order.tries > self.limits.activate_tries {
                // The askers were told that the node does not answer: try it once more for the new one.
                order.tries = self.limits.activate_tries;
                self.give_order(now, question.entity);
            }
        } else if question.stale != entry.place.epoch {
            let place = entry.place;
            self.answer(question.asker, question.corr, question.entity, Ok(place));
        } else if question.activate {
            // Perhaps the end of that activation was reported, and the report lost. The node knows.
            let askers = BTreeMap::from([(question.asker, question.corr)]);
            let node = entry.place.node;
            self.order(now, question.entity, node, askers, Vec::new());
        } else {
            self.answer(question.asker, question.corr, question.entity, Err(not_active()));
        }
    }

    fn park(&mut self, question: Question) {
        if self.parked.len() < self.limits.parked {
            self.parked.push_back(question);
        } else {
            let error = Error::new(Code::ABORTED, "the slot has just been taken over; ask again");
            self.answer(question.asker, question.corr, question.entity, Err(error));
        }
    }

    /// Chooses a node for an entity and orders it there.
    fn place(
        &mut self,
        now: Time,
        view: &View,
        entity: EntityId,
        askers: BTreeMap<NodeUid, u64>,
        refused: Vec<NodeUid>,
    ) {
        let Some(asker) = askers.keys().next().copied() else { return };
        if self.entries >= self.limits.directory {
            let why = format!("the directory holds {} entities", self.limits.directory);
            return self.answer_all(&entity, &askers, &Err(Error::new(Code::RESOURCE_EXHAUSTED, why)));
        }
        match self.choose(view, &entity, asker, &refused) {
            Some(node) => self.order(now, entity, node, askers, refused),
            None => {
                let why = format!("no live node takes {entity}");
                self.answer_all(&entity, &askers, &Err(Error::new(Code::UNAVAILABLE, why)));
            }
        }
    }

    fn choose(&self, view: &View, entity: &EntityId, asker: NodeUid, refused: &[NodeUid]) -> Option<NodeUid> {
        let candidates: Vec<Candidate<'_>> = view
            .nodes
            .iter()
            .filter(|(node, info)| {
                info.roles.contains(Roles::GAME)
                    && info.serves.contains(&entity.kind)
                    && !info.draining
                    && !refused.contains(node)
            })
            .map(|(node, info)| {
                let placed = self.placed.get(node).map_or(0, |placed| placed.1);
                Candidate { node: *node, info, load: u64::from(info.load) + placed }
            })
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let chosen = self.placement.as_ref().and_then(|placement| placement(entity, asker, &candidates));
        let is_candidate = |node: &NodeUid| candidates.iter().any(|candidate| candidate.node == *node);
        chosen
            .filter(is_candidate)
            .or_else(|| Some(asker).filter(is_candidate))
            .or_else(|| candidates.iter().min_by_key(|candidate| candidate.load).map(|candidate| candidate.node))
    }

    /// Orders an entity to a node under a new epoch.
    fn order(
        &mut self,
        now: Time,
        entity: EntityId,
        node: NodeUid,
        askers: BTreeMap<NodeUid, u64>,
        refused: Vec<NodeUid>,
    ) {
        let corr = self.next_corr();
        let Some(slot) = self.slots.get_mut(&entity.slot()) else { return };
        slot.sequence = slot.sequence.saturating_add(1);
        let epoch = u64::from(slot.epoch) << 32 | u64::from(slot.sequence);
        let order = Box::new(Order { corr, again: now, tries: 0, askers, refused });
        let entry = Entry { place: Place { node, epoch }, order: Some(order) };
        if slot.entries.insert(entity.clone(), entry).is_none() {
            self.entries += 1;
        }
        self.placed.entry(node).or_default().1 += 1;
        self.give_order(now, entity);
    }

    fn give_order(&mut self, now: Time, entity: EntityId) {
        let again = now + self.limits.activate_retry;
        let Some(entry) = self.slots.get_mut(&entity.slot()).and_then(|slot| slot.entries.get_mut(&entity)) else {
            return;
        };
        let Place { node, epoch } = entry.place;
        let Some(order) = &mut entry.order else { return };
        order.tries += 1;
        self.due.remove(&(order.again, entity.clone()));
        order.again = again;
        self.due.insert((again, entity.clone()));
        self.outbox.push_back((node, Message::Activate { corr: order.corr, entity, epoch }));
    }

    /// A node has not answered. While it lives the order stands: it may have been obeyed.
    fn order_overdue(&mut self, now: Time, entity: &EntityId) {
        let entry = self.slots.get_mut(&entity.slot()).and_then(|slot| slot.entries.get_mut(entity));
        let Some(Entry { place, order: Some(order) }) = entry else { return };
        if order.tries < self.limits.activate_tries {
            return self.give_order(now, entity.clone());
        }
        order.tries = self.limits.activate_tries + 1;
        let why = format!("node {} does not activate {entity}", place.node);
        let askers = std::mem::take(&mut order.askers);
        self.answer_all(entity, &askers, &Err(Error::new(Code::UNAVAILABLE, why)));
    }

    /// A node has obeyed an order, or not.
    pub(super) fn activated(&mut self, now: Time, view: Option<&View>, outcome: Outcome) {
        let Some(slot) = self.slots.get_mut(&outcome.entity.slot()) else { return };
        let Some(entry) = slot.entries.get_mut(&outcome.entity) else { return };
        let meant = |order: &mut Box<Order>| order.corr == outcome.corr && entry.place.node == outcome.node;
        let Some(mut order) = entry.order.take_if(meant) else { return };
        self.due.remove(&(order.again, outcome.entity.clone()));
        let error = match outcome.result {
            Ok(()) => {
                // An older epoch: it was running all the time.
                entry.place.epoch = outcome.epoch;
                let place = entry.place;
                return self.answer_all(&outcome.entity, &order.askers, &Ok(place));
            }
            Err(error) => error,
        };
        slot.entries.remove(&outcome.entity);
        self.entries -= 1;
        let elsewhere = [Code::UNIMPLEMENTED, Code::UNAVAILABLE, Code::RESOURCE_EXHAUSTED, Code::BUSY];
        order.refused.push(outcome.node);
        let view = view.filter(|_| elsewhere.contains(&error.code) && order.refused.len() < MAX_REFUSALS);
        match view {
            Some(view) if order.askers.is_empty() || self.can_place(view, &outcome.entity, &order) => {
                self.place(now, view, outcome.entity, order.askers, order.refused);
            }
            _ => self.answer_all(&outcome.entity, &order.askers, &Err(error)),
        }
    }

    fn can_place(&self, view: &View, entity: &EntityId, order: &Order) -> bool {
        self.choose(view, entity, self.me, &order.refused).is_some()
    }

    /// An activation is over.
    pub(super) fn deactivated(&mut self, node: NodeUid, entity: &EntityId, epoch: u64) {
        let Some(slot) = self.slots.get_mut(&entity.slot()) else { return };
        let over = slot
            .entries
            .get(entity)
            .is_some_and(|entry| entry.order.is_none() && entry.place.node == node && entry.place.epoch <= epoch);
        if over {
            slot.entries.remove(entity);
            self.entries -= 1;
        }
    }

    fn next_corr(&mut self) -> u64 {
        self.last_corr += 1;
        self.last_corr
    }

    fn answer_all(&mut self, entity: &EntityId, askers: &BTreeMap<NodeUid, u64>, result: &Result<Place>) {
        for (asker, corr) in askers {
            self.answer(*asker, *corr, entity.clone(), result.clone());
        }
    }

    fn answer(&mut self, asker: NodeUid, corr: u64, entity: EntityId, result: Result<Place>) {
        self.outbox.push_back((asker, Message::Located { corr, entity, result }));
    }
}

/// The asker's view is ahead of ours, or behind it: it asks again.
fn not_the_owner() -> Error {
    Error::new(Code::ABORTED, "not the owner of this slot; ask again")
}

fn not_active() -> Error {
    Error::new(Code::NOT_FOUND, "the entity is not active")
}
