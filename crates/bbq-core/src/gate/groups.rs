//! Groups: named sets of sessions of this gate. A broadcast walks one, in order of session slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bbq_wire::NodeUid;
use slab::Slab;

use super::config::Limits;
use super::slot::Slot;

/// Names one group while it has members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GroupId(u32);

/// All groups. Sessions know theirs, too: both sides are changed together.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Slab<Group>,
    names: BTreeMap<Arc<str>, GroupId>,
    members: usize,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    owner: Owner,
    members: BTreeSet<Slot>,
}

/// Whose group it is: who used it last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Owner {
    pub(super) node: NodeUid,
    /// The activation of an entity; 0: services share the group, and no node owns it.
    pub(super) epoch: u64,
}

/// Why a session did not join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl Groups {
    /// Adds a session that is in `mine`. Joining twice is joining once.
    pub(super) fn join(
        &mut self,
        (name, owner): (&Arc<str>, Owner),
        slot: Slot,
        mine: &mut Vec<GroupId>,
        limits: &Limits,
    ) -> Result<(), Full> {
        let known = self.names.get(name).copied();
        if known.is_some_and(|id| mine.contains(&id)) {
            return Ok(());
        }
        let new_group_fits = known.is_some() || self.groups.len() < limits.groups;
        if mine.len() >= limits.groups_per_session || self.members >= limits.members || !new_group_fits {
            return Err(Full);
        }
        let id = known.unwrap_or_else(|| self.create(name, owner));
        if let Some(group) = self.groups.get_mut(id.0 as usize) {
            group.members.insert(slot);
            mine.push(id);
            self.members += 1;
        }
        Ok(())
    }

    /// Takes a session that is in `mine` out of one group.
    pub(super) fn leave(&mut self, name: &str, slot: Slot, mine: &mut Vec<GroupId>) {
        let Some(id) = self.names.get(name).copied() else { return };
        if let Some(at) = mine.iter().position(|one| *one == id) {
            mine.swap_remove(at);
            self.remove(id, slot);
        }
    }

    /// Takes a session out of all its groups.
    pub(super) fn leave_all(&mut self, slot: Slot, mine: Vec<GroupId>) {
        for id in mine {
            self.remove(id, slot);
        }
    }

    /// Ends a group: its members, from whose own lists the id has to be taken.
    pub(super) fn end(&mut self, name: &str) -> Option<(GroupId, BTreeSet<Slot>)> {
        let id = self.names.remove(name)?;
        let group = self.groups.try_remove(id.0 as usize)?;
        self.members -= group.members.len();
        Some((id, group.members))
    }

    /// The members.
    pub(super) fn members(&self, name: &str) -> Option<&BTreeSet<Slot>> {
        let id = self.names.get(name)?;
        self.groups.get(id.0 as usize).map(|group| &group.members)
    }

    /// Under which activation a group was last used, if it has members.
    pub(super) fn epoch(&self, name: &str) -> Option<u64> {
        let id = self.names.get(name)?;
        self.groups.get(id.0 as usize).map(|group| group.owner.epoch)
    }

    /// The groups of entities that lived on these nodes, in order of their names.
    pub(super) fn of_nodes(&self, nodes: &[NodeUid]) -> Vec<Arc<str>> {
        let owned = |id: &GroupId| {
            let group = self.groups.get(id.0 as usize);
            group.is_some_and(|group| group.owner.epoch > 0 && nodes.contains(&group.owner.node))
        };
        self.names.iter().filter(|(_, id)| owned(id)).map(|(name, _)| name.clone()).collect()
    }

    /// Number of groups and of memberships.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.groups.len(), self.members)
    }

    fn create(&mut self, name: &Arc<str>, owner: Owner) -> GroupId {
        let group = Group { name: name.clone(), owner, members: BTreeSet::new() };
        let id = GroupId(self.groups.insert(group) as u32);
        self.names.insert(name.clone(), id);
        id
    }

    fn remove(&mut self, id: GroupId, slot: Slot) {
        let Some(group) = self.groups.get_mut(id.0 as usize) else { return };
        if group.members.remove(&slot) {
            self.members -= 1;
        }
        if group.members.is_empty() {
            self.names.remove(&group.name);
            self.groups.remove(id.0 as usize);
        }
    }
}
