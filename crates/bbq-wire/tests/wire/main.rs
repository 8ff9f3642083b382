//! The wire crate from outside: round trips, damaged input, vectors, and sessions over links that break.

#![expect(clippy::unwrap_used, reason = "tests; clippy.toml exempts only functions marked #[test]")]

mod compat;
mod frames;
mod mesh;
mod session;
mod strategies;
mod vectors;
