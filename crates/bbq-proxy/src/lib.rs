//! The proxy role of gobbq: holds slots of the entity directory, and is the sidecar of its host, so that N hosts need
//! N x N links however many processes run on them.
//!
//! ```text
//!   games, gates of this host ──unix──► proxy ◄──tcp──► proxies of other hosts, and processes without a sidecar
//! ```
//! It forwards by the envelope of a frame and never looks inside. What it knows, others can tell its successor: killing
//! a proxy loses nothing but what was under way.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::mesh::{Config as Machine, Limits as MachineLimits, Placement, Stats};
use bbq_rt::clock::Clock;
use bbq_rt::control::{Attendance, ControlError, ControlPlane, DeathCert, Membership, NodeInfo, Roles, Standing};
use bbq_rt::mesh::{
    Address, Inboxes, Limits, Listener, MeshClosed, MeshConfig, MeshHandle, MeshNode, SIDECAR_LABEL, views,
};
use bbq_wire::NodeUid;

/// How a proxy is set up.
pub struct Config {
    /// Name of the node, unique in the cluster.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Where other hosts connect, `host:port`.
    pub listen: String,
    /// The address that other hosts are told; `None`: the one that is listened on.
    pub advertise: Option<String>,
    /// Where processes of this host connect; `None`: it is nobody's sidecar.
    pub sidecar: Option<PathBuf>,
    /// Name of this host: `host:path` is the label [`SIDECAR_LABEL`] of this proxy and of the processes behind it.
    pub host: String,
    /// The control plane.
    pub control: Arc<dyn ControlPlane>,
    /// Lease; zero: the engine's default.
    pub ttl: Duration,
    /// Limits of links.
    pub limits: Limits,
    /// Limits of the directory and of forwarding.
    pub machine_limits: MachineLimits,
    /// A say in where entities are activated.
    pub placement: Option<Placement>,
}

impl Config {
    /// A proxy that listens on `listen`, with default limits.
    #[must_use]
    pub fn new(name: &str, cluster: &str, listen: &str, control: Arc<dyn ControlPlane>) -> Self {
        Self {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            listen: listen.to_owned(),
            advertise: None,
            sidecar: None,
            host: String::new(),
            control,
            ttl: Duration::ZERO,
            limits: Limits::default(),
            machine_limits: MachineLimits::default(),
            placement: None,
        }
    }
}

/// Why a proxy does not start.
#[derive(Debug)]
pub enum StartError {
    /// It cannot listen there.
    Listen(Address, io::Error),
    /// The control plane did not let it in.
    Control(ControlError),
    /// The mesh refused its configuration.
    Mesh(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Control(error) => write!(f, "the control plane did not let the proxy in: {error}"),
            Self::Mesh(error) => write!(f, "the mesh does not start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running proxy. Dropping it is a crash: others find out when its lease ends.
#[derive(Debug)]
pub struct Proxy {
    mesh: MeshNode,
    attendance: Attendance,
    /// Feeds the mesh with views.
    _membership: Membership,
}

/// Starts a proxy: listens, registers in the control plane, holds the slots that it is given.
///
/// # Errors
/// [`StartError`].
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn run(config: Config) -> Result<Proxy, StartError> {
    let mut listeners = Vec::new();
    let tcp = Address::parse(&config.listen);
    let label = config.sidecar.as_ref().map(|path| format!("{}:{}", config.host, path.display()));
    for address in [tcp].into_iter().chain(config.sidecar.map(Address::Unix)) {
        match Listener::bind(&address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => return Err(StartError::Listen(address, error)),
        }
    }
    let listening = listeners.first().map(|listener| listener.local_address().to_string()).unwrap_or_default();
    let info = NodeInfo {
        name: config.name,
        start: RandomState::new().build_hasher().finish(),
        roles: Roles::PROXY,
        address: config.advertise.unwrap_or(listening),
        labels: label.map(|label| (SIDECAR_LABEL.to_owned(), label)).into_iter().collect(),
        weight: 100,
        ..NodeInfo::default()
    };
    let membership = Membership::start(Arc::clone(&config.control));
    let attendance = Attendance::open(config.control, info, config.ttl).await.map_err(StartError::Control)?;
    let machine = Machine {
        me: attendance.session().uid,
        roles: Roles::PROXY,
        worlds: 0,
        limits: config.machine_limits,
        ..Machine::default()
    };
    let mesh = MeshConfig {
        machine,
        cluster: config.cluster,
        uplink: None,
        limits: config.limits,
        placement: config.placement,
    };
    let views = views(membership.views());
    let mesh = MeshNode::start(mesh, listeners, Inboxes::default(), Clock::start(), views).map_err(StartError::Mesh)?;
    Ok(Proxy { mesh, attendance, _membership: membership })
}

impl Proxy {
    /// This incarnation.
    #[must_use]
    pub fn uid(&self) -> NodeUid {
        self.attendance.session().uid
    }

    /// Where other hosts connect, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> String {
        self.mesh.local_addresses().first().map(ToString::to_string).unwrap_or_default()
    }

    /// Counters.
    ///
    /// # Errors
    /// The mesh has ended.
    pub async fn stats(&self) -> Result<Stats, MeshClosed> {
        self.mesh.handle().stats().await
    }

    /// A way into its mesh.
    #[must_use]
    pub fn handle(&self) -> MeshHandle {
        self.mesh.handle()
    }

    /// Returns when others have declared this incarnation dead. The process should then end, or start anew.
    pub async fn declared_dead(&self) -> DeathCert {
        let mut standing = self.attendance.standing();
        loop {
            if let Standing::Over(certificate) = &*standing.borrow_and_update() {
                return certificate.clone();
            }
            if standing.changed().await.is_err() {
                // The session's task has ended otherwise: with the runtime.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Gives its slots back at once, writes what is queued and closes.
    pub async fn shutdown(self) {
        if let Err(error) = self.attendance.leave("the proxy was shut down").await {
            tracing::warn!(%error, "the control plane was not told that the proxy leaves; its lease will end");
        }
        self.mesh.shutdown().await;
    }
}
