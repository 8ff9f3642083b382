//! The wire crate from outside: round trips, damaged input, vectors, and sessions over links that break.

#![expect(clippy::unwrap_used, reason = "tests; clippy.toml exempts only functions marked #[test]")]

mod client;
mod compat;
mod frames;
mod gate;
mod mesh;
mod session;
mod strategies;
mod vectors;
