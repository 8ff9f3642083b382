//! Entities: their rows, how they come to life, and how they end.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Result, Time};
// tidy: looked up, never iterated
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::glue::{Body, Hook};
use super::io::{ClientRef, GroupChange, GroupOp, OpId, Output, StopReason, StoreRequest};
use super::mailbox::Mailbox;
use super::state::{Inner, Message, NONE, Ready};
use super::time::{Alarm, TimerRow};
use crate::desc::{Kind, Restart, Save};

/// A panicking entity is created again at most this often ..
const MAX_RESTARTS: u8 = 5;
/// .. within this time.
const RESTART_WINDOW: Duration = Duration::from_secs(60);

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
    /// Its type is stored after every turn.
    pub(crate) holds_effects: bool,
    /// Its type is stored some time after a turn.
    pub(crate) saves_later: bool,
    pub(crate) save_armed: bool,
    pub(crate) save_requested: bool,
    /// `on_destroy` has begun.
    pub(crate) destroyed: bool,
    /// The Store refused our token: nothing may be written any more.
    pub(crate) fenced: bool,
    pub(crate) generation: u32,
    pub(crate) task: u32,
    pub(crate) mailbox: Mailbox,
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
    /// It stops, and this is why its state is not stored yet.
    pub(crate) unsaved: Option<Error>,
    restarts: u8,
    first_restart: Time,
}

/// The world ends in good order.
#[derive(Default)]
pub(crate) struct Drain {
    until: Time,
    lost: Vec<(EntityId, Error)>,
    /// [`Output::Drained`] has been said.
    over: bool,
}

/// Which slot an entity has. Ids are kept once, in the slots; hashes are kept so that growing looks at no slot.
#[derive(Default)]
pub(crate) struct Directory {
    hasher: DefaultHashBuilder,
    table: HashTable<(u32, u32)>,
}

impl Directory {
    fn hash(&self, id: &EntityId) -> u32 {
        (self.hasher.hash_one(id) >> 32) as u32
    }

    fn find(&self, id: &EntityId, slots: &Slab<Slot>) -> Option<u32> {
        let hash = self.hash(id);
        let same = |row: &(u32, u32)| row.0 == hash && slots[row.1 as usize].id == *id;
        self.table.find(spread(hash), same).map(|row| row.1)
    }

    fn insert(&mut self, id: &EntityId, slot: u32) {
        let hash = self.hash(id);
        self.table.insert_unique(spread(hash), (hash, slot), |row| spread(row.0));
    }

    fn remove(&mut self, id: &EntityId, slot: u32) {
        let hash = self.hash(id);
        if let Ok(row) = self.table.find_entry(spread(hash), |row| *row == (hash, slot)) {
            row.remove();
        }
    }
}

/// The table looks at both ends of 64 bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Inner {
    pub(crate) fn find(&self, id: &EntityId) -> Option<u32> {
        self.directory.find(id, &self.slots)
    }

    /// The activation under which an entity speaks; 0: a service, or an entity that is not here any more.
    pub(crate) fn epoch_of(&self, entity: Option<&EntityId>) -> u64 {
        let index = entity.and_then(|entity| self.find(entity));
        index.map_or(0, |index| self.slots[index as usize].epoch)
    }

    /// Makes room for an entity and begins to bring it to life.
    pub(crate) fn activate(&mut self, id: EntityId, epoch: u64) -> Result<u32> {
        if let Some(index) = self.find(&id) {
            return Ok(index);
        }
        let kind = self.type_of(id.kind).filter(|&kind| self.desc(kind).kind == Kind::Entity);
        let Some(kind) = kind else {
            return Err(Error::new(
                Code::UNIMPLEMENTED,
                format!("this node has no entity type with id {:08x}", id.kind),
            ));
        };
        if self.draining.is_some() {
            return Err(Error::new(Code::UNAVAILABLE, "this node is draining"));
        }
        if self.slots.len() >= self.config.max_entities as usize {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, "this world holds as many entities as it may"));
        }
        let generation = self.next_generation();
        let save = self.types[usize::from(kind)].save;
        let index = self.slots.insert(Slot {
            id: id.clone(),
            kind,
            life: Life::Activating,
            queued: false,
            holds_effects: save == Some(Save::Turn),
            saves_later: matches!(save, Some(Save::Interval(_))),
            save_armed: false,
            save_requested: false,
            destroyed: false,
            fenced: false,
            generation,
            task: NONE,
            mailbox: Mailbox::EMPTY,
            body: None,
            epoch,
            version: 0,
            saved: 0,
            last_turn: self.now,
            extra: None,
        }) as u32;
        self.directory.insert(&id, index);
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

    /// Removes an entity; whoever waits for it gets `error`.
    pub(crate) fn remove(&mut self, index: u32, error: &Error) -> Slot {
        self.refuse_waiting(index, error);
        let mut slot = self.slots.remove(index as usize);
        self.directory.remove(&slot.id, index);
        if let Some(extra) = slot.extra.take() {
            self.release(&slot.id, slot.epoch, *extra, error);
        }
        slot
    }

    /// What waits in its mailbox does not run here any more.
    pub(crate) fn refuse_waiting(&mut self, index: u32, error: &Error) {
        while let Some(message) = self.pop(index) {
            self.deliver(message.reply, Err(error.clone()));
        }
    }

    /// Lets go of all that an ended entity held elsewhere.
    fn release(&mut self, id: &EntityId, epoch: u64, extra: Extra, error: &Error) {
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
            self.outputs.push_back(Output::Group(GroupOp { group, epoch, change: GroupChange::Drop }));
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

    /// Without a directory the first call activates.
    pub(crate) fn activate_solo(&mut self, id: &EntityId) -> Option<u32> {
        self.config.solo.then(|| self.activate(id.clone(), 1).ok()).flatten()
    }

    /// `on_destroy` becomes the next turn; messages behind it are refused.
    pub(crate) fn stop(&mut self, index: u32, reason: StopReason) {
        let slot = &mut self.slots[index as usize];
        if matches!(slot.life, Life::Stopping(_)) {
            return;
        }
        slot.life = Life::Stopping(reason);
        if slot.is_idle() {
            slot.queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
    }

    pub(crate) fn accept_activation(&mut self, id: EntityId, epoch: u64) {
        match self.find(&id) {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.epoch = slot.epoch.max(epoch);
                if slot.life == Life::Running {
                    let epoch = slot.epoch;
                    self.outputs.push_back(Output::Activated(id, epoch, Ok(())));
                }
            }
            None => {
                if let Err(error) = self.activate(id.clone(), epoch) {
                    self.outputs.push_back(Output::Activated(id, epoch, Err(error)));
                }
            }
        }
    }

    pub(crate) fn activation_failed(&mut self, index: u32, error: Error) {
        let slot = self.remove(index, &error);
        tracing::warn!(entity = %slot.id, %error, "an entity could not be activated");
        self.outputs.push_back(Output::Activated(slot.id, slot.epoch, Err(error)));
        self.drained();
    }

    /// `on_init` has ended.
    pub(crate) fn activated(&mut self, index: u32, failed: Option<Error>) {
        if let Some(error) = failed {
            return self.activation_failed(index, error);
        }
        let slot = &mut self.slots[index as usize];
        slot.life = Life::Running;
        let output = Output::Activated(slot.id.clone(), slot.epoch, Ok(()));
        if !self.config.solo {
            self.outputs.push_back(output);
        }
        self.arm_idle(index);
    }

    /// The entity is lost, its slot is not: create it again from its stored state, or end it.
    pub(crate) fn torn_down(&mut self, index: u32, error: &Error) {
        let life = self.slots[index as usize].life;
        self.slots[index as usize].task = NONE;
        self.slots[index as usize].body = None;
        match life {
            Life::Activating => self.activation_failed(index, error.clone()),
            Life::Running if self.may_restart(index) => {
                self.forget_timers(index, error);
                self.slots[index as usize].life = Life::Activating;
                self.load(index);
            }
            _ => self.stopped(index),
        }
    }

    /// The entity is gone.
    pub(crate) fn stopped(&mut self, index: u32) {
        let unsaved = self.slots[index as usize].extra.as_mut().and_then(|extra| extra.unsaved.take());
        if let Some(error) = unsaved {
            self.lose(index, data_loss(&error));
        }
        let slot = self.remove(index, &stopped_before());
        self.outputs.push_back(Output::Deactivated(slot.id, slot.epoch));
        self.drained();
    }

    /// The directory knows of a newer activation elsewhere: this copy ends and writes nothing any more.
    pub(crate) fn supersede(&mut self, id: &EntityId, epoch: u64) {
        let Some(index) = self.find(id).filter(|&index| self.slots[index as usize].epoch <= epoch) else { return };
        tracing::warn!(entity = %id, epoch, "a newer activation exists elsewhere: this copy ends");
        self.slots[index as usize].fenced = true;
        self.stop(index, StopReason::Superseded);
    }

    // ---- drain -----------------------------------------------------------------------------------------------

    /// Saves and stops everything, until the time is over.
    pub(crate) fn drain(&mut self, until: Time) {
        let drain = self.draining.get_or_insert_default();
        (drain.until, drain.over) = (until, false);
        if until != Time::MAX {
            self.wheel.insert(until, Alarm::GiveUp);
        }
        let all: Vec<u32> = self.slots.iter().map(|(index, _)| index as u32).collect();
        for index in all {
            self.stop(index, StopReason::Shutdown);
        }
        self.drained();
    }

    fn drained(&mut self) {
        if self.slots.is_empty()
            && let Some(drain) = self.draining.as_mut().filter(|drain| !drain.over)
        {
            drain.over = true;
            self.outputs.push_back(Output::Drained(std::mem::take(&mut drain.lost)));
        }
    }

    /// The time for a drain is over: what is still here is lost.
    pub(crate) fn give_up(&mut self) {
        let now = self.now;
        if self.draining.as_ref().is_none_or(|drain| drain.over || drain.until > now) {
            return;
        }
        let all: Vec<u32> = self.slots.iter().map(|(index, _)| index as u32).collect();
        for index in all {
            let unsaved = self.slots[index as usize].extra.as_ref().and_then(|extra| extra.unsaved.as_ref());
            let error = match unsaved {
                Some(error) => data_loss(error),
                None => Error::new(Code::DEADLINE_EXCEEDED, "its turn had not ended"),
            };
            self.lose(index, error);
        }
        if let Some(drain) = &mut self.draining {
            drain.over = true;
            self.outputs.push_back(Output::Drained(std::mem::take(&mut drain.lost)));
        }
    }

    /// What an entity had in memory is gone.
    fn lose(&mut self, index: u32, error: Error) {
        let slot = &self.slots[index as usize];
        tracing::error!(entity = %slot.id, code = %error.code, %error, "an entity is lost with what it could not store");
        if let Some(drain) = &mut self.draining {
            drain.lost.push((slot.id.clone(), error));
        }
    }
}

fn data_loss(error: &Error) -> Error {
    Error::new(Code::DATA_LOSS, format!("the last state could not be stored: {error}"))
}

pub(crate) fn stopped_before() -> Error {
    Error::new(Code::ENTITY_STOPPED, "the entity stopped before the call ran")
}
