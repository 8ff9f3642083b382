//! The gate role of gobbq: sockets around the gate machine of `bbq-core`.
//!
//! ```text
//!  accept ──► connection tasks ──Input──► one task with the machine ──FromGate──► mesh
//!             sniff, TLS, HTTP,  ◄─Outbox─                           ◄──ToGate───
//!             WebSocket, decode
//! ```
//! One port serves everything: TLS (first byte `0x16`), the native protocol (`BBQ1`), WebSocket, and static pages.
//! Connection tasks read, decode and write; the machine decides. A connection that is slow or floods makes only itself
//! wait: its outbox is bounded by the machine, its input by the queue that it has to wait for.
//! What this crate never does: decide who may do what.

mod config;
mod jwt;
mod verifier;
mod websocket;
mod http;
mod socket;
mod outbox;
mod messages;
mod opening;
mod connection;
mod machine;
mod gate;
mod compat;

pub use bbq_core::compat::{Names, entity_id};
pub use bbq_core::gate::{AuthRequest, DuplicateLogin, Limits, MethodTable, Stats, Verified};
pub use compat::{Compat, CompatConfig};
pub use config::{GateConfig, Pages, StartError, TlsConfig};
pub use gate::{Counters, Ends, Gate};
pub use jwt::{JwtError, JwtKey};
pub use verifier::Verifier;
