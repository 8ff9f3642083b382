//! A gate on real sockets: every protocol on one port, and clients that misbehave.

mod client;
mod hostile;
mod login;
mod pages;
mod sessions;
mod tls;
