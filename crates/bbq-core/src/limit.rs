//! Rate limits: the generic cell rate algorithm (ATM Forum TM 4.0, I.371), a token bucket in eight bytes.
//!
//! A [`Quota`] is the rule and shared; a [`Gcra`] is the state of one caller.

use std::time::Duration;

use bbq_wire::Time;

use crate::desc::Rate;

/// A rule: so often, with so much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Nanoseconds between two events at the sustained rate.
    interval: u64,
    /// How far, in nanoseconds, a caller may be ahead of the sustained rate.
    tolerance: u64,
}

impl Quota {
    /// The rule that `rate` states. A rate of nothing lets the burst through and then one event in a century.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        const CENTURY: f64 = 3.2e18;
        let interval = (1e9 / rate.per_second.max(0.0)).clamp(1.0, CENTURY) as u64;
        Self { interval, tolerance: interval.saturating_mul(u64::from(rate.burst.max(1)) - 1) }
    }
}

/// How far one caller has used its quota: the time at which it is fully restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gcra(u64);

impl Gcra {
    /// Counts one event.
    ///
    /// # Errors
    /// The quota is used up; the event is not counted. How long to wait.
    pub fn admit(&mut self, now: Time, quota: Quota) -> Result<(), Duration> {
        let arrival = self.0.max(now.0);
        let ahead = arrival - now.0;
        if ahead > quota.tolerance {
            return Err(Duration::from_nanos(ahead - quota.tolerance));
        }
        self.0 = arrival.saturating_add(quota.interval);
        Ok(())
    }

    /// Whether nothing is used up, so that a fresh state says the same.
    #[must_use]
    pub const fn is_fresh(&self, now: Time) -> bool {
        self.0 <= now.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_sustained_rate() {
        let quota = Quota::new(Rate { per_second: 10.0, burst: 3 });
        let (mut state, start) = (Gcra::default(), Time::from_millis(5000));
        (0..3).for_each(|_| assert_eq!(state.admit(start, quota), Ok(())));
        assert_eq!(state.admit(start, quota), Err(Duration::from_millis(100)));
        assert_eq!(state.admit(start + Duration::from_millis(99), quota), Err(Duration::from_millis(1)));
        assert_eq!(state.admit(start + Duration::from_millis(100), quota), Ok(()));
        let passed = (0..10_000).filter(|ms| state.admit(start + Duration::from_millis(200 + ms), quota).is_ok());
        assert!((98..=103).contains(&passed.count()));
    }

    #[test]
    fn after_a_pause_the_burst_is_restored_and_no_more() {
        let quota = Quota::new(Rate { per_second: 1000.0, burst: 2 });
        let mut state = Gcra::default();
        for second in 1..5 {
            let now = Time::from_millis(second * 1000);
            assert!(state.is_fresh(now));
            assert_eq!((0..10).filter(|_| state.admit(now, quota).is_ok()).count(), 2);
            assert!(!state.is_fresh(now));
        }
    }

    #[test]
    fn silly_rates_do_not_overflow() {
        for (per_second, burst) in [(0.0, 0), (f64::INFINITY, u32::MAX), (1e-30, u32::MAX), (-1.0, 1), (f64::NAN, 7)] {
            let quota = Quota::new(Rate { per_second, burst });
            let mut state = Gcra::default();
            assert_eq!(state.admit(Time::ZERO, quota), Ok(()));
            let _ = state.admit(Time::MAX, quota);
        }
    }
}
