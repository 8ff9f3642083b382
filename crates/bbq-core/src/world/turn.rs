//! Turns: how one begins, is polled, goes on with the next message, and ends.
//!
//! ```text
//!  message ──► begin_turn ──► poll ──► pending: the future waits in its task until an operation completes
//!                 ▲                └─► ended ──► result to the caller, entity into its slot
//!                 └── next_message: the same future takes the next call of the mailbox
//! ```
//! A call to an idle entity runs *at once*, on the stack of its caller, instead of being queued: no operation, no wait
//! and no second poll of the caller, unless the turn has to wait for something itself. The order of messages stays:
//! an entity with anything in its mailbox is not idle. [`MAX_DEPTH`] bounds the stack, [`MAX_AHEAD`] how long others
//! that are ready are kept waiting.

use std::any::Any;
use std::cell::RefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bbq_wire::{Code, Error, Result, Time};

use super::Shared;
use super::answer::{Answer, Reply, Sent, passed_on};
use super::commit::hash_bytes;
use super::ctx::{Ctx, Step};
use super::entity::{Life, stopped_before};
use super::glue::{AnyType, Body, Hook, Turn, Work};
use super::io::{Meta, StoreReply};
use super::state::{Inner, Message, NO_TYPE, NONE, Ready};
use super::task::TaskRef;
use crate::payload::Payload;

/// Most turns that stand on the stack of one another.
const MAX_DEPTH: u32 = 16;
/// Most turns that run at once, ahead of others that are ready.
const MAX_AHEAD: u32 = 64;
/// Most messages that the future of a turn handles after its first, before others that are ready.
const MAX_BATCH: u32 = 15;

/// Runs until nothing is runnable.
pub(crate) fn run(shared: &Rc<Shared>) {
    loop {
        let mut inner = shared.inner.borrow_mut();
        (inner.ahead, inner.current) = (MAX_AHEAD, NONE);
        match inner.ready.pop_front() {
            None => return,
            Some(Ready::Task(task)) => poll_task(shared, inner, task),
            Some(Ready::Entity(index)) => start_turn(shared, inner, index),
        }
    }
}

/// Takes the next message of an idle entity and runs its turn as far as it goes.
fn start_turn(shared: &Rc<Shared>, mut borrowed: RefMut<'_, Inner>, index: u32) {
    let inner = &mut *borrowed;
    let Some(slot) = inner.slots.get_mut(index as usize) else { return };
    slot.queued = false;
    if slot.task != NONE {
        return;
    }
    if slot.body.is_none() {
        drop(borrowed);
        return create(shared, index, StoreReply::Claimed { version: 0, state: None });
    }
    let Some(message) = inner.next_work(index) else { return };
    let Message { work, reply, deadline, parent, meta } = message;
    let Some((task, entity, ctx)) = inner.begin_turn(shared, index, MAX_BATCH, reply, deadline, (parent, meta)) else {
        return;
    };
    let turn = inner.table(index).turn(Some(entity), ctx, work);
    drop(borrowed);
    poll_turn(shared, task, turn);
}

/// Runs a call to an idle entity at once; see [`Inner::runs_at_once`]. The answer is in the world.
#[inline(always)]
pub(crate) fn run_at_once(
    shared: &Rc<Shared>,
    mut borrowed: RefMut<'_, Inner>,
    index: u32,
    (method, body): (u16, Payload),
    deadline: Time,
    parentage: (TaskRef, Option<Arc<Meta>>),
) -> Sent {
    let inner = &mut *borrowed;
    let outer = inner.current;
    let reply = Reply::Here(outer, deadline);
    let Some((task, entity, ctx)) = inner.begin_turn(shared, index, 0, reply, deadline, parentage) else {
        return Sent::Answered(Payload::EMPTY);
    };
    let turn = inner.table(index).call(Some(entity), ctx, method, body);
    inner.depth += 1;
    inner.ahead = inner.ahead.saturating_sub(1);
    drop(borrowed);
    poll_turn(shared, task, turn);
    let inner = &mut *shared.inner.borrow_mut();
    inner.current = outer;
    inner.depth -= 1;
    match std::mem::take(&mut inner.answer) {
        Answer::Ok(body) => Sent::Answered(body),
        Answer::Later(op) => Sent::Waiting(op),
        error => {
            inner.answer = error;
            Sent::Failed
        }
    }
}

fn poll_task(shared: &Rc<Shared>, mut borrowed: RefMut<'_, Inner>, task: u32) {
    let inner = &mut *borrowed;
    let Some(row) = inner.tasks.get_mut(task) else { return };
    row.queued = false;
    let turn = match row.turn.take() {
        Some(turn) => turn,
        None => {
            let Some(work) = row.start.take() else { return };
            let mut ctx = row.ctx.take().unwrap_or_else(|| Box::new(Ctx::new(Rc::clone(shared))));
            ctx.begin(task, NONE, 0);
            inner.types[usize::from(row.service)].table.turn(None, ctx, work)
        }
    };
    inner.current = task;
    drop(borrowed);
    poll_turn(shared, task, turn);
}

/// Polls the turn of the current task once.
fn poll_turn(shared: &Rc<Shared>, task: u32, mut turn: Turn) {
    let mut context = Context::from_waker(Waker::noop());
    let error = match catch_unwind(AssertUnwindSafe(|| turn.as_mut().poll(&mut context))) {
        Ok(Poll::Ready(())) => return,
        Ok(Poll::Pending) => {
            let inner = &mut *shared.inner.borrow_mut();
            let row = &mut inner.tasks[task];
            if row.operations > 0 || row.queued {
                row.turn = Some(turn);
                return inner.answer_later(task);
            }
            let why = "awaited a future that the world does not drive: wrap it in ctx.external(..)";
            Error::new(Code::INTERNAL, why)
        }
        Err(panic) => panicked(shared.inner.borrow().task_name(task), &*panic),
    };
    fail(shared, task, turn, error);
}

/// Drops a turn, and with it its entity, and tells its caller.
#[cold]
fn fail(shared: &Rc<Shared>, task: u32, turn: Turn, error: Error) {
    // Dropping user values runs user code: it must not find the state borrowed, and may panic itself.
    if catch_unwind(AssertUnwindSafe(|| drop(turn))).is_err() {
        tracing::error!("a value panicked again while it was dropped after a panic");
    }
    let inner = &mut *shared.inner.borrow_mut();
    inner.stats.panics += 1;
    tracing::error!(%error, "a handler failed; its entity is torn down");
    let row = &mut inner.tasks[task];
    let (slot, service) = (row.slot, row.service);
    let (reply, _) = (std::mem::take(&mut row.reply), std::mem::take(&mut row.outbox));
    inner.tasks.end(task);
    inner.give(reply, Err(error.clone()));
    if service != NO_TYPE {
        inner.types[usize::from(service)].running -= 1;
    }
    if slot != NONE {
        inner.torn_down(slot, &error);
    }
}

/// Makes an entity out of what the Store returned; `on_init` is its first turn.
pub(crate) fn create(shared: &Rc<Shared>, index: u32, reply: StoreReply) {
    let (table, id) = {
        let inner = shared.inner.borrow();
        let slot = &inner.slots[index as usize];
        (Rc::clone(&inner.types[usize::from(slot.kind)].table), slot.id.clone())
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
    let inner = &mut *shared.inner.borrow_mut();
    match created {
        Ok((body, version, hash)) => {
            let slot = &mut inner.slots[index as usize];
            (slot.body, slot.version, slot.saved) = (Some(body), version, hash);
            slot.queued = true;
            inner.push_front(index, Message::hook(Hook::Init));
            inner.ready.push_back(Ready::Entity(index));
        }
        Err(error) => inner.activation_failed(index, error),
    }
}

impl Inner {
    /// What an idle entity does next.
    fn next_work(&mut self, index: u32) -> Option<Message> {
        let message = loop {
            let slot = &mut self.slots[index as usize];
            if let Life::Stopping(reason) = slot.life {
                slot.destroyed = true;
                self.refuse_waiting(index, &stopped_before());
                return Some(Message::hook(Hook::Destroy(reason)));
            }
            let message = self.pop(index)?;
            if message.deadline > self.now {
                break message;
            }
            let why = "the deadline passed while the call waited; it was not processed";
            self.refuse(message.reply, Error::new(Code::DEADLINE_EXCEEDED, why));
        };
        if let Work::Hook(hook) = &message.work {
            match &**hook {
                Hook::Timer(name) => self.timer_taken(index, &name.clone()),
                Hook::Tick(_) => self.timer_taken(index, "\u{0}tick"),
                _ => {}
            }
        }
        Some(message)
    }

    /// Takes the entity out of its slot for a turn, which becomes the current task.
    #[inline(always)]
    fn begin_turn(
        &mut self,
        shared: &Rc<Shared>,
        index: u32,
        batch: u32,
        reply: Reply,
        deadline: Time,
        (parent, meta): (TaskRef, Option<Arc<Meta>>),
    ) -> Option<(u32, Body, Box<Ctx>)> {
        let generation = self.next_generation();
        let slot = &mut self.slots[index as usize];
        let entity = slot.body.take()?;
        let (task, row) = self.tasks.begin(generation, deadline, parent, meta);
        (row.slot, row.reply, row.holds_effects) = (index, reply, slot.holds_effects);
        let mut ctx = row.ctx.take().unwrap_or_else(|| Box::new(Ctx::new(Rc::clone(shared))));
        ctx.begin(task, index, batch);
        slot.task = task;
        slot.last_turn = self.now;
        self.stats.turns += 1;
        self.current = task;
        Some((task, entity, ctx))
    }

    fn table(&self, index: u32) -> &(dyn AnyType + 'static) {
        &*self.types[usize::from(self.slots[index as usize].kind)].table
    }

    /// Whether a call to this entity can run on the stack of its caller.
    #[inline]
    pub(crate) fn runs_at_once(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.is_idle()
            && slot.mailbox.len == 0
            && slot.life == Life::Running
            && self.depth < MAX_DEPTH
            && (self.ready.is_empty() || self.ahead > 0)
            && self.may_wait()
    }

    /// A turn has ended. When the next message of its entity is a plain call, the same future takes it, without the way
    /// through the slot; otherwise the answer comes back, and the turn is over.
    #[inline(always)]
    pub(crate) fn next_message(&mut self, index: u32, task: u32, answer: Payload) -> Step {
        let slot = &mut self.slots[index as usize];
        let row = &mut self.tasks[task];
        let plain = slot.life == Life::Running
            && !slot.fenced
            && !slot.holds_effects
            && slot.extra.as_ref().is_none_or(|extra| extra.reentrant.is_empty());
        if !plain {
            return Step::Last(answer);
        }
        let Some((method, body, message)) = slot.mailbox.pop_call(&mut self.messages, self.now) else {
            return Step::Last(answer);
        };
        slot.last_turn = self.now;
        let to_save = slot.saves_later && !slot.save_armed;
        let reply = std::mem::replace(&mut row.reply, message.reply);
        (row.deadline, row.parent, row.meta) = (message.deadline, message.parent, message.meta);
        self.generation = self.generation.wrapping_add(1).max(1);
        row.generation = self.generation;
        self.stats.turns += 1;
        if !matches!(reply, Reply::Nobody) {
            self.give(reply, Ok(answer));
        }
        if to_save {
            self.arm_save(index);
        }
        Step::Next(method, body)
    }

    /// A turn or a service call is over: its answer goes to the caller, an entity back into its slot.
    pub(crate) fn end_turn(&mut self, mut ctx: Box<Ctx>, entity: Option<Body>, answer: Payload) {
        let (task, index) = (ctx.task, ctx.slot);
        let row = &mut self.tasks[task];
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return self.end_special_turn(ctx, entity, Ok(answer));
        };
        let plain = slot.life == Life::Running && !slot.saves_later && !slot.fenced && slot.extra.is_none();
        if !plain || !row.outbox.is_empty() {
            return self.end_special_turn(ctx, entity, Ok(answer));
        }
        slot.task = NONE;
        slot.body = entity;
        let waiting = slot.mailbox.len > 0;
        ctx.clear();
        row.ctx = Some(ctx);
        let reply = std::mem::take(&mut row.reply);
        self.tasks.end(task);
        if let Reply::Here(..) = reply {
            self.answer_here(answer);
        } else {
            self.give(reply, Ok(answer));
        }
        if waiting {
            self.go_on(index);
        }
    }

    /// A spawned future is over.
    pub(crate) fn end_spawned(&mut self, task: u32) {
        self.tasks.end(task);
    }

    /// The end of a service call, or of the turn of an entity that has, or is, something out of the ordinary.
    pub(crate) fn end_special_turn(&mut self, mut ctx: Box<Ctx>, entity: Option<Body>, result: Result<Payload>) {
        let (task, index) = (ctx.task, ctx.slot);
        let result = result.map_err(passed_on);
        ctx.clear();
        let row = &mut self.tasks[task];
        row.ctx = Some(ctx);
        let (reply, outbox, service) = (std::mem::take(&mut row.reply), std::mem::take(&mut row.outbox), row.service);
        self.tasks.end(task);
        if index == NONE {
            self.types[usize::from(service)].running -= 1;
            return self.give(reply, result);
        }
        let slot = &mut self.slots[index as usize];
        (slot.task, slot.body) = (NONE, entity);
        let (life, fenced, destroyed) = (slot.life, slot.fenced, slot.destroyed);
        debug_assert!(outbox.is_empty(), "effects leave, or are dropped, with the commit");
        let failed = result.as_ref().err().filter(|_| life == Life::Activating).cloned();
        self.give(reply, result);
        // A reentrant call that came when the lending was about to end runs as a turn of its own.
        while let Some(message) =
            self.slots[index as usize].extra.as_mut().and_then(|extra| extra.reentrant.pop_front())
        {
            self.push(index, message);
        }
        match life {
            Life::Activating => self.activated(index, failed),
            Life::Stopping(_) if destroyed => return self.stopped(index),
            _ => {}
        }
        if !self.slots.contains(index as usize) {
            return;
        }
        if fenced && life == Life::Running {
            self.torn_down(index, &Error::new(Code::FENCED, "a newer activation of this entity exists"));
        } else {
            self.go_on(index);
        }
    }

    /// An entity that has more to do gets in line again.
    fn go_on(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.queued && (slot.mailbox.len > 0 || matches!(slot.life, Life::Stopping(_))) {
            slot.queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
        if slot.saves_later && !slot.save_armed {
            self.arm_save(index);
        }
    }
}

#[cold]
fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::new(Code::PANICKED, format!("{name} panicked: {text}"))
}
