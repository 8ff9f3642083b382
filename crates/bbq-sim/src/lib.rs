//! A cluster in one thread: the machines of `bbq-core` joined by a simulated network, store and clock.
//!
//! Everything that happens is drawn from one seed, so a seed replays the whole cluster: two runs with the same seed
//! have the same [`Sim::trace`]. Handlers run unchanged; what they ask of the outside through `ctx.external(name, ..)`
//! is answered by scripts.
//!
//! ```text
//!   Sim ── queue of events by time ──► node: worlds + mesh + gate ──► network (delay, cuts) ──► queue
//!    │                            └──► players: the clients' session machines
//!    ├──► center: the engine of the control plane, its disk ◄── links that delay and break ──► sessions of the nodes
//!    └ faults by seed: cut a link or a connection, kill and restart a node, slow or failing store, a center that dies,
//!      forgets everything or oversleeps, nodes that cannot reach it
//! ```
//! What it never does: read a clock, start a thread, open a socket.

mod random;
mod trace;
mod network;
mod settings;
mod center;
mod member;
mod node;
mod player;
mod sim;

/// What clients are told to do, and tell: the inputs and outputs of [`Sim::tell_player`] and [`Sim::told`].
pub use bbq_wire::client;
pub use network::Network;
pub use player::PlayerId;
pub use random::Random;
pub use settings::{Faults, Settings};
pub use sim::{Sim, Timeout};
