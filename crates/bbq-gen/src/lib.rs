//! From .proto to Rust and TypeScript: the code generator and linter of gobbq.
//!
//! A user crate has a build script of one line, and includes the result:
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), bbq_gen::Error> {
//!     bbq_gen::build(&["proto/chat.proto"], &["proto"])
//! }
//! ```
//!
//! ```text
//! // src/main.rs
//! gobbq::include_proto!(); // `include!(concat!(env!("OUT_DIR"), "/gobbq.rs"));`
//! use chat::{RoomEntity, RoomRef, SayRequest};
//! ```
//!
//! The parts, for `bbq gen` and `bbq check`: [`compile`] makes a [`Schema`], [`rust`] and [`typescript`] print code for
//! it, [`check`] looks for what the proto compiler accepts and gobbq does not, and [`snapshot`] writes down what a
//! release promises, so that the next `check` finds what would break it.
//!
//! The same files give the same text, byte for byte. Nothing here runs another program, and nothing of gobbq is a
//! dependency: proto in, text out. The guide is `docs/idl.md`.

mod work;
mod finding;
mod error;
mod syntax;
mod schema;
mod sources;
mod options;
mod compile;

mod codes;
mod snapshot;
mod names;
mod check;

mod rust;
mod typescript;
mod build;

pub use build::{build, build_for};
pub use check::check;
pub use codes::{CODES, Code, explain};
pub use compile::{compile, compile_texts};
pub use error::Error;
pub use finding::{Finding, Location, Severity};
pub use rust::{RUNTIME, rust};
pub use schema::{Enum, Field, Kind, Message, Method, Restart, Save, Schema, Service, State};
pub use snapshot::{LOCK_FILE, Snapshot, snapshot};
pub use sources::OPTIONS_PROTO;
pub use syntax::{Rate, fnv1a_32, method_id};
pub use typescript::{GeneratedFile, typescript};
