//! The mesh of one process: routes everything between its worlds, its gate and the other nodes.

mod io;
mod limits;

pub use io::{
    Candidate, Config, FromGate, Input, LinkId, NodeInfo, Output, Placement, Roles, SlotOwner, Spread, ToGate, View,
};
pub use limits::Limits;
