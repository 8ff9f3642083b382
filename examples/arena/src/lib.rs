//! A browser game: ships in a square that shoot at each other, 20 steps a second.
//!
//! [`sim`] has the rules and knows nothing of networks. [`ArenaEntity`](arena::ArenaEntity) is the shell around it: it
//! feeds inputs in and tells each pilot what is near. Near is what lies in the pilot's cell or one that touches it:
//! each cell has a group of sessions, a pilot that crosses a border changes groups, and a snapshot is encoded once for
//! its cell however many see it.

use gobbq::prelude::*;

gobbq::include_proto!();

pub mod sim;

mod messages;

mod shell;

#[cfg(feature = "bots")]
pub mod bots;

/// Longest name of a pilot, in characters; longer ones are cut.
pub const MAX_NAME: usize = 16;

/// What an [`App`](gobbq::App) needs to serve this example.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    vec![arena::ArenaRef::entity::<shell::Arena>()]
}
