//! Clients of the original at our gate: a translator between [`bbq_wire::compat`] and the native protocol.
//!
//! ```text
//! gobbq-ts ──original frames──► Bridge ──native frames──► gate machine
//!          ◄──────────────────        ◄─────────────────
//! ```
//! To the gate machine a [`Bridge`] looks like a native client that never loses a frame and never resumes; so the gate
//! has one machine, and everything that it protects holds here, too. [`Names`] turns the names in original headers into
//! method ids and back.
//!
//! | original | native |
//! |---|---|
//! | `RegisterClient`, response with the session id | HELLO, AUTH, WELCOME |
//! | `Ping` | answered here; the gate's PING is answered while the client was heard from |
//! | unary request, one-way request | REQ, NOTIFY |
//! | response with `ErrCode` | RSP |
//! | one-way request to the client, unary request to it | PUSH, REQ |
//!
//! What it never does: resume. When the connection ends, the shell ends the session.

mod names;

mod bridge;

#[cfg(test)]
mod tests;

pub use bridge::{Bridge, IDLE, Login, Output};
pub use names::{Names, entity_id};
