//! The tables of a world, and what passes between them. The files below add what is done with them: entities,
//! mailboxes, operations, the clock, turns.
//!
//! Nothing in these tables runs user code; `turn.rs` does, with this state not borrowed.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{EntityId, NodeUid, Time};
// tidy: looked up, never iterated
use hashbrown::HashMap;
use slab::Slab;

use super::answer::{Answer, Reply, undelivered};
use super::entity::{Directory, Drain, Slot};
use super::glue::{AnyType, Definition, Hook, Work};
use super::io::{Meta, Outgoing, Output, Target};
use super::mailbox::Messages;
use super::operation::Op;
use super::task::{Effect, Task, TaskRef, Tasks};
use super::time::Alarm;
use crate::desc::{Save, ServiceDesc};
use crate::payload::Payload;
use crate::timer::Wheel;

/// No row of a table.
pub(crate) const NONE: u32 = u32::MAX;
/// No row of [`Inner::types`].
pub(crate) const NO_TYPE: u16 = u16::MAX;

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

/// What one turn is about.
pub(crate) struct Message {
    pub(crate) work: Work,
    pub(crate) reply: Reply,
    pub(crate) deadline: Time,
    pub(crate) parent: TaskRef,
    pub(crate) meta: Option<Arc<Meta>>,
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

/// Something that can run.
#[derive(Debug)]
pub(crate) enum Ready {
    Entity(u32),
    Task(u32),
}

/// A type that this world serves.
pub(crate) struct Served {
    pub(crate) table: Rc<dyn AnyType>,
    pub(crate) desc: &'static ServiceDesc,
    /// Services: calls that run now.
    pub(crate) running: u32,
    /// When entities are stored.
    pub(crate) save: Option<Save>,
}

impl Served {
    fn new(definition: &Definition) -> Self {
        let save = definition.desc().state.map(|state| state.save);
        Self { table: definition.table(), desc: definition.desc(), running: 0, save }
    }
}

pub(crate) struct Inner {
    pub(crate) now: Time,
    pub(crate) config: Config,
    pub(crate) types: Vec<Served>,
    type_index: HashMap<u32, u16>,
    pub(crate) slots: Slab<Slot>,
    pub(crate) directory: Directory,
    pub(crate) tasks: Tasks,
    pub(crate) ops: Slab<Op>,
    pub(crate) messages: Messages,
    pub(crate) ready: VecDeque<Ready>,
    pub(crate) wheel: Wheel<Alarm>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) generation: u32,
    /// The task that is being polled.
    pub(crate) current: u32,
    /// How many turns stand on the stack because their callers ran them at once.
    pub(crate) depth: u32,
    /// How many more turns may run at once although others are ready too.
    pub(crate) ahead: u32,
    /// What the turn that ran at once last leaves for its caller.
    pub(crate) answer: Answer,
    /// No outstanding call ends before this.
    pub(crate) first_deadline: Time,
    pub(crate) draining: Option<Drain>,
    pub(crate) random: u64,
    pub(crate) stats: Stats,
}

impl Inner {
    pub(crate) fn new(config: Config, definitions: &[Definition]) -> Self {
        let types: Vec<_> = definitions.iter().map(Served::new).collect();
        let type_index = types.iter().enumerate().map(|(at, row)| (row.desc.type_id(), at as u16)).collect();
        let random = config.seed | 1;
        Self {
            now: Time::ZERO,
            config,
            types,
            type_index,
            slots: Slab::new(),
            directory: Directory::default(),
            tasks: Tasks::default(),
            ops: Slab::new(),
            messages: Messages::default(),
            ready: VecDeque::new(),
            wheel: Wheel::default(),
            outputs: VecDeque::new(),
            generation: 0,
            current: NONE,
            depth: 0,
            ahead: 0,
            answer: Answer::None,
            first_deadline: Time::MAX,
            draining: None,
            random,
            stats: Stats::default(),
        }
    }

    /// Never 0.
    #[inline]
    pub(crate) fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1).max(1);
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

    pub(crate) fn desc(&self, kind: u16) -> &'static ServiceDesc {
        self.types[usize::from(kind)].desc
    }

    // ---- tasks -----------------------------------------------------------------------------------------------

    /// The turn in whose name a call is made now, if one is polled: it is the caller, whatever handle it uses.
    #[inline]
    pub(crate) fn caller(&self) -> Option<(u32, &Task)> {
        let row = self.tasks.get(self.current)?;
        match self.tasks.get(row.within) {
            Some(within) => Some((row.within, within)),
            None => Some((self.current, row)),
        }
    }

    pub(crate) fn schedule(&mut self, task: u32) {
        if let Some(row) = self.tasks.get_mut(task)
            && !row.queued
        {
            row.queued = true;
            self.ready.push_back(Ready::Task(task));
        }
    }

    pub(crate) fn task_name(&self, task: u32) -> &'static str {
        let Some(row) = self.tasks.get(task) else { return "a task" };
        match self.slots.get(row.slot as usize) {
            Some(slot) => self.desc(slot.kind).name,
            None if row.service != NO_TYPE => self.desc(row.service).name,
            None => "a spawned task",
        }
    }

    /// What a call inherits from its caller: how long it may take at most, its place in the chain, its session.
    #[inline]
    pub(crate) fn parentage(&self) -> (Time, TaskRef, Option<Arc<Meta>>) {
        match self.caller() {
            Some((task, row)) => (row.deadline, (task, row.generation), row.meta.clone()),
            None => (Time::MAX, (NONE, 0), None),
        }
    }

    /// Entities that wait further up the chain of this caller, outermost first: what its outgoing call carries.
    pub(crate) fn chain(&self, caller: &Task) -> Vec<EntityId> {
        let mut chain = Vec::new();
        let mut at = Some(caller);
        while let Some(row) = at {
            if let Some(slot) = self.slots.get(row.slot as usize) {
                chain.push(slot.id.clone());
            }
            let (parent, generation) = row.parent;
            let up = self.tasks.get(parent).filter(|up| up.generation == generation);
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

    // ---- effects and results ---------------------------------------------------------------------------------

    /// Whether effects of this task wait for the commit at its end.
    pub(crate) fn holds_effects(&self, task: u32) -> bool {
        self.tasks.get(task).is_some_and(|row| row.holds_effects)
    }

    pub(crate) fn effect(&mut self, task: u32, effect: Effect) {
        if self.holds_effects(task) {
            self.tasks[task].outbox.push(effect);
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
        self.tell_here(index, method, call.body, call.deadline, call.meta);
    }

    /// Puts a one-way message into a mailbox of this world.
    #[inline(always)]
    pub(crate) fn tell_here(
        &mut self,
        index: u32,
        method: u16,
        body: Payload,
        deadline: Time,
        meta: Option<Arc<Meta>>,
    ) {
        if !self.has_room(index) {
            return undelivered(&self.has_no_room(index));
        }
        let work = Work::Call { method, body };
        self.push(index, Message { work, reply: Reply::Nobody, deadline, parent: (NONE, 0), meta });
    }
}
