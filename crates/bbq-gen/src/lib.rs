//! From .proto to Rust and TypeScript: the code generator and linter of gobbq.

mod build;
mod check;
mod compile;
mod error;
mod finding;
mod names;
mod options;
mod rust;
mod schema;
mod sources;
mod syntax;

pub use build::{build, build_for};
pub use check::check;
pub use compile::{compile, compile_texts};
pub use error::Error;
pub use finding::{Finding, Location, Severity};
pub use rust::{RUNTIME, rust};
pub use schema::{Enum, Field, Kind, Message, Method, Restart, Save, Schema, Service, State};
pub use sources::OPTIONS_PROTO;
pub use syntax::{Rate, fnv1a_32, method_id};
