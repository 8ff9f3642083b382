//! How an engine that kept nothing of its predecessor gets back the nodes that still run.
//!
//! ```text
//! node    renew ──► Lost, no certificate      reattach ──► the same      rejoin(Memory) ──► Unreachable: not yet
//! engine  starts │ ◄──────────────── the window: memories are collected ──────────────► │ all are admitted at once
//! ```
//! All at once, because the new owner of a slot asks every member what runs there: a member that comes later would
//! find its entities made anew elsewhere. A death that any of them remembers is a death, and whoever one of them knows and
//! who does not come back in time gets a certificate: the others forget it, so it must never return. Every slot gets a new epoch, above all that anybody remembers.
//!
//! A cluster that is really new never notices: without a memory nobody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bbq_wire::{NodeUid, Time};

use super::node::{DeathCert, Memory};
use super::protocol::limit;
use super::slots::SlotTable;

/// Between two looks at the clock no more than this counts: while the engine was stopped nobody could be heard, so a
/// clock that jumps must not close the window.
const STEP: Duration = Duration::from_millis(250);

/// Memories, until the window closes.
#[derive(Debug)]
pub(super) struct Recovery {
    left: Duration,
    last: Time,
    memories: BTreeMap<NodeUid, Memory>,
    slots: Option<SlotTable>,
    revision: u64,
    dead: BTreeMap<NodeUid, DeathCert>,
    /// Everybody who lived as far as one of them knows.
    known: BTreeSet<NodeUid>,
}

/// What the memories come to.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Who takes part again.
    pub(super) alive: Vec<Memory>,
    /// Who does not.
    pub(super) dead: Vec<DeathCert>,
    /// Largest slot epoch.
    pub(super) epoch: u32,
    /// Largest incarnation.
    pub(super) incarnation: u64,
    /// Largest revision.
    pub(super) revision: u64,
}

impl Recovery {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            left: window,
            last: Time::ZERO,
            memories: BTreeMap::new(),
            slots: None,
            revision: 0,
            dead: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    /// Whether there are nodes that wait for the window to close.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.memories.is_empty()
    }

    /// Lets time pass; says whether the window closes now.
    pub(super) fn pass(&mut self, now: Time) -> bool {
        self.left = self.left.saturating_sub(now.since(self.last).min(STEP));
        self.last = now;
        self.left.is_zero()
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Time {
        self.last + self.left.min(STEP)
    }

    /// Takes in what a node remembers. Beyond [`limit::NODES`] nothing is.
    pub(super) fn remember(&mut self, mut memory: Memory) {
        self.revision = self.revision.max(memory.revision);
        let dead = std::mem::take(&mut memory.dead);
        for certificate in dead.into_iter().take(limit::CERTIFICATES) {
            self.dead.insert(certificate.uid, certificate);
        }
        while self.dead.len() > limit::CERTIFICATES {
            self.dead.pop_first();
        }
        let known = std::mem::take(&mut memory.alive);
        self.known.extend(known.into_iter().take(limit::NODES.saturating_sub(self.known.len())).map(|uid| uid.0));
        if let Some(table) = SlotTable::decode(&std::mem::take(&mut memory.slots))
            && self.slots.as_ref().is_none_or(|known| known.highest() < table.highest())
        {
            self.slots = Some(table);
        }
        if self.memories.len() < limit::NODES || self.memories.contains_key(&memory.uid) {
            self.memories.insert(memory.uid, memory);
        }
    }

    /// Decides. Of several with one name only the youngest lives, and none if the name is `taken`.
    pub(super) fn close(self, taken: &BTreeSet<String>) -> Recovered {
        let mut youngest: BTreeMap<&str, u64> = BTreeMap::new();
        for memory in self.memories.values() {
            let latest = youngest.entry(&memory.info.name).or_default();
            *latest = memory.uid.incarnation.max(*latest);
        }
        let replaced = |memory: &Memory| {
            taken.contains(&memory.info.name) || youngest[memory.info.name.as_str()] != memory.uid.incarnation
        };
        let mut dead = self.dead.clone();
        for memory in self.memories.values().filter(|memory| replaced(memory)) {
            let why = "a newer process opened with the same name".into();
            dead.entry(memory.uid).or_insert(DeathCert { uid: memory.uid, why });
        }
        for uid in self.known.iter().filter(|uid| !self.memories.contains_key(*uid)) {
            let why = "it did not come back in time when the control plane had lost its memory".into();
            dead.entry(*uid).or_insert(DeathCert { uid: *uid, why });
        }
        let incarnations = self.memories.keys().chain(dead.keys()).map(|uid| uid.incarnation);
        Recovered {
            epoch: self.slots.as_ref().map_or(0, SlotTable::highest),
            incarnation: incarnations.max().unwrap_or(0),
            revision: self.revision,
            alive: self.memories.into_values().filter(|memory| !dead.contains_key(&memory.uid)).collect(),
            dead: dead.into_values().collect(),
        }
    }
}
