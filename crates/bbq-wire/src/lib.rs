//! Wire formats and the session machine of gobbq.
//!
//! Pure: bytes in, values out. Nothing here opens a socket, reads a clock or draws a random number.
//! The contract is `spec/wire.md`; the vectors in `spec/vectors` are shared with the other SDKs.

pub mod code;
pub mod id;
pub mod time;

pub mod codec;
pub mod frame;
pub mod shared;
pub mod split;

pub mod delivery;

pub mod handshake;

pub mod gate;

pub mod client;

pub mod compat;
pub mod proof;
pub mod mesh;

pub mod fuzz;

pub use code::{Code, Error, Result};
pub use frame::{Frame, FrameError};
pub use id::{EntityId, Key, NodeUid, SessionId};
pub use shared::SharedFrame;
pub use split::Splitter;
pub use time::Time;
