//! Many clients at once, for load tests and rehearsals: [`run`] starts them, [`Report`] says how it went.
//!
//! ```no_run
//! # async fn example() -> bbq_wire::Result<()> {
//! use bbq_client::{Options, bots};
//!
//! let options = Options::new("tcp://127.0.0.1:4000").guest("bot");
//! let report = bots::run(1000, options, |bot, n| async move {
//!     bot.call(4711, Some((n as u64 % 50).into()), "hello").await?;
//!     Ok(())
//! }).await;
//! println!("{report}");
//! # Ok(()) }
//! ```

mod latency;
mod report;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{Error, Key, Result};
use buffa::Message;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::options::Options;
use report::Counters;

pub use latency::Latencies;
pub use report::Report;

/// What all bots of a run have in common.
#[derive(Clone, Debug)]
pub struct Crowd {
    options: Options,
    connects_per_second: u32,
}

impl Crowd {
    /// Bots that connect with these options. Guests are told apart: `bot` becomes `bot-0`, `bot-1`, ..; with any other
    /// scheme the device is.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, connects_per_second: 500 }
    }

    /// How fast they come; 500 a second unless set.
    #[must_use]
    pub const fn connects_per_second(mut self, rate: u32) -> Self {
        self.connects_per_second = rate;
        self
    }

    fn options(&self, n: usize) -> Options {
        let mut options = self.options.clone();
        if options.scheme == "guest" {
            options.token = format!("{}-{n}", String::from_utf8_lossy(&options.token)).into();
        } else {
            options.device = format!("{}-{n}", options.device);
        }
        options.seed = options.seed.map(|seed| seed.wrapping_add(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        options
    }

    fn starts_after(&self, n: usize) -> Duration {
        Duration::from_secs_f64(n as f64 / f64::from(self.connects_per_second.max(1)))
    }
}

impl From<Options> for Crowd {
    fn from(options: Options) -> Self {
        Self::new(options)
    }
}

/// One client whose calls are counted.
#[derive(Clone, Debug)]
pub struct Bot {
    client: Client,
    timeout: Duration,
    counters: Arc<Counters>,
}

impl Bot {
    /// The client itself, for what is not counted.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// [`Client::call`] within [`Options::timeout`], counted.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call(&self, method: u32, key: Option<Key>, body: impl Into<Bytes>) -> Result<Bytes> {
        let start = self.counters.starts();
        let result = self.client.call(method, key, body, self.timeout).await;
        self.counters.ends(start, result.as_ref().err());
        result
    }

    /// [`Client::ask`], counted.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn ask<Req: Message, Rsp: Message>(&self, method: u32, key: Option<Key>, request: &Req) -> Result<Rsp> {
        let start = self.counters.starts();
        let result = self.client.ask(method, key, request).await;
        self.counters.ends(start, result.as_ref().err());
        result
    }

    /// [`Client::notify`]; a refusal is counted as an error.
    ///
    /// # Errors
    /// As [`Client::notify`].
    pub fn notify(&self, method: u32, key: Option<Key>, body: impl Into<Bytes>) -> Result<()> {
        self.counters.notified(self.client.notify(method, key, body))
    }
}

/// Starts `count` bots, one after the other, runs `script` for each with its number, and waits for all of them. A
/// bot that cannot connect and a script that fails are counted, not fatal.
pub async fn run<F, Fut>(count: usize, crowd: impl Into<Crowd>, script: F) -> Report
where
    F: Fn(Bot, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let (crowd, script) = (Arc::new(crowd.into()), Arc::new(script));
    let (counters, start, mut bots) = (Arc::new(Counters::default()), Instant::now(), JoinSet::new());
    for n in 0..count {
        let (crowd, script, counters) = (crowd.clone(), script.clone(), counters.clone());
        bots.spawn(async move {
            tokio::time::sleep_until(start + crowd.starts_after(n)).await;
            let options = crowd.options(n);
            let timeout = options.timeout;
            let client = counters.connected(Client::connect(options).await)?;
            let bot = Bot { client, timeout, counters };
            script(bot, n).await
        });
    }
    while let Some(ended) = bots.join_next().await {
        counters
            .script_ended(ended.unwrap_or_else(|panic| Err(Error::new(bbq_wire::Code::PANICKED, panic.to_string()))));
    }
    counters.report(count, start.elapsed())
}
