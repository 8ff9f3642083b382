//! One node: the roles of a process, put together. `App` runs one; the demo and tests run several in a process.
//!
//! Start order: center, control plane session, mesh, worlds, gate. Stop order is the reverse: the gate sends its
//! clients away, worlds save and stop their entities, the node leaves the cluster.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bbq_center::{Center, CenterConfig, StartError as CenterError};
use bbq_core::control::{ClusterView, ControlError, Load, NodeInfo, Roles};
use bbq_core::gate::{Config as MachineConfig, MethodTable, Stats};
use bbq_core::world::Definition;
use bbq_game::{Game, GameConfig, Losses, Queues, StoreDriver};
use bbq_gate::{
    Compat, CompatConfig, Counters, Ends, Gate, GateConfig, Pages, StartError as GateError, TlsConfig, Verifier,
};
use bbq_rt::clock::Clock;
use bbq_rt::control::{Attendance, CenterControl, ControlPlane, Membership, SharedConfig, Standing};
use bbq_rt::mesh::{Address, Inboxes, Listener, MeshConfig, MeshHandle, MeshNode, SIDECAR_LABEL, views};
use bbq_rt::queue::queue;
use bbq_rt::rpc::{ClientConfig, Pass};
use bbq_rt::store::{CenterStore, Store};
use bbq_wire::NodeUid;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::busy::Busy;
use crate::failure::{Failure, Result, listening};
use crate::identity;
use crate::options::Options;
use crate::original;
use crate::registration;
use crate::tuning::Tuning;

/// Lease of a node.
const LEASE: Duration = Duration::from_secs(3);
/// How long a stopping gate waits for its clients to go.
const GATE_GRACE: Duration = Duration::from_millis(500);
/// How long a stopping game waits for its entities to save.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// So many entities that could not be saved are named when the process ends.
const NAMED: usize = 5;
/// How long a node waits for the center at start.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// Time between two measurements of the load.
const LOAD_PERIOD: Duration = Duration::from_secs(1);
/// Messages between gate and mesh.
const GATE_QUEUE: usize = 4096;

/// What an application serves.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Types of the game role.
    pub definitions: Vec<Definition>,
    /// Generated descriptors, for `bbq call`.
    pub schemas: Vec<Bytes>,
    /// Judges credentials at the gate; `None`: everybody is a guest.
    pub verifier: Option<Verifier>,
    /// Pages of the gate.
    pub pages: Pages,
    /// Limits and policies.
    pub tuning: Tuning,
}

/// Where a node listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The center role, for other processes of the cluster.
    pub center: Option<String>,
    /// The gate role, for clients.
    pub gate: Option<String>,
    /// The gate role, for clients of the original.
    pub compat: Option<String>,
    /// The same over KCP.
    pub compat_kcp: Option<String>,
    /// Other nodes.
    pub mesh: Vec<String>,
}

impl Addresses {
    /// The addresses as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let Self { center, gate, compat, compat_kcp, mesh } = self;
        let pid = std::process::id();
        serde_json::json!({
            "center": center, "gate": gate, "compat": compat, "compat_kcp": compat_kcp, "mesh": mesh, "pid": pid,
        })
    }

    /// Writes the addresses as JSON, for who waits until everything listens.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_ready_file(path, &format!("{}\n", self.to_json())).map_err(|error| {
            Failure::new(
                format!("cannot write {}: {error}", path.display()),
                "name a file in a directory that can be written with --ready-file",
            )
        })
    }
}

/// Writes a file all at once: who waits for it never reads half of it. What is there and no ordinary file (a pipe,
/// `/dev/stdout`) is written to, and stays what it is.
///
/// # Errors
/// The file cannot be written.
pub fn write_ready_file(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(path)?, text.as_bytes());
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    fs::write(&draft, text).and_then(|()| fs::rename(&draft, path))
}

/// A running node. Dropping it is a crash; [`Node::shutdown`] loses nothing.
#[derive(Debug)]
pub struct Node {
    addresses: Addresses,
    gate: Option<Gate>,
    compat: Option<Compat>,
    game: Option<Game>,
    member: Option<Member>,
    center: Option<Center>,
}

/// What a node has that takes part in the cluster; a center alone does not.
#[derive(Debug)]
struct Member {
    load: JoinHandle<()>,
    attendance: Attendance,
    membership: Membership,
    mesh: MeshNode,
}

/// Tells the cluster how busy this process is and what it holds, as long as it attends.
async fn report_load(reports: watch::Sender<Load>, mesh: MeshHandle, gate: Option<Counters>) {
    let mut busy = Busy::new();
    while !reports.is_closed() {
        let permille = busy.permille();
        let entities = mesh.stats().await.map_or(0, |stats| stats.hosted);
        let gate = match &gate {
            Some(counters) => counters.stats().await.unwrap_or_default(),
            None => Stats::default(),
        };
        let sessions = gate.attached + gate.detached;
        reports.send_modify(|load| *load = Load { weight: load.weight, permille, entities, sessions });
        tokio::time::sleep(LOAD_PERIOD).await;
    }
}

impl Node {
    /// Starts the roles of `options` and returns when everything listens and the node is known to the cluster.
    ///
    /// # Errors
    /// An address is taken, a file cannot be used, no center is named, or it cannot be reached within ten seconds.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(options: &Options, parts: Arc<Parts>) -> Result<Self> {
        let tuning = parts.tuning.with(options)?;
        let secret = options.secret().map_err(|bad| {
            Failure::new(bad, "write at least 16 random bytes into the file, the same for every process of the cluster")
        })?;
        if secret.is_none() {
            for (option, address) in options.open_doors() {
                tracing::warn!(
                    option,
                    %address,
                    "EVERYBODY who reaches this address can join the cluster, call everything and read all state: \
                     set --cluster-secret-file, and keep the address in a network of your own"
                );
            }
        }
        let pass = secret.map(|secret| Pass { cluster: options.cluster.clone(), secret });
        let center = start_center(options, pass.clone()).await?;
        let mut node =
            Self { addresses: Addresses::default(), gate: None, compat: None, game: None, member: None, center };
        node.addresses.center = node.center.as_ref().map(|center| center.local_addr().to_string());
        let outcome = match &node.center {
            Some(center) if options.roles == Roles::CENTER => check_cluster(&*center.control(), options).await,
            _ => node.join(options, &parts, &tuning, pass).await,
        };
        if let Err(failure) = outcome {
            // It has had no time to hold anything.
            let _ = node.shutdown().await;
            return Err(failure);
        }
        tracing::info!(name = %options.name, roles = ?options.roles, addresses = %node.addresses.to_json(), "ready");
        Ok(node)
    }

    async fn join(&mut self, options: &Options, parts: &Parts, tuning: &Tuning, pass: Option<Pass>) -> Result<()> {
        let secret = pass.as_ref().map(|pass| pass.secret.clone());
        let (control, store) = self.ports(options, pass)?;
        check_cluster(&*control, options).await?;
        let clock = Clock::start();
        let listeners = listeners(options).await?;
        let announced = announced(options, &listeners);
        let info = node_info(options, parts, announced.clone());
        let attendance = attend(options, control.clone(), info).await?;
        let me = attendance.session().uid;
        let membership = Membership::of(control, me);
        attendance.remember(membership.views());

        let is_game = options.roles.contains(Roles::GAME);
        let queues = Queues::new(if is_game { options.world_count() } else { 0 });
        let (to_gate, from_mesh) = queue(GATE_QUEUE);
        let is_gate = options.roles.contains(Roles::GATE);
        let inboxes = Inboxes { worlds: queues.inboxes(), gate: is_gate.then_some(to_gate) };
        let sidecar = options.is_behind_sidecar();
        let machine = bbq_core::mesh::Config {
            me,
            roles: options.roles,
            worlds: inboxes.worlds.len() as u16,
            sidecar,
            spread: tuning.spread,
            names: parts.definitions.iter().map(|one| (one.desc().type_id(), one.desc().name.to_owned())).collect(),
            limits: tuning.mesh,
        };
        let uplink = options.sidecar.clone().filter(|_| sidecar).map(Address::Unix);
        let (cluster, placement) = (options.cluster.clone(), tuning.placement());
        let config = MeshConfig { machine, cluster, secret, announced, uplink, placement, ..MeshConfig::default() };
        let mesh = MeshNode::start(config, listeners, inboxes, clock, views(membership.views()))?;
        self.addresses.mesh = mesh.local_addresses().iter().map(ToString::to_string).collect();
        if is_game {
            let config = GameConfig { world: tuning.world(me, clock.unix_offset(), seed(me)), clock };
            self.game = Some(Game::start(&config, &parts.definitions, queues, &driver(store), &mesh.handle())?);
        }
        if is_gate {
            let ends = Ends {
                clock,
                to_mesh: mesh.handle().gate(GATE_QUEUE),
                from_mesh,
                methods: methods(membership.views()),
            };
            let gate = start_gate(options, parts, tuning.gate(me), ends).await?;
            self.addresses.gate = Some(gate.local_addr().to_string());
            self.compat = start_compat(options, &gate, &membership).await?;
            let compat = self.compat.as_ref();
            self.addresses.compat = compat.and_then(Compat::local_addr).map(|address| address.to_string());
            self.addresses.compat_kcp = compat.and_then(Compat::kcp_addr).map(|address| address.to_string());
            self.gate = Some(gate);
        }
        // Whoever waits for us to be ready may at once start something that needs us.
        let seen = membership.wait_for(|view| view.nodes.contains_key(&me));
        if tokio::time::timeout(JOIN_LIMIT, seen).await.is_err() {
            return Err(Failure::new(
                "the center accepted this node but does not show it to others",
                "look at the logs of the center",
            ));
        }
        let counters = self.gate.as_ref().map(Gate::counters);
        let load = tokio::spawn(report_load(attendance.reports(), mesh.handle(), counters));
        self.member = Some(Member { load, attendance, membership, mesh });
        Ok(())
    }

    /// The control plane and the Store: our own center's, or those of another process.
    fn ports(&self, options: &Options, pass: Option<Pass>) -> Result<(Arc<dyn ControlPlane>, Arc<dyn Store>)> {
        Ok(match (&self.center, &options.center) {
            (Some(center), _) => (center.control(), center.store()),
            (None, Some(address)) => {
                let config = ClientConfig { pass, ..ClientConfig::default() };
                let control: Arc<dyn ControlPlane> = match &options.control_plane {
                    None => Arc::new(CenterControl::with(address.clone(), config.clone())),
                    Some(engine) => engine.connect(SharedConfig::default()),
                };
                (control, Arc::new(CenterStore::with(address.clone(), config)))
            }
            (None, None) => {
                let what = "a process without the center role must be told where the center is";
                return Err(Failure::new(what, "set --center, or add the role"));
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The cluster as this node sees it; `None` for a center alone.
    #[must_use]
    pub fn cluster(&self) -> Option<Arc<ClusterView>> {
        self.member.as_ref().map(|member| member.membership.view())
    }

    /// The worlds of the game role.
    #[must_use]
    pub fn game(&self) -> Option<&Game> {
        self.game.as_ref()
    }

    /// The gate role.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The mesh, to send calls into; `None` for a center alone.
    #[must_use]
    pub fn mesh(&self) -> Option<MeshHandle> {
        self.member.as_ref().map(|member| member.mesh.handle())
    }

    /// Waits until the node cannot go on: the cluster declared it dead (it hung, or was cut off, for longer than its
    /// lease), or its center's files failed. What it still does is fenced; stop it and start it anew.
    pub async fn failed(&self) -> Failure {
        let over = async {
            let Some(member) = &self.member else { return std::future::pending().await };
            let mut standing = member.attendance.standing();
            let over =
                standing.wait_for(|standing| matches!(standing, Standing::Over(_))).await.map(|over| over.clone());
            match over {
                Ok(Standing::Over(certificate)) => certificate.why,
                _ => std::future::pending().await,
            }
        };
        let center = async {
            match &self.center {
                Some(center) => center.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = over => Failure::new(format!("this node was declared dead: {why}"), "start it again: it joins as a new incarnation"),
            () = center => Failure::new("the center cannot write its files any more", "make room on the disk of --data, then start it again"),
        }
    }

    /// Leaves the cluster in good order: clients are sent away, entities are saved and stopped.
    ///
    /// # Errors
    /// It has left, but not everything could be saved within ten seconds; the text says what is lost.
    pub async fn shutdown(mut self) -> Result<()> {
        let mut losses = Losses::default();
        if let Some(member) = &self.member {
            member.load.abort();
            member.attendance.report(Load { weight: 0, ..Load::default() });
        }
        drop(self.compat.take());
        if let Some(gate) = self.gate.take() {
            gate.shutdown(GATE_GRACE).await;
        }
        if let Some(mut game) = self.game.take() {
            losses = game.drain(DRAIN_LIMIT).await;
            // What the worlds said last is still on its way to the sockets.
            if let Some(mesh) = self.mesh() {
                let _ = mesh.stats().await;
            }
            game.stop().await;
        }
        if let Some(member) = self.member.take() {
            member.mesh.shutdown().await;
            if let Err(error) = member.attendance.leave("it was stopped").await {
                tracing::warn!(%error, "could not say goodbye; others will notice when the lease ends");
            }
        }
        if let Some(center) = self.center.take() {
            center.shutdown().await;
        }
        if losses.is_empty() { Ok(()) } else { Err(lost(&losses)) }
    }
}

/// What a drain could not save, for people. The log has every entity.
fn lost(losses: &Losses) -> Failure {
    let some: Vec<String> =
        losses.entities.iter().take(NAMED).map(|(entity, error)| format!("{entity}: {error}")).collect();
    let more = match losses.entities.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more, see the log"),
    };
    let stuck = match losses.stuck {
        0 => String::new(),
        stuck => format!("; {stuck} worlds did not come to an end"),
    };
    let what = format!("{} entities could not be saved: {}{more}{stuck}", losses.entities.len(), some.join("; "));
    Failure::new(what, "what was acknowledged before is stored; see that the Store is there before a node is stopped")
}

async fn start_center(options: &Options, pass: Option<Pass>) -> Result<Option<Center>> {
    if !options.roles.contains(Roles::CENTER) {
        return Ok(None);
    }
    let config = CenterConfig {
        listen: options.center_listen.to_string(),
        data: options.data.clone(),
        control: options.control_plane.clone(),
        pass,
        ..CenterConfig::default()
    };
    bbq_center::serve(config).await.map(Some).map_err(|error| {
        let fix = match &error {
            CenterError::Bind { cause, .. } => listening(cause, "--center-listen"),
            other => other.fix().to_string(),
        };
        Failure::new(error, fix)
    })
}

/// TCP for other hosts and, for a proxy with a sidecar path, a Unix socket for the processes of its own.
async fn listeners(options: &Options) -> Result<Vec<Listener>> {
    let mut addresses = Vec::new();
    if !options.is_behind_sidecar() {
        addresses.push(Address::Tcp(options.mesh_listen.to_string()));
        addresses.extend(options.sidecar.clone().map(Address::Unix));
    }
    let mut listeners = Vec::new();
    for address in addresses {
        let option = if matches!(address, Address::Unix(_)) { "--sidecar" } else { "--mesh-listen" };
        let failed = |error| Failure::new(format!("cannot listen on {address}: {error}"), listening(&error, option));
        listeners.push(Listener::bind(&address).await.map_err(failed)?);
    }
    Ok(listeners)
}

/// The address that others are told; empty for a process that takes no links.
fn announced(options: &Options, listeners: &[Listener]) -> String {
    let Some(listener) = listeners.first() else { return String::new() };
    let listen = listener.local_address().to_string();
    let announced = options.announced(&listen);
    if announced != listen {
        tracing::info!(%listen, %announced, "other nodes are told to come to another address than that of the socket");
    }
    announced
}

fn node_info(options: &Options, parts: &Parts, address: String) -> NodeInfo {
    let start = random();
    let name = match options.name.is_empty() {
        true => format!("{:?}-{:08x}", options.roles, start as u32),
        false => options.name.clone(),
    };
    let mut labels = std::collections::BTreeMap::new();
    if let Some(path) = &options.sidecar {
        labels.insert(SIDECAR_LABEL.to_owned(), format!("{}:{}", host(), path.display()));
    }
    let is_game = options.roles.contains(Roles::GAME);
    let services = if is_game { registration::records(&parts.definitions) } else { Vec::new() };
    let schema = parts.schemas.iter().fold(Vec::new(), |mut all, schema| {
        // File descriptor sets are messages: one after the other is their union.
        all.extend_from_slice(schema);
        all
    });
    let schema = if is_game { schema.into() } else { Bytes::new() };
    NodeInfo { name, start, roles: options.roles, address, labels, services, schema, weight: 100 }
}

/// Refuses to go on where another cluster lives.
async fn check_cluster(control: &dyn ControlPlane, options: &Options) -> Result<()> {
    let name = patiently(options, async || identity::cluster_name(control, &options.cluster).await).await?;
    if name == options.cluster {
        return Ok(());
    }
    let what = format!("{} belongs to the cluster `{name}`, and this process to `{}`", place(options), options.cluster);
    let fix = match options.control_plane {
        None => "correct --cluster or --center; a center with --data keeps its name",
        Some(_) => "correct --cluster; or give this cluster keys of its own with a path, --control-plane URL/PATH",
    };
    Err(Failure::new(what, fix))
}

/// What has the control plane, for people.
fn place(options: &Options) -> String {
    match (&options.control_plane, &options.center) {
        (Some(address), _) => format!("the control plane at {address}"),
        (None, Some(center)) => format!("the center {center}"),
        (None, None) => "the center of this process".to_owned(),
    }
}

async fn attend(options: &Options, control: Arc<dyn ControlPlane>, info: NodeInfo) -> Result<Attendance> {
    patiently(options, async || Attendance::open(control.clone(), info.clone(), LEASE).await).await
}

/// Tries again while the control plane cannot be reached, up to [`JOIN_LIMIT`].
async fn patiently<T>(options: &Options, attempt: impl AsyncFn() -> Result<T, ControlError>) -> Result<T> {
    let mut last = "no answer".to_owned();
    let done = tokio::time::timeout(JOIN_LIMIT, async {
        loop {
            match attempt().await {
                Err(ControlError::Unreachable { why }) => last = why,
                other => return other,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let fix = match options.control_plane {
        None => "start the center there (bbq run center), or correct --center",
        Some(_) => "start the engine there, or correct --control-plane",
    };
    match done.await {
        Ok(outcome) => outcome.map_err(|error| {
            let fix = match error {
                ControlError::Refused { .. } => {
                    "give every process of the cluster one --cluster and --cluster-secret-file"
                }
                _ => fix,
            };
            Failure::new(format!("{} refuses this node: {error}", place(options)), fix)
        }),
        Err(_) => {
            let seconds = JOIN_LIMIT.as_secs();
            Err(Failure::new(format!("{} cannot be reached within {seconds} s: {last}", place(options)), fix))
        }
    }
}

/// The Store as worlds use it.
fn driver(store: Arc<dyn Store>) -> StoreDriver {
    StoreDriver::new(move |request| {
        let store = store.clone();
        async move { bbq_rt::store::serve(&*store, request).await }
    })
}

async fn start_gate(options: &Options, parts: &Parts, machine: MachineConfig, ends: Ends) -> Result<Gate> {
    let mut config = GateConfig::new(options.gate_listen);
    config.machine = machine;
    config.pages = parts.pages.clone();
    config.tls = options.tls.clone().map(|(certificate, key)| TlsConfig { certificate, key });
    config.only_tls = options.only_tls;
    let verifier = parts.verifier.clone().unwrap_or_else(Verifier::guest);
    Gate::start(config, ends, verifier).await.map_err(|error| {
        let fix = match &error {
            GateError::Listen { source, .. } => listening(source, "--listen"),
            GateError::Pem { .. } => {
                "--tls-cert takes a PEM file with the certificate and its chain, --tls-key one with the private key; \
                 this user must be able to read both"
                    .to_owned()
            }
            GateError::Tls(_) => "--tls-key must be the key of the first certificate in --tls-cert".to_owned(),
        };
        Failure::new(error, fix)
    })
}

/// A listener for clients of the original, if the options ask for one.
async fn start_compat(options: &Options, gate: &Gate, membership: &Membership) -> Result<Option<Compat>> {
    let (listen, kcp) = (options.compat_listen, options.compat_kcp);
    if listen.is_none() && kcp.is_none() {
        return Ok(None);
    }
    let config = CompatConfig { listen, kcp, ..CompatConfig::new(original::names(membership.views())) };
    let fix = "choose another address with --compat-listen or --compat-kcp";
    Compat::start(gate, config).await.map(Some).map_err(|error| Failure::new(error, fix))
}

/// What clients may call, following the cluster.
fn methods(mut views: watch::Receiver<Arc<ClusterView>>) -> watch::Receiver<Arc<MethodTable>> {
    let first = registration::methods(&views.borrow_and_update());
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            let next = registration::methods(&views.borrow_and_update());
            // While a game restarts nobody serves its methods; what is known of them stays true.
            if !next.is_empty() {
                sender.send_if_modified(|table| {
                    let changed = **table != next;
                    *table = Arc::new(next);
                    changed
                });
            }
        }
    });
    receiver
}

/// The name of this machine: sockets of different machines may have the same path.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A number that no other process has drawn, from the keys of the standard hasher.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Worlds of two incarnations must not draw the same numbers.
fn seed(me: NodeUid) -> u64 {
    random() ^ me.incarnation << 32 ^ u64::from(me.node)
}
