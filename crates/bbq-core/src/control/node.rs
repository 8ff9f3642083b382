//! What the cluster knows about a node.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::BitOr;
use std::time::Duration;

use bbq_wire::NodeUid;
use bbq_wire::id::fnv1a_32;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::identity;
use super::protocol::{ControlError, limit};

/// Where membership lies in the key space. Only the engine writes there.
pub mod key {
    use bbq_wire::NodeUid;

    /// Prefix of everything that makes a [`ClusterView`](crate::control::ClusterView).
    pub const CLUSTER: &str = "cluster/";
    /// The [`SlotTable`](crate::control::SlotTable).
    pub const SLOTS: &str = "cluster/slots";
    /// Before the uid of every node record.
    pub const NODE_PREFIX: &str = NODE;
    pub(crate) const NODE: &str = "cluster/node/";
    pub(crate) const LOAD: &str = "cluster/load/";
    pub(crate) const DEAD: &str = "cluster/dead/";
    pub(crate) const SESSION: &str = "cluster/session/";

    /// Holds the [`NodeRecord`](crate::control::NodeRecord) while the node has no death certificate.
    #[must_use]
    pub fn node(uid: NodeUid) -> String {
        format!("{NODE}{uid}")
    }

    /// Holds the [`Load`](crate::control::Load) that the node reported last.
    #[must_use]
    pub fn load(uid: NodeUid) -> String {
        format!("{LOAD}{uid}")
    }

    /// Holds the [`DeathCert`](crate::control::DeathCert).
    #[must_use]
    pub fn dead(uid: NodeUid) -> String {
        format!("{DEAD}{uid}")
    }

    /// Exists while the lease of a node holds, with engines that only know keys and leases.
    #[must_use]
    pub fn session(uid: NodeUid) -> String {
        format!("{SESSION}{uid}")
    }

    /// The incarnation whose node record such a key holds.
    #[must_use]
    pub fn node_uid(path: &str) -> Option<NodeUid> {
        path.strip_prefix(NODE).and_then(uid)
    }

    /// The incarnation whose load such a key holds.
    #[must_use]
    pub fn load_uid(path: &str) -> Option<NodeUid> {
        path.strip_prefix(LOAD).and_then(uid)
    }

    /// The incarnation whose certificate such a key holds.
    #[must_use]
    pub fn dead_uid(path: &str) -> Option<NodeUid> {
        path.strip_prefix(DEAD).and_then(uid)
    }

    /// The uid at the end of such a key.
    pub(crate) fn uid(text: &str) -> Option<NodeUid> {
        let (node, incarnation) = text.split_once('.')?;
        Some(NodeUid { node: node.parse().ok()?, incarnation: incarnation.parse().ok()? })
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub u32);

impl Roles {
    /// Holds clients.
    pub const GATE: Self = Self(1);
    /// Routes frames and owns directory slots.
    pub const PROXY: Self = Self(2);
    /// Runs entities and services.
    pub const GAME: Self = Self(4);
    /// Serves the control plane, the Store and the console.
    pub const CENTER: Self = Self(8);

    /// Whether all of `roles` are in the set.
    #[must_use]
    pub const fn contains(self, roles: Self) -> bool {
        self.0 & roles.0 == roles.0
    }
}

impl BitOr for Roles {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::GATE, "gate"), (Self::PROXY, "proxy"), (Self::GAME, "game"), (Self::CENTER, "center")];
        let held: Vec<&str> = names.iter().filter(|(role, _)| self.contains(*role)).map(|(_, name)| *name).collect();
        f.write_str(&held.join("+"))
    }
}

/// A service or an entity type that a node offers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRecord {
    /// Hash of the full name, as in [`EntityId`](bbq_wire::EntityId).
    pub kind: u32,
    /// Full name, such as `chat.Room`.
    pub name: String,
    /// An entity type; otherwise a service without identity.
    pub entity: bool,
    /// Has methods that clients may call.
    pub client: bool,
    /// Hash of its descriptor; 0 when unknown. Differs between versions during a rolling update.
    pub version: u64,
    /// What a gate must know to let clients call it.
    pub methods: Vec<MethodRecord>,
}

/// A method of a service or an entity type.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodRecord {
    /// Name in the proto.
    pub name: String,
    /// Wire id.
    pub id: u32,
    /// A client may call it.
    pub client: bool,
    /// Nobody waits for an answer.
    pub oneway: bool,
    /// Default deadline in milliseconds; 0 = the framework's.
    pub timeout_ms: u32,
    /// Largest request of a client in bytes; 0 = the gate's limit.
    pub max_bytes: u32,
    /// Limit per session: time between two calls in nanoseconds; 0 = none.
    pub interval_ns: u64,
    /// Limit per session: how many may come at once.
    pub burst: u32,
}

/// What a node says about itself when it opens its session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeInfo {
    /// Unique in the cluster. When a second process opens with the name of a live one, the older incarnation is
    /// certified dead: a restart does not have to wait for its predecessor's lease.
    pub name: String,
    /// A number drawn at random for this opening: the same name *and* start is the same opening, sent again. 0: none was
    /// drawn; the port does it then.
    pub start: u64,
    /// What it does.
    pub roles: Roles,
    /// Where its mesh listens, `host:port` or `unix:path`; empty: nowhere.
    pub address: String,
    /// For filters: zone, version, hardware.
    pub labels: BTreeMap<String, String>,
    /// What it offers.
    pub services: Vec<ServiceRecord>,
    /// Encoded `FileDescriptorSet` of what it offers; at most [`limit::SCHEMA_BYTES`](crate::control::limit).
    pub schema: Bytes,
    /// Share of work relative to other nodes; 100 is normal, 0 takes nothing new.
    pub weight: u32,
}

impl NodeInfo {
    /// Whether it keeps to the limits.
    ///
    /// # Errors
    /// Says which limit it breaks.
    pub fn check(&self) -> Result<(), ControlError> {
        if self.name.is_empty() || self.name.len() > limit::KEY_BYTES {
            return Err(ControlError::invalid("the name of a node has 1 to 512 bytes"));
        }
        if self.schema.len() > limit::SCHEMA_BYTES {
            return Err(ControlError::invalid(format!("a schema has at most {} bytes", limit::SCHEMA_BYTES)));
        }
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let methods =
            |service: &ServiceRecord| -> usize { service.methods.iter().map(|method| method.name.len() + 64).sum() };
        let services: usize = self.services.iter().map(|service| service.name.len() + 32 + methods(service)).sum();
        if self.address.len() + labels + services > limit::INFO_BYTES {
            return Err(ControlError::invalid(format!("a node says at most {} bytes about itself", limit::INFO_BYTES)));
        }
        Ok(())
    }
}

/// What a node reports with every renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// As [`NodeInfo::weight`]; 0 while the node drains.
    pub weight: u32,
    /// How much of its capacity is in use, in thousandths.
    pub permille: u32,
    /// Entities that live on it.
    pub entities: u64,
    /// Sessions of its gate, those without a connection included.
    pub sessions: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self { weight: 100, permille: 0, entities: 0, sessions: 0 }
    }
}

/// A node as others see it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeRecord {
    /// This incarnation.
    #[serde(with = "identity::uid")]
    pub uid: NodeUid,
    /// What it said when it opened.
    pub info: NodeInfo,
    /// Length of its lease, in milliseconds.
    pub ttl_ms: u32,
    /// What it reported last. Stored under a key of its own, because it changes often.
    #[serde(skip)]
    pub load: Load,
}

impl NodeRecord {
    /// The value below [`key::node`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        identity::encode_named(self)
    }

    /// The reverse of [`NodeRecord::encode`]; the load is the one of a node that just opened.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut record: Self = identity::decode_named(bytes).ok()?;
        record.load.weight = record.info.weight;
        Some(record)
    }
}

/// The decision that an incarnation is dead. It is never taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeathCert {
    /// Who is dead.
    #[serde(with = "identity::uid")]
    pub uid: NodeUid,
    /// For people.
    pub why: String,
}

impl DeathCert {
    /// A certificate; of the reason, the first [`limit::WHY_BYTES`] are kept.
    #[must_use]
    pub fn new(uid: NodeUid, why: &str) -> Self {
        let end = (0..=why.len().min(limit::WHY_BYTES)).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        Self { uid, why: why[..end].to_owned() }
    }

    /// What is told to an incarnation that has neither a record nor a certificate.
    #[must_use]
    pub fn of_unknown(uid: NodeUid) -> Self {
        Self { uid, why: "this control plane does not know the incarnation".into() }
    }
}

/// The right of an incarnation to take part, as long as it is renewed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Who one is.
    #[serde(with = "identity::uid")]
    pub uid: NodeUid,
    /// Lease length in force, in milliseconds. Stop starting turns a quarter of it before the lease ends.
    pub ttl_ms: u32,
    /// Revision of the node record: who accuses a node says which one it saw.
    pub revision: u64,
}

impl Session {
    /// Lease length in force.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms as u64)
    }
}

/// What a node tells an engine that lost its memory, to take part as the same incarnation again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Who it is.
    #[serde(with = "identity::uid")]
    pub uid: NodeUid,
    /// What it said when it opened, `start` included.
    pub info: NodeInfo,
    /// Length of its lease, in milliseconds.
    pub ttl_ms: u32,
    /// The [`SlotTable`](crate::control::SlotTable) that it saw last, encoded.
    pub slots: Bytes,
    /// The revision of the last picture that it saw.
    pub revision: u64,
    /// Certificates that it knows.
    pub dead: Vec<DeathCert>,
    /// Nodes that live as far as it knows.
    pub alive: Vec<Uid>,
}

/// A [`NodeUid`] in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uid(#[serde(with = "identity::uid")] pub NodeUid);

impl Memory {
    /// With everything that a picture of the cluster tells.
    #[must_use]
    pub fn of(uid: NodeUid, info: NodeInfo, ttl_ms: u32, view: &super::ClusterView) -> Self {
        let dead = view.dead.values().map(|certificate| (**certificate).clone()).collect();
        let alive = view.nodes.keys().copied().map(Uid).collect();
        Self { uid, info, ttl_ms, slots: view.slots.encode(), revision: view.revision, dead, alive }
    }
}

/// The number of a node: a hash of its name, so that it is the same after every restart and with every engine.
///
/// Two names with one hash do no harm to correctness: the incarnation alone is unique in a cluster.
#[must_use]
pub fn number(name: &str) -> u32 {
    fnv1a_32(name)
}
