//! gobbq: the game backend framework. This is the crate that games depend on.

pub mod options;

pub use bbq_core::codegen;
pub use bbq_core::world::Definition;
pub use options::Options;
