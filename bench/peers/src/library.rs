//! The drivers that all tokio libraries share, so that they differ in nothing but the library.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::subject::{Load, Subject};

/// Room in a mailbox, where a library has a limit: more than a window of tells.
pub(crate) const MAILBOX: usize = 1_024;

/// Threads of the runtime.
#[derive(Clone, Copy)]
pub(crate) enum Threads {
    One,
    PerCore,
}

/// A counter as one library writes it. Each function takes the fastest way that the library documents.
pub(crate) trait Library: 'static {
    /// How messages are sent to one actor.
    type Address: Send + Sync + 'static;

    /// Starts a counter at zero.
    fn start() -> impl Future<Output = Self::Address> + Send;

    /// Adds, and waits for the total.
    fn ask(address: &Self::Address, amount: u64) -> impl Future<Output = u64> + Send;

    /// Adds, and does not wait.
    fn tell(address: &Self::Address, amount: u64) -> impl Future<Output = ()> + Send;

    /// Asks all before it waits for the first; the sum of all totals.
    fn ask_all(addresses: &[Self::Address], amount: u64) -> impl Future<Output = u64> + Send;

    /// Runs the driver as a spawned task of a runtime that the library needs.
    fn run<T: Send + 'static>(threads: Threads, driver: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = runtime(threads);
        runtime.block_on(async { tokio::spawn(driver).await.expect("the driver does not panic") })
    }
}

/// A runtime of tokio with this many threads.
pub(crate) fn runtime(threads: Threads) -> Runtime {
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::PerCore => Builder::new_multi_thread(),
    };
    builder.enable_time().build().expect("a runtime needs only memory and threads")
}

/// A subject that runs the drivers below over a library.
pub(crate) const fn subject<L: Library>(name: &'static str, threads: Threads) -> Subject {
    match threads {
        Threads::One => Subject {
            name,
            ours: false,
            ask: |load| L::run(Threads::One, ask::<L>(*load)),
            tell: |load| L::run(Threads::One, tell::<L>(*load)),
            fan: |load| L::run(Threads::One, fan::<L>(*load)),
        },
        Threads::PerCore => Subject {
            name,
            ours: false,
            ask: |load| L::run(Threads::PerCore, ask::<L>(*load)),
            tell: |load| L::run(Threads::PerCore, tell::<L>(*load)),
            fan: |load| L::run(Threads::PerCore, fan::<L>(*load)),
        },
    }
}

async fn ask<L: Library>(load: Load) -> Duration {
    let counter = L::start().await;
    let started = Instant::now();
    for asked in 1..=load.asks {
        assert_eq!(L::ask(&counter, 1).await, asked, "a lost question");
    }
    started.elapsed()
}

async fn tell<L: Library>(load: Load) -> Duration {
    let counter = L::start().await;
    let started = Instant::now();
    let mut told = 0;
    while told < load.tells {
        for _ in 0..load.tell_window {
            L::tell(&counter, 1).await;
        }
        told += load.tell_window;
        assert_eq!(L::ask(&counter, 0).await, told, "a lost message");
    }
    started.elapsed()
}

async fn fan<L: Library>(load: Load) -> Duration {
    let mut counters = Vec::new();
    for _ in 0..load.fan_actors {
        counters.push(L::start().await);
    }
    // Actors that have not run yet would do so in the first round.
    assert_eq!(L::ask_all(&counters, 0).await, 0);
    let started = Instant::now();
    for round in 1..=load.fan_rounds {
        assert_eq!(L::ask_all(&counters, 1).await, round * load.fan_actors, "a lost answer");
    }
    started.elapsed()
}
