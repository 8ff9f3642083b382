//! Limits and policies of a process: what the builders of [`App`](crate::App) set, and the ranges that make sense.
//!
//! An operator's options ([`Options`]) win over what the program says. Everything is checked before anything starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::desc::Rate;
use bbq_core::gate::{Config as GateConfig, DuplicateLogin, Limits as GateLimits};
use bbq_core::mesh::{Candidate, Limits as MeshLimits, Placement, Spread};
use bbq_core::world::Config as WorldConfig;
use bbq_wire::frame::LIMIT_OPENING;
use bbq_wire::gate::GateConfig as SessionLimits;
use bbq_wire::{EntityId, NodeUid};

use crate::failure::{Failure, Result};
use crate::options::Options;

/// Limits of each world of a game.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorldLimits {
    /// Entities at once (4,000,000); activations beyond fail with `RESOURCE_EXHAUSTED`.
    pub entities: u32,
    /// Outstanding calls, sleeps and store requests (4,000,000); more fail with `BUSY`.
    pub operations: u32,
    /// Timers of one entity (1024); more fail with `RESOURCE_EXHAUSTED`.
    pub timers: u32,
    /// Deadline of calls that name none (5 s).
    pub call_timeout: Duration,
}

impl Default for WorldLimits {
    fn default() -> Self {
        let WorldConfig { max_entities, max_operations, max_timers, call_timeout, .. } = WorldConfig::default();
        Self { entities: max_entities, operations: max_operations, timers: max_timers, call_timeout }
    }
}

/// Chooses the node of an entity; see [`App::placement`](crate::App::placement).
pub type Place = dyn Fn(&EntityId, NodeUid, &[Candidate<'_>]) -> Option<NodeUid> + Send + Sync;

/// Limits and policies of a process, as the program has them.
#[derive(Clone, Default)]
pub struct Tuning {
    /// The gate as a whole.
    pub gate: GateLimits,
    /// Each session of the gate.
    pub session: SessionLimits,
    /// What a second login of an account does.
    pub duplicate_login: DuplicateLogin,
    /// Each world.
    pub world: WorldLimits,
    /// What travels between nodes.
    pub mesh: MeshLimits,
    /// How calls are spread over the instances of a service.
    pub spread: Spread,
    /// Who chooses the node of a new entity.
    pub placement: Option<Arc<Place>>,
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuning").field("gate", &self.gate).field("session", &self.session).finish_non_exhaustive()
    }
}

impl Tuning {
    /// With what the operator says, checked.
    pub(crate) fn with(&self, options: &Options) -> Result<Self> {
        let mut tuned = self.clone();
        let Options { max_connections, max_connections_per_address, max_sessions, max_entities, resume_window, .. } =
            options;
        tuned.gate.connections = max_connections.unwrap_or(tuned.gate.connections);
        let per_address = &mut tuned.gate.connections_per_address;
        *per_address = max_connections_per_address.unwrap_or(*per_address);
        tuned.gate.sessions = max_sessions.unwrap_or(tuned.gate.sessions);
        tuned.world.entities = max_entities.unwrap_or(tuned.world.entities);
        tuned.session.resume = resume_window.unwrap_or(tuned.session.resume);
        if tuned.session.server.is_empty() {
            tuned.session.server.clone_from(&options.name);
        }
        tuned.check()?;
        Ok(tuned)
    }

    /// The gate's machine.
    pub(crate) fn gate(&self, node: NodeUid) -> GateConfig {
        let Self { gate, session, duplicate_login, .. } = self.clone();
        GateConfig { node, session, limits: gate, duplicate_login, ..GateConfig::default() }
    }

    /// Every world.
    pub(crate) fn world(&self, node: NodeUid, unix_offset: u64, seed: u64) -> WorldConfig {
        let WorldLimits { entities, operations, timers, call_timeout } = self.world;
        WorldConfig {
            node,
            unix_offset,
            seed,
            call_timeout,
            max_entities: entities,
            max_operations: operations,
            max_timers: timers,
            ..WorldConfig::default()
        }
    }

    /// The say in where entities live.
    pub(crate) fn placement(&self) -> Option<Placement> {
        let place = self.placement.clone()?;
        Some(Box::new(move |entity, asker, candidates| place(entity, asker, candidates)))
    }

    fn check(&self) -> Result<()> {
        self.check_gate()?;
        self.check_session()?;
        self.check_world()?;
        self.check_mesh()
    }

    fn check_gate(&self) -> Result<()> {
        let check = Group("gate_limits");
        let limits = &self.gate;
        check.range("connections", limits.connections, 1, 10_000_000)?;
        check.range("connections_per_address", limits.connections_per_address, 1, 10_000_000)?;
        check.range("addresses", limits.addresses, 1, 100_000_000)?;
        check.range("handshakes", limits.handshakes, 1, 10_000_000)?;
        check.range("sessions", limits.sessions, 1, 100_000_000)?;
        check.range("sessions_per_account", limits.sessions_per_account, 1, 1_000_000)?;
        check.range("calls", limits.calls, 1, 100_000_000)?;
        check.range("property_bytes", limits.property_bytes, 0, 64 * 1024)?;
        check.range("retry_after_ms", limits.retry_after_ms, 1, 3_600_000)?;
        check.rate("connection_rate", limits.connection_rate)?;
        check.rate("session_rate", limits.session_rate)
    }

    fn check_session(&self) -> Result<()> {
        let check = Group("session_limits");
        let session = &self.session;
        check.range("heartbeat", session.heartbeat, Duration::from_millis(100), Duration::from_secs(300))?;
        check.range("resume", session.resume, Duration::ZERO, Duration::from_secs(24 * 3600))?;
        check.range("ring.frames", session.ring.frames, 1, 1 << 20)?;
        check.range("ring.bytes", session.ring.bytes, 1024, 1 << 30)?;
        // A client may send an opening of this length before it knows any limit.
        check.range("max_up", session.max_up, LIMIT_OPENING, 1 << 28)?;
        check.range("max_down", session.max_down, LIMIT_OPENING, 1 << 28)?;
        check.range("max_unflushed", session.max_unflushed, session.max_down, 1 << 30)?;
        check.range("max_calls", session.max_calls, 1, 1 << 20)?;
        check.range("max_requests", session.max_requests, 1, 1 << 20)
    }

    fn check_world(&self) -> Result<()> {
        let check = Group("world_limits");
        let world = &self.world;
        check.range("entities", world.entities, 1, u32::MAX - 1)?;
        check.range("operations", world.operations, 1, u32::MAX - 1)?;
        check.range("timers", world.timers, 0, u32::MAX - 1)?;
        check.range("call_timeout", world.call_timeout, Duration::from_millis(1), Duration::from_secs(3600))
    }

    fn check_mesh(&self) -> Result<()> {
        let check = Group("mesh_limits");
        let mesh = &self.mesh;
        let (millisecond, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        check.range("calls", mesh.calls, 1, usize::MAX)?;
        check.range("waiting_per_entity", mesh.waiting_per_entity, 1, usize::MAX)?;
        check.range("waiting", mesh.waiting, 1, usize::MAX)?;
        check.range("routes", mesh.routes, 1, usize::MAX)?;
        check.range("outbox", mesh.outbox, 1, usize::MAX)?;
        // Two arise when both ends connect at once.
        check.range("links_per_peer", mesh.links_per_peer, 2, 64)?;
        check.range("directory", mesh.directory, 1, usize::MAX)?;
        check.range("parked", mesh.parked, 1, usize::MAX)?;
        check.range("longest_call", mesh.longest_call, Duration::from_secs(1), 24 * hour)?;
        check.range("report_wait", mesh.report_wait, millisecond, hour)?;
        check.range("report_retry", mesh.report_retry, millisecond, hour)?;
        check.range("locate_retry", mesh.locate_retry, millisecond, hour)?;
        check.range("activate_retry", mesh.activate_retry, millisecond, hour)?;
        check.range("activate_tries", mesh.activate_tries, 1, 1000)?;
        check.range("first_pause", mesh.first_pause, millisecond, mesh.longest_pause)?;
        check.range("longest_pause", mesh.longest_pause, millisecond, hour)?;
        check.range("ping", mesh.ping, 10 * millisecond, hour)?;
        check.range("missed_pings", mesh.missed_pings, 1, 1000)
    }
}

/// The builder that set the values.
struct Group(&'static str);

impl Group {
    fn range<T: PartialOrd + fmt::Debug>(&self, name: &str, value: T, least: T, most: T) -> Result<()> {
        if least <= value && value <= most {
            return Ok(());
        }
        let what = format!("{}: `{name}` is {value:?}, and must be within {least:?} and {most:?}", self.0);
        Err(Failure::new(what, "correct it in the program that builds the App, or in the options (--help lists them)"))
    }

    fn rate(&self, name: &str, rate: Option<Rate>) -> Result<()> {
        let Some(rate) = rate else { return Ok(()) };
        self.range(&format!("{name}.per_second"), rate.per_second, 0.001, 1e9)?;
        self.range(&format!("{name}.burst"), rate.burst, 1, u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `with` says of a change of the defaults.
    fn refused(change: impl FnOnce(&mut Tuning)) -> String {
        let mut tuning = Tuning::default();
        change(&mut tuning);
        tuning.with(&Options::default()).expect_err("out of range").what().to_owned()
    }

    #[test]
    fn the_defaults_are_within_their_ranges() {
        Tuning::default().with(&Options::default()).expect("fine");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let said = refused(|tuning| tuning.gate.sessions = 0);
        assert_eq!(said, "gate_limits: `sessions` is 0, and must be within 1 and 100000000");
        let said = refused(|tuning| tuning.session.heartbeat = Duration::from_millis(1));
        assert_eq!(said, "session_limits: `heartbeat` is 1ms, and must be within 100ms and 300s");
        let said = refused(|tuning| tuning.gate.session_rate = Some(Rate { per_second: f64::NAN, burst: 1 }));
        assert!(said.starts_with("gate_limits: `session_rate.per_second` is NaN"), "{said}");
        let said = refused(|tuning| tuning.session.max_unflushed = 1);
        assert!(said.contains("`max_unflushed` is 1, and must be within 1048576"), "{said}");
        let said = refused(|tuning| tuning.world.entities = 0);
        assert!(said.starts_with("world_limits: `entities` is 0"), "{said}");
        let said = refused(|tuning| tuning.mesh.first_pause = Duration::from_secs(2));
        assert!(said.starts_with("mesh_limits: `first_pause` is 2s"), "{said}");
    }

    #[test]
    fn the_operator_wins_and_is_checked_too() {
        let options = Options {
            name: "gate-7".to_owned(),
            max_connections: Some(5),
            max_connections_per_address: Some(4),
            max_sessions: Some(3),
            max_entities: Some(2),
            resume_window: Some(Duration::from_secs(1)),
            ..Options::default()
        };
        let mut program = Tuning::default();
        program.gate.sessions = 99;
        program.gate.groups = 7;
        let tuned = program.with(&options).expect("fine");
        let gate = tuned.gate(NodeUid::default());
        assert_eq!((gate.limits.connections, gate.limits.connections_per_address), (5, 4));
        assert_eq!((gate.limits.sessions, gate.limits.groups), (3, 7));
        assert_eq!((gate.session.resume, &*gate.session.server), (Duration::from_secs(1), "gate-7"));
        assert_eq!(tuned.world(NodeUid::default(), 0, 1).max_entities, 2);
        assert!(program.with(&Options { max_sessions: Some(0), ..options }).is_err());
    }
}
