//! Keys with revisions, and a bounded history of their changes.

use std::collections::{BTreeMap, VecDeque};

use bbq_wire::NodeUid;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::identity;
use super::node::key;
use super::protocol::{Versioned, WatchEvent};

/// What is kept, in memory and on disk, about a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) value: Bytes,
    pub(crate) revision: u64,
    #[serde(with = "identity::optional_uid", default)]
    pub(crate) owner: Option<NodeUid>,
}

impl Entry {
    pub(crate) fn versioned(&self) -> Versioned {
        Versioned { value: self.value.clone(), revision: self.revision }
    }
}

/// The history forgets when it holds this many bytes of values, whatever its length.
const HISTORY_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
    revision: u64,
    /// Put and Del events, oldest first.
    history: VecDeque<WatchEvent>,
    history_bytes: usize,
    /// The last revision that is not in the history any more.
    forgotten: u64,
}

impl Keyspace {
    /// Loads what was stored. Watches cannot begin before `revision`.
    pub(crate) fn restored(entries: BTreeMap<String, Entry>, revision: u64) -> Self {
        let bytes = entries.iter().map(|(key, entry)| counted(key, &entry.value)).sum();
        Self { entries, bytes, revision, forgotten: revision, ..Self::default() }
    }

    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Revisions go on above `revision`. Nobody can have watched in between: what was there is a gap.
    pub(crate) fn skip_to(&mut self, revision: u64) {
        if self.revision < revision {
            (self.revision, self.forgotten) = (revision, revision);
            self.history.clear();
            self.history_bytes = 0;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Of keys and values; membership has limits of its own and does not count.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn keys_of(&self, owner: NodeUid) -> Vec<String> {
        let owned = self.entries.iter().filter(|(_, entry)| entry.owner == Some(owner));
        owned.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn put(&mut self, key: String, value: Bytes, owner: Option<NodeUid>, history: usize) -> WatchEvent {
        self.revision += 1;
        self.bytes += counted(&key, &value);
        let entry = Entry { value, revision: self.revision, owner };
        let event = WatchEvent::Put { key: key.clone(), value: entry.versioned() };
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.bytes -= counted(&key, &before.value);
        }
        self.remember(event.clone(), history);
        event
    }

    pub(crate) fn delete(&mut self, key: &str, history: usize) -> Option<WatchEvent> {
        let before = self.entries.remove(key)?;
        self.revision += 1;
        self.bytes -= counted(key, &before.value);
        let event = WatchEvent::Del { key: key.to_owned(), revision: self.revision };
        self.remember(event.clone(), history);
        Some(event)
    }

    pub(crate) fn snapshot(&self, prefix: &str) -> WatchEvent {
        let below = self.entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let entries = below.map(|(key, entry)| (key.clone(), entry.versioned())).collect();
        WatchEvent::Snapshot { entries, revision: self.revision }
    }

    /// What happened below `prefix` after `from`; `None`: it is not known any more.
    pub(crate) fn since(&self, prefix: &str, from: u64) -> Option<Vec<WatchEvent>> {
        if from < self.forgotten || from > self.revision {
            return None;
        }
        let later = self.history.iter().filter(|event| {
            let (key, revision) = key_and_revision(event);
            revision > from && key.starts_with(prefix)
        });
        Some(later.cloned().collect())
    }

    fn remember(&mut self, event: WatchEvent, limit: usize) {
        self.history_bytes += weight(&event);
        self.history.push_back(event);
        while self.history.len() > limit || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { return };
            self.history_bytes -= weight(&oldest);
            self.forgotten = key_and_revision(&oldest).1;
        }
    }
}

fn counted(key: &str, value: &Bytes) -> usize {
    if key.starts_with(key::CLUSTER) { 0 } else { key.len() + value.len() }
}

/// Of a change.
pub(crate) fn key_and_revision(event: &WatchEvent) -> (&str, u64) {
    match event {
        WatchEvent::Put { key, value } => (key, value.revision),
        WatchEvent::Del { key, revision } => (key, *revision),
        WatchEvent::Snapshot { revision, .. } => ("", *revision),
        WatchEvent::Gap => ("", 0),
    }
}

fn weight(event: &WatchEvent) -> usize {
    match event {
        WatchEvent::Put { key, value } => key.len() + value.value.len(),
        WatchEvent::Del { key, .. } => key.len(),
        WatchEvent::Snapshot { .. } | WatchEvent::Gap => 0,
    }
}
