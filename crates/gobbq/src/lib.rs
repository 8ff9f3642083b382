//! gobbq: the game backend framework. This is the crate that games depend on.
//!
//! ```ignore
//! use gobbq::prelude::*;
//! gobbq::include_proto!();           // what bbq_gen::build made of your proto files
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> gobbq::Result<()> {
//!     gobbq::App::from_env()?.add(chat::RoomRef::entity::<Room>()).run().await
//! }
//! ```
//! The guide is in `docs/`; [`world::Ctx`] is what handlers work with.

pub mod options;
mod failure;
mod registration;
mod busy;
mod identity;
mod original;
pub mod logs;
mod tuning;
pub mod node;
mod app;

pub use app::{App, wait_for_the_end};
pub use bbq_core::codegen;
pub use bbq_core::world;
pub use bbq_core::world::Definition;
pub use bbq_gate::{AuthRequest, JwtKey, Pages, Verified, Verifier};
pub use bbq_sim as sim;
pub use failure::{Failure, Result};
pub use logs::init as init_logs;
pub use options::Options;

/// Limits and policies that [`App`] takes.
pub mod limits {
    pub use bbq_core::desc::Rate;
    pub use bbq_core::gate::{DuplicateLogin, Limits as GateLimits};
    pub use bbq_core::mesh::{Candidate, Limits as MeshLimits, Spread};
    pub use bbq_wire::delivery::{RingLimits, WhenFull};
    pub use bbq_wire::gate::GateConfig as SessionLimits;

    pub use crate::tuning::{Place, Tuning, WorldLimits};
}

/// What a game's source files import.
pub mod prelude {
    pub use std::time::Duration;

    pub use bbq_core::Payload;
    pub use bbq_core::world::{ClientRef, Ctx, Definition, Note, SessionEvent, StopReason};
    pub use bbq_wire::{Code, EntityId, Error, Key, NodeUid, Result, SessionId, Time};
}

/// Includes what `bbq_gen::build` made in the build script: one module for each proto package.
#[macro_export]
macro_rules! include_proto {
    () => {
        include!(concat!(env!("OUT_DIR"), "/gobbq.rs"));
    };
}
