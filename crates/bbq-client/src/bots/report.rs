//! What is counted while bots run, and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bbq_wire::{Code, Error, Result};
use tokio::time::Instant;

use super::latency::Latencies;

/// Shared by the bots of one run.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connected: AtomicU64,
    sent: AtomicU64,
    ok: AtomicU64,
    failed_scripts: AtomicU64,
    errors: Mutex<BTreeMap<Code, u64>>,
    latencies: Latencies,
}

/// How a run of bots went.
#[derive(Debug)]
pub struct Report {
    /// How many bots there were.
    pub bots: usize,
    /// How many got a session.
    pub connected: u64,
    /// Scripts that ended with an error, bots without a session included.
    pub failed_scripts: u64,
    /// Calls and notifications that were tried.
    pub sent: u64,
    /// Calls that were answered without an error, and notifications that were taken.
    pub ok: u64,
    /// Failed calls, refused notifications and failed connects, by code.
    pub errors: BTreeMap<Code, u64>,
    /// From the first bot to the last.
    pub took: Duration,
    /// How long calls took, failed ones included.
    pub latencies: Latencies,
}

impl Counters {
    pub(crate) fn connected<T>(&self, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => drop(self.connected.fetch_add(1, Relaxed)),
            Err(error) => self.error(error),
        }
        result
    }

    pub(crate) fn starts(&self) -> Instant {
        self.sent.fetch_add(1, Relaxed);
        Instant::now()
    }

    pub(crate) fn ends(&self, start: Instant, error: Option<&Error>) {
        self.latencies.record(start.elapsed());
        self.outcome(error);
    }

    pub(crate) fn notified(&self, result: Result<()>) -> Result<()> {
        self.sent.fetch_add(1, Relaxed);
        self.outcome(result.as_ref().err());
        result
    }

    pub(crate) fn script_ended(&self, result: Result<()>) {
        if result.is_err() {
            self.failed_scripts.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn report(&self, bots: usize, took: Duration) -> Report {
        let latencies = Latencies::default();
        latencies.add(&self.latencies);
        Report {
            bots,
            connected: self.connected.load(Relaxed),
            failed_scripts: self.failed_scripts.load(Relaxed),
            sent: self.sent.load(Relaxed),
            ok: self.ok.load(Relaxed),
            errors: self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            took,
            latencies,
        }
    }

    fn outcome(&self, error: Option<&Error>) {
        match error {
            None => drop(self.ok.fetch_add(1, Relaxed)),
            Some(error) => self.error(error),
        }
    }

    fn error(&self, error: &Error) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(error.code).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.sent as f64 / self.took.as_secs_f64().max(1e-9);
        writeln!(f, "bots      {} of {} connected, {} scripts failed", self.connected, self.bots, self.failed_scripts)?;
        writeln!(f, "sent      {} in {:.1?}, {rate:.0}/s", self.sent, self.took)?;
        writeln!(f, "ok        {}", self.ok)?;
        for (code, count) in &self.errors {
            writeln!(f, "error     {count} {code}")?;
        }
        let (p50, p99) = (self.latencies.quantile(0.5), self.latencies.quantile(0.99));
        write!(f, "latency   p50 {p50:.1?}, p99 {p99:.1?}, max {:.1?}", self.latencies.quantile(1.0))
    }
}
