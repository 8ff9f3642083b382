//! Mailboxes: lists in one table of the world, so that an idle entity owns no queue memory.

use bbq_wire::{Code, Error, Result, Time};

use super::answer::Reply;
use super::entity::{Life, Slot};
use super::glue::{Hook, Work};
use super::io::Note;
use super::state::{Inner, Message, NONE, Ready};

/// The waiting messages of a world. Rows are reused where they are, so that a message is written once and read once.
#[derive(Default)]
pub(crate) struct Messages {
    rows: Vec<Link>,
    free: Vec<u32>,
}

/// A waiting message and the one behind it.
struct Link {
    message: Message,
    next: u32,
}

impl Messages {
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Whether this message is a call whose deadline is after `now`.
    #[inline]
    pub(crate) fn is_call_before(&self, link: u32, now: Time) -> bool {
        let message = &self.rows[link as usize].message;
        message.deadline > now && matches!(message.work, Work::Call { .. })
    }

    #[inline(always)]
    fn insert(&mut self, message: Message, next: u32) -> u32 {
        let Some(link) = self.free.pop() else { return self.grow(Link { message, next }) };
        let row = &mut self.rows[link as usize];
        row.next = next;
        // By its parts, which are in registers. A free row holds nothing that needs to be dropped.
        let Message { work, reply, deadline, parent, meta } = message;
        std::mem::forget(std::mem::replace(&mut row.message.work, work));
        row.message.reply = reply;
        row.message.deadline = deadline;
        row.message.parent = parent;
        std::mem::forget(std::mem::replace(&mut row.message.meta, meta));
        link
    }

    #[cold]
    fn grow(&mut self, link: Link) -> u32 {
        self.rows.push(link);
        self.rows.len() as u32 - 1
    }

    #[inline(always)]
    fn remove(&mut self, link: u32) -> (Message, u32) {
        let row = &mut self.rows[link as usize];
        let message = Message {
            work: std::mem::replace(&mut row.message.work, Work::NOTHING),
            reply: std::mem::take(&mut row.message.reply),
            deadline: row.message.deadline,
            parent: row.message.parent,
            meta: row.message.meta.take(),
        };
        self.free.push(link);
        (message, row.next)
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

    /// Takes the first message of a mailbox that is not empty.
    #[inline(always)]
    pub(crate) fn pop(&mut self, messages: &mut Messages) -> Message {
        let (message, next) = messages.remove(self.head);
        self.head = next;
        self.len -= 1;
        if next == NONE {
            self.tail = NONE;
        }
        message
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
    pub(crate) fn has_room(&mut self, index: u32) -> Result<()> {
        let slot = &self.slots[index as usize];
        if matches!(slot.life, Life::Stopping(_)) {
            return Err(self.is_stopping(index));
        }
        if slot.mailbox.len >= self.desc(slot.kind).mailbox {
            return Err(self.is_full(index));
        }
        Ok(())
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
        let mailbox = &mut self.slots[index as usize].mailbox;
        (mailbox.len > 0).then(|| mailbox.pop(&mut self.messages))
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
