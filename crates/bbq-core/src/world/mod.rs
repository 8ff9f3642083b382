//! A world: one single-threaded executor of entities and services, shaped as a machine.
//!
//! ```text
//!            handle(now, Input)                     poll() -> Output
//!   calls, replies, store answers  ──►  world  ──►  calls, replies, store requests, pushes
//!                                       │
//!        ready queue ─► turn (a boxed future that owns the entity) ─► back into its slot
//! ```
//! Everything a handler can await is an *operation* completed by an input, so the same handlers run under tokio and
//! in the simulator, bit for bit. A turn owns its entity and gives it back: a panic drops exactly that entity.
//! What this module never does: read a clock, open a socket, start a thread.

mod call;
mod ctx;
mod glue;
mod io;
mod state;

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bbq_wire::{Code, EntityId, Error, Result, Time};

pub use call::{Call, ClientHandle, ClientStub, EntityHandle, EntityStub, ServiceHandle, ServiceStub, lend};
pub use ctx::{Ctx, Group};
pub use glue::{Definition, EntityGlue, Hook, ServiceGlue, no_such_method};
pub use io::{
    CallId, ClientRef, GroupChange, GroupOp, Incoming, Input, Job, Meta, Note, OpId, Opaque, Outgoing, Output, ReplyTo,
    SessionEvent, StopReason, StoreReply, StoreRequest, Target, ToClient, Trace,
};
pub use state::{Config, Stats};

use crate::desc::Kind;
use crate::payload::Payload;
use glue::{AnyType, Body, Work};
use state::{Inner, Life, Message, NONE, Outcome, Ready, Reply, unpack};

/// What handlers and the world share. Never borrowed while user code runs.
pub(crate) struct Shared {
    pub(crate) inner: RefCell<Inner>,
}

/// See the module documentation.
pub struct World {
    shared: Rc<Shared>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.stats())
    }
}

impl World {
    /// A world that serves these types.
    #[must_use]
    pub fn new(config: Config, definitions: &[Definition]) -> Self {
        let shared = Rc::new(Shared { inner: RefCell::new(Inner::new(config, definitions)) });
        let world = Self { shared };
        let services: Vec<u16> = {
            let inner = world.shared.inner.borrow();
            let rows = inner.types.iter().enumerate();
            rows.filter(|(_, row)| row.1.kind == Kind::Service).map(|(at, _)| at as u16).collect()
        };
        for kind in services {
            let started = world.shared.inner.borrow_mut().start_service(kind, Message::hook(Hook::Init));
            debug_assert!(started.is_ok(), "a new world has room for its services");
        }
        world
    }

    /// Takes one input and runs everything that it makes runnable.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.shared.inner.borrow_mut().advance(now);
        self.accept(input);
        self.run();
    }

    /// The next thing the world wants done. To be called until it says `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.shared.inner.borrow_mut().outputs.pop_front()
    }

    /// When to call [`World::handle`] with [`Input::Tick`] if nothing else comes before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.shared.inner.borrow().deadline()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.inner.borrow().stats()
    }

    /// Ids of the entities that live here, with their epochs, in no particular order but the same in every replay.
    #[must_use]
    pub fn entities(&self) -> Vec<(EntityId, u64)> {
        self.shared.inner.borrow().slots.iter().map(|(_, slot)| (slot.id.clone(), slot.epoch)).collect()
    }

    /// Whether this entity lives here.
    #[must_use]
    pub fn hosts(&self, id: &EntityId) -> bool {
        self.shared.inner.borrow().find(id).is_some()
    }

    /// Runs a future of the caller's in this world, with a context: for tests, drivers and benchmarks.
    pub fn spawn<F: Future<Output = ()> + 'static>(&mut self, now: Time, task: impl FnOnce(Ctx) -> F) {
        self.shared.inner.borrow_mut().advance(now);
        let ctx = Ctx::new(Rc::clone(&self.shared), (NONE, 0), NONE, None, Time::MAX, None);
        ctx.spawn(task);
        self.run();
    }

    fn accept(&mut self, input: Input) {
        let mut borrowed = self.shared.inner.borrow_mut();
        let inner = &mut *borrowed;
        match input {
            Input::Tick => {}
            Input::Call(call) => inner.accept_call(call),
            Input::Reply(call, result) => {
                let (op, generation) = unpack(call.0);
                inner.complete(op, generation, Outcome::Reply(result));
            }
            Input::Activate(entity, epoch) => inner.accept_activation(entity, epoch),
            Input::Store(op, reply) => match inner.loading(op) {
                Some(index) => {
                    drop(borrowed);
                    self.create(index, reply);
                }
                None => {
                    let (op, generation) = unpack(op.0);
                    inner.complete(op, generation, Outcome::Store(Box::new(reply)));
                }
            },
            Input::JobDone(op, result) => {
                let (op, generation) = unpack(op.0);
                inner.complete(op, generation, Outcome::Job(result));
            }
            Input::Watch(watcher, subject, on) => match inner.find(&subject) {
                Some(_) => inner.set_watch(&watcher, &subject, on),
                None if on => inner.outputs.push_back(Output::Gone(watcher, subject)),
                None => {}
            },
            Input::Note(to, note) => {
                if let Some(index) = inner.find(&to) {
                    inner.note(index, note);
                }
            }
            Input::Gone(watcher, subject) => {
                if inner.find(&watcher).is_some() {
                    inner.tell_gone(watcher, subject);
                }
            }
            Input::Session(to, client, event) => {
                if let Some(index) = inner.find(&to) {
                    inner.push(index, Message::hook(Hook::Session(client, event)));
                }
            }
            Input::Drain => inner.drain(),
        }
    }

    /// Runs until nothing is runnable.
    fn run(&mut self) {
        loop {
            let mut inner = self.shared.inner.borrow_mut();
            let Some(ready) = inner.ready.pop_front() else { break };
            match ready {
                Ready::Task(task) => {
                    let Some(row) = inner.tasks.get_mut(task as usize) else { continue };
                    row.queued = false;
                    drop(inner);
                    self.poll_task(task);
                }
                Ready::Entity(index) => {
                    drop(inner);
                    self.start_turn(index);
                }
            }
        }
    }

    /// Takes the next message of an idle entity and runs its turn as far as it goes.
    fn start_turn(&mut self, index: u32) {
        let mut inner = self.shared.inner.borrow_mut();
        let Some(slot) = inner.slots.get_mut(index as usize) else { return };
        slot.queued = false;
        if slot.task != NONE {
            return;
        }
        if slot.body.is_none() {
            drop(inner);
            self.create(index, StoreReply::Claimed { version: 0, state: None });
            return;
        }
        let Some((task, table, body, ctx, work)) = inner.next_turn(index, &self.shared) else { return };
        drop(inner);
        let turn = table.turn(Some(body), ctx, work);
        self.poll_turn(task, turn);
    }

    /// Makes an entity out of what the Store returned; `on_init` is its first turn.
    fn create(&mut self, index: u32, reply: StoreReply) {
        let (table, id) = {
            let inner = self.shared.inner.borrow();
            let slot = &inner.slots[index as usize];
            (Rc::clone(&inner.types[usize::from(slot.kind)].0), slot.id.clone())
        };
        let created = match reply {
            StoreReply::Claimed { version, state } => {
                // No record reads as the default state: writing that one is left out too.
                let hash = hash_bytes(state.as_deref().unwrap_or_default());
                let state = state.map_or(Payload::EMPTY, Payload::from_bytes);
                catch_unwind(AssertUnwindSafe(|| table.create(&id, state)))
                    .unwrap_or_else(|panic| Err(panicked(table.desc().name, &*panic)))
                    .map(|body| (body, version, hash))
            }
            StoreReply::Failed(error) => Err(error),
            StoreReply::Committed { .. } => Err(Error::new(Code::INTERNAL, "the Store answered a claim with a commit")),
        };
        let inner = &mut *self.shared.inner.borrow_mut();
        match created {
            Ok((body, version, hash)) => {
                let slot = &mut inner.slots[index as usize];
                (slot.body, slot.version, slot.saved) = (Some(body), version, hash);
                inner.push_front(index, Message::hook(Hook::Init));
                inner.slots[index as usize].queued = true;
                inner.ready.push_back(Ready::Entity(index));
            }
            Err(error) => inner.activation_failed(index, error),
        }
    }

    fn poll_task(&mut self, task: u32) {
        let (turn, start) = {
            let mut inner = self.shared.inner.borrow_mut();
            inner.current = task;
            let Some(row) = inner.tasks.get_mut(task as usize) else { return };
            (row.turn.take(), row.start.take())
        };
        let turn = turn.or_else(|| start.map(|start| self.service_turn(task, start.0, start.1)));
        if let Some(turn) = turn {
            self.poll_turn(task, turn);
        }
    }

    /// Polls the turn of the current task once.
    fn poll_turn(&mut self, task: u32, mut turn: glue::Turn) {
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| turn.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {
                let mut inner = self.shared.inner.borrow_mut();
                inner.current = NONE;
                let row = &mut inner.tasks[task as usize];
                if row.operations > 0 || row.queued {
                    row.turn = Some(turn);
                    return;
                }
                drop(inner);
                let why = "awaited a future that the world does not drive: wrap it in ctx.external(..)";
                self.fail(task, turn, Error::new(Code::INTERNAL, why));
            }
            Ok(Poll::Ready(body)) => {
                let inner = &mut *self.shared.inner.borrow_mut();
                inner.current = NONE;
                inner.end_task(task, body);
            }
            Err(panic) => {
                self.shared.inner.borrow_mut().current = NONE;
                let name = self.shared.inner.borrow().task_name(task);
                self.fail(task, turn, panicked(name, &*panic));
            }
        }
    }

    fn service_turn(&self, task: u32, work: Work, deadline: Time) -> glue::Turn {
        let inner = self.shared.inner.borrow();
        let row = &inner.tasks[task as usize];
        let table = Rc::clone(&inner.types[usize::from(row.service)].0);
        let ctx = Ctx::new(Rc::clone(&self.shared), (task, row.generation), NONE, None, deadline, row.meta.clone());
        drop(inner);
        table.turn(None, ctx, work)
    }

    /// Drops a turn, and with it its entity, and tells its caller.
    fn fail(&mut self, task: u32, turn: glue::Turn, error: Error) {
        // Dropping user values runs user code: it must not find the state borrowed, and may panic itself.
        if catch_unwind(AssertUnwindSafe(|| drop(turn))).is_err() {
            tracing::error!("a value panicked again while it was dropped after a panic");
        }
        let inner = &mut *self.shared.inner.borrow_mut();
        inner.stats.panics += 1;
        tracing::error!(%error, "a handler failed; its entity is torn down");
        let row = inner.tasks.remove(task as usize);
        inner.deliver(row.reply, Err(error.clone()));
        if row.service != u16::MAX {
            inner.types[usize::from(row.service)].2 -= 1;
        }
        if row.slot != NONE {
            inner.torn_down(row.slot, &error);
        }
    }
}

/// What is needed to start a turn: its task, type, entity, context and work.
type Start = (u32, Rc<dyn AnyType>, Body, Ctx, Work);

impl Inner {
    fn accept_call(&mut self, call: Incoming) {
        let reply = match call.reply_to {
            ReplyTo::Nobody => Reply::Nobody,
            to => Reply::Out(to),
        };
        let type_id = match &call.target {
            Target::Entity(id) => id.kind,
            Target::Service(kind) => *kind,
        };
        let Some(kind) = self.type_of(type_id) else {
            let why = format!("this node does not serve type {type_id:08x}");
            return self.deliver(reply, Err(Error::new(Code::UNIMPLEMENTED, why)));
        };
        let desc = self.desc(kind);
        let Some(method) = desc.method_index(call.method).map(|method| method as u16) else {
            let why = format!("{} has no method with id {}", desc.name, call.method);
            return self.deliver(reply, Err(Error::new(Code::UNIMPLEMENTED, why)));
        };
        let meta = (call.meta != Meta::default()).then(|| Rc::new(call.meta));
        let work = Work::Call { method, body: call.body };
        let message = Message { work, reply, deadline: call.deadline, parent: (NONE, 0), meta };
        let refused = match call.target {
            Target::Service(_) => self.start_service_or_return(kind, message),
            Target::Entity(id) => match self.find(&id).or_else(|| self.activate_solo(&id)) {
                Some(index) => self.enqueue(index, method, message),
                None => {
                    let why = format!("{} {} does not live in this world", desc.name, id.key);
                    Err((message, Error::new(Code::ENTITY_STOPPED, why)))
                }
            },
        };
        if let Err((message, error)) = refused {
            self.deliver(message.reply, Err(error));
        }
    }

    fn accept_activation(&mut self, id: EntityId, epoch: u64) {
        match self.find(&id) {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.epoch = slot.epoch.max(epoch);
                if slot.life == Life::Running {
                    let epoch = slot.epoch;
                    self.outputs.push_back(Output::Activated(id, epoch, Ok(())));
                }
            }
            None => {
                if let Err(error) = self.activate(id.clone(), epoch) {
                    self.outputs.push_back(Output::Activated(id, epoch, Err(error)));
                }
            }
        }
    }

    fn activation_failed(&mut self, index: u32, error: Error) {
        let slot = self.remove(index, &error);
        tracing::warn!(entity = %slot.id, %error, "an entity could not be activated");
        self.outputs.push_back(Output::Activated(slot.id, slot.epoch, Err(error)));
        self.drained();
    }

    /// What is needed to start the next turn of an idle entity.
    fn next_turn(&mut self, index: u32, shared: &Rc<Shared>) -> Option<Start> {
        let mut message = loop {
            let message = match self.slots[index as usize].life {
                Life::Stopping(reason) => {
                    self.slots[index as usize].destroyed = true;
                    Message::hook(Hook::Destroy(reason))
                }
                _ => self.pop(index)?,
            };
            if message.deadline > self.now {
                break message;
            }
            let late =
                Error::new(Code::DEADLINE_EXCEEDED, "the deadline passed while the call waited; it was not processed");
            self.deliver(message.reply, Err(late));
        };
        if let Work::Hook(hook) = &message.work {
            match &**hook {
                Hook::Timer(name) => self.timer_taken(index, &name.clone()),
                Hook::Tick(_) => self.timer_taken(index, "\u{0}tick"),
                _ => {}
            }
        }
        let task = self.new_task(index, u16::MAX, &mut message);
        let (deadline, meta) = (message.deadline, self.tasks[task.0 as usize].meta.clone());
        self.stats.turns += 1;
        self.current = task.0;
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        slot.task = task.0;
        slot.last_turn = now;
        let body = slot.body.take()?;
        let (kind, id) = (slot.kind, slot.id.clone());
        let ctx = Ctx::new(Rc::clone(shared), task, index, Some(id), deadline, meta);
        Some((task.0, Rc::clone(&self.types[usize::from(kind)].0), body, ctx, message.work))
    }

    pub(crate) fn start_service(&mut self, kind: u16, message: Message) -> Result<()> {
        self.start_service_or_return(kind, message).map_err(|(_, error)| error)
    }

    /// Starts a service call as a task of its own. Its future is made when it is first polled.
    fn start_service_or_return(&mut self, kind: u16, mut message: Message) -> Result<(), (Message, Error)> {
        let (_, desc, running) = &mut self.types[usize::from(kind)];
        if desc.kind != Kind::Service {
            let why = format!("{} is an entity type: it is addressed by key", desc.name);
            return Err((message, Error::new(Code::INVALID_ARGUMENT, why)));
        }
        if *running >= desc.mailbox {
            let why = format!("{} runs {} calls in this world", desc.name, desc.mailbox);
            self.stats.busy += 1;
            return Err((message, Error::new(Code::BUSY, why)));
        }
        *running += 1;
        self.stats.turns += 1;
        let task = self.new_task(NONE, kind, &mut message);
        self.tasks[task.0 as usize].start = Some(Box::new((message.work, message.deadline)));
        self.schedule(task.0);
        Ok(())
    }

    fn task_name(&self, task: u32) -> &'static str {
        let Some(row) = self.tasks.get(task as usize) else { return "a task" };
        match self.slots.get(row.slot as usize) {
            Some(slot) => self.desc(slot.kind).name,
            None if row.service != u16::MAX => self.desc(row.service).name,
            None => "a spawned task",
        }
    }

    /// `on_init` has ended.
    fn activated(&mut self, index: u32) {
        let failed = self.slots[index as usize].extra.as_mut().and_then(|extra| extra.failed.take());
        if let Some(error) = failed {
            return self.activation_failed(index, error);
        }
        let slot = &mut self.slots[index as usize];
        slot.life = Life::Running;
        let output = Output::Activated(slot.id.clone(), slot.epoch, Ok(()));
        if !self.config.solo {
            self.outputs.push_back(output);
        }
        self.arm_idle(index);
    }

    /// The entity is lost, its slot is not: create it again from its stored state, or end it.
    fn torn_down(&mut self, index: u32, error: &Error) {
        let life = self.slots[index as usize].life;
        self.slots[index as usize].task = NONE;
        self.slots[index as usize].body = None;
        match life {
            Life::Activating => self.activation_failed(index, error.clone()),
            Life::Running if self.may_restart(index) => {
                self.forget_timers(index, error);
                self.slots[index as usize].life = Life::Activating;
                self.load(index);
            }
            _ => self.stopped(index),
        }
    }

    /// The entity is gone.
    fn stopped(&mut self, index: u32) {
        let error = Error::new(Code::ENTITY_STOPPED, "the entity stopped before the call ran");
        let slot = self.remove(index, &error);
        self.outputs.push_back(Output::Deactivated(slot.id, slot.epoch));
        self.drained();
    }

    fn drain(&mut self) {
        self.draining = true;
        let all: Vec<u32> = self.slots.iter().map(|(index, _)| index as u32).collect();
        for index in all {
            self.stop(index, StopReason::Shutdown);
        }
        self.drained();
    }

    fn drained(&mut self) {
        if self.draining && self.slots.is_empty() {
            self.outputs.push_back(Output::Drained);
        }
    }

    /// A task is over; an entity goes back into its slot.
    fn end_task(&mut self, task: u32, body: Option<Body>) {
        let row = self.tasks.remove(task as usize);
        if row.service != u16::MAX {
            self.types[usize::from(row.service)].2 -= 1;
        }
        if row.slot == NONE {
            return;
        }
        let index = row.slot;
        let slot = &mut self.slots[index as usize];
        slot.task = NONE;
        slot.body = body;
        // A reentrant call that came when the lending was about to end runs as a turn of its own.
        while let Some(message) = self.slots[index as usize].extra.as_mut().and_then(|extra| extra.reentrant.pop_front()) {
            self.push(index, message);
        }
        let slot = &mut self.slots[index as usize];
        match slot.life {
            Life::Activating => self.activated(index),
            Life::Stopping(_) if slot.destroyed => return self.stopped(index),
            _ => {}
        }
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if slot.fenced {
            let error = Error::new(Code::FENCED, "a newer activation of this entity exists");
            return self.torn_down(index, &error);
        }
        if matches!(slot.life, Life::Stopping(_)) || self.waiting(index) > 0 {
            self.slots[index as usize].queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
        self.arm_save(index);
    }
}

/// A hash of the state, so that an unchanged one is not written again. Lives only in memory.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let mut hash = bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    };
    for word in &mut words {
        mix(word.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte)));
    }
    mix(words.remainder().iter().fold(1, |all, &byte| all << 8 | u64::from(byte)));
    hash
}

fn panicked(name: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::new(Code::PANICKED, format!("{name} panicked: {text}"))
}
