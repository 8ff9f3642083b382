//! What an entity can do about itself and those it watches: the second half of [`Ctx`].

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Result};

use super::answer::passed_on;
use super::ctx::Ctx;
use super::glue::Work;
use super::io::{ClientRef, Note, Output, StopReason, StoreReply, StoreRequest};
use super::operation::Outcome;
use super::task::Effect;
use crate::payload::Payload;

/// A commit that fails for a passing reason is tried this often ..
const COMMIT_TRIES: u32 = 6;
/// .. with pauses that double from here.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

impl Ctx {
    // ---- entities and sessions that watch each other ---------------------------------------------------------

    /// From now on the notes of `subject` arrive at our `on_notify`, and its end at `on_gone`.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn watch(&self, subject: &EntityId) -> Result<()> {
        self.set_watch(subject, true)
    }

    /// Ends [`Ctx::watch`].
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn unwatch(&self, subject: &EntityId) -> Result<()> {
        self.set_watch(subject, false)
    }

    fn set_watch(&self, subject: &EntityId, on: bool) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| {
            let watching = &mut inner.extra(self.slot).watching;
            watching.retain(|other| other != subject);
            if on {
                watching.push(subject.clone());
            }
            inner.set_watch(self.id(), subject, on);
        });
        Ok(())
    }

    /// Sends a note to every entity that watches this one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn notify(&self, name: &str, body: Payload) -> Result<()> {
        self.require_entity()?;
        let name: Arc<str> = name.into();
        self.inner(|inner| {
            let Some(extra) = &inner.slots[self.slot as usize].extra else { return };
            for watcher in extra.watchers.clone() {
                let note = Note { from: self.id().clone(), name: Arc::clone(&name), body: body.clone() };
                match inner.find(&watcher) {
                    Some(index) => inner.note(index, note),
                    None => inner.effect(self.task.0, Effect::Out(Output::Note(watcher, note))),
                }
            }
        });
        Ok(())
    }

    /// From now on `on_session` tells when this session detaches, resumes or leaves.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn watch_client(&self, client: &ClientRef) -> Result<()> {
        self.set_watch_client(client, true)
    }

    /// Ends [`Ctx::watch_client`].
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn unwatch_client(&self, client: &ClientRef) -> Result<()> {
        self.set_watch_client(client, false)
    }

    fn set_watch_client(&self, client: &ClientRef, on: bool) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| {
            let clients = &mut inner.extra(self.slot).clients;
            let known = clients.iter().position(|other| other.session == client.session);
            match (known, on) {
                (None, true) => clients.push(client.clone()),
                (Some(at), false) => {
                    clients.swap_remove(at);
                }
                _ => return,
            }
            inner.outputs.push_back(Output::WatchClient(self.id().clone(), client.clone(), on));
        });
        Ok(())
    }

    /// Ends a session; the client is told why and does not come back by itself.
    pub fn kick(&self, client: &ClientRef, message: &str) {
        let error = Error::new(Code::KICKED, message);
        self.inner(|inner| inner.effect(self.task.0, Effect::Out(Output::Kick(client.clone(), error))));
    }

    // ---- lifecycle and state ---------------------------------------------------------------------------------

    /// Stops this entity after the turn: `on_destroy`, save, gone. The next call to it brings it back from its state.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn stop(&self) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| inner.stop(self.slot, StopReason::Requested));
        Ok(())
    }

    /// Stores the state at the end of this turn, whatever the save policy says.
    pub fn save(&self) {
        if self.id.is_some() {
            self.inner(|inner| inner.slots[self.slot as usize].save_requested = true);
        }
    }

    pub(crate) fn save_requested(&self) -> bool {
        self.inner(|inner| std::mem::take(&mut inner.slots[self.slot as usize].save_requested))
    }

    /// Stores the state if it differs from what is stored; waits until it is durable.
    pub(crate) async fn commit(&self, state: Payload) -> Result<()> {
        let bytes = state.into_bytes();
        let hash = hash_bytes(&bytes);
        let mut pause = COMMIT_PAUSE;
        for attempt in 1.. {
            let started = self.inner(|inner| {
                let slot = &inner.slots[self.slot as usize];
                if slot.saved == hash || slot.fenced {
                    return Ok(None);
                }
                let (entity, token, version) = (slot.id.clone(), slot.epoch, slot.version);
                inner.start_commit(StoreRequest::Commit { entity, token, version, state: bytes.clone() }).map(Some)
            });
            let Some(op) = started? else { return Ok(()) };
            let Outcome::Store(reply) = self.wait(op).await else { continue };
            match *reply {
                StoreReply::Committed { version } => {
                    self.inner(|inner| {
                        let slot = &mut inner.slots[self.slot as usize];
                        (slot.version, slot.saved) = (version, hash);
                    });
                    return Ok(());
                }
                StoreReply::Failed(error) if error.code == Code::UNAVAILABLE && attempt < COMMIT_TRIES => {
                    self.sleep(pause).await;
                    pause *= 2;
                }
                StoreReply::Failed(error) => {
                    let (id, fenced) = (self.id(), matches!(error.code, Code::FENCED | Code::ABORTED));
                    tracing::error!(entity = %id, %error, "the state could not be stored");
                    self.inner(|inner| {
                        let slot = &mut inner.slots[self.slot as usize];
                        (slot.unsaved, slot.fenced) = (true, slot.fenced || fenced);
                    });
                    return Err(error);
                }
                StoreReply::Claimed { .. } => {
                    return Err(Error::new(Code::INTERNAL, "the Store answered a commit with a claim"));
                }
            }
        }
        Ok(())
    }

    // ---- reentrant calls -------------------------------------------------------------------------------------

    /// From now on reentrant calls may come.
    pub(crate) fn begin_lending(&self) {
        self.inner(|inner| inner.tasks[self.task.0].lending = true);
    }

    /// The next reentrant call that waits for this entity, while it lends itself.
    pub(crate) fn take_reentrant(&self) -> Option<(Self, usize, Payload)> {
        let message = self.inner(|inner| inner.slots[self.slot as usize].extra.as_mut()?.reentrant.pop_front())?;
        let Work::Call { method, body } = message.work else { return None };
        let ctx = self.for_reentrant(message.deadline, message.meta, message.reply);
        Some((ctx, usize::from(method), body))
    }

    pub(crate) fn answer_reentrant(&self, result: Result<Payload>) {
        if let Some(reply) = self.reentrant.take() {
            let result = result.map_err(passed_on);
            self.inner(|inner| inner.deliver(*reply, result));
        }
    }

    pub(crate) fn end_lending(&self) {
        self.inner(|inner| inner.tasks[self.task.0].lending = false);
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
