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

mod io;
mod glue;
mod state;
mod task;
mod operation;
mod answer;
mod mailbox;
mod entity;
mod time;
mod entry;
mod turn;
mod call;
mod handle;
mod ctx;
mod commit;
mod reentrant;
mod lifecycle;
mod group;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bbq_wire::{EntityId, Time};

pub use call::{Call, all};
pub use ctx::Ctx;
pub use glue::{Definition, EntityGlue, Hook, ServiceGlue, no_such_method};
pub use group::Group;
pub use handle::{ClientHandle, ClientStub, EntityHandle, EntityStub, ServiceHandle, ServiceStub};
pub use io::{
    CallId, ClientRef, GroupChange, GroupOp, Incoming, Input, Job, Meta, Note, OpId, Opaque, Outgoing, Output, ReplyTo,
    SessionEvent, StopReason, StoreReply, StoreRequest, Target, ToClient, Trace,
};
pub use reentrant::lend;
pub use state::{Config, Stats};

use crate::desc::Kind;
use operation::{Outcome, unpack};
use state::{Inner, Message};

/// What handlers and the world share. Never borrowed while user code runs.
pub(crate) struct Shared {
    pub(crate) inner: RefCell<Inner>,
}

/// See the module documentation.
pub struct World {
    shared: Rc<Shared>,
}

/// What runs here holds the world by its contexts and handles: a world that ends lets go of it.
impl Drop for World {
    fn drop(&mut self) {
        let Ok(mut inner) = self.shared.inner.try_borrow_mut() else { return };
        let tasks = inner.tasks.take_all();
        let (slots, messages) = (std::mem::take(&mut inner.slots), std::mem::take(&mut inner.messages));
        drop(inner);
        // Values of users, whose destructors may look into the world.
        drop((tasks, slots, messages));
    }
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
            rows.filter(|(_, row)| row.desc.kind == Kind::Service).map(|(at, _)| at as u16).collect()
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
        turn::run(&self.shared);
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
        let ctx = Ctx::new(Rc::clone(&self.shared));
        ctx.spawn(task);
        turn::run(&self.shared);
    }

    fn accept(&mut self, input: Input) {
        let mut borrowed = self.shared.inner.borrow_mut();
        let inner = &mut *borrowed;
        match input {
            Input::Tick => {}
            Input::Call(call) => inner.accept_call(call),
            Input::Reply(call, result) => inner.complete(unpack(call.0), Outcome::Reply(result)),
            Input::Activate(entity, epoch) => inner.accept_activation(entity, epoch),
            Input::Store(op, reply) => match inner.loading(op) {
                Some(index) => {
                    drop(borrowed);
                    turn::create(&self.shared, index, reply);
                }
                None => inner.complete(unpack(op.0), Outcome::Store(Box::new(reply))),
            },
            Input::JobDone(op, result) => inner.complete(unpack(op.0), Outcome::Job(result)),
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
            Input::Supersede(entity, epoch) => inner.supersede(&entity, epoch),
            Input::Drain(until) => inner.drain(until),
        }
    }
}
