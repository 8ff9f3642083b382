//! Tokio shells shared by the roles of gobbq: sockets, clock, stores, control plane.
pub mod clock;
pub mod queue;
pub mod secret;
mod openings;
pub mod rpc;
pub mod store;
pub mod control;
pub mod mesh;
