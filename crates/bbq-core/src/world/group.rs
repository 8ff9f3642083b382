//! Groups of sessions.

use std::fmt;
use std::sync::Arc;

use super::ctx::Ctx;
use super::handle::{ClientStub, ClientTarget};
use super::io::{ClientRef, GroupChange, GroupOp, Output, SessionEvent};
use super::state::NONE;
use super::task::Effect;

/// A set of sessions that are pushed to together. The message is encoded once.
pub struct Group<'a> {
    ctx: &'a Ctx,
    name: Arc<str>,
    except: Vec<bbq_wire::SessionId>,
    unreliable: bool,
}

impl<'a> Group<'a> {
    pub(crate) fn new(ctx: &'a Ctx, name: Arc<str>) -> Self {
        Self { ctx, name, except: Vec::new(), unreliable: false }
    }

    /// Adds a session; a session that is in already stays in. It leaves by itself when it ends.
    pub fn join(&self, client: &ClientRef) {
        self.change(GroupChange::Join(client.clone()));
    }

    /// Takes a session out.
    pub fn leave(&self, client: &ClientRef) {
        self.change(GroupChange::Leave(client.clone()));
    }

    /// Ends the group. Groups of an entity end with it.
    pub fn drop_all(&self) {
        self.change(GroupChange::Drop);
    }

    /// Members that do not get the next push.
    #[must_use]
    pub fn except(mut self, client: &ClientRef) -> Self {
        self.except.push(client.session);
        self
    }

    /// Pushes through this may be lost and are never resent.
    #[must_use]
    pub fn unreliable(mut self) -> Self {
        self.unreliable = true;
        self
    }

    /// Typed access to all members: `group.client::<ChatClientRef>().said(msg).tell()`.
    #[must_use]
    pub fn client<S: ClientStub>(self) -> S {
        self.ctx.to_clients(ClientTarget::Group { group: self.name, except: self.except, unreliable: self.unreliable })
    }

    fn change(&self, change: GroupChange) {
        let joins = matches!(change, GroupChange::Join(_));
        self.ctx.inner(|inner| {
            if self.ctx.slot != NONE && joins {
                let groups = &mut inner.extra(self.ctx.slot).groups;
                if !groups.contains(&self.name) {
                    groups.push(Arc::clone(&self.name));
                }
            }
            let epoch = inner.slots.get(self.ctx.slot as usize).map_or(0, |slot| slot.epoch);
            let op = GroupOp { group: Arc::clone(&self.name), epoch, change };
            inner.effect(self.ctx.task, Effect::Out(Output::Group(op)));
        });
    }
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({})", self.name)
    }
}

/// How `on_session` events read in logs.
impl fmt::Display for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detached => "detached",
            Self::Resumed => "resumed",
            Self::Left => "left",
        })
    }
}
