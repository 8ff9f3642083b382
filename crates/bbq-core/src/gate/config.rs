//! How a gate is set up: its limits, and what happens at each.

use std::time::Duration;

use bbq_wire::NodeUid;
use bbq_wire::gate::GateConfig;
use bbq_wire::handshake::OPENING;

use crate::desc::Rate;

/// How a gate is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The node that the gate is part of.
    pub node: NodeUid,
    /// What holds for every session: heartbeat, resume window, ring, frame sizes, calls at a time, slow consumers.
    pub session: GateConfig,
    /// Limits of the gate as a whole.
    pub limits: Limits,
    /// What a second login of an account does.
    pub duplicate_login: DuplicateLogin,
    /// Time from connecting to WELCOME; after it `HANDSHAKE_TIMEOUT`. Static pages must be served within it, too.
    pub opening: Duration,
    /// How long pushes may wait for more pushes to the same client, so that they share a write. Zero: until the end
    /// of the current batch of inputs. Replies never wait.
    pub flush: Duration,
    /// Longest time that a client's call may take, unless its method says otherwise.
    pub call_timeout: Duration,
    /// How long after the deadline of a call the gate waits for the mesh to answer it: at least once, at most twice so
    /// long.
    pub call_grace: Duration,
}

/// What happens when an account logs in that has a session at this gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DuplicateLogin {
    /// Its older sessions are kicked with `REPLACED`.
    #[default]
    Replace,
    /// Its older sessions on the same device are kicked with `REPLACED`.
    ReplaceDevice,
    /// They live side by side, up to [`Limits::sessions_per_account`].
    Allow,
}

/// Every limit of the gate as a whole. Limits of a single session are in [`GateConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Open connections; more are answered `TOO_MANY_CONNECTIONS` and closed.
    pub connections: usize,
    /// Open connections of one address (IPv4 address, IPv6 /64); as above.
    pub connections_per_address: u32,
    /// New connections of one address; as above.
    pub connection_rate: Option<Rate>,
    /// Addresses that are remembered for the two limits above; strangers beyond are refused as above.
    pub addresses: usize,
    /// Refused connections that may wait until they have read why; more are dropped without a word.
    pub refusals: usize,
    /// Connections without a session; more are answered `UNAVAILABLE` with a time to come back.
    pub handshakes: usize,
    /// Sessions, detached ones included; a login beyond is answered `UNAVAILABLE` with a time to come back.
    pub sessions: usize,
    /// Sessions of one account under [`DuplicateLogin::Allow`]; the oldest beyond is kicked with `REPLACED`.
    pub sessions_per_account: usize,
    /// Requests and notifications of one session; more are answered `RESOURCE_EXHAUSTED`. Methods have theirs, too.
    pub session_rate: Option<Rate>,
    /// Calls of all clients that wait for an answer; more are answered `BUSY`.
    pub calls: usize,
    /// Groups; joining one more is ignored and counted.
    pub groups: usize,
    /// Memberships in all groups together; as above.
    pub members: usize,
    /// Groups that one session is in; as above.
    pub groups_per_session: usize,
    /// Entities that watch one session; more are ignored and counted.
    pub watchers_per_session: usize,
    /// Bytes of an account's properties; a login with more is answered `UNAUTHENTICATED`.
    pub property_bytes: usize,
    /// Clients that a drain sends away in a second. When there are more than fit into its grace, it takes longer, but not
    /// longer than [`Limits::longest_drain`]: whoever takes them in is not run over.
    pub departures_per_second: u32,
    /// See [`Limits::departures_per_second`].
    pub longest_drain: Duration,
    /// What refused clients are told as the time to come back, in milliseconds.
    pub retry_after_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: NodeUid::default(),
            session: GateConfig::default(),
            limits: Limits::default(),
            duplicate_login: DuplicateLogin::default(),
            opening: OPENING,
            flush: Duration::ZERO,
            call_timeout: Duration::from_secs(30),
            call_grace: Duration::from_secs(1),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: 4096,
            connection_rate: Some(Rate { per_second: 500.0, burst: 4096 }),
            addresses: 262_144,
            refusals: 256,
            handshakes: 8192,
            sessions: 200_000,
            sessions_per_account: 16,
            session_rate: Some(Rate { per_second: 2000.0, burst: 4000 }),
            calls: 1_000_000,
            groups: 100_000,
            members: 2_000_000,
            groups_per_session: 256,
            watchers_per_session: 64,
            property_bytes: 4096,
            departures_per_second: 2000,
            longest_drain: Duration::from_secs(10),
            retry_after_ms: 2000,
        }
    }
}
