//! A running hash over all that happens: equal seeds must give equal hashes.

use std::fmt;

use bbq_wire::Time;

/// FNV-1a over everything that was put in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0 }
    }
}

impl Trace {
    pub(crate) fn event(&mut self, now: Time, what: &str, bytes: &[u8]) {
        self.events += 1;
        for byte in now.0.to_le_bytes().iter().chain(what.as_bytes()).chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// For what has no bytes of its own.
    pub(crate) fn debug(&mut self, now: Time, what: &impl fmt::Debug) {
        self.event(now, &format!("{what:?}"), &[]);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}
