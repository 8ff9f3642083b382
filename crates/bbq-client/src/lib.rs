//! The Rust client of gobbq, which is also the bot.
//!
//! ```no_run
//! # async fn example() -> bbq_wire::Result<()> {
//! use std::time::Duration;
//! use bbq_client::{Client, Options};
//!
//! let client = Client::connect(Options::new("ws://127.0.0.1:4000/bbq").guest("ann")).await?;
//! let mut pushes = client.pushes();
//! let reply = client.call(4711, Some("lobby".into()), "encoded request", Duration::from_secs(2)).await?;
//! while let Some(push) = pushes.next().await {
//!     println!("{} bytes for method {}", push.body.len(), push.method);
//! }
//! # Ok(()) }
//! ```
//! A [`Client`] survives its connections: it reconnects and resumes, and says [`Event::Resync`] when that was not
//! possible. Every decision is made by [`bbq_wire::client::ClientSession`]; this crate owns the socket, the clock and
//! the queues. One client is one task; an idle one over TCP keeps no buffers.

mod address;
mod queue;
mod tls;

pub mod options;

mod wire;

mod shared;

mod driver;

pub mod client;

pub mod bots;

pub use bbq_wire::{Code, Error, Key, Result};
pub use client::{Client, Remote};
pub use options::Options;
pub use queue::Receiver;
pub use shared::{Event, Push, Request};
