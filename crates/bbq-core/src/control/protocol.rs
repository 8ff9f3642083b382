//! Everything that can be asked of the control plane, and what it answers.

use std::fmt;

use bbq_wire::NodeUid;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::identity;
use super::node::{DeathCert, Load, Memory, NodeInfo, Session, key as reserved};

/// Named limits. What exceeds them is refused with [`ControlError::Invalid`].
pub mod limit {
    /// Most guards plus operations of a transaction (Consul's cap is 64).
    pub const TXN: usize = 32;
    /// Longest key, in bytes.
    pub const KEY_BYTES: usize = 512;
    /// Largest value that a transaction writes, in bytes.
    pub const VALUE_BYTES: usize = 256 << 10;
    /// Most bytes of keys and values that a transaction writes (Consul takes 512 KiB of JSON, with values in base64).
    pub const TXN_BYTES: usize = 320 << 10;
    /// Most keys, and most bytes of keys and values together (without membership, whose records have own limits).
    pub const KEYS: usize = 65_536;
    /// See [`KEYS`].
    pub const TOTAL_BYTES: usize = 64 << 20;
    /// Largest schema of a node, in bytes.
    pub const SCHEMA_BYTES: usize = 1 << 20;
    /// Largest rest of what a node says about itself, in bytes.
    pub const INFO_BYTES: usize = 256 << 10;
    /// Most nodes with a session.
    pub const NODES: usize = 4096;
    /// Most watches.
    pub const WATCHES: usize = 8192;
    /// Most death certificates that are kept; the oldest go first. An incarnation without a session and without a
    /// certificate is certified on demand, so forgetting one changes no decision.
    pub const CERTIFICATES: usize = 4096;
    /// Longest reason in a certificate, in bytes; the rest is cut off.
    pub const WHY_BYTES: usize = 256;
}

/// A value and the revision at which it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// Unique in the engine, growing.
    pub revision: u64,
}

/// A condition of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Guard {
    /// There is no such key.
    Absent(String),
    /// The key was last written at this revision.
    Revision(String, u64),
}

/// A write of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Write a value.
    Put {
        /// Where; not below [`key::CLUSTER`](super::key::CLUSTER).
        key: String,
        /// What, at most [`limit::VALUE_BYTES`].
        value: Bytes,
        /// Delete the key when this incarnation is certified dead. Locks and leadership are such keys.
        #[serde(with = "identity::optional_uid", default)]
        owner: Option<NodeUid>,
    },
    /// Remove a key, if it is there.
    Delete {
        /// Which one.
        key: String,
    },
}

impl Op {
    /// A write that outlives the writer.
    #[must_use]
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), owner: None }
    }
}

/// Whether a transaction keeps to the limits, as far as it can be told without the state.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_txn(guards: &[Guard], ops: &[Op]) -> Result<(), ControlError> {
    if guards.len() + ops.len() > limit::TXN {
        return Err(ControlError::invalid(format!("more than {} guards and operations", limit::TXN)));
    }
    let mut bytes = 0;
    for guard in guards {
        let (Guard::Absent(path) | Guard::Revision(path, _)) = guard;
        if path.is_empty() || path.len() > limit::KEY_BYTES {
            return Err(ControlError::invalid(format!("the key `{path}` is empty or too long")));
        }
    }
    for op in ops {
        let (Op::Put { key: path, .. } | Op::Delete { key: path }) = op;
        if path.is_empty() || path.len() > limit::KEY_BYTES || path.starts_with(reserved::CLUSTER) {
            return Err(ControlError::invalid(format!("`{path}` is empty, too long or below `{}`", reserved::CLUSTER)));
        }
        let Op::Put { value, .. } = op else { continue };
        if value.len() > limit::VALUE_BYTES {
            return Err(ControlError::invalid(format!("the value of `{path}` has {} bytes", value.len())));
        }
        bytes += path.len() + value.len();
    }
    if bytes > limit::TXN_BYTES {
        return Err(ControlError::invalid(format!("a transaction writes at most {} bytes", limit::TXN_BYTES)));
    }
    Ok(())
}

/// How a transaction ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TxnOutcome {
    /// Everything is written.
    Committed {
        /// Revision of the last write. With the embedded engine each write has its own, and they are consecutive; with
        /// others all writes of a transaction share one.
        revision: u64,
    },
    /// A guard failed, nothing is written.
    Conflict {
        /// Index of the first guard that failed.
        guard: usize,
    },
}

/// Names a watch among those of one engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WatchId(pub u64);

/// A request. Each can be sent again when its answer got lost, except for `Txn`: read first, then decide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Take part as a new incarnation. Answered with [`Response::Session`].
    Open {
        /// Who.
        info: NodeInfo,
        /// Wanted lease length in milliseconds; 0: the engine's default. The engine's bounds apply.
        ttl_ms: u32,
    },
    /// Keep the lease. Answered with [`Response::Done`], or [`ControlError::Lost`].
    Renew {
        /// Whose.
        #[serde(with = "identity::uid")]
        uid: NodeUid,
        /// News about the load.
        load: Load,
    },
    /// Continue as the same incarnation after the lease was lost. Answered with [`Response::Session`].
    Reattach {
        /// Who.
        #[serde(with = "identity::uid")]
        uid: NodeUid,
    },
    /// Take part as the same incarnation although the engine forgot it: what an engine without memory needs after a
    /// restart. Answered with [`Response::Session`]; with [`ControlError::Unreachable`] while it waits for the others to
    /// come as well; with [`ControlError::Lost`] and a certificate by an engine that remembers.
    Rejoin(Box<Memory>),
    /// Decide that an incarnation is dead, or leave in good order. Answered with [`Response::Certificate`]: the one in
    /// force, whoever was first.
    Certify {
        /// Who.
        #[serde(with = "identity::uid")]
        uid: NodeUid,
        /// Revision of the node record that the accuser saw; `None`: whatever it is. A node that reattached since then
        /// has another one: [`ControlError::Conflict`].
        seen: Option<u64>,
        /// For people.
        why: String,
    },
    /// Read one key. Answered with [`Response::Value`].
    Get {
        /// Which one.
        key: String,
    },
    /// Write several keys if all guards hold. Answered with [`Response::Txn`].
    Txn {
        /// All must hold.
        guards: Vec<Guard>,
        /// Carried out in order.
        ops: Vec<Op>,
    },
    /// Hear about the keys that begin with a prefix. Answered with [`Response::Done`], then events follow.
    Watch {
        /// Names the watch from now on; chosen by the asker, not in use.
        id: WatchId,
        /// Which keys.
        prefix: String,
        /// Only what came after this revision; `None`: begin with a snapshot.
        from: Option<u64>,
    },
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The session.
    Session(Session),
    /// The certificate in force.
    Certificate(DeathCert),
    /// The value, if there is one.
    Value(Option<Versioned>),
    /// How the transaction ended.
    Txn(TxnOutcome),
    /// Nothing more to say.
    Done,
}

/// What a watch tells.
///
/// Of a key that changes quickly, some engines tell only the latest value; none leaves out the last one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WatchEvent {
    /// All keys at a revision; always the first event of a watch that began without a revision.
    Snapshot {
        /// In the order of keys.
        entries: Vec<(String, Versioned)>,
        /// Everything up to here is in it.
        revision: u64,
    },
    /// A key was written.
    Put {
        /// Which one.
        key: String,
        /// What, and at which revision.
        value: Versioned,
    },
    /// A key was removed.
    Del {
        /// Which one.
        key: String,
        /// At which revision.
        revision: u64,
    },
    /// Something was missed, or the engine does not know its past, and this watch is over: take a new snapshot.
    Gap,
}

/// Why a request failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ControlError {
    /// The lease of this incarnation is over. Without a certificate it may reattach; with one it is dead, or was never
    /// heard of by this engine: open a new session.
    Lost {
        /// Whose lease.
        #[serde(with = "identity::uid")]
        uid: NodeUid,
        /// The decision, when it has been taken.
        certificate: Option<DeathCert>,
    },
    /// The engine did not answer. It may have carried out the request or not.
    Unreachable {
        /// For people.
        why: String,
    },
    /// The engine does not let this process in; trying again does not help until one of them is set up differently.
    Refused {
        /// For people.
        why: String,
    },
    /// A compare-and-set found something else; nothing was written.
    Conflict {
        /// What it found.
        revision: u64,
    },
    /// The request breaks a rule or a limit, and always will.
    Invalid {
        /// For people.
        why: String,
    },
}

impl ControlError {
    /// A request that breaks a rule.
    #[must_use]
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid { why: why.into() }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { uid, certificate: None } => write!(f, "the lease of {uid} is over"),
            Self::Lost { uid, certificate: Some(cert) } => write!(f, "{uid} is dead: {}", cert.why),
            Self::Unreachable { why } => write!(f, "the control plane is unreachable: {why}"),
            Self::Refused { why } => write!(f, "the control plane does not let this process in: {why}"),
            Self::Conflict { revision } => write!(f, "the record is at revision {revision}"),
            Self::Invalid { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for ControlError {}
