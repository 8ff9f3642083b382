//! What an entity can do about itself and those it watches: the second half of [`Ctx`].

use std::sync::Arc;

use bbq_wire::{Code, EntityId, Error, Result};

use super::ctx::Ctx;
use super::io::{ClientRef, Note, Output, StopReason};
use super::state::NONE;
use super::task::Effect;
use crate::payload::Payload;

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
        let me = self.id();
        self.inner(|inner| {
            let watching = &mut inner.extra(self.slot).watching;
            watching.retain(|other| other != subject);
            if on {
                watching.push(subject.clone());
            }
            inner.set_watch(me, subject, on);
        });
        Ok(())
    }

    /// Sends a note to every entity that watches this one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn notify(&self, name: &str, body: Payload) -> Result<()> {
        self.require_entity()?;
        let (me, name): (_, Arc<str>) = (self.id(), name.into());
        self.inner(|inner| {
            let Some(extra) = &inner.slots[self.slot as usize].extra else { return };
            for watcher in extra.watchers.clone() {
                let note = Note { from: me.clone(), name: Arc::clone(&name), body: body.clone() };
                match inner.find(&watcher) {
                    Some(index) => inner.note(index, note),
                    None => inner.effect(self.task, Effect::Out(Output::Note(watcher, note))),
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
        let me = self.id();
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
            inner.outputs.push_back(Output::WatchClient(me.clone(), client.clone(), on));
        });
        Ok(())
    }

    /// Ends a session; the client is told why and does not come back by itself.
    pub fn kick(&self, client: &ClientRef, message: &str) {
        let error = Error::new(Code::KICKED, message);
        self.inner(|inner| inner.effect(self.task, Effect::Out(Output::Kick(client.clone(), error))));
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
        if self.slot != NONE {
            self.inner(|inner| inner.slots[self.slot as usize].save_requested = true);
        }
    }

    pub(crate) fn save_requested(&self) -> bool {
        self.inner(|inner| std::mem::take(&mut inner.slots[self.slot as usize].save_requested))
    }
}
