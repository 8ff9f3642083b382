//! Times in buckets whose width is an eighth of their size or less: two numbers to three digits, in 3 KB.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 8;
/// Microseconds up to 2^40: twelve days.
const BUCKETS: usize = (38 * STEPS + STEPS) as usize;

/// How long calls took.
#[derive(Debug)]
pub struct Latencies {
    buckets: Box<[AtomicU64; BUCKETS]>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]) }
    }
}

impl Latencies {
    /// Counts one call.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(micros)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Adds what another one counted.
    pub fn add(&self, other: &Self) {
        for (mine, other) in self.buckets.iter().zip(other.buckets.iter()) {
            mine.fetch_add(other.load(Relaxed), Relaxed);
        }
    }

    /// How many calls were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// The time within which a share of the calls (0.5, 0.99) ended, rounded up by at most an eighth; zero when there
    /// were none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Relaxed);
            if seen >= wanted {
                return Duration::from_micros(upper(at as u64));
            }
        }
        Duration::ZERO
    }
}

/// Below [`STEPS`] every microsecond has its bucket, above it every power of two has [`STEPS`].
fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2());
    let step = (micros >> (power - 3)) - STEPS;
    usize::try_from((power - 2) * STEPS + step).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value of a bucket.
const fn upper(bucket: u64) -> u64 {
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    ((STEPS + step + 1) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_at_most_an_eighth_below_the_end_of_its_bucket() {
        for value in (0..20_000).chain([1 << 20, (1 << 30) + 12_345, 1 << 39]) {
            let end = upper(bucket(value) as u64);
            assert!(value <= end && end - value <= value / 8, "{value} in a bucket up to {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let (p50, p99) = (latencies.quantile(0.5).as_millis(), latencies.quantile(0.99).as_millis());
        assert!((500..=563).contains(&p50), "{p50}");
        assert!((990..=1114).contains(&p99), "{p99}");
    }
}
