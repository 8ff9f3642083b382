//! The mesh of one process: routes everything between its worlds, its gate and the other nodes, and holds the
//! directory slots that the view gives it.
//!
//! ```text
//!  worlds ──┐                      ┌── calls      who waits for which answer, until when
//!  gate  ───┼──► Mesh ──► outputs  ├── routes     where entities are, and what waits until they are found
//!  links ───┤                      ├── host       which entities are here
//!  views ───┘                      ├── directory  which entities of our slots are where (also reached by frames)
//!                                  ├── streams    what leaves and arrives, once and in order, whatever links do
//!                                  ├── links      neighbours, frames passed on for others, heartbeats
//!                                  └── clients, groups, watches
//! ```
//! The parts of one process speak the same messages to each other as to other nodes: what is sent to ourselves loops
//! back. Every call ends in exactly one verdict: the answer, or an error that says whether it may have been processed.
//! What this module never does: read a clock, open a socket, decode a body, keep the only copy of anything.

mod limits;
mod io;
mod translate;
mod directory;
mod links;
mod stream;
mod streams;
mod routes;
mod calls;
mod services;
mod host;
mod clients;
mod groups;
mod watches;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bbq_wire::mesh::{Mesh as Message, Place};
use bbq_wire::{EntityId, NodeUid, Time};

pub use io::{
    Candidate, Config, FromGate, Input, LinkId, NodeInfo, Output, Placement, Roles, SlotOwner, Spread, ToGate, View,
};
pub use limits::Limits;

use crate::timer::Wheel;
use crate::world;
use calls::{Calls, Origin};
use clients::SessionWatches;
use directory::Directory;
use groups::Groups;
use host::Host;
use links::Links;
use routes::{Item, Routes};
use services::Services;
use streams::Streams;
use watches::Watches;

/// See the module documentation.
pub struct Mesh {
    config: Config,
    now: Time,
    view: Option<Arc<View>>,
    outputs: VecDeque<Output>,
    /// Messages to ourselves.
    loopback: VecDeque<Message>,
    wheel: Wheel<Alarm>,
    /// The last number given to a call or question.
    last_id: u64,
    calls: Calls,
    routes: Routes,
    host: Host,
    directory: Directory,
    links: Links,
    streams: Streams,
    services: Services,
    watches: Watches,
    sessions: SessionWatches,
    groups: Groups,
    dropped: u64,
}

/// What the wheel wakes the mesh for.
#[derive(Debug)]
enum Alarm {
    /// The deadline of a call.
    Call(u64),
    /// The next step of the search for an entity; the number tells whether it is still that step.
    Search(EntityId, u64),
}

/// What a mesh holds now, and has dropped so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Calls without an answer yet.
    pub calls: u64,
    /// Messages that wait until their entity is found.
    pub waiting: u64,
    /// Entities whose place is remembered.
    pub routes: u64,
    /// Entities here, those that are being activated included.
    pub hosted: u64,
    /// Entities in the directory slots held here.
    pub directory: u64,
    /// Open links.
    pub links: u64,
    /// Frames and messages that nobody waits for and that could not be delivered, so far.
    pub dropped: u64,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({} {:?})", self.config.me, self.stats())
    }
}

impl Mesh {
    /// The mesh of a process that knows nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_placement(config, None)
    }

    /// The same, with a say in where the entities of its directory slots are activated.
    #[must_use]
    pub fn with_placement(config: Config, placement: Option<Placement>) -> Self {
        Self {
            directory: Directory::new(config.me, config.limits, placement),
            config,
            now: Time::ZERO,
            view: None,
            outputs: VecDeque::new(),
            loopback: VecDeque::new(),
            wheel: Wheel::default(),
            last_id: 0,
            calls: Calls::default(),
            routes: Routes::default(),
            host: Host::default(),
            links: Links::default(),
            streams: Streams::default(),
            services: Services::default(),
            watches: Watches::default(),
            sessions: SessionWatches::default(),
            groups: Groups::default(),
            dropped: 0,
        }
    }

    /// Takes one input and does everything that follows from it.
    pub fn handle(&mut self, now: Time, input: Input) {
        // Of what happens at the same time only the first can find something due.
        if now > self.now || matches!(input, Input::Tick) {
            self.now = self.now.max(now);
            self.fire_alarms();
        }
        match input {
            Input::Tick => {}
            Input::View(view) => self.accept_view(view),
            Input::LinkUp { link, peer, roles } => self.link_up(link, peer, roles),
            Input::LinkDown { link } => self.link_down(link),
            Input::LinkFull { link, full } => {
                self.links.set_full(link, full);
                self.find_ways();
            }
            Input::Frame { link, frame } => {
                if self.check_source(link, frame.src) {
                    if self.accept_number(frame.src, frame.seq) {
                        self.receive(frame.src, frame.message, Some(link));
                    }
                    self.frame_done(frame.src, frame.ack);
                }
            }
            Input::Unreadable { link, route } => {
                if self.check_source(link, route.src) {
                    self.dropped += u64::from(self.accept_number(route.src, route.seq));
                    self.frame_done(route.src, route.ack);
                }
            }
            Input::Transit { link, route, frame } => self.transit(link, route, frame),
            Input::World { index, output } => self.world_wants(index, output),
            Input::Gate(from) => self.gate_wants(from),
            Input::Leave => self.leave(),
        }
        self.finish_step();
    }

    /// The next thing to do. To be called until it says `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Mesh::handle`] with [`Input::Tick`] if nothing else comes before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let times = [self.wheel.next(), self.directory.deadline(), self.links.next_ping(), self.streams.deadline()];
        times.into_iter().flatten().min()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.calls.len() as u64,
            waiting: self.routes.waiting as u64,
            routes: self.routes.len() as u64,
            hosted: self.host.len() as u64,
            directory: self.directory.len() as u64,
            links: self.links.len() as u64,
            dropped: self.dropped,
        }
    }

    /// Where this process believes the entity to be.
    #[must_use]
    pub fn place_of(&self, entity: &EntityId) -> Option<Place> {
        self.routes.place_of(entity)
    }

    fn fire_alarms(&mut self) {
        let mut due = Vec::new();
        if self.wheel.next().is_some_and(|next| next <= self.now) {
            self.wheel.advance(self.now, |alarm| due.push(alarm));
        }
        for alarm in due {
            match alarm {
                Alarm::Call(id) => self.call_overdue(id),
                Alarm::Search(entity, step) => self.search_overdue(&entity, step),
            }
        }
        self.directory.tick(self.now, self.view.as_deref());
        self.wake_streams();
        self.beat();
    }

    /// Hands around what the parts say to each other until all is said.
    fn finish_step(&mut self) {
        loop {
            if let Some(message) = self.loopback.pop_front() {
                self.receive(self.config.me, message, None);
            } else if let Some((to, message)) = self.directory.poll() {
                self.send(to, message);
            } else {
                break;
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A message for this node.
    fn receive(&mut self, from: NodeUid, message: Message, link: Option<LinkId>) {
        match message {
            // What opens a link does not come again.
            Message::Hello(_) | Message::Proof { .. } | Message::Refused { .. } | Message::Pong { .. } => {}
            Message::Ping { nonce } => self.pong(link, nonce),
            Message::Leave { seen } => self.node_left(from, seen),
            Message::Ack { seen, want } => self.progress_arrived(from, seen, want),
            Message::Call(call) => self.call_arrived(from, call),
            Message::Reply { corr, result } => self.reply_arrived(from, corr, result.map(crate::Payload::from_bytes)),
            Message::ClientReply { corr, result } => {
                self.reply_arrived(from, corr, result.map(crate::Payload::from_bytes));
            }
            Message::Bounced { corr, error } => self.bounced(corr, error),
            Message::Locate { corr, entity, stale, activate } => {
                let question = directory::Question { asker: from, corr, entity, stale, activate };
                self.directory.locate(self.now, self.view.as_deref(), question);
            }
            Message::Located { corr, entity, result } => self.located(corr, &entity, result),
            Message::Activate { corr, entity, epoch } => self.activate(from, corr, entity, epoch),
            Message::Activated { corr, entity, epoch, result } => {
                let outcome = directory::Outcome { node: from, corr, entity, epoch, result };
                self.directory.activated(self.now, self.view.as_deref(), outcome);
            }
            Message::Deactivated { entity, epoch } => self.deactivated(from, entity, epoch),
            Message::Collect { corr, slots } => self.collect(from, corr, &slots),
            Message::Report { corr, more, entries } => {
                self.directory.report(self.now, self.view.as_deref(), from, (corr, more), entries);
            }
            Message::ToClient(message) => self.client_message_arrived(from, message),
            Message::Group(group) => self.group_arrived(from, group),
            Message::SessionEvent { target, sid, account, event } => {
                self.session_event_arrived(from, target, (sid, account), event);
            }
            Message::Kick { sid, code, message } => self.kick_arrived(sid, code, message),
            Message::WatchClient { watcher, sid, on } => self.watch_client_arrived(from, watcher, sid, on),
            Message::Watch { watcher, subject, on } => self.watch_arrived(from, watcher, subject, on),
            Message::Notify { to, from, name, body } => self.note_arrived(to, from, name, body),
            Message::Gone { subject, watchers } => self.gone_arrived(&subject, watchers),
        }
    }

    fn world_wants(&mut self, index: u16, output: world::Output) {
        match output {
            world::Output::Call(call) => {
                let origin = call.call.map_or(Origin::Nobody, |id| Origin::World(index, id));
                self.accept_call(call, origin);
            }
            world::Output::Reply(to, result) => self.world_replied(to, result),
            world::Output::Activated(entity, epoch, result) => self.world_activated(entity, epoch, result),
            world::Output::Deactivated(entity, epoch) => self.world_deactivated(&entity, epoch),
            world::Output::ToClient(message) => self.message_client(index, message),
            world::Output::Group(op) => self.group(op),
            world::Output::Watch(watcher, subject, on) => self.watch(watcher, subject, on),
            world::Output::Note(to, note) => self.note(to, note),
            world::Output::Gone(watcher, subject) => self.gone(watcher, subject),
            world::Output::WatchClient(watcher, client, on) => self.watch_client(watcher, client, on),
            world::Output::Kick(client, error) => self.kick(&client, error),
            world::Output::Store(..) | world::Output::Job(..) | world::Output::Drained(_) => {}
        }
    }

    fn gate_wants(&mut self, from: FromGate) {
        match from {
            FromGate::Call(call) => {
                let origin = call.call.map_or(Origin::Nobody, Origin::Gate);
                self.accept_call(call, origin);
            }
            FromGate::ClientReply { corr, result } => self.client_replied(corr, result),
            FromGate::Session { target, client, event } => self.session_event(target, client, event),
        }
    }

    /// Compares the new view with the old one and lets every part draw its conclusions.
    fn accept_view(&mut self, view: Arc<View>) {
        if self.view.as_ref().is_some_and(|old| old.revision >= view.revision) {
            return;
        }
        let old = self.view.replace(Arc::clone(&view));
        let dead: Vec<NodeUid> = match &old {
            Some(old) => old.nodes.keys().filter(|node| !view.nodes.contains_key(node)).copied().collect(),
            None => Vec::new(),
        };
        self.services.rebuild(&view);
        self.host.raise_fences(&view);
        self.directory.accept_view(self.now, &view, &dead);
        self.bury(&dead);
        self.end_streams(&dead);
        self.forget_places(&dead);
        self.end_calls_on(&dead);
        self.forget_watches(&dead);
        self.forget_gates(&dead);
        self.end_groups_of(&dead);
        self.keep_links(&view);
        self.find_ways();
        self.place_waiting_services();
        self.search_again();
    }

    fn give_world(&mut self, index: u16, input: world::Input) {
        self.outputs.push_back(Output::World { index, input });
    }

    /// The world that hosts an entity, if it lives on this node.
    fn world_of(&self, entity: &EntityId) -> u16 {
        (entity.stable_hash() % u64::from(self.config.worlds.max(1))) as u16
    }

    /// The name of a type for error messages.
    fn type_name(&self, kind: u32) -> String {
        self.config.names.get(&kind).cloned().unwrap_or_else(|| format!("{kind:08x}"))
    }

    /// Sends what nobody waits for to wherever the entity is.
    fn tell(&mut self, entity: &EntityId, item: Item) {
        self.route_item(entity, item);
    }
}
