//! A gate on real sockets: every protocol on one port, and clients that misbehave.

#![expect(clippy::unwrap_used, reason = "tests; clippy.toml exempts only functions marked #[test]")]

mod client;
mod hostile;
mod login;
mod pages;
mod sessions;
mod tls;
