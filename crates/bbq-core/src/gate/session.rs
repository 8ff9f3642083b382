//! What the gate knows of a session beyond its protocol, and how sessions are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use bbq_wire::gate::GateSession;
use bbq_wire::{EntityId, SessionId, Time};
// tidy: looked up by a key, never iterated
use hashbrown::HashMap;
use slab::Slab;

use super::groups::GroupId;
use super::io::ConnId;
use super::slot::Slot;
use crate::limit::Gcra;
use crate::timer::TimerKey;
use crate::world::{ClientRef, Meta};

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    /// Its protocol.
    pub(super) machine: GateSession,
    /// The connection that carries it.
    pub(super) conn: Option<ConnId>,
    /// How entities see it.
    pub(super) client: ClientRef,
    /// What its requests carry, unless they are traced.
    pub(super) meta: Arc<Meta>,
    /// The device slot of the account.
    pub(super) device: Box<str>,
    /// What the verifier said of the account.
    pub(super) properties: Box<[(String, String)]>,
    /// Who wants to know when it goes and comes.
    pub(super) watchers: Vec<EntityId>,
    /// Where it is a member.
    pub(super) groups: Vec<GroupId>,
    /// Use of the quota of the session.
    pub(super) quota: Gcra,
    /// Use of the quotas of methods, by wire id; made when first needed.
    pub(super) method_quotas: Vec<(u32, Gcra)>,
    /// The timer that will look at it, and when.
    pub(super) timer: Option<(Time, TimerKey)>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    // Boxed, so that free slots are small.
    slots: Slab<Box<Session>>,
    ids: HashMap<SessionId, Slot>,
    /// Oldest first.
    accounts: BTreeMap<Arc<str>, Vec<Slot>>,
}

impl Sessions {
    /// Number of sessions.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The session with this id.
    pub(super) fn find(&self, sid: SessionId) -> Option<Slot> {
        self.ids.get(&sid).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Session> {
        self.slots.get(slot.0 as usize).map(|session| &**session)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.slots.get_mut(slot.0 as usize).map(|session| &mut **session)
    }

    /// The sessions of an account, oldest first.
    pub(super) fn of_account(&self, account: &str) -> Vec<Slot> {
        self.accounts.get(account).cloned().unwrap_or_default()
    }

    /// Every session, in order of slots.
    pub(super) fn all(&self) -> Vec<Slot> {
        self.slots.iter().map(|(at, _)| Slot(at as u32)).collect()
    }

    pub(super) fn insert(&mut self, session: Session) -> Slot {
        let (sid, account) = (session.machine.sid(), session.client.account.clone());
        let slot = Slot(self.slots.insert(Box::new(session)) as u32);
        self.ids.insert(sid, slot);
        self.accounts.entry(account).or_default().push(slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Box<Session>> {
        let session = self.slots.try_remove(slot.0 as usize)?;
        self.ids.remove(&session.machine.sid());
        if let Some(slots) = self.accounts.get_mut(&session.client.account) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.accounts.remove(&session.client.account);
            }
        }
        Some(session)
    }
}
