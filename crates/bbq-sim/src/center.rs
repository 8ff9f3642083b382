//! The center of a simulated cluster: the real engine of the control plane, its disk, and who waits for what.

use std::collections::BTreeMap;
use std::time::Duration;

use bbq_core::control::{
    Config, ControlError, Engine, Input, Output, Request, RequestId, Response, WatchEvent, WatchId, key,
};
use bbq_wire::{NodeUid, Time};
use bytes::Bytes;

/// A process that speaks to the center.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) node: usize,
    pub(crate) uid: NodeUid,
}

/// What the center sends.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// To the question with this number.
    Answer(Peer, u64, Result<Response, ControlError>),
    /// To a watch.
    News(Peer, WatchId, WatchEvent),
}

pub(crate) struct Center {
    engine: Engine,
    config: Config,
    /// When the engine that runs started: its time begins there, and may jump ahead.
    origin: Time,
    ahead: Duration,
    disk: BTreeMap<String, Bytes>,
    up: bool,
    last_request: u64,
    asked: BTreeMap<RequestId, (Peer, u64)>,
    watches: BTreeMap<WatchId, Peer>,
}

impl Center {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            engine: Engine::new(Config { boot: boot(Time::ZERO), ..config }),
            config,
            origin: Time::ZERO,
            ahead: Duration::ZERO,
            disk: BTreeMap::new(),
            up: true,
            last_request: 0,
            asked: BTreeMap::new(),
            watches: BTreeMap::new(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    /// Nobody is answered, and what was asked is forgotten.
    pub(crate) fn stop(&mut self) {
        self.up = false;
        self.asked.clear();
        self.watches.clear();
    }

    /// Comes back, with or without what was on its disk.
    pub(crate) fn start(&mut self, now: Time, with_memory: bool) {
        (self.origin, self.ahead, self.up) = (now, Duration::ZERO, true);
        if !with_memory {
            self.disk.clear();
        }
        let config = Config { boot: boot(now), ..self.config };
        let restored = Engine::restore(config, Time::ZERO, self.disk.clone());
        self.engine = restored.expect("what the engine persisted can be read");
    }

    /// Its clock jumps: it was stopped, or swapped out.
    pub(crate) fn jump(&mut self, ahead: Duration) {
        self.ahead += ahead;
    }

    /// Handles a question; answers and news are returned in order.
    pub(crate) fn ask(&mut self, now: Time, peer: Peer, question: u64, request: Request) -> Vec<Told> {
        self.last_request += 1;
        let id = RequestId(self.last_request);
        self.asked.insert(id, (peer, question));
        self.handle(now, Input::Request(id, request))
    }

    /// Begins a watch of the membership.
    pub(crate) fn watch(&mut self, now: Time, peer: Peer) -> (WatchId, Vec<Told>) {
        let id = WatchId(self.last_request + 1);
        self.watches.insert(id, peer);
        let request = Request::Watch { id, prefix: key::CLUSTER.into(), from: None };
        (id, self.ask(now, peer, 0, request))
    }

    pub(crate) fn unwatch(&mut self, now: Time, id: WatchId) {
        self.watches.remove(&id);
        self.handle(now, Input::Unwatch(id));
    }

    pub(crate) fn tick(&mut self, now: Time) -> Vec<Told> {
        self.handle(now, Input::Tick)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let deadline = self.engine.deadline().filter(|_| self.up)?;
        Some(self.origin + deadline.since(Time::ZERO).saturating_sub(self.ahead))
    }

    fn handle(&mut self, now: Time, input: Input) -> Vec<Told> {
        let mut told = Vec::new();
        if !self.up {
            return told;
        }
        self.engine.handle(Time::ZERO + now.since(self.origin) + self.ahead, input);
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Persist(writes) => {
                    for write in writes {
                        match write.value {
                            Some(value) => self.disk.insert(write.key, value),
                            None => self.disk.remove(&write.key),
                        };
                    }
                }
                Output::Reply(id, result) => {
                    if let Some((peer, question)) = self.asked.remove(&id) {
                        told.push(Told::Answer(peer, question, result));
                    }
                }
                Output::Event(id, event) => {
                    if let Some(peer) = self.watches.get(&id) {
                        told.push(Told::News(*peer, id, event));
                    }
                }
            }
        }
        told
    }
}

/// As real centers count: quarters of a second.
fn boot(now: Time) -> u32 {
    u32::try_from(now.since(Time::ZERO).as_millis() / 250 + 1).unwrap_or(u32::MAX)
}
