//! The wire crate from outside: round trips, damaged input, vectors, and sessions over links that break.

mod mesh;
mod strategies;
