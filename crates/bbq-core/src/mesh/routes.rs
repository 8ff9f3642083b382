//! Where entities are, and what waits until they are found.
//!
//! ```text
//!   known place ── bounced ──► Draining ── every call sent there is settled ──► Asking ── Located ──► known place
//!                                                          Paused ◄── ask again ──┘ ▲
//!                                                             └────────────────────-┘
//! ```
//! Messages of this node for one entity leave in the order in which they were made: while the entity is searched for,
//! new ones queue behind; bounced ones go back to where they were in the queue; and the search begins only when nothing
//! is under way to the old place any more.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bbq_wire::mesh::{Mesh as Message, Place};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result};
// tidy: looked up by id; where all are visited, the order does not matter or is made by sorting.
use hashbrown::HashMap;

use super::calls::Stage;
use super::{Alarm, Mesh};
use crate::world::{self, ClientRef, SessionEvent};

/// What goes to an entity.
#[derive(Debug)]
pub(super) enum Item {
    /// A call in the table; activates the entity.
    Call(u64),
    /// The given entity begins (true) or ends to watch it.
    Watch(EntityId, bool),
    /// News of a session that it watches.
    Session(ClientRef, SessionEvent),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Search {
    /// Not searched for.
    #[default]
    No,
    /// Calls are under way to a place that is no longer right.
    Draining,
    /// The slot owner has been asked.
    Asking { owner: NodeUid, activate: bool },
    /// Until the next try.
    Paused,
    /// The slot has no owner, or there is no view.
    Ownerless,
}

#[derive(Debug, Default)]
struct Route {
    place: Option<Place>,
    /// Calls sent to `place` and not settled.
    in_flight: u32,
    waiting: VecDeque<Item>,
    search: Search,
    /// Number of the current question or pause.
    step: u64,
    /// The last activation that turned out to be over.
    stale: u64,
    pause: Duration,
    /// It is in `Routes::order`.
    remembered: bool,
}

impl Route {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.search == Search::No
    }
}

/// All routes of a process.
#[derive(Debug, Default)]
pub(super) struct Routes {
    table: HashMap<EntityId, Route>,
    /// Entities whose search is not `No`.
    searching: BTreeSet<EntityId>,
    /// Entities that live elsewhere, oldest first.
    order: VecDeque<EntityId>,
    pub(super) waiting: usize,
}

impl Routes {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn place_of(&self, entity: &EntityId) -> Option<Place> {
        self.table.get(entity)?.place
    }

    /// One more call is under way to the entity.
    pub(super) fn count(&mut self, entity: &EntityId) {
        if let Some(route) = self.table.get_mut(entity) {
            route.in_flight += 1;
        }
    }

    fn set_search(&mut self, entity: &EntityId, search: Search) {
        let Some(route) = self.table.get_mut(entity) else { return };
        let was = std::mem::replace(&mut route.search, search);
        match (was, search) {
            (Search::No, Search::No) => {}
            (_, Search::No) => {
                self.searching.remove(entity);
            }
            (Search::No, _) => {
                self.searching.insert(entity.clone());
            }
            _ => {}
        }
    }

    /// The route of an entity; a new one is remembered, an old idle one forgotten.
    fn remember(&mut self, entity: &EntityId, limit: usize) -> &mut Route {
        let known = self.table.get(entity).is_some_and(|route| route.remembered);
        if !known {
            if self.order.len() >= limit {
                self.forget_one();
            }
            self.order.push_back(entity.clone());
        }
        let route = self.table.entry(entity.clone()).or_default();
        route.remembered = true;
        route
    }

    /// Forgets the oldest idle route among the first few.
    fn forget_one(&mut self) {
        for _ in 0..16 {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.table.get(&oldest) {
                Some(route) if !route.is_idle() => self.order.push_back(oldest),
                Some(_) => {
                    self.table.remove(&oldest);
                    return;
                }
                None => return,
            }
        }
    }

    /// The next waiting item, if the place is known.
    fn next_item(&mut self, entity: &EntityId) -> Option<(Place, Item)> {
        let route = self.table.get_mut(entity)?;
        let place = route.place.filter(|_| route.search == Search::No)?;
        let item = route.waiting.pop_front()?;
        self.waiting -= 1;
        Some((place, item))
    }
}

impl Mesh {
    /// Sends something to an entity, or lets it wait until the entity is found.
    pub(super) fn route_item(&mut self, entity: &EntityId, item: Item) {
        let ready = self.routes.table.get(entity);
        let ready = ready.filter(|route| route.search == Search::No && route.waiting.is_empty());
        if let Some(place) = ready.and_then(|route| route.place) {
            return self.dispatch(entity, place, item);
        }
        let limits = self.config.limits;
        let all = self.routes.waiting;
        let route = self.routes.remember(entity, limits.routes);
        if route.waiting.len() >= limits.waiting_per_entity || all >= limits.waiting {
            let why = format!("{} messages wait for {entity} to be found, {all} in all", route.waiting.len());
            return self.refuse(entity, item, &Error::new(Code::BUSY, why));
        }
        route.waiting.push_back(item);
        self.routes.waiting += 1;
        self.proceed(entity);
    }

    fn dispatch(&mut self, entity: &EntityId, place: Place, item: Item) {
        match item {
            Item::Call(id) => {
                if let Some(call) = self.calls.get_mut(id) {
                    call.place = place;
                    self.send_call(id);
                }
            }
            Item::Watch(watcher, on) => self.watch_at(place.node, watcher, entity.clone(), on),
            Item::Session(client, event) => self.session_event_at(place.node, entity.clone(), client, event),
        }
    }

    /// What cannot be delivered gets its verdict.
    fn refuse(&mut self, entity: &EntityId, item: Item, error: &Error) {
        match item {
            Item::Call(id) => self.settle(id, Err(error.clone())),
            Item::Watch(watcher, true) => {
                let index = self.world_of(&watcher);
                self.give_world(index, world::Input::Gone(watcher, entity.clone()));
            }
            Item::Watch(_, false) | Item::Session(..) => self.dropped += 1,
        }
    }

    /// Does the next thing that the state of a route asks for.
    fn proceed(&mut self, entity: &EntityId) {
        let Some(route) = self.routes.table.get(entity) else { return };
        match route.search {
            Search::No if route.place.is_some() => {
                while let Some((place, item)) = self.routes.next_item(entity) {
                    self.dispatch(entity, place, item);
                }
            }
            Search::No if route.in_flight > 0 => self.routes.set_search(entity, Search::Draining),
            Search::No => self.ask(entity),
            Search::Draining if route.in_flight == 0 => self.ask(entity),
            _ => {}
        }
    }

    /// Asks the slot owner, if anything still waits.
    fn ask(&mut self, entity: &EntityId) {
        let Some(route) = self.routes.table.get(entity) else { return };
        if route.waiting.is_empty() {
            return self.routes.set_search(entity, Search::No);
        }
        let activate = route.waiting.iter().any(|item| matches!(item, Item::Call(_)));
        let stale = route.stale;
        let Some(owner) = self.slot_owner(entity) else { return self.routes.set_search(entity, Search::Ownerless) };
        self.next_step(entity, Search::Asking { owner, activate }, self.config.limits.locate_retry);
        let corr = self.last_id;
        self.send(owner, Message::Locate { corr, entity: entity.clone(), stale, activate });
    }

    /// Enters a state that ends by itself after `time`.
    fn next_step(&mut self, entity: &EntityId, search: Search, time: Duration) {
        let step = self.next_id();
        self.routes.set_search(entity, search);
        if let Some(route) = self.routes.table.get_mut(entity) {
            route.step = step;
        }
        self.wheel.insert(self.now + time, Alarm::Search(entity.clone(), step));
    }

    fn pause(&mut self, entity: &EntityId) {
        let limits = self.config.limits;
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        route.pause = (route.pause * 2).clamp(limits.first_pause, limits.longest_pause);
        let pause = route.pause;
        self.next_step(entity, Search::Paused, pause);
    }

    pub(super) fn search_overdue(&mut self, entity: &EntityId, step: u64) {
        let Some(route) = self.routes.table.get(entity).filter(|route| route.step == step) else { return };
        match route.search {
            Search::Paused if route.place.is_some() => {
                self.routes.set_search(entity, Search::No);
                self.proceed(entity);
            }
            Search::Paused | Search::Asking { .. } => self.ask(entity),
            Search::No | Search::Draining | Search::Ownerless => {}
        }
    }

    /// The slot owner answers.
    pub(super) fn located(&mut self, corr: u64, entity: &EntityId, result: Result<Place>) {
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        let Search::Asking { activate, .. } = route.search else { return };
        if route.step != corr {
            return;
        }
        match result {
            Ok(place) => {
                let known_to_be_over = place.epoch != 0 && place.epoch == route.stale;
                route.place = Some(place);
                if known_to_be_over {
                    // It is stopping, but has not stopped yet; or our view of its node is behind.
                    return self.pause(entity);
                }
                route.pause = Duration::ZERO;
                self.routes.set_search(entity, Search::No);
                self.proceed(entity);
            }
            Err(error) if error.code == Code::ABORTED => self.pause(entity),
            Err(error) => {
                self.refuse_waiting(entity, &error, activate);
                self.routes.set_search(entity, Search::No);
                self.proceed(entity);
            }
        }
    }

    /// Ends what waits for an entity; if the question was not one that activates, calls go on waiting.
    fn refuse_waiting(&mut self, entity: &EntityId, error: &Error, calls_too: bool) {
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        let all = std::mem::take(&mut route.waiting);
        let (kept, refused): (VecDeque<Item>, VecDeque<Item>) =
            all.into_iter().partition(|item| !calls_too && matches!(item, Item::Call(_)));
        route.waiting = kept;
        self.routes.waiting -= refused.len();
        for item in refused {
            self.refuse(entity, item, error);
        }
    }

    /// A call comes back unprocessed: it waits again, where it was in the order.
    pub(super) fn call_returned(&mut self, id: u64, entity: &EntityId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.stage = Stage::Waiting;
        let (place, counted) = (call.place, std::mem::take(&mut call.counted));
        let route = self.routes.remember(entity, self.config.limits.routes);
        if route.place == Some(place) {
            route.place = None;
            route.stale = place.epoch;
        }
        if counted {
            route.in_flight = route.in_flight.saturating_sub(1);
        }
        let later = |item: &Item| matches!(item, Item::Call(other) if *other > id);
        let at = route.waiting.iter().position(later).unwrap_or(route.waiting.len());
        route.waiting.insert(at, Item::Call(id));
        self.routes.waiting += 1;
        self.proceed(entity);
    }

    /// One call less is under way to the entity.
    pub(super) fn uncount(&mut self, entity: &EntityId) {
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        route.in_flight = route.in_flight.saturating_sub(1);
        if route.search == Search::Draining {
            self.proceed(entity);
        }
    }

    /// A call stops waiting, because its deadline has passed.
    pub(super) fn stop_waiting(&mut self, entity: &EntityId, id: u64) {
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        let before = route.waiting.len();
        route.waiting.retain(|item| !matches!(item, Item::Call(other) if *other == id));
        self.routes.waiting -= before - route.waiting.len();
    }

    /// The entity runs here.
    pub(super) fn now_here(&mut self, entity: &EntityId, epoch: u64) {
        let route = self.routes.table.entry(entity.clone()).or_default();
        if route.search == Search::Draining {
            return;
        }
        route.place = Some(Place { node: self.config.me, epoch });
        route.pause = Duration::ZERO;
        self.routes.set_search(entity, Search::No);
        self.proceed(entity);
    }

    /// The entity does not run here any more.
    pub(super) fn no_longer_here(&mut self, entity: &EntityId, epoch: u64) {
        let me = self.config.me;
        let Some(route) = self.routes.table.get_mut(entity) else { return };
        if route.place.is_some_and(|place| place.node == me) {
            route.place = None;
            route.stale = epoch;
        }
        if route.is_idle() && !route.remembered {
            self.routes.table.remove(entity);
        } else if !route.waiting.is_empty() {
            self.proceed(entity);
        }
    }

    /// Somebody at that node speaks for the entity: it lives there.
    pub(super) fn learn(&mut self, entity: &EntityId, node: NodeUid) {
        let route = self.routes.remember(entity, self.config.limits.routes);
        if route.place.is_none() && route.is_idle() {
            route.place = Some(Place { node, epoch: 0 });
        }
    }

    /// Nothing lives on dead nodes.
    pub(super) fn forget_places(&mut self, dead: &[NodeUid]) {
        if dead.is_empty() {
            return;
        }
        for route in self.routes.table.values_mut() {
            if route.place.is_some_and(|place| dead.contains(&place.node)) {
                route.place = None;
            }
        }
    }

    /// After a change of the view: asks where the question had no owner, or another one.
    pub(super) fn search_again(&mut self) {
        for entity in self.routes.searching.clone() {
            let Some(route) = self.routes.table.get(&entity) else { continue };
            let again = match route.search {
                Search::Ownerless => true,
                Search::Asking { owner, .. } => self.slot_owner(&entity) != Some(owner),
                _ => false,
            };
            if again {
                self.ask(&entity);
            }
        }
    }

    /// Who holds the slot of an entity.
    pub(super) fn slot_owner(&self, entity: &EntityId) -> Option<NodeUid> {
        let view = self.view.as_ref()?;
        let row = view.slots.get(usize::from(entity.slot()))?;
        (row.owner != NodeUid::default()).then_some(row.owner)
    }
}
