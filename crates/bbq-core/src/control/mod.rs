//! The control plane: who is alive, who is dead for certain, who owns which directory slot, and small shared values.
//!
//! ```text
//!                    ttl without renewal              grace
//! open ──► Attached ───────────────────► Suspected ─────────► Dead: certificate, node record gone, slots moved
//!             ▲  ▲ renew                     │                  ▲
//!             │  └─┘                         │ certify_dead     │
//!             └──────── reattach ────────────┴──────────────────┘
//! ```
//!
//! A lease is not a fence: expiry is only suspicion. The decision is the death certificate, written once by
//! compare-and-set; a certificate and a reattachment never both succeed. Ids of nodes are never used twice.
//!
//! Membership is ordinary keys below [`key::CLUSTER`], so that one watch tells everything ([`ClusterView`]) and any
//! engine with revisions, guards, leases and watches (etcd, Consul, ZooKeeper) can stand in for [`Engine`], the embedded
//! one; what [`Engine`] decides by itself is then decided by the [`Caretaker`] of each node.
//!
//! There is never an entry per entity here, and never a message: kilobytes that change at the speed of membership.

pub(crate) mod identity;
mod node;
mod protocol;
mod keyspace;
mod slots;
mod view;
mod caretaker;
mod recovery;
mod engine;
mod keeper;

pub use caretaker::{Caretaker, Duty, Registry};
pub use engine::{Config, Engine, Input, Output, RequestId, RestoreError, Write};
pub use identity::{decode_named, encode_named};
pub use keeper::{Keeper, Note, Standing, Task};
pub use node::{
    DeathCert, Load, Memory, MethodRecord, NodeInfo, NodeRecord, Roles, ServiceRecord, Session, Uid, key, number,
};
pub use protocol::{
    ControlError, Guard, Op, Request, Response, TxnOutcome, Versioned, WatchEvent, WatchId, check_txn, limit,
};
pub use slots::{Slot, SlotTable};
pub use view::ClusterView;

#[cfg(test)]
mod tests;
