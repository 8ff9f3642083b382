//! Answers: where the result of a turn goes, and how it gets there.

use bbq_wire::{Code, Error, Result, Time};

use super::ctx::REDIRECTED;
use super::io::{CallId, Output, ReplyTo};
use super::operation::{OpRef, Outcome};
use super::state::Inner;
use crate::payload::Payload;

/// Where a result goes.
#[derive(Debug, Default)]
pub(crate) enum Reply {
    #[default]
    Nobody,
    /// Whoever waits for this operation.
    Op(OpRef),
    /// Another world of the process.
    World(u16, CallId),
    /// Whatever the shell meant.
    Remote(u64),
    /// The caller is this task, and it is on the stack: the turn hands its result over when it returns. Should the turn
    /// have to wait, so must the caller, until the deadline.
    Here(u32, Time),
    /// It was [`Reply::Here`], but somebody else answers this operation in our stead.
    Redirected(OpRef),
}

impl From<ReplyTo> for Reply {
    fn from(to: ReplyTo) -> Self {
        match to {
            ReplyTo::Nobody => Self::Nobody,
            ReplyTo::World(world, call) => Self::World(world, call),
            ReplyTo::Remote(number) => Self::Remote(number),
        }
    }
}

/// What a turn leaves for its caller on the stack. The caller takes it before anything else runs.
#[derive(Default)]
pub(crate) enum Answer {
    #[default]
    None,
    Ok(Payload),
    Err(Error),
    /// By this operation.
    Later(OpRef),
}

/// What has become of a call.
pub(crate) enum Sent {
    Answered(Payload),
    /// The error is taken out of the world: it is large.
    Failed,
    Waiting(OpRef),
}

impl Inner {
    /// Gives a result to whoever waits for it.
    pub(crate) fn deliver(&mut self, reply: Reply, result: Result<Payload>) {
        match reply {
            Reply::Op(op) => self.complete(op, Outcome::Reply(result)),
            Reply::World(world, call) => self.outputs.push_back(Output::Reply(ReplyTo::World(world, call), result)),
            Reply::Remote(to) => self.outputs.push_back(Output::Reply(ReplyTo::Remote(to), result)),
            Reply::Nobody | Reply::Here(..) | Reply::Redirected(_) => {
                if let Err(error) = result {
                    undelivered(&error);
                }
            }
        }
    }

    /// The answer for a caller on the stack, which has taken the one before.
    #[inline(always)]
    pub(crate) fn answer_here(&mut self, body: Payload) {
        debug_assert!(matches!(self.answer, Answer::None), "answers are taken");
        std::mem::forget(std::mem::replace(&mut self.answer, Answer::Ok(body)));
    }

    /// A result on its way: to a caller on the stack, or delivered. [`REDIRECTED`] is not one.
    pub(crate) fn give(&mut self, reply: Reply, result: Result<Payload>) {
        match (reply, result) {
            (Reply::Redirected(op), _) => self.answer = Answer::Later(op),
            (Reply::Here(..), Ok(body)) => self.answer_here(body),
            (Reply::Here(..), Err(error)) => self.answer = Answer::Err(error),
            (_, Err(error)) if error.code == REDIRECTED => {}
            (reply, result) => self.deliver(reply, result),
        }
    }

    /// The turn waits for something, so its caller, if it is on the stack, has to wait too.
    pub(crate) fn answer_later(&mut self, task: u32) {
        let reply = match std::mem::take(&mut self.tasks[task].reply) {
            Reply::Here(caller, deadline) => {
                let op = self.begin_for(caller, deadline);
                self.answer = Answer::Later(op);
                Reply::Op(op)
            }
            Reply::Redirected(op) => {
                self.answer = Answer::Later(op);
                Reply::Nobody
            }
            reply => reply,
        };
        self.tasks[task].reply = reply;
    }

    /// Somebody else answers the caller of this task.
    pub(crate) fn hand_over_reply(&mut self, task: u32) -> Reply {
        let Some(row) = self.tasks.get_mut(task) else { return Reply::Nobody };
        match std::mem::take(&mut row.reply) {
            Reply::Here(caller, deadline) => {
                let op = self.begin_for(caller, deadline);
                self.tasks[task].reply = Reply::Redirected(op);
                Reply::Op(op)
            }
            Reply::Redirected(op) => {
                row.reply = Reply::Redirected(op);
                Reply::Nobody
            }
            reply => reply,
        }
    }

    /// Takes the error that [`Sent::Failed`] promises.
    #[cold]
    pub(crate) fn take_error(&mut self) -> Error {
        match std::mem::take(&mut self.answer) {
            Answer::Err(error) => error,
            _ => Error::new(Code::INTERNAL, "a turn left no answer"),
        }
    }
}

/// `ENTITY_STOPPED` tells the mesh that a call was not processed, so that it is tried elsewhere. A handler that passes
/// on such an error of a call of its own has run.
pub(crate) fn passed_on(error: Error) -> Error {
    match error.code {
        Code::ENTITY_STOPPED => Error { code: Code::ABORTED, ..error },
        _ => error,
    }
}

#[cold]
pub(crate) fn undelivered(error: &Error) {
    tracing::debug!(%error, "a one-way message failed");
}
