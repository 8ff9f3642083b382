//! Tasks: running turns, service calls and spawned futures.

use std::sync::Arc;

use bbq_wire::Time;

use super::answer::Reply;
use super::ctx::Ctx;
use super::glue::{Turn, Work};
use super::io::{Meta, Outgoing, Output};
use super::state::{NO_TYPE, NONE};

/// A task and its generation.
pub(crate) type TaskRef = (u32, u32);

/// A running turn, service call or spawned future.
pub(crate) struct Task {
    /// Its future, while nobody polls it.
    pub(crate) turn: Option<Turn>,
    /// A service call that has not begun: its future is made when it is first polled.
    pub(crate) start: Option<Work>,
    /// The entity whose turn it is, or [`NONE`].
    pub(crate) slot: u32,
    /// The service that runs it, or [`NO_TYPE`].
    pub(crate) service: u16,
    pub(crate) queued: bool,
    /// Reentrant calls may enter.
    pub(crate) lending: bool,
    /// Its state is stored at its end: effects wait in the outbox until then.
    pub(crate) holds_effects: bool,
    /// 0 while the row is free.
    pub(crate) generation: u32,
    /// Its context, while nobody uses it: it stays with the row.
    pub(crate) ctx: Option<Box<Ctx>>,
    /// How many operations it waits for.
    pub(crate) operations: u32,
    /// The reentrant call that it runs now, in a row of its own, or [`NONE`]: that one makes the calls.
    pub(crate) within: u32,
    /// How many reentrant calls run within each other.
    pub(crate) depth: u32,
    /// After this nobody waits for its answer.
    pub(crate) deadline: Time,
    pub(crate) parent: TaskRef,
    pub(crate) reply: Reply,
    pub(crate) meta: Option<Arc<Meta>>,
    pub(crate) outbox: Vec<Effect>,
}

/// A message that nobody waits for.
pub(crate) enum Effect {
    Tell(Outgoing, u16),
    Out(Output),
}

impl Task {
    const FREE: Self = Self {
        turn: None,
        start: None,
        slot: NONE,
        service: NO_TYPE,
        queued: false,
        lending: false,
        holds_effects: false,
        generation: 0,
        ctx: None,
        operations: 0,
        within: NONE,
        depth: 0,
        deadline: Time::MAX,
        parent: (NONE, 0),
        reply: Reply::Nobody,
        meta: None,
        outbox: Vec::new(),
    };
}

/// Rows are reused where they are, the one that was freed last first: a turn writes what differs, and moves no row.
pub(crate) struct Tasks {
    rows: Vec<Task>,
    used: usize,
    /// The first free row; the next one stands in its `within`.
    free: u32,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { rows: Vec::new(), used: 0, free: NONE }
    }
}

impl Tasks {
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    #[inline]
    pub(crate) fn get(&self, task: u32) -> Option<&Task> {
        self.rows.get(task as usize).filter(|row| row.generation != 0)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, task: u32) -> Option<&mut Task> {
        self.rows.get_mut(task as usize).filter(|row| row.generation != 0)
    }

    /// A row in which everything else is as in [`Task::FREE`]. The generation is not 0.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        generation: u32,
        deadline: Time,
        parent: TaskRef,
        meta: Option<Arc<Meta>>,
    ) -> (u32, &mut Task) {
        if self.free == NONE {
            self.grow();
        }
        let task = self.free;
        self.used += 1;
        let row = &mut self.rows[task as usize];
        self.free = std::mem::replace(&mut row.within, NONE);
        row.generation = generation;
        row.deadline = deadline;
        row.parent = parent;
        row.meta = meta;
        (task, row)
    }

    #[cold]
    fn grow(&mut self) {
        self.free = self.rows.len() as u32;
        self.rows.push(Task::FREE);
    }

    /// Frees a row. Its future is not in it any more, its reply and its outbox have been taken.
    #[inline]
    pub(crate) fn end(&mut self, task: u32) {
        let row = &mut self.rows[task as usize];
        debug_assert!(row.generation != 0 && row.turn.is_none() && row.start.is_none(), "a task ends once");
        debug_assert!(row.outbox.is_empty(), "effects are not forgotten");
        row.meta = None;
        row.reply = Reply::Nobody;
        (row.slot, row.service, row.generation, row.operations) = (NONE, NO_TYPE, 0, 0);
        (row.queued, row.lending, row.holds_effects) = (false, false, false);
        (row.within, row.depth) = (self.free, 0);
        self.free = task;
        self.used -= 1;
    }

    /// Every row, to be dropped.
    pub(crate) fn take_all(&mut self) -> Vec<Task> {
        std::mem::take(self).rows
    }
}

impl std::ops::Index<u32> for Tasks {
    type Output = Task;

    #[inline]
    fn index(&self, task: u32) -> &Task {
        &self.rows[task as usize]
    }
}

impl std::ops::IndexMut<u32> for Tasks {
    #[inline]
    fn index_mut(&mut self, task: u32) -> &mut Task {
        &mut self.rows[task as usize]
    }
}
