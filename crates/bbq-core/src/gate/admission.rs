//! Who may connect: the cheapest protection, before anything is read.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use bbq_wire::{Code, Error, Result, Time};

use super::config::Limits;
use crate::limit::{Gcra, Quota};

/// Least time between two searches for addresses that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Counts connections, in all and per address.
#[derive(Debug, Default)]
pub(super) struct Admission {
    open: usize,
    addresses: BTreeMap<Address, Known>,
    swept: Time,
}

/// An IPv4 address, or the first half of an IPv6 address: what one household or host can freely choose from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Address(u64);

#[derive(Debug, Default)]
struct Known {
    open: u32,
    rate: Gcra,
}

impl Admission {
    /// Counts a connection in.
    ///
    /// # Errors
    /// It may not stay, and is not counted.
    pub(super) fn admit(&mut self, now: Time, ip: IpAddr, limits: &Limits) -> Result<()> {
        if self.open >= limits.connections {
            return Err(refused("the gate has its fill of connections", limits.retry_after_ms));
        }
        let address = Address::from(ip);
        if !self.addresses.contains_key(&address) && !self.has_room(now, limits) {
            return Err(refused("too many different addresses", limits.retry_after_ms));
        }
        let known = self.addresses.entry(address).or_default();
        if known.open >= limits.connections_per_address {
            return Err(refused("too many connections from this address", limits.retry_after_ms));
        }
        if let Some(rate) = limits.connection_rate
            && let Err(wait) = known.rate.admit(now, Quota::new(rate))
        {
            return Err(refused("too many new connections from this address", millis(wait)));
        }
        known.open += 1;
        self.open += 1;
        Ok(())
    }

    /// Counts a connection out that was counted in.
    pub(super) fn leave(&mut self, now: Time, ip: IpAddr) {
        let address = Address::from(ip);
        self.open = self.open.saturating_sub(1);
        if let Some(known) = self.addresses.get_mut(&address) {
            known.open = known.open.saturating_sub(1);
            if known.is_idle(now) {
                self.addresses.remove(&address);
            }
        }
    }

    fn has_room(&mut self, now: Time, limits: &Limits) -> bool {
        if self.addresses.len() >= limits.addresses && now >= self.swept + SWEEP {
            self.swept = now;
            self.addresses.retain(|_, known| !known.is_idle(now));
        }
        self.addresses.len() < limits.addresses
    }
}

impl Known {
    /// Whether a stranger would be treated the same.
    const fn is_idle(&self, now: Time) -> bool {
        self.open == 0 && self.rate.is_fresh(now)
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits())),
            // No network below 2^32 is in use, so that the two kinds do not meet.
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64),
        }
    }
}

/// Whole milliseconds, rounded up.
pub(super) fn millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

fn refused(why: &str, retry_after_ms: u32) -> Error {
    Error::new(Code::TOO_MANY_CONNECTIONS, why).retry_after(retry_after_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desc::Rate;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn connections_are_limited_in_all_and_per_address() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let mut admission = Admission::default();
        let mut admit = |last| admission.admit(Time::ZERO, ip(last), &limits).map_err(|error| error.code);
        assert_eq!([admit(1), admit(1), admit(1)], [Ok(()), Ok(()), Err(Code::TOO_MANY_CONNECTIONS)]);
        assert_eq!([admit(2), admit(2)], [Ok(()), Err(Code::TOO_MANY_CONNECTIONS)]);
        admission.leave(Time::ZERO, ip(1));
        assert_eq!(admission.admit(Time::ZERO, ip(2), &limits), Ok(()));
    }

    #[test]
    fn an_address_that_connects_too_often_is_told_when_to_come_back() {
        let rate = Some(Rate { per_second: 1.0, burst: 2 });
        let limits = Limits { connection_rate: rate, ..Limits::default() };
        let mut admission = Admission::default();
        let mut connect = |now| {
            let result = admission.admit(Time::from_millis(now), ip(1), &limits);
            if result.is_ok() {
                admission.leave(Time::from_millis(now), ip(1));
            }
            result.map_err(|error| error.retry_after_ms)
        };
        assert_eq!([connect(0), connect(0), connect(0)], [Ok(()), Ok(()), Err(1000)]);
        assert_eq!(connect(1000), Ok(()));
    }

    #[test]
    fn the_table_of_addresses_is_bounded_and_forgets_the_idle() {
        let limits = Limits { addresses: 2, ..Limits::default() };
        let mut admission = Admission::default();
        assert!(admission.admit(Time::ZERO, ip(1), &limits).is_ok());
        assert!(admission.admit(Time::ZERO, ip(2), &limits).is_ok());
        assert!(admission.admit(Time::ZERO, ip(3), &limits).is_err());
        admission.leave(Time::ZERO, ip(1));
        assert!(admission.admit(Time::from_millis(5000), ip(3), &limits).is_ok());
        assert_eq!(admission.addresses.len(), 2);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let limits = Limits { connections_per_address: 1, ..Limits::default() };
        let mut admission = Admission::default();
        let mut admit = |text: &str| admission.admit(Time::ZERO, text.parse().unwrap(), &limits).is_ok();
        assert!(admit("2001:db8::1"));
        assert!(!admit("2001:db8::ffff"));
        assert!(admit("2001:db8:0:1::1"));
        assert!(admit("10.0.0.1"));
        assert!(!admit("::ffff:10.0.0.1"));
    }
}
