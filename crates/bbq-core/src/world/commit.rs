//! Commits: how the state of an entity gets into the Store, and what waits for it.
//!
//! ```text
//!   turn ends ──► commit ──► stored: its messages leave, then its answer
//!                  ▲   └───► the Store is away: again, after a pause
//!                  └────────────┘  six times at the end of a turn; for ever when the entity stops
//! ```
//! A caller whose time is almost over is told `OUTCOME_UNKNOWN` meanwhile: its call has run, and may yet be stored.

use std::time::Duration;

use bbq_wire::{Code, Error, Result, Time};
use bytes::Bytes;

use super::answer::Reply;
use super::ctx::Ctx;
use super::io::{OpId, Output, StoreReply, StoreRequest};
use super::operation::{OpRef, Outcome, pack};
use super::state::Inner;
use super::task::TaskRef;
use super::time::Alarm;
use crate::payload::Payload;
use crate::timer::TimerKey;

/// A commit that fails for a passing reason is tried this often, unless the entity stops ..
const TRIES: u32 = 6;
/// .. with pauses that double from here ..
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// .. up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Ctx {
    /// Stores the state if it differs from what is stored; waits until it is durable. Then the messages of this turn
    /// leave; if it cannot be stored, those of this call never do.
    pub(crate) async fn commit(&self, state: Payload) -> Result<()> {
        let bytes = state.into_bytes();
        let hash = hash_bytes(&bytes);
        let result = match self.inner(|inner| inner.slots[self.slot as usize].saved == hash) {
            true => Ok(()),
            false => {
                let warning = self.inner(|inner| inner.warn_caller_in_time(self.call));
                let result = self.store(bytes).await;
                self.inner(|inner| warning.and_then(|key| inner.wheel.cancel(key)));
                result
            }
        };
        self.inner(|inner| match &result {
            Ok(()) => {
                let slot = &mut inner.slots[self.slot as usize];
                slot.saved = hash;
                if let Some(extra) = &mut slot.extra {
                    extra.unsaved = None;
                }
                let held = std::mem::take(&mut inner.tasks[self.task].outbox);
                held.into_iter().for_each(|effect| inner.run_effect(effect));
            }
            Err(_) => inner.tasks[self.task].outbox.truncate(self.held),
        });
        result
    }

    async fn store(&self, state: Bytes) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1_u32.. {
            let op = self.inner(|inner| inner.start_commit(self.slot, state.clone()))?;
            let error = match self.wait(op).await {
                Outcome::Store(reply) => match *reply {
                    StoreReply::Committed { version } => {
                        self.inner(|inner| inner.slots[self.slot as usize].version = version);
                        return Ok(());
                    }
                    StoreReply::Failed(error) => error,
                    StoreReply::Claimed { .. } => {
                        Error::new(Code::INTERNAL, "the Store answered a commit with a claim")
                    }
                },
                _ => Error::new(Code::INTERNAL, "a commit ended with something else"),
            };
            let stopping = self.inner(|inner| inner.commit_failed(self.slot, &error));
            if error.code != Code::UNAVAILABLE || attempt == TRIES && !stopping {
                tracing::error!(entity = %self.id(), %error, "the state could not be stored");
                return Err(error);
            }
            if attempt == TRIES {
                tracing::warn!(entity = %self.id(), %error, "the entity cannot stop before its state is stored");
            }
            let op = self.inner(|inner| inner.start_pause(pause));
            self.wait(op).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Ok(())
    }
}

impl Inner {
    /// There is one commit per running turn, so that their number needs no limit of its own.
    fn start_commit(&mut self, index: u32, state: Bytes) -> Result<OpRef> {
        let slot = &self.slots[index as usize];
        if slot.fenced {
            return Err(Error::new(Code::FENCED, "a newer activation of this entity exists"));
        }
        let (entity, token, version) = (slot.id.clone(), slot.epoch, slot.version);
        let op = self.begin_for(self.current, Time::MAX);
        let request = StoreRequest::Commit { entity, token, version, state };
        self.outputs.push_back(Output::Store(OpId(pack(op)), request));
        Ok(op)
    }

    /// Notes why; says whether the entity stops, so that its state must not get lost.
    fn commit_failed(&mut self, index: u32, error: &Error) -> bool {
        let slot = &mut self.slots[index as usize];
        slot.fenced |= matches!(error.code, Code::FENCED | Code::ABORTED);
        let stopping = slot.destroyed;
        if stopping {
            self.extra(index).unsaved = Some(error.clone());
        }
        stopping
    }

    /// An eighth of its time before the deadline, so that it hears it while it still waits.
    fn warn_caller_in_time(&mut self, call: u32) -> Option<TimerKey> {
        let row = self.tasks.get(call)?;
        let left = row.deadline.since(self.now);
        let waits = !matches!(row.reply, Reply::Nobody) && row.deadline != Time::MAX;
        let alarm = Alarm::Warn((call, row.generation));
        waits.then(|| self.wheel.insert(self.now + left * 7 / 8, alarm))
    }

    /// The caller of a turn that has run, and is not stored yet, hears so.
    pub(crate) fn warn_caller(&mut self, (call, generation): TaskRef) {
        let Some(row) = self.tasks.get_mut(call).filter(|row| row.generation == generation) else { return };
        let reply = std::mem::take(&mut row.reply);
        let why = "the call has run, but its effect is not stored yet; whether it will be, nobody knows";
        self.deliver(reply, Err(Error::new(Code::OUTCOME_UNKNOWN, why)));
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
