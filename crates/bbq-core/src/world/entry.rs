//! How a call enters: from outside of the world into a mailbox, or into a service.

use bbq_wire::{Code, Error, Result};

use super::answer::Reply;
use super::glue::Work;
use super::io::{Incoming, Target};
use super::state::{Inner, Message, NONE, Served};
use crate::desc::Kind;

impl Inner {
    pub(crate) fn accept_call(&mut self, call: Incoming) {
        let reply = Reply::from(call.reply_to);
        let type_id = match &call.target {
            Target::Entity(id) => id.kind,
            Target::Service(kind) => *kind,
        };
        let Some(kind) = self.type_of(type_id) else {
            let why = format!("this node does not serve type {type_id:08x}");
            return self.refuse(reply, Error::new(Code::UNIMPLEMENTED, why));
        };
        let desc = self.desc(kind);
        let Some(method) = desc.method_index(call.method).map(|method| method as u16) else {
            let why = format!("{} has no method with id {}", desc.name, call.method);
            return self.refuse(reply, Error::new(Code::UNIMPLEMENTED, why));
        };
        let work = Work::Call { method, body: call.body };
        let message = Message { work, reply, deadline: call.deadline, parent: (NONE, 0), meta: call.meta };
        let refused = match call.target {
            Target::Service(_) => self.start_service(kind, message),
            Target::Entity(id) => match self.find(&id).or_else(|| self.activate_solo(&id)) {
                Some(index) => self.enqueue(index, method, message),
                None => {
                    let why = format!("{} {} does not live in this world", desc.name, id.key);
                    Err((message, Error::new(Code::ENTITY_STOPPED, why)))
                }
            },
        };
        if let Err((message, error)) = refused {
            self.refuse(message.reply, error);
        }
    }

    #[cold]
    pub(crate) fn refuse(&mut self, reply: Reply, error: Error) {
        self.deliver(reply, Err(error));
    }

    /// Starts a service call as a task of its own. Its future is made when it is first polled.
    pub(crate) fn start_service(&mut self, kind: u16, message: Message) -> Result<(), (Message, Error)> {
        let Served { desc, running, .. } = &mut self.types[usize::from(kind)];
        if desc.kind != Kind::Service {
            let why = format!("{} is an entity type: it is addressed by key", desc.name);
            return Err((message, Error::new(Code::INVALID_ARGUMENT, why)));
        }
        if *running >= desc.mailbox {
            let why = format!("{} runs {} calls in this world", desc.name, desc.mailbox);
            self.stats.busy += 1;
            return Err((message, Error::new(Code::BUSY, why)));
        }
        *running += 1;
        self.stats.turns += 1;
        let generation = self.next_generation();
        let (task, row) = self.tasks.begin(generation, message.deadline, message.parent, message.meta);
        (row.service, row.reply, row.start) = (kind, message.reply, Some(message.work));
        self.schedule(task);
        Ok(())
    }
}
