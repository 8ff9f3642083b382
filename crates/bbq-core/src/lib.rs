//! Every decision that the servers of gobbq make.
//!
//! Pure: no sockets, clocks, threads or random numbers; time and bytes come in as inputs, effects go out as values.
//! The simulator and production run exactly this code.

pub mod desc;
pub mod limit;
pub mod payload;
pub mod timer;
pub mod cron;
pub mod world;
pub mod control;
pub mod store;
pub mod mesh;
pub mod gate;
pub mod compat;
pub mod codegen;

pub use desc::{Kind, MethodDesc, Rate, Restart, Save, ServiceDesc, StateDesc};
pub use payload::Payload;
