//! Links between nodes: ordered while they live, lossy only at a cut.

use std::collections::BTreeMap;
use std::time::Duration;

use bbq_core::mesh::LinkId;
use bbq_wire::Time;

use crate::random::Random;

/// How long frames and connections take.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Shortest way of a frame.
    pub fastest: Duration,
    /// Longest way of a frame; frames of one link never overtake each other.
    pub slowest: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self { fastest: Duration::from_micros(100), slowest: Duration::from_millis(5) }
    }
}

/// One end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) link: LinkId,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    other: End,
    /// Nothing sent later arrives before this.
    last: Time,
}

/// All links that are up.
#[derive(Debug, Default)]
pub(crate) struct Links {
    ends: BTreeMap<End, Half>,
    last_id: u64,
}

impl Links {
    /// Joins two nodes.
    pub(crate) fn open(&mut self, a: usize, b: usize, now: Time) -> (End, End) {
        self.last_id += 2;
        let (a, b) = (End { node: a, link: LinkId(self.last_id) }, End { node: b, link: LinkId(self.last_id + 1) });
        self.ends.insert(a, Half { other: b, last: now });
        self.ends.insert(b, Half { other: a, last: now });
        (a, b)
    }

    /// Ends a link; says who is at the other end.
    pub(crate) fn close(&mut self, end: End) -> Option<End> {
        let half = self.ends.remove(&end)?;
        self.ends.remove(&half.other);
        Some(half.other)
    }

    pub(crate) fn is_up(&self, end: End) -> bool {
        self.ends.contains_key(&end)
    }

    pub(crate) fn joined(&self, a: usize, b: usize) -> bool {
        self.ends.iter().any(|(end, half)| end.node == a && half.other.node == b)
    }

    /// Where and when something sent now arrives; `None` when the link is down.
    pub(crate) fn send(&mut self, from: End, now: Time, network: Network, random: &mut Random) -> Option<(End, Time)> {
        let half = self.ends.get_mut(&from)?;
        let arrives = (now + random.between(network.fastest, network.slowest)).max(half.last);
        half.last = arrives;
        Some((half.other, arrives))
    }

    pub(crate) fn of(&self, node: usize) -> Vec<End> {
        self.ends.keys().filter(|end| end.node == node).copied().collect()
    }

    pub(crate) fn any(&self, random: &mut Random) -> Option<End> {
        let at = random.below(self.ends.len() as u64) as usize;
        self.ends.keys().nth(at).copied()
    }
}
