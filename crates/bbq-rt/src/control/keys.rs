//! What an engine that only knows keys and leases must do, so that [`SharedControl`](super::shared::SharedControl) can
//! make a control plane of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bbq_core::control::{ControlError, Guard, TxnOutcome, Versioned, WatchEvent};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::WatchStream;
use crate::rpc::BoxFuture;

/// The answer of an engine.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, ControlError>>;

/// Names a lease for everybody, also in other processes, as text.
pub(super) type LeaseId = String;

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// With a lease, the key goes when the lease ends. The lease replaces the one that the key had.
    Put { key: String, value: Bytes, lease: Option<LeaseId> },
    /// Removes the key, if it is there.
    Delete { key: String },
}

impl Change {
    pub(super) fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    pub(super) fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    pub(super) fn key(&self) -> &str {
        let (Self::Put { key, .. } | Self::Delete { key }) = self;
        key
    }
}

/// Keys below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// In the order of keys.
    pub(super) entries: Vec<(String, Versioned)>,
    /// Everything up to here is in it.
    pub(super) revision: u64,
}

impl Listing {
    /// Begins a new watch with what there is. Gives the revision of each key, and that of the whole.
    ///
    /// # Panics
    /// When the channel has been used before and is full.
    pub(super) fn begin(self, events: &mpsc::Sender<WatchEvent>) -> (BTreeMap<String, u64>, u64) {
        let Self { entries, revision } = self;
        let state = entries.iter().map(|(key, value)| (key.clone(), value.revision)).collect();
        events.try_send(WatchEvent::Snapshot { entries, revision }).expect("a new channel has room");
        (state, revision)
    }
}

/// Keys with revisions, and leases.
///
/// Revisions grow; all writes of a transaction have the same. Reads see every write that was acknowledged before.
pub(super) trait Keys: Send + Sync + 'static {
    /// One key.
    fn get(&self, key: &str) -> Answer<'_, Option<Versioned>>;

    /// The keys that begin with `prefix`.
    fn list(&self, prefix: &str) -> Answer<'_, Listing>;

    /// Carries out all changes if all guards hold; no key is changed twice. At most 64 of both together.
    fn txn(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Answer<'_, TxnOutcome>;

    /// Writes a key that no guard ever looks at, which may be cheaper than a transaction.
    fn set(&self, key: String, value: Bytes) -> Answer<'_, ()>;

    /// As [`ControlPlane::watch`](super::ControlPlane::watch). An engine without a history answers every `from` with
    /// [`WatchEvent::Gap`](super::WatchEvent).
    fn watch(&self, prefix: &str, from: Option<u64>) -> Answer<'_, WatchStream>;

    /// A new lease, and its length: `ttl`, moved to the engine's bounds.
    fn grant(&self, ttl: Duration) -> Answer<'_, (LeaseId, Duration)>;

    /// Renews a lease; `false`: it is over.
    fn keep(&self, lease: &str) -> Answer<'_, bool>;

    /// Ends a lease, and the keys that have it.
    fn revoke(&self, lease: &str) -> Answer<'_, ()>;
}

/// Percent-encodes what engines with names in URLs and paths cannot take. A prefix of a key becomes a prefix of its name.
///
/// Everything but letters, digits, `_`, `-` and `:` is encoded; with `slashes`, a slash stays unless it follows another.
pub(super) fn encode(key: &str, slashes: bool) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    // The name follows a root that ends with a slash.
    let mut after_slash = true;
    for &byte in key.as_bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b':')
            || byte == b'/' && slashes && !after_slash;
        if plain {
            name.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            name.push('%');
            name.push(char::from(HEX[usize::from(byte >> 4)]));
            name.push(char::from(HEX[usize::from(byte & 15)]));
        }
        after_slash = byte == b'/';
    }
    name
}

/// The reverse of [`encode`]; `None`: nobody encoded it.
pub(super) fn decode(name: &str) -> Option<String> {
    let mut key = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            key.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            key.push(*first);
            rest = after;
        }
    }
    String::from_utf8(key).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_decode_to_their_keys_and_prefixes_stay_prefixes(key in "\\PC{0,40}", slashes: bool, at in 0_usize..40) {
            let name = encode(&key, slashes);
            prop_assert_eq!(decode(&name), Some(key.clone()));
            prop_assert!(!name.contains("//") && !name.starts_with('/') && !name.contains('.'));
            let prefix: String = key.chars().take(at).collect();
            prop_assert!(name.starts_with(&encode(&prefix, slashes)));
        }
    }
}
