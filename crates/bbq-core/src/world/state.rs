//! The tables of a world: entities, their mailboxes, running tasks, outstanding operations, timers.
//!
//! Nothing here runs user code; `mod.rs` does, with this state not borrowed.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, NodeUid, Result, Time};
// tidy: looked up, never iterated
use hashbrown::HashMap;
use slab::Slab;

use super::glue::{AnyType, Body, Definition, Hook, Turn, Work};
use super::io::{
    CallId, ClientRef, Job, Meta, OpId, Opaque, Outgoing, Output, ReplyTo, StopReason, StoreReply, StoreRequest, Target,
};
use crate::cron::Cron;
use crate::desc::{Kind, Restart, Save, ServiceDesc};
use crate::payload::Payload;
use crate::timer::{TimerKey, Wheel};

pub(crate) const NONE: u32 = u32::MAX;
/// A panicking entity is created again at most this often ..
const MAX_RESTARTS: u8 = 5;
/// .. within this time.
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// Deadlines of calls are looked at no more often than this: they end at most this late.
const DEADLINE_GRAIN: u64 = 1 << 23;

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node this world belongs to.
    pub node: NodeUid,
    /// Which world of the process it is.
    pub index: u16,
    /// Deadline of calls that name none.
    pub call_timeout: Duration,
    /// Most entities at once; activations beyond it fail with `RESOURCE_EXHAUSTED`.
    pub max_entities: u32,
    /// Most outstanding calls, sleeps and store requests; more fail with `BUSY`.
    pub max_operations: u32,
    /// Most timers of one entity.
    pub max_timers: u32,
    /// No directory: an entity is activated here by the first call to it.
    pub solo: bool,
    /// Nanoseconds between the Unix epoch and [`Time::ZERO`]; for cron and `ctx.unix_ms()`.
    pub unix_offset: u64,
    /// Seed of `ctx.random()`.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: NodeUid::default(),
            index: 0,
            call_timeout: Duration::from_secs(5),
            max_entities: 4_000_000,
            max_operations: 4_000_000,
            max_timers: 1024,
            solo: false,
            unix_offset: 0,
            seed: 1,
        }
    }
}

/// What a world has done so far, and holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Turns and service calls started.
    pub turns: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Messages refused because a mailbox was full.
    pub busy: u64,
    /// Notes dropped because a mailbox was full.
    pub notes_dropped: u64,
    /// Entities now.
    pub entities: u64,
    /// Running tasks now.
    pub tasks: u64,
    /// Outstanding operations now.
    pub operations: u64,
    /// Messages waiting in mailboxes now.
    pub waiting: u64,
}

/// Where a result goes.
#[derive(Debug, Default)]
pub(crate) enum Reply {
    #[default]
    Nobody,
    Op(u32, u32),
    Out(ReplyTo),
}

/// A task and its generation.
pub(crate) type TaskRef = (u32, u32);

pub(crate) struct Message {
    pub(crate) work: Work,
    pub(crate) reply: Reply,
    pub(crate) deadline: Time,
    pub(crate) parent: TaskRef,
    pub(crate) meta: Option<Rc<Meta>>,
}

impl Message {
    pub(crate) fn hook(hook: Hook) -> Self {
        Self {
            work: Work::Hook(Box::new(hook)),
            reply: Reply::Nobody,
            deadline: Time::MAX,
            parent: (NONE, 0),
            meta: None,
        }
    }
}

struct Link {
    message: Message,
    next: u32,
}

/// First-in-first-out list in the world's common message slab: an idle entity owns no queue memory.
#[derive(Clone, Copy)]
struct Mailbox {
    head: u32,
    tail: u32,
    len: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Waits for the Store, or for `on_init`.
    Activating,
    Running,
    /// `on_destroy` runs, or is next.
    Stopping(StopReason),
}

pub(crate) struct Slot {
    pub(crate) id: EntityId,
    pub(crate) kind: u16,
    pub(crate) life: Life,
    pub(crate) queued: bool,
    pub(crate) save_armed: bool,
    pub(crate) save_requested: bool,
    /// `on_destroy` has begun.
    pub(crate) destroyed: bool,
    /// The Store refused our token: nothing may be written any more.
    pub(crate) fenced: bool,
    pub(crate) generation: u32,
    pub(crate) task: u32,
    mailbox: Mailbox,
    pub(crate) body: Option<Body>,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) saved: u64,
    pub(crate) last_turn: Time,
    pub(crate) extra: Option<Box<Extra>>,
}

/// What few entities have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) timers: Vec<TimerRow>,
    pub(crate) next_timer: u32,
    pub(crate) watchers: Vec<EntityId>,
    pub(crate) watching: Vec<EntityId>,
    pub(crate) clients: Vec<ClientRef>,
    pub(crate) groups: Vec<Arc<str>>,
    pub(crate) reentrant: VecDeque<Message>,
    /// What `on_init` failed with.
    pub(crate) failed: Option<Error>,
    restarts: u8,
    first_restart: Time,
}

pub(crate) struct TimerRow {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) key: TimerKey,
    pub(crate) due: Time,
    pub(crate) repeat: Repeat,
    /// Its message waits in the mailbox: a second one is not added.
    pub(crate) pending: bool,
}

#[derive(Clone)]
pub(crate) enum Repeat {
    Once,
    Every(Duration),
    Cron(Box<Cron>),
    /// `on_tick`; the time of the last one.
    Tick(Duration, Time),
}

pub(crate) struct Task {
    pub(crate) turn: Option<Turn>,
    /// A service call that has not begun: its future is made when it is first polled.
    pub(crate) start: Option<Box<(Work, Time)>>,
    /// The entity whose turn it is, or [`NONE`].
    pub(crate) slot: u32,
    /// The service that runs it, or `u16::MAX`.
    pub(crate) service: u16,
    pub(crate) queued: bool,
    pub(crate) lending: bool,
    pub(crate) generation: u32,
    pub(crate) operations: u32,
    pub(crate) parent: TaskRef,
    pub(crate) reply: Reply,
    pub(crate) meta: Option<Rc<Meta>>,
    /// Effects of a turn whose state is stored at its end: they leave after the commit.
    pub(crate) outbox: Option<Box<Vec<Effect>>>,
}

/// A message that nobody waits for.
pub(crate) enum Effect {
    Tell(Outgoing, u16),
    Out(Output),
}

/// What an operation brought.
pub(crate) enum Outcome {
    Reply(Result<Payload>),
    Store(Box<StoreReply>),
    Job(Result<Opaque>),
    Fired,
}

enum Waiter {
    Task(u32, Option<Waker>),
    Forward(Reply),
}

pub(crate) struct Op {
    generation: u32,
    deadline: Time,
    waiter: Waiter,
    outcome: Option<Outcome>,
    timer: Option<TimerKey>,
}

#[derive(Debug)]
pub(crate) enum Ready {
    Entity(u32),
    Task(u32),
}

enum Alarm {
    Op(u32, u32),
    Timer(u32, u32, u32),
    Idle(u32, u32),
    Save(u32, u32),
}

pub(crate) struct Inner {
    pub(crate) now: Time,
    pub(crate) config: Config,
    pub(crate) types: Vec<(Rc<dyn AnyType>, &'static ServiceDesc, u32)>,
    type_index: HashMap<u32, u16>,
    pub(crate) slots: Slab<Slot>,
    by_id: HashMap<EntityId, u32>,
    pub(crate) tasks: Slab<Task>,
    ops: Slab<Op>,
    messages: Slab<Link>,
    pub(crate) ready: VecDeque<Ready>,
    wheel: Wheel<Alarm>,
    pub(crate) outputs: VecDeque<Output>,
    generation: u32,
    /// The task that is being polled.
    pub(crate) current: u32,
    /// No outstanding call ends before this.
    first_deadline: Time,
    pub(crate) draining: bool,
    pub(crate) random: u64,
    pub(crate) stats: Stats,
}

impl Inner {
    pub(crate) fn new(config: Config, definitions: &[Definition]) -> Self {
        let types: Vec<_> = definitions.iter().map(|def| (def.table(), def.desc(), 0)).collect();
        let type_index = types.iter().enumerate().map(|(at, row)| (row.1.type_id(), at as u16)).collect();
        let random = config.seed | 1;
        Self {
            now: Time::ZERO,
            config,
            types,
            type_index,
            slots: Slab::new(),
            by_id: HashMap::new(),
            tasks: Slab::new(),
            ops: Slab::new(),
            messages: Slab::new(),
            ready: VecDeque::new(),
            wheel: Wheel::default(),
            outputs: VecDeque::new(),
            generation: 0,
            current: NONE,
            first_deadline: Time::MAX,
            draining: false,
            random,
            stats: Stats::default(),
        }
    }

    pub(crate) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entities: self.slots.len() as u64,
            tasks: self.tasks.len() as u64,
            operations: self.ops.len() as u64,
            waiting: self.messages.len() as u64,
            ..self.stats
        }
    }

    pub(crate) fn type_of(&self, type_id: u32) -> Option<u16> {
        self.type_index.get(&type_id).copied()
    }

    pub(crate) fn find(&self, id: &EntityId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    // ---- entities --------------------------------------------------------------------------------------------

    /// Makes room for an entity and begins to bring it to life.
    pub(crate) fn activate(&mut self, id: EntityId, epoch: u64) -> Result<u32> {
        if let Some(index) = self.find(&id) {
            return Ok(index);
        }
        let kind = self.type_of(id.kind).filter(|&kind| self.types[usize::from(kind)].1.kind == Kind::Entity);
        let Some(kind) = kind else {
            return Err(Error::new(
                Code::UNIMPLEMENTED,
                format!("this node has no entity type with id {:08x}", id.kind),
            ));
        };
        if self.draining {
            return Err(Error::new(Code::UNAVAILABLE, "this node is draining"));
        }
        if self.slots.len() >= self.config.max_entities as usize {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, "this world holds as many entities as it may"));
        }
        let generation = self.next_generation();
        let index = self.slots.insert(Slot {
            id: id.clone(),
            kind,
            life: Life::Activating,
            queued: false,
            save_armed: false,
            save_requested: false,
            destroyed: false,
            fenced: false,
            generation,
            task: NONE,
            mailbox: Mailbox { head: NONE, tail: NONE, len: 0 },
            body: None,
            epoch,
            version: 0,
            saved: 0,
            last_turn: self.now,
            extra: None,
        }) as u32;
        self.by_id.insert(id, index);
        self.load(index);
        Ok(index)
    }

    /// Asks the Store for the state; `on_init` follows. A type without state goes on at once.
    pub(crate) fn load(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let request = StoreRequest::Claim { entity: slot.id.clone(), token: slot.epoch };
        if self.desc(slot.kind).state.is_some() {
            let op = OpId(u64::from(index) | u64::from(slot.generation) << 32 | 1 << 31);
            self.outputs.push_back(Output::Store(op, request));
        } else {
            self.slots[index as usize].queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
    }

    /// Decodes the id that [`Inner::load`] gave to its Store request.
    pub(crate) fn loading(&self, op: OpId) -> Option<u32> {
        let (index, generation) = ((op.0 as u32) & !(1 << 31), (op.0 >> 32) as u32);
        let loading = op.0 & 1 << 31 != 0;
        let slot = self.slots.get(index as usize).filter(|slot| loading && slot.generation == generation)?;
        (slot.body.is_none() && slot.task == NONE).then_some(index)
    }

    pub(crate) fn desc(&self, kind: u16) -> &'static ServiceDesc {
        self.types[usize::from(kind)].1
    }

    /// Removes an entity; whoever waits for it gets `error`.
    pub(crate) fn remove(&mut self, index: u32, error: &Error) -> Slot {
        while let Some(message) = self.pop(index) {
            self.deliver(message.reply, Err(error.clone()));
        }
        let mut slot = self.slots.remove(index as usize);
        self.by_id.remove(&slot.id);
        if let Some(extra) = slot.extra.take() {
            self.release(&slot.id, *extra, error);
        }
        slot
    }

    /// Lets go of all that an ended entity held elsewhere.
    fn release(&mut self, id: &EntityId, extra: Extra, error: &Error) {
        for message in extra.reentrant {
            self.deliver(message.reply, Err(error.clone()));
        }
        for timer in extra.timers {
            self.wheel.cancel(timer.key);
        }
        for subject in extra.watching {
            self.set_watch(id, &subject, false);
        }
        for client in extra.clients {
            self.outputs.push_back(Output::WatchClient(id.clone(), client, false));
        }
        for group in extra.groups {
            let change = super::io::GroupChange::Drop;
            self.outputs.push_back(Output::Group(super::io::GroupOp { group, change }));
        }
        for watcher in extra.watchers {
            self.tell_gone(watcher, id.clone());
        }
    }

    /// A new life sets its own timers.
    pub(crate) fn forget_timers(&mut self, index: u32, error: &Error) {
        let Some(extra) = &mut self.slots[index as usize].extra else { return };
        let (timers, reentrant) = (std::mem::take(&mut extra.timers), std::mem::take(&mut extra.reentrant));
        for timer in timers {
            self.wheel.cancel(timer.key);
        }
        for message in reentrant {
            self.deliver(message.reply, Err(error.clone()));
        }
    }

    pub(crate) fn extra(&mut self, index: u32) -> &mut Extra {
        self.slots[index as usize].extra.get_or_insert_default()
    }

    /// Whether a panicking entity may be created again.
    pub(crate) fn may_restart(&mut self, index: u32) -> bool {
        let (now, kind) = (self.now, self.slots[index as usize].kind);
        if self.desc(kind).restart == Restart::Stop || self.slots[index as usize].fenced {
            return false;
        }
        let extra = self.extra(index);
        if now.since(extra.first_restart) > RESTART_WINDOW {
            (extra.restarts, extra.first_restart) = (0, now);
        }
        extra.restarts += 1;
        extra.restarts <= MAX_RESTARTS
    }

    pub(crate) fn set_watch(&mut self, watcher: &EntityId, subject: &EntityId, on: bool) {
        let Some(index) = self.find(subject) else {
            self.outputs.push_back(Output::Watch(watcher.clone(), subject.clone(), on));
            return;
        };
        let watchers = &mut self.extra(index).watchers;
        watchers.retain(|other| other != watcher);
        if on {
            watchers.push(watcher.clone());
        }
    }

    pub(crate) fn tell_gone(&mut self, watcher: EntityId, subject: EntityId) {
        match self.find(&watcher) {
            None => self.outputs.push_back(Output::Gone(watcher, subject)),
            Some(index) => {
                self.extra(index).watching.retain(|other| *other != subject);
                self.push(index, Message::hook(Hook::Gone(subject)));
            }
        }
    }

    // ---- mailboxes -------------------------------------------------------------------------------------------

    /// Puts a call into a mailbox, or says why not.
    pub(crate) fn enqueue(&mut self, index: u32, method: u16, message: Message) -> Result<(), (Message, Error)> {
        let slot = &self.slots[index as usize];
        let desc = self.desc(slot.kind);
        if matches!(slot.life, Life::Stopping(_)) {
            return Err((
                message,
                Error::new(Code::ENTITY_STOPPED, format!("{} {} is stopping", desc.name, slot.id.key)),
            ));
        }
        if slot.task != NONE && !matches!(message.reply, Reply::Nobody) && self.waits_for(index, &message) {
            return self.enter_again(index, method, message);
        }
        if self.slots[index as usize].mailbox.len >= desc.mailbox {
            self.stats.busy += 1;
            let why = format!(
                "the mailbox of {} {} holds {} messages",
                desc.name, self.slots[index as usize].id.key, desc.mailbox
            );
            return Err((message, Error::new(Code::BUSY, why)));
        }
        self.push(index, message);
        Ok(())
    }

    /// A -> B -> A: the turn of `index` waits, at some distance, for the caller of `message`.
    fn waits_for(&self, index: u32, message: &Message) -> bool {
        let (mut task, mut generation) = message.parent;
        let mut meta = message.meta.as_ref();
        while let Some(parent) = self.tasks.get(task as usize).filter(|parent| parent.generation == generation) {
            if parent.slot == index {
                return true;
            }
            meta = parent.meta.as_ref();
            (task, generation) = parent.parent;
        }
        meta.is_some_and(|meta| meta.chain.contains(&self.slots[index as usize].id))
    }

    fn enter_again(&mut self, index: u32, method: u16, message: Message) -> Result<(), (Message, Error)> {
        let (slot_kind, task) = (self.slots[index as usize].kind, self.slots[index as usize].task);
        let desc = self.desc(slot_kind);
        let name = desc.methods.get(usize::from(method)).map_or("?", |method| method.name);
        let reentrant = desc.methods.get(usize::from(method)).is_some_and(|method| method.reentrant);
        if reentrant && self.tasks[task as usize].lending {
            self.extra(index).reentrant.push_back(message);
            self.schedule(task);
            return Ok(());
        }
        let why = if reentrant { "does not lend itself to the call it waits for" } else { "waits for this very call" };
        let what = format!("{}/{name}: the entity {} {why}", desc.name, self.slots[index as usize].id.key);
        Err((message, Error::new(Code::DEADLOCK, what)))
    }

    /// Puts a message into a mailbox whatever its length.
    pub(crate) fn push(&mut self, index: u32, message: Message) {
        let link = self.messages.insert(Link { message, next: NONE }) as u32;
        let slot = &mut self.slots[index as usize];
        match slot.mailbox.tail {
            NONE => slot.mailbox.head = link,
            tail => self.messages[tail as usize].next = link,
        }
        slot.mailbox.tail = link;
        slot.mailbox.len += 1;
        if !slot.queued && slot.task == NONE && slot.body.is_some() {
            slot.queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
    }

    pub(crate) fn push_front(&mut self, index: u32, message: Message) {
        let mailbox = self.slots[index as usize].mailbox;
        let link = self.messages.insert(Link { message, next: mailbox.head }) as u32;
        let slot = &mut self.slots[index as usize];
        slot.mailbox.head = link;
        slot.mailbox.len += 1;
        if mailbox.tail == NONE {
            slot.mailbox.tail = link;
        }
    }

    pub(crate) fn pop(&mut self, index: u32) -> Option<Message> {
        let mailbox = &mut self.slots[index as usize].mailbox;
        if mailbox.head == NONE {
            return None;
        }
        let link = self.messages.remove(mailbox.head as usize);
        mailbox.head = link.next;
        mailbox.len -= 1;
        if link.next == NONE {
            mailbox.tail = NONE;
        }
        Some(link.message)
    }

    pub(crate) fn waiting(&self, index: u32) -> u32 {
        self.slots[index as usize].mailbox.len
    }

    /// A note for an entity here; dropped when its mailbox is full.
    pub(crate) fn note(&mut self, index: u32, note: super::io::Note) {
        let slot = &self.slots[index as usize];
        if slot.mailbox.len >= self.desc(slot.kind).mailbox {
            self.stats.notes_dropped += 1;
        } else {
            self.push(index, Message::hook(Hook::Notify(note)));
        }
    }

    // ---- tasks -----------------------------------------------------------------------------------------------

    pub(crate) fn new_task(&mut self, slot: u32, service: u16, message: &mut Message) -> TaskRef {
        let generation = self.next_generation();
        let index = self.tasks.insert(Task {
            turn: None,
            start: None,
            slot,
            service,
            queued: false,
            lending: false,
            generation,
            operations: 0,
            parent: message.parent,
            reply: std::mem::take(&mut message.reply),
            meta: message.meta.take(),
            outbox: None,
        });
        (index as u32, generation)
    }

    pub(crate) fn schedule(&mut self, task: u32) {
        if let Some(row) = self.tasks.get_mut(task as usize)
            && !row.queued
        {
            row.queued = true;
            self.ready.push_back(Ready::Task(task));
        }
    }

    /// Entities that wait further up the chain of `task`, outermost first: what an outgoing call carries.
    pub(crate) fn chain(&self, task: u32) -> Vec<EntityId> {
        let mut chain = Vec::new();
        let mut at = self.tasks.get(task as usize);
        while let Some(row) = at {
            if let Some(slot) = self.slots.get(row.slot as usize) {
                chain.push(slot.id.clone());
            }
            let (parent, generation) = row.parent;
            let up = self.tasks.get(parent as usize).filter(|up| up.generation == generation);
            if up.is_none()
                && let Some(meta) = &row.meta
            {
                chain.extend(meta.chain.iter().rev().cloned());
            }
            at = up;
        }
        chain.reverse();
        chain
    }

    /// Whether effects of this task wait for the commit at its end.
    pub(crate) fn holds_effects(&self, task: u32) -> bool {
        let Some(row) = self.tasks.get(task as usize) else { return false };
        let Some(slot) = self.slots.get(row.slot as usize) else { return false };
        matches!(self.desc(slot.kind).state, Some(state) if state.save == Save::Turn)
    }

    pub(crate) fn effect(&mut self, task: u32, effect: Effect) {
        if self.holds_effects(task) {
            self.tasks[task as usize].outbox.get_or_insert_default().push(effect);
        } else {
            self.run_effect(effect);
        }
    }

    pub(crate) fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Out(output) => self.outputs.push_back(output),
            Effect::Tell(call, method) => self.tell(call, method),
        }
    }

    fn tell(&mut self, call: Outgoing, method: u16) {
        let index = match &call.target {
            Target::Entity(id) => self.find(id).or_else(|| self.activate_solo(id)),
            Target::Service(_) => None,
        };
        let Some(index) = index else {
            self.outputs.push_back(Output::Call(call));
            return;
        };
        let has_meta = call.meta != Meta::default();
        let message = Message {
            work: Work::Call { method, body: call.body },
            reply: Reply::Nobody,
            deadline: call.deadline,
            parent: (NONE, 0),
            meta: has_meta.then(|| Rc::new(call.meta)),
        };
        if let Err((_, error)) = self.enqueue(index, method, message) {
            tracing::debug!(%error, "a one-way message was not delivered");
        }
    }

    /// Without a directory the first call activates.
    pub(crate) fn activate_solo(&mut self, id: &EntityId) -> Option<u32> {
        self.config.solo.then(|| self.activate(id.clone(), 1).ok()).flatten()
    }

    /// Gives a result to whoever waits for it.
    pub(crate) fn deliver(&mut self, reply: Reply, result: Result<Payload>) {
        match reply {
            Reply::Nobody => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a one-way message failed");
                }
            }
            Reply::Op(op, generation) => self.complete(op, generation, Outcome::Reply(result)),
            Reply::Out(ReplyTo::Nobody) => {}
            Reply::Out(to) => self.outputs.push_back(Output::Reply(to, result)),
        }
    }

    // ---- operations ------------------------------------------------------------------------------------------

    /// Begins something that the current task awaits.
    pub(crate) fn begin(&mut self, deadline: Time) -> Result<(u32, u32)> {
        if self.ops.len() >= self.config.max_operations as usize {
            return Err(Error::new(Code::BUSY, "this world waits for as many things as it may"));
        }
        if let Some(task) = self.tasks.get_mut(self.current as usize) {
            task.operations += 1;
        }
        Ok(self.insert_op(deadline, Waiter::Task(self.current, None)))
    }

    /// Begins something whose result goes straight on.
    pub(crate) fn begin_forward(&mut self, deadline: Time, reply: Reply) -> (u32, u32) {
        self.insert_op(deadline, Waiter::Forward(reply))
    }

    fn insert_op(&mut self, deadline: Time, waiter: Waiter) -> (u32, u32) {
        if deadline < self.first_deadline {
            self.first_deadline = deadline;
        }
        let generation = self.next_generation();
        (self.ops.insert(Op { generation, deadline, waiter, outcome: None, timer: None }) as u32, generation)
    }

    /// Looks for the outcome; otherwise notes that the current task waits for it.
    pub(crate) fn poll_op(&mut self, op: u32, waker: &Waker) -> Option<Outcome> {
        let row = &mut self.ops[op as usize];
        if row.outcome.is_some() {
            return self.end(op).outcome;
        }
        if let Waiter::Task(task, other) = &mut row.waiter {
            *task = self.current;
            // Combinators such as FuturesUnordered poll with wakers of their own, and only poll what they woke.
            if !waker.will_wake(Waker::noop()) {
                *other = Some(waker.clone());
            }
        }
        None
    }

    /// Forgets an operation; a late outcome is dropped.
    pub(crate) fn cancel(&mut self, op: u32, generation: u32) {
        if self.ops.get(op as usize).is_some_and(|row| row.generation == generation) {
            let row = self.end(op);
            if let Some(timer) = row.timer {
                self.wheel.cancel(timer);
            }
        }
    }

    fn end(&mut self, op: u32) -> Op {
        let row = self.ops.remove(op as usize);
        if let Waiter::Task(task, _) = row.waiter
            && let Some(task) = self.tasks.get_mut(task as usize)
        {
            task.operations = task.operations.saturating_sub(1);
        }
        row
    }

    /// Completes an operation, once; what comes too late is dropped.
    pub(crate) fn complete(&mut self, op: u32, generation: u32, outcome: Outcome) {
        let Some(row) = self.ops.get_mut(op as usize).filter(|row| row.generation == generation) else { return };
        match &mut row.waiter {
            Waiter::Task(task, waker) => {
                if row.outcome.is_some() {
                    return;
                }
                row.outcome = Some(outcome);
                let (task, waker) = (*task, waker.take());
                if let Some(waker) = waker {
                    waker.wake();
                }
                self.schedule(task);
            }
            Waiter::Forward(reply) => {
                let reply = std::mem::take(reply);
                self.end(op);
                if let Outcome::Reply(result) = outcome {
                    self.deliver(reply, result);
                }
            }
        }
    }

    pub(crate) fn start_sleep(&mut self, until: Time) -> Result<(u32, u32)> {
        let (op, generation) = self.begin(Time::MAX)?;
        let timer = self.wheel.insert(until, Alarm::Op(op, generation));
        self.ops[op as usize].timer = Some(timer);
        Ok((op, generation))
    }

    pub(crate) fn start_job(&mut self, job: Job) -> Result<(u32, u32)> {
        let (op, generation) = self.begin(Time::MAX)?;
        self.outputs.push_back(Output::Job(OpId(pack(op, generation)), job));
        Ok((op, generation))
    }

    pub(crate) fn start_commit(&mut self, request: StoreRequest) -> Result<(u32, u32)> {
        let (op, generation) = self.begin(Time::MAX)?;
        self.outputs.push_back(Output::Store(OpId(pack(op, generation)), request));
        Ok((op, generation))
    }

    // ---- time ------------------------------------------------------------------------------------------------

    pub(crate) fn deadline(&self) -> Option<Time> {
        let calls = (self.first_deadline != Time::MAX).then(|| round_up(self.first_deadline));
        [calls, self.wheel.next()].into_iter().flatten().min()
    }

    pub(crate) fn set_timer(&mut self, index: u32, name: Arc<str>, due: Time, repeat: Repeat) -> Result<()> {
        self.cancel_timer(index, &name);
        let (limit, generation) = (self.config.max_timers as usize, self.slots[index as usize].generation);
        if self.extra(index).timers.len() >= limit {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, format!("an entity may have {limit} timers")));
        }
        let extra = self.extra(index);
        extra.next_timer = extra.next_timer.wrapping_add(1);
        let id = extra.next_timer;
        let key = self.wheel.insert(due, Alarm::Timer(index, generation, id));
        self.extra(index).timers.push(TimerRow { id, name, key, due, repeat, pending: false });
        Ok(())
    }

    pub(crate) fn cancel_timer(&mut self, index: u32, name: &str) -> bool {
        let Some(extra) = &mut self.slots[index as usize].extra else { return false };
        let Some(at) = extra.timers.iter().position(|timer| &*timer.name == name) else { return false };
        let timer = extra.timers.swap_remove(at);
        self.wheel.cancel(timer.key);
        true
    }

    /// The message of a timer leaves the mailbox: the next period may add another.
    pub(crate) fn timer_taken(&mut self, index: u32, name: &str) {
        let Some(extra) = &mut self.slots[index as usize].extra else { return };
        if let Some(at) = extra.timers.iter().position(|timer| &*timer.name == name) {
            extra.timers[at].pending = false;
            if matches!(extra.timers[at].repeat, Repeat::Once) {
                extra.timers.swap_remove(at);
            }
        }
    }

    pub(crate) fn arm_idle(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let idle = self.desc(slot.kind).idle_ms;
        if idle > 0 {
            let at = slot.last_turn + Duration::from_millis(u64::from(idle));
            self.wheel.insert(at, Alarm::Idle(index, slot.generation));
        }
    }

    pub(crate) fn arm_save(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if let Some(state) = self.desc(slot.kind).state
            && let Save::Interval(ms) = state.save
            && !slot.save_armed
        {
            let alarm = Alarm::Save(index, slot.generation);
            self.wheel.insert(self.now + Duration::from_millis(u64::from(ms)), alarm);
            self.slots[index as usize].save_armed = true;
        }
    }

    /// Moves the clock and does what has become due.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if round_up(self.first_deadline) <= self.now {
            self.end_overdue_calls();
        }
        let mut due = Vec::new();
        if self.wheel.next().is_some_and(|next| next <= self.now) {
            self.wheel.advance(self.now, |alarm| due.push(alarm));
        }
        for alarm in due {
            self.fire(alarm);
        }
    }

    fn end_overdue_calls(&mut self) {
        let now = self.now;
        let overdue: Vec<(u32, u32)> = self
            .ops
            .iter()
            .filter(|(_, op)| op.deadline <= now && op.outcome.is_none())
            .map(|(at, op)| (at as u32, op.generation))
            .collect();
        for (op, generation) in overdue {
            let error = Error::new(Code::DEADLINE_EXCEEDED, "no answer within the deadline; it may still be processed");
            self.complete(op, generation, Outcome::Reply(Err(error)));
        }
        let waiting = self.ops.iter().filter(|(_, op)| op.outcome.is_none());
        self.first_deadline = waiting.map(|(_, op)| op.deadline).min().unwrap_or(Time::MAX);
    }

    fn fire(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Op(op, generation) => self.complete(op, generation, Outcome::Fired),
            Alarm::Timer(index, generation, id) => {
                if self.alive(index, generation) {
                    self.fire_timer(index, generation, id);
                }
            }
            Alarm::Idle(index, generation) => {
                if self.alive(index, generation) {
                    self.check_idle(index);
                }
            }
            Alarm::Save(index, generation) => {
                if self.alive(index, generation) {
                    self.slots[index as usize].save_armed = false;
                    self.push(index, Message::hook(Hook::Save));
                }
            }
        }
    }

    fn alive(&self, index: u32, generation: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.generation == generation)
    }

    fn fire_timer(&mut self, index: u32, generation: u32, id: u32) {
        let (now, unix) = (self.now, self.config.unix_offset);
        let Some(extra) = &mut self.slots[index as usize].extra else { return };
        let Some(timer) = extra.timers.iter_mut().find(|timer| timer.id == id) else { return };
        let hook = match &mut timer.repeat {
            Repeat::Tick(_, last) if !timer.pending => Some(Hook::Tick(now.since(std::mem::replace(last, now)))),
            _ if timer.pending => None,
            _ => Some(Hook::Timer(Arc::clone(&timer.name))),
        };
        timer.pending = true;
        let next = match &timer.repeat {
            Repeat::Once => None,
            // From when it was due, not from now: no drift. Periods that were missed are skipped.
            Repeat::Every(period) | Repeat::Tick(period, _) => {
                let next = timer.due + *period;
                Some(if next > now { next } else { now + *period })
            }
            Repeat::Cron(cron) => cron.next_after(now, unix),
        };
        if let Some(next) = next {
            timer.due = next;
            timer.key = self.wheel.insert(next, Alarm::Timer(index, generation, id));
        }
        if let Some(hook) = hook {
            self.push(index, Message::hook(hook));
        }
    }

    fn check_idle(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let idle = Duration::from_millis(u64::from(self.desc(slot.kind).idle_ms));
        let quiet = slot.task == NONE && slot.mailbox.len == 0 && slot.life == Life::Running;
        if quiet && self.now.since(slot.last_turn) >= idle {
            self.stop(index, StopReason::Idle);
        } else {
            let slot = &mut self.slots[index as usize];
            slot.last_turn = slot.last_turn.max(self.now - idle + Duration::from_millis(1));
            self.arm_idle(index);
        }
    }

    /// `on_destroy` becomes the next turn; messages behind it are refused.
    pub(crate) fn stop(&mut self, index: u32, reason: StopReason) {
        let slot = &mut self.slots[index as usize];
        if matches!(slot.life, Life::Stopping(_)) {
            return;
        }
        slot.life = Life::Stopping(reason);
        if slot.task == NONE && slot.body.is_some() && !slot.queued {
            slot.queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
    }
}

pub(crate) fn pack(op: u32, generation: u32) -> u64 {
    u64::from(op) | u64::from(generation) << 32
}

pub(crate) fn unpack(id: u64) -> (u32, u32) {
    (id as u32, (id >> 32) as u32)
}

pub(crate) fn call_id(op: (u32, u32)) -> CallId {
    CallId(pack(op.0, op.1))
}

fn round_up(time: Time) -> Time {
    Time(time.0.checked_next_multiple_of(DEADLINE_GRAIN).unwrap_or(u64::MAX))
}
