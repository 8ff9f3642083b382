//! The one place that reads a clock: monotonic time since the start of the process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bbq_wire::Time;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    unix_offset: u64,
}

impl Clock {
    /// A clock that shows [`Time::ZERO`] now.
    #[must_use]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), unix_offset: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Unix time of [`Time::ZERO`], in nanoseconds.
    #[must_use]
    pub fn unix_offset(&self) -> u64 {
        self.unix_offset
    }

    /// The instant at which it shows `time`.
    #[must_use]
    pub fn instant(&self, time: Time) -> Instant {
        self.start + time.since(Time::ZERO)
    }
}

/// A pause between tries, shortened by up to a half at random: those that lost the same peer do not all come back at
/// the same time.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause / 2 + pause.mul_f64(f64::from((random & 0xffff) as u16) / 131_072.0)
}
