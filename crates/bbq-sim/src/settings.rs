//! How a simulation is set up.

use std::time::Duration;

use bbq_core::control;
use bbq_core::world::Config;

use crate::network::Network;

/// How a simulation is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything follows from it.
    pub seed: u64,
    /// How many nodes there are, at least 1; each is a game, a gate, and a proxy with directory slots.
    pub nodes: usize,
    /// Worlds in each, at least 1.
    pub worlds: u16,
    /// Entities are spread over the nodes by hash, instead of living where they are first called.
    pub scatter: bool,
    /// The network.
    pub network: Network,
    /// What goes wrong, and how often.
    pub faults: Faults,
    /// Time between the death of a node and the news of it, at most; at least 0.2 s. Three quarters of it are the lease,
    /// the rest the grace after it.
    pub detection: Duration,
    /// Settings of the worlds.
    pub world: Config,
}

/// Mean time between faults of each kind; `None` = never.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// A link is cut; what is on its way is lost.
    pub cut: Option<Duration>,
    /// The connection of a client is cut; what is on its way is lost.
    pub hangup: Option<Duration>,
    /// A node dies, and comes back as a new incarnation.
    pub kill: Option<Duration>,
    /// A store request fails without effect, and may be tried again.
    pub store: Option<Duration>,
    /// The center dies and comes back; half of the times it has forgotten everything.
    pub center: Option<Duration>,
    /// A node cannot reach the center for a while, up to twice `detection`: long enough to be declared dead. Nodes that
    /// were declared dead end when they hear of it, and start again.
    pub partition: Option<Duration>,
    /// The clock of the center jumps ahead, as after a pause of its process.
    pub jump: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 1,
            worlds: 1,
            scatter: false,
            network: Network::default(),
            faults: Faults::default(),
            detection: Duration::from_secs(3),
            world: Config::default(),
        }
    }
}

impl Settings {
    /// Of the engine in the center.
    pub(crate) fn control(&self) -> control::Config {
        let ttl = (self.detection * 3 / 4).max(Duration::from_millis(150));
        let bounds = (Duration::from_millis(100), Duration::from_secs(120));
        let grace = (self.detection / 4).max(Duration::from_millis(50));
        control::Config { ttl, ttl_bounds: bounds, grace, recovery: ttl * 2, ..control::Config::default() }
    }
}
