//! The cluster as one immutable picture, folded from a watch of [`key::CLUSTER`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bbq_wire::{EntityId, NodeUid};

use super::identity;
use super::keyspace::key_and_revision;
use super::node::{DeathCert, Load, NodeRecord, key};
use super::protocol::{Versioned, WatchEvent};
use super::slots::{Slot, SlotTable};

/// Nodes, certificates and slots at a revision. Cloning copies references.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterView {
    /// Nodes without a death certificate.
    pub nodes: BTreeMap<NodeUid, Arc<NodeRecord>>,
    /// Incarnations that are dead for certain; the oldest are forgotten.
    pub dead: BTreeMap<NodeUid, Arc<DeathCert>>,
    /// Owners of the directory slots.
    pub slots: Arc<SlotTable>,
    /// Everything up to here is in it; 0: nothing was heard yet.
    pub revision: u64,
    /// Revision of each node record, for [`Request::Certify`](super::Request::Certify).
    pub node_revisions: BTreeMap<NodeUid, u64>,
}

impl ClusterView {
    /// The directory slot of an entity.
    #[must_use]
    pub fn slot_of(&self, entity: &EntityId) -> Slot {
        self.slots.slot(entity.slot())
    }

    /// Nodes that offer a kind.
    pub fn offering(&self, kind: u32) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.nodes.values().filter(move |node| node.info.services.iter().any(|service| service.kind == kind))
    }

    /// Takes in one event. Values that cannot be decoded are as good as absent; [`WatchEvent::Gap`] changes nothing,
    /// the snapshot after it replaces everything.
    pub fn apply(&mut self, event: WatchEvent) {
        self.revision = self.revision.max(key_and_revision(&event).1);
        match event {
            WatchEvent::Snapshot { entries, revision } => {
                *self = Self { revision, ..Self::default() };
                // A load counts only for a node that is there already.
                let (loads, others): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|(path, _)| path.starts_with(key::LOAD));
                others.into_iter().chain(loads).for_each(|(path, value)| self.put(&path, &value));
            }
            WatchEvent::Put { key, value } => self.put(&key, &value),
            WatchEvent::Del { key, .. } => self.delete(&key),
            WatchEvent::Gap => {}
        }
    }

    fn put(&mut self, path: &str, value: &Versioned) {
        if path == key::SLOTS {
            if let Some(table) = SlotTable::decode(&value.value) {
                self.slots = Arc::new(table);
            }
        } else if let Some(uid) = path.strip_prefix(key::NODE).and_then(key::uid) {
            if let Some(mut record) = NodeRecord::decode(&value.value) {
                if let Some(before) = self.nodes.get(&uid) {
                    record.load = before.load;
                }
                self.nodes.insert(uid, Arc::new(record));
                self.node_revisions.insert(uid, value.revision);
            }
        } else if let Some(uid) = path.strip_prefix(key::LOAD).and_then(key::uid) {
            if let (Some(node), Ok(load)) = (self.nodes.get_mut(&uid), identity::decode_named::<Load>(&value.value)) {
                Arc::make_mut(node).load = load;
            }
        } else if let Some(uid) = path.strip_prefix(key::DEAD).and_then(key::uid)
            && let Ok(certificate) = identity::decode_named(&value.value)
        {
            self.dead.insert(uid, Arc::new(certificate));
        }
    }

    fn delete(&mut self, path: &str) {
        if let Some(uid) = path.strip_prefix(key::NODE).and_then(key::uid) {
            self.nodes.remove(&uid);
            self.node_revisions.remove(&uid);
        } else if let Some(uid) = path.strip_prefix(key::DEAD).and_then(key::uid) {
            self.dead.remove(&uid);
        }
    }
}
