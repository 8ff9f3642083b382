//! What somebody must do for a cluster whose engine only knows keys and leases: certify those whose lease ran out, and
//! give slots to proxies. Every node has a caretaker; their writes are compare-and-set, so it does not matter who acts.
//!
//! They do not act all at once: the node with the smallest uid is first, the others give it time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bbq_wire::{NodeUid, Time};

use super::keyspace::key_and_revision;
use super::node::{Roles, key};
use super::protocol::{Guard, WatchEvent};
use super::slots::{self, SlotTable};
use super::view::ClusterView;

/// How much later the next in line acts, and the most that anybody waits.
const TURN: Duration = Duration::from_millis(200);
const LAST_TURN: Duration = Duration::from_secs(1);

/// Membership with the leases behind it, folded from a watch of [`key::CLUSTER`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    /// What everybody sees.
    pub view: ClusterView,
    /// Incarnations whose lease holds.
    pub sessions: BTreeSet<NodeUid>,
    /// Of the slot table; `None`: there is none yet.
    pub slots_revision: Option<u64>,
}

impl Registry {
    /// Takes in one event.
    pub fn apply(&mut self, event: WatchEvent) {
        match &event {
            WatchEvent::Snapshot { entries, .. } => {
                (self.sessions, self.slots_revision) = (BTreeSet::new(), None);
                entries.iter().for_each(|(path, value)| self.put(path, value.revision));
            }
            WatchEvent::Put { key, value } => self.put(key, value.revision),
            WatchEvent::Del { key, .. } => {
                if let Some(uid) = session_uid(key) {
                    self.sessions.remove(&uid);
                } else if key == key::SLOTS {
                    self.slots_revision = None;
                }
            }
            WatchEvent::Gap => {}
        }
        let revision = key_and_revision(&event).1.max(self.view.revision);
        self.view.apply(event);
        self.view.revision = revision;
    }

    fn put(&mut self, path: &str, revision: u64) {
        if let Some(uid) = session_uid(path) {
            self.sessions.insert(uid);
        } else if path == key::SLOTS {
            self.slots_revision = Some(revision);
        }
    }
}

fn session_uid(path: &str) -> Option<NodeUid> {
    path.strip_prefix(key::SESSION).and_then(key::uid)
}

/// Something to be done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Duty {
    /// Write a certificate, if the node record is still at this revision and its session still gone.
    Certify {
        /// Whose.
        uid: NodeUid,
        /// Revision of the node record.
        seen: u64,
    },
    /// Write the slot table, if the guard on [`key::SLOTS`] holds.
    Assign {
        /// With new owners.
        table: SlotTable,
        /// The table that this one follows.
        guard: Guard,
    },
}

/// The machine. It has no outputs of its own: [`Caretaker::duties`] says what is due.
#[derive(Debug)]
pub struct Caretaker {
    grace: Duration,
    /// Since when the lease of a node record (at a revision) is gone.
    suspects: BTreeMap<NodeUid, (u64, Time)>,
    /// Since when the owners of the slots are not the right ones.
    misplaced: Option<Time>,
    deadline: Option<Time>,
}

impl Caretaker {
    /// Certifies nodes whose lease has been gone for `grace` and a third of its length: who could not renew because the
    /// engine was away tries again every quarter, and must have had the chance to reattach.
    #[must_use]
    pub const fn new(grace: Duration) -> Self {
        Self { grace, suspects: BTreeMap::new(), misplaced: None, deadline: None }
    }

    /// The engine was away: nobody knows what happened meanwhile, and everybody gets the whole grace again.
    pub fn forgive(&mut self) {
        self.suspects.clear();
        self.misplaced = None;
    }

    /// What is due. `mine`: incarnations of this process, which decide how soon it is its turn.
    pub fn duties(&mut self, now: Time, registry: &Registry, mine: &BTreeSet<NodeUid>) -> Vec<Duty> {
        let turn = turn(registry, mine);
        let (mut duties, mut deadline) = (Vec::new(), None::<Time>);
        let mut due = |at: Time| {
            if at > now {
                deadline = Some(deadline.map_or(at, |before| before.min(at)));
            }
            at <= now
        };
        let gone = registry.view.node_revisions.iter().filter(|(uid, _)| !registry.sessions.contains(uid));
        let since = |uid, revision| match self.suspects.get(&uid) {
            Some((seen, since)) if *seen == revision => *since,
            _ => now,
        };
        self.suspects = gone.map(|(uid, revision)| (*uid, (*revision, since(*uid, *revision)))).collect();
        for (&uid, &(seen, since)) in &self.suspects {
            let lease = registry.view.nodes.get(&uid).map_or(0, |node| node.ttl_ms);
            let chance = Duration::from_millis(u64::from(lease) / 3);
            if due(since + self.grace + chance + turn) {
                duties.push(Duty::Certify { uid, seen });
            }
        }
        match (next_table(registry), self.misplaced) {
            (None, _) => self.misplaced = None,
            (Some(table), since) => {
                let since = *self.misplaced.insert(since.unwrap_or(now));
                if due(since + turn) {
                    let path = key::SLOTS.to_owned();
                    let guard = match registry.slots_revision {
                        None => Guard::Absent(path),
                        Some(revision) => Guard::Revision(path, revision),
                    };
                    duties.push(Duty::Assign { table, guard });
                }
            }
        }
        self.deadline = deadline;
        duties
    }

    /// When to ask for [`Caretaker::duties`] again, if the registry does not change before.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.deadline
    }
}

/// How long to wait for those before us.
fn turn(registry: &Registry, mine: &BTreeSet<NodeUid>) -> Duration {
    let alive = registry.sessions.iter().filter(|uid| registry.view.nodes.contains_key(uid));
    let first = alive.clone().find(|uid| mine.contains(uid));
    let Some(first) = first else { return LAST_TURN };
    let before = alive.take_while(|uid| *uid != first).count();
    (TURN * u32::try_from(before).unwrap_or(u32::MAX).min(100)).min(LAST_TURN)
}

/// The slot table as it should be, if it is another one.
fn next_table(registry: &Registry) -> Option<SlotTable> {
    if registry.view.revision == 0 {
        return None;
    }
    let proxies = registry.view.nodes.values().filter(|node| node.info.roles.contains(Roles::PROXY));
    let owners = slots::owners(proxies.map(|node| (node.uid, node.load.weight)));
    let mut table = (*registry.view.slots).clone();
    table.assign(&owners).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{NodeInfo, NodeRecord, Versioned};

    fn uid(node: u32) -> NodeUid {
        NodeUid { node, incarnation: u64::from(node) }
    }

    fn put(key: String, value: impl Into<bytes::Bytes>, revision: u64) -> WatchEvent {
        WatchEvent::Put { key, value: Versioned { value: value.into(), revision } }
    }

    /// Proxies 1..=count, all alive, with leases of this length.
    fn leased(count: u32, ttl_ms: u32) -> Registry {
        let mut registry = Registry::default();
        registry.apply(WatchEvent::Snapshot { entries: Vec::new(), revision: 1 });
        for node in 1..=count {
            let info = NodeInfo { roles: Roles::PROXY, weight: 100, ..NodeInfo::default() };
            let record = NodeRecord { uid: uid(node), info, ttl_ms, ..NodeRecord::default() };
            registry.apply(put(key::node(uid(node)), record.encode(), u64::from(node) + 1));
            registry.apply(put(key::session(uid(node)), "", u64::from(node) + 1));
        }
        registry
    }

    fn registry(count: u32) -> Registry {
        leased(count, 0)
    }

    fn seconds(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn settled(caretaker: &mut Caretaker, registry: &mut Registry, now: Time) {
        for duty in caretaker.duties(now, registry, &[uid(1)].into()) {
            let Duty::Assign { table, .. } = duty else { panic!("{duty:?}") };
            registry.apply(put(key::SLOTS.into(), table.encode(), 50));
        }
        assert_eq!(caretaker.duties(now, registry, &[uid(1)].into()), []);
    }

    #[test]
    fn the_first_node_assigns_slots_at_once_and_the_last_waits() {
        let registry = registry(9);
        let mut first = Caretaker::new(Duration::from_secs(1));
        let duties = first.duties(seconds(10), &registry, &[uid(1)].into());
        let [Duty::Assign { table, guard: Guard::Absent(_) }] = &duties[..] else { panic!("{duties:?}") };
        assert!(table.iter().all(|(_, slot)| slot.owner.is_some()));
        for (mine, at) in [(uid(2), Duration::from_millis(200)), (uid(9), LAST_TURN), (uid(77), LAST_TURN)] {
            let mut other = Caretaker::new(Duration::from_secs(1));
            assert_eq!(other.duties(seconds(10), &registry, &[mine].into()), []);
            assert_eq!(other.deadline(), Some(seconds(10) + at));
            assert_eq!(other.duties(seconds(10) + at, &registry, &[mine].into()).len(), 1);
        }
    }

    #[test]
    fn before_anything_was_heard_nothing_is_due() {
        let mut caretaker = Caretaker::new(Duration::ZERO);
        assert_eq!(caretaker.duties(seconds(1), &Registry::default(), &BTreeSet::new()), []);
        assert_eq!(caretaker.deadline(), None);
    }

    #[test]
    fn a_lease_that_is_gone_for_the_grace_is_certified_and_one_that_came_back_is_not() {
        let (mut caretaker, mut registry) = (Caretaker::new(Duration::from_secs(2)), registry(3));
        settled(&mut caretaker, &mut registry, seconds(1));
        for node in [2, 3] {
            registry.apply(WatchEvent::Del { key: key::session(uid(node)), revision: 60 });
        }
        let mine = [uid(1)].into();
        assert_eq!(caretaker.duties(seconds(2), &registry, &mine), []);
        registry.apply(put(key::session(uid(3)), "", 61));
        assert_eq!(caretaker.deadline(), Some(seconds(4)));
        assert_eq!(caretaker.duties(seconds(4), &registry, &mine), [Duty::Certify { uid: uid(2), seen: 3 }]);
    }

    #[test]
    fn who_reattached_in_between_begins_a_new_grace() {
        let (mut caretaker, mut registry) = (Caretaker::new(Duration::from_secs(2)), registry(2));
        settled(&mut caretaker, &mut registry, seconds(1));
        registry.apply(WatchEvent::Del { key: key::session(uid(2)), revision: 60 });
        let mine = [uid(1)].into();
        assert_eq!(caretaker.duties(seconds(2), &registry, &mine), []);
        // Reattached and lost again between two looks: the record has another revision.
        let record = registry.view.nodes[&uid(2)].encode();
        registry.apply(put(key::node(uid(2)), record, 61));
        assert_eq!(caretaker.duties(seconds(4), &registry, &mine), []);
        assert_eq!(caretaker.duties(seconds(6), &registry, &mine), [Duty::Certify { uid: uid(2), seen: 61 }]);
    }

    #[test]
    fn the_longer_the_lease_the_longer_may_a_reattachment_take() {
        let (mut caretaker, mut registry) = (Caretaker::new(Duration::from_secs(1)), leased(2, 9000));
        settled(&mut caretaker, &mut registry, seconds(1));
        registry.apply(WatchEvent::Del { key: key::session(uid(2)), revision: 60 });
        assert_eq!(caretaker.duties(seconds(2), &registry, &[uid(1)].into()), []);
        assert_eq!(caretaker.deadline(), Some(seconds(6)));
    }

    #[test]
    fn an_engine_that_was_away_gives_everybody_the_whole_grace_again() {
        let (mut caretaker, mut registry) = (Caretaker::new(Duration::from_secs(2)), registry(2));
        settled(&mut caretaker, &mut registry, seconds(1));
        registry.apply(WatchEvent::Del { key: key::session(uid(2)), revision: 60 });
        let mine = [uid(1)].into();
        assert_eq!(caretaker.duties(seconds(2), &registry, &mine), []);
        caretaker.forgive();
        assert_eq!(caretaker.duties(seconds(9), &registry, &mine), []);
        assert_eq!(caretaker.deadline(), Some(seconds(11)));
    }
}
