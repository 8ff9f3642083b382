//! Operations: everything that a handler can await. Only an input, or another turn, completes one.

use std::task::Waker;
use std::time::Duration;

use bbq_wire::{Code, Error, Result, Time};

use super::answer::Reply;
use super::io::{CallId, Job, OpId, Opaque, Output, StoreReply};
use super::state::Inner;
use super::time::Alarm;
use crate::payload::Payload;
use crate::timer::TimerKey;

/// An operation and its generation.
pub(crate) type OpRef = (u32, u32);

/// What an operation brought.
pub(crate) enum Outcome {
    Reply(Result<Payload>),
    Store(Box<StoreReply>),
    Job(Result<Opaque>),
    Fired,
}

enum Waiter {
    /// Combinators such as `FuturesUnordered` poll with wakers of their own, and only poll what they woke: a waker is
    /// kept when it is not the world's.
    Task(u32, Option<Waker>),
    /// Nobody waits: the result goes straight on.
    Forward(Reply),
}

pub(crate) struct Op {
    pub(crate) generation: u32,
    pub(crate) deadline: Time,
    waiter: Waiter,
    pub(crate) outcome: Option<Outcome>,
    timer: Option<TimerKey>,
}

impl Inner {
    /// Begins something that the current task awaits.
    pub(crate) fn begin(&mut self, deadline: Time) -> Result<OpRef> {
        if !self.may_wait() {
            return Err(waits_for_too_much());
        }
        Ok(self.begin_for(self.current, deadline))
    }

    /// Whether another operation may begin.
    pub(crate) fn may_wait(&self) -> bool {
        self.ops.len() < self.config.max_operations as usize
    }

    /// Begins something that `task` awaits, whatever the limit says.
    pub(crate) fn begin_for(&mut self, task: u32, deadline: Time) -> OpRef {
        if let Some(row) = self.tasks.get_mut(task) {
            row.operations += 1;
        }
        self.insert_op(deadline, Waiter::Task(task, None))
    }

    /// Begins something whose result goes straight on.
    pub(crate) fn begin_forward(&mut self, deadline: Time, reply: Reply) -> OpRef {
        self.insert_op(deadline, Waiter::Forward(reply))
    }

    fn insert_op(&mut self, deadline: Time, waiter: Waiter) -> OpRef {
        if deadline < self.first_deadline {
            self.first_deadline = deadline;
        }
        let generation = self.next_generation();
        (self.ops.insert(Op { generation, deadline, waiter, outcome: None, timer: None }) as u32, generation)
    }

    /// Looks for the outcome; otherwise notes that the current task waits for it.
    pub(crate) fn poll_op(&mut self, op: u32, waker: &Waker) -> Option<Outcome> {
        let current = self.current;
        let row = &mut self.ops[op as usize];
        if row.outcome.is_some() {
            return self.end(op).outcome;
        }
        if let Waiter::Task(task, other) = &mut row.waiter {
            if !waker.will_wake(Waker::noop()) {
                *other = Some(waker.clone());
            }
            let before = std::mem::replace(task, current);
            if before != current {
                self.count_waiting(before, current);
            }
        }
        None
    }

    /// A future has moved from one task into another.
    #[cold]
    fn count_waiting(&mut self, before: u32, now: u32) {
        if let Some(row) = self.tasks.get_mut(before) {
            row.operations = row.operations.saturating_sub(1);
        }
        if let Some(row) = self.tasks.get_mut(now) {
            row.operations += 1;
        }
    }

    /// Forgets an operation; a late outcome is dropped.
    pub(crate) fn cancel(&mut self, (op, generation): OpRef) {
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
            && let Some(task) = self.tasks.get_mut(task)
        {
            task.operations = task.operations.saturating_sub(1);
        }
        row
    }

    /// Completes an operation, once; what comes too late is dropped.
    pub(crate) fn complete(&mut self, (op, generation): OpRef, outcome: Outcome) {
        let Some(row) = self.ops.get_mut(op as usize).filter(|row| row.generation == generation) else { return };
        match &mut row.waiter {
            Waiter::Task(task, waker) => {
                if row.outcome.is_some() {
                    return;
                }
                row.outcome = Some(outcome);
                let task = *task;
                if let Some(waker) = waker.take() {
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

    pub(crate) fn start_sleep(&mut self, duration: Duration) -> Result<OpRef> {
        if !self.may_wait() {
            return Err(waits_for_too_much());
        }
        Ok(self.start_pause(duration))
    }

    /// A sleep that no limit refuses.
    pub(crate) fn start_pause(&mut self, duration: Duration) -> OpRef {
        let op = self.begin_for(self.current, Time::MAX);
        let timer = self.wheel.insert(self.now + duration, Alarm::Op(op));
        self.ops[op.0 as usize].timer = Some(timer);
        op
    }

    pub(crate) fn start_job(&mut self, job: Job) -> Result<OpRef> {
        let op = self.begin(Time::MAX)?;
        self.outputs.push_back(Output::Job(OpId(pack(op)), job));
        Ok(op)
    }

    pub(crate) fn end_overdue_calls(&mut self) {
        let now = self.now;
        let overdue: Vec<OpRef> = self
            .ops
            .iter()
            .filter(|(_, op)| op.deadline <= now && op.outcome.is_none())
            .map(|(at, op)| (at as u32, op.generation))
            .collect();
        for op in overdue {
            let error = Error::new(Code::DEADLINE_EXCEEDED, "no answer within the deadline; it may still be processed");
            self.complete(op, Outcome::Reply(Err(error)));
        }
        let waiting = self.ops.iter().filter(|(_, op)| op.outcome.is_none());
        self.first_deadline = waiting.map(|(_, op)| op.deadline).min().unwrap_or(Time::MAX);
    }
}

#[cold]
fn waits_for_too_much() -> Error {
    Error::new(Code::BUSY, "this world waits for as many things as it may")
}

pub(crate) fn pack((op, generation): OpRef) -> u64 {
    u64::from(op) | u64::from(generation) << 32
}

pub(crate) fn unpack(id: u64) -> OpRef {
    (id as u32, (id >> 32) as u32)
}

pub(crate) fn call_id(op: OpRef) -> CallId {
    CallId(pack(op))
}
