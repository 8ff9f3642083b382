//! Calls that come back to an entity that waits for them: refused, or let in where the method and the entity allow it.
//!
//! ```text
//!   turn of A ── lend(call) ──► B ── peek ──► A: a row of its own in the table of tasks, within the turn of A
//! ```
//! The inner call is a turn within the turn: it has its own caller, deadline and session, and the calls that it makes
//! are made in its name. What it changed is stored before its answer leaves.

use std::pin::Pin;
use std::task::Poll;

use bbq_wire::{Code, Error, Result};

use super::answer::passed_on;
use super::call::Call;
use super::ctx::Ctx;
use super::glue::{EntityGlue, Work, run_reentrant};
use super::state::{Inner, Message};
use crate::payload::Payload;

/// Awaits `call` while `entity` may serve reentrant calls that come back to it (A -> B -> A). The borrow shows where
/// its state can change. Generated traits offer it as `self.lend(ctx, call)`.
///
/// # Errors
/// Those of the call.
pub async fn lend<G: EntityGlue, R>(entity: &mut G::Entity, ctx: &Ctx, mut call: Call<R>) -> Result<R> {
    let _lending = Lending::begin(ctx);
    loop {
        let event = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut call).poll(cx) {
                return Poll::Ready(Ok(result));
            }
            Reentrant::enter(ctx).map_or(Poll::Pending, |entered| Poll::Ready(Err(entered)))
        });
        match event.await {
            Ok(result) => return result,
            Err((entered, method, body)) => {
                let turn: Pin<Box<dyn Future<Output = Result<Payload>> + '_>> =
                    Box::pin(run_reentrant::<G>(entity, &entered.ctx, method, body));
                let result = turn.await;
                entered.answer(result);
            }
        }
    }
}

/// While it is there, reentrant calls may enter.
struct Lending<'a> {
    ctx: &'a Ctx,
    before: bool,
}

impl<'a> Lending<'a> {
    fn begin(ctx: &'a Ctx) -> Self {
        let before = ctx.inner(|inner| std::mem::replace(&mut inner.tasks[ctx.call].lending, true));
        Self { ctx, before }
    }
}

impl Drop for Lending<'_> {
    fn drop(&mut self) {
        let Ok(mut inner) = self.ctx.shared.inner.try_borrow_mut() else { return };
        if let Some(row) = inner.tasks.get_mut(self.ctx.call) {
            row.lending = self.before;
        }
    }
}

/// A reentrant call that runs.
struct Reentrant {
    ctx: Ctx,
    /// What ran within the turn before.
    before: u32,
    ended: bool,
}

impl Reentrant {
    /// Lets the next waiting call in.
    fn enter(outer: &Ctx) -> Option<(Self, usize, Payload)> {
        outer.inner(|inner| {
            let message = inner.slots[outer.slot as usize].extra.as_mut()?.reentrant.pop_front()?;
            let Work::Call { method, body } = message.work else { return None };
            let generation = inner.next_generation();
            let (call, row) = inner.tasks.begin(generation, message.deadline, message.parent, message.meta);
            (row.slot, row.reply) = (outer.slot, message.reply);
            let turn = &mut inner.tasks[outer.task];
            let before = std::mem::replace(&mut turn.within, call);
            turn.depth += 1;
            let ctx = outer.within(call, turn.outbox.len());
            Some((Self { ctx, before, ended: false }, usize::from(method), body))
        })
    }

    fn answer(mut self, result: Result<Payload>) {
        self.end(result.map_err(passed_on));
    }

    /// The row goes, its caller gets the result.
    fn end(&mut self, result: Result<Payload>) {
        self.ended = true;
        let Ok(mut inner) = self.ctx.shared.inner.try_borrow_mut() else { return };
        // A world that ends has emptied its tables already.
        let Some(row) = inner.tasks.get_mut(self.ctx.call) else { return };
        let reply = std::mem::take(&mut row.reply);
        inner.tasks.end(self.ctx.call);
        if let Some(turn) = inner.tasks.get_mut(self.ctx.task) {
            turn.within = self.before;
            turn.depth -= 1;
        }
        inner.give(reply, result);
    }
}

/// The turn panicked, or its handler stopped waiting.
impl Drop for Reentrant {
    fn drop(&mut self) {
        if !self.ended {
            let why = "the turn within which the call ran has ended; it may have run in part";
            self.end(Err(Error::new(Code::OUTCOME_UNKNOWN, why)));
        }
    }
}

impl Inner {
    /// A -> B -> A: how often the entity waits, at some distance, for the caller of `message`.
    pub(crate) fn waits_for(&self, index: u32, message: &Message) -> u32 {
        let mut found = 0;
        let (mut task, mut generation) = message.parent;
        let mut meta = message.meta.as_ref();
        while let Some(parent) = self.tasks.get(task).filter(|parent| parent.generation == generation) {
            found += u32::from(parent.slot == index);
            meta = parent.meta.as_ref();
            (task, generation) = parent.parent;
        }
        let id = &self.slots[index as usize].id;
        found + meta.map_or(0, |meta| meta.chain.iter().filter(|other| *other == id).count() as u32)
    }

    /// A call that the turn of its entity waits for, `found` times over.
    #[cold]
    pub(crate) fn enter_again(
        &mut self,
        index: u32,
        method: u16,
        message: Message,
        found: u32,
    ) -> Result<(), (Message, Error)> {
        let slot = &self.slots[index as usize];
        let (task, desc) = (slot.task, self.desc(slot.kind));
        let method = desc.methods.get(usize::from(method));
        let reentrant = method.is_some_and(|method| method.reentrant);
        // What waits only for an outer level, which lends itself, comes to its turn when the inner ones have ended.
        let turn = &self.tasks[task];
        let lends = found <= turn.depth || self.tasks.get(turn.within).unwrap_or(turn).lending;
        if reentrant && lends {
            self.extra(index).reentrant.push_back(message);
            self.schedule(task);
            return Ok(());
        }
        let why = if reentrant { "does not lend itself to the call it waits for" } else { "waits for this very call" };
        let name = method.map_or("?", |method| method.name);
        let what = format!("{}/{name}: the entity {} {why}", desc.name, slot.id.key);
        Err((message, Error::new(Code::DEADLOCK, what)))
    }
}
