//! Mailboxes: lists in one table of the world, so that an idle entity owns no queue memory.

use std::sync::Arc;

use bbq_wire::{Code, Error, Result, Time};

use super::answer::Reply;
use super::entity::{Life, Slot};
use super::glue::{Hook, Work};
use super::io::{Meta, Note};
use super::state::{Inner, Message, NONE, Ready};
use super::task::TaskRef;
use crate::payload::Payload;

/// The waiting messages of a world. Rows are reused where they are, the one that was freed last first, so that a message
/// is written once and read once.
pub(crate) struct Messages {
    rows: Vec<Link>,
    used: usize,
    /// The first free row, the head of a list.
    free: u32,
}

/// A waiting message and the one behind it. A free row holds nothing that needs to be dropped.
struct Link {
    work: Work,
    rest: Envelope,
    next: u32,
}

/// A message without what it is about.
pub(crate) struct Envelope {
    pub(crate) reply: Reply,
    pub(crate) deadline: Time,
    pub(crate) parent: TaskRef,
    pub(crate) meta: Option<Arc<Meta>>,
}

impl Default for Messages {
    fn default() -> Self {
        Self { rows: Vec::new(), used: 0, free: NONE }
    }
}

impl Messages {
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    #[inline(always)]
    fn insert(&mut self, message: Message, next: u32) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let link = self.free;
        let row = &mut self.rows[link as usize];
        self.used += 1;
        self.free = std::mem::replace(&mut row.next, next);
        // By its parts, which are in registers, over what needs not be dropped.
        let Message { work, reply, deadline, parent, meta } = message;
        std::mem::forget(std::mem::replace(&mut row.work, work));
        std::mem::forget(std::mem::replace(&mut row.rest.meta, meta));
        (row.rest.reply, row.rest.deadline, row.rest.parent) = (reply, deadline, parent);
        link
    }

    #[cold]
    fn grow(&mut self) {
        self.free = self.rows.len() as u32;
        let rest = Envelope { reply: Reply::Nobody, deadline: Time::MAX, parent: (NONE, 0), meta: None };
        self.rows.push(Link { work: Work::NOTHING, rest, next: NONE });
    }
}

/// First in, first out.
#[derive(Clone, Copy)]
pub(crate) struct Mailbox {
    pub(crate) head: u32,
    tail: u32,
    pub(crate) len: u32,
}

impl Mailbox {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    fn pop(&mut self, messages: &mut Messages) -> Option<Message> {
        let row = messages.rows.get_mut(self.head as usize)?;
        let work = std::mem::replace(&mut row.work, Work::NOTHING);
        let Envelope { reply, deadline, parent, meta } = self.pop_rest(messages);
        Some(Message { work, reply, deadline, parent, meta })
    }

    /// Takes the first message if it is a call whose deadline is after `now`.
    #[inline(always)]
    pub(crate) fn pop_call(&mut self, messages: &mut Messages, now: Time) -> Option<(u16, Payload, Envelope)> {
        let row = messages.rows.get_mut(self.head as usize)?;
        let Work::Call { method, body } = &mut row.work else { return None };
        if row.rest.deadline <= now {
            return None;
        }
        let (method, body) = (*method, std::mem::take(body));
        Some((method, body, self.pop_rest(messages)))
    }

    /// Frees the first row, whose work has been taken.
    #[inline(always)]
    fn pop_rest(&mut self, messages: &mut Messages) -> Envelope {
        let link = self.head;
        let row = &mut messages.rows[link as usize];
        let Envelope { reply, deadline, parent, meta } = &mut row.rest;
        let (reply, deadline, parent, meta) = (std::mem::take(reply), *deadline, *parent, meta.take());
        self.head = std::mem::replace(&mut row.next, messages.free);
        if self.head == NONE {
            self.tail = NONE;
        }
        self.len -= 1;
        messages.free = link;
        messages.used -= 1;
        Envelope { reply, deadline, parent, meta }
    }
}

impl Inner {
    /// Puts a call into a mailbox, or says why not.
    pub(crate) fn enqueue(&mut self, index: u32, method: u16, message: Message) -> Result<(), (Message, Error)> {
        let slot = &self.slots[index as usize];
        if matches!(slot.life, Life::Stopping(_)) {
            return Err((message, self.is_stopping(index)));
        }
        if slot.task != NONE && !matches!(message.reply, Reply::Nobody) {
            let found = self.waits_for(index, &message);
            if found > 0 {
                return self.enter_again(index, method, message, found);
            }
        }
        let slot = &self.slots[index as usize];
        if slot.mailbox.len >= self.desc(slot.kind).mailbox {
            return Err((message, self.is_full(index)));
        }
        self.push(index, message);
        Ok(())
    }

    /// Whether a message that nobody waits for may enter.
    #[inline]
    pub(crate) fn has_room(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        !matches!(slot.life, Life::Stopping(_)) && slot.mailbox.len < self.desc(slot.kind).mailbox
    }

    #[cold]
    pub(crate) fn has_no_room(&mut self, index: u32) -> Error {
        match self.slots[index as usize].life {
            Life::Stopping(_) => self.is_stopping(index),
            _ => self.is_full(index),
        }
    }

    #[cold]
    fn is_stopping(&self, index: u32) -> Error {
        let slot = &self.slots[index as usize];
        Error::new(Code::ENTITY_STOPPED, format!("{} {} is stopping", self.desc(slot.kind).name, slot.id.key))
    }

    #[cold]
    fn is_full(&mut self, index: u32) -> Error {
        self.stats.busy += 1;
        let slot = &self.slots[index as usize];
        let desc = self.desc(slot.kind);
        Error::new(Code::BUSY, format!("the mailbox of {} {} holds {} messages", desc.name, slot.id.key, desc.mailbox))
    }

    /// Puts a message into a mailbox whatever its length.
    #[inline(always)]
    pub(crate) fn push(&mut self, index: u32, message: Message) {
        let link = self.messages.insert(message, NONE);
        let slot = &mut self.slots[index as usize];
        match slot.mailbox.tail {
            NONE => slot.mailbox.head = link,
            tail => self.messages.rows[tail as usize].next = link,
        }
        slot.mailbox.tail = link;
        slot.mailbox.len += 1;
        if slot.is_idle() {
            slot.queued = true;
            self.ready.push_back(Ready::Entity(index));
        }
    }

    pub(crate) fn push_front(&mut self, index: u32, message: Message) {
        let mailbox = self.slots[index as usize].mailbox;
        let link = self.messages.insert(message, mailbox.head);
        let slot = &mut self.slots[index as usize];
        slot.mailbox.head = link;
        slot.mailbox.len += 1;
        if mailbox.tail == NONE {
            slot.mailbox.tail = link;
        }
    }

    pub(crate) fn pop(&mut self, index: u32) -> Option<Message> {
        self.slots[index as usize].mailbox.pop(&mut self.messages)
    }

    /// A note for an entity here; dropped when its mailbox is full.
    pub(crate) fn note(&mut self, index: u32, note: Note) {
        let slot = &self.slots[index as usize];
        if slot.mailbox.len >= self.desc(slot.kind).mailbox {
            self.stats.notes_dropped += 1;
        } else {
            self.push(index, Message::hook(Hook::Notify(note)));
        }
    }
}

impl Slot {
    /// Alive, and neither running nor about to.
    pub(crate) fn is_idle(&self) -> bool {
        !self.queued && self.task == NONE && self.body.is_some()
    }
}
