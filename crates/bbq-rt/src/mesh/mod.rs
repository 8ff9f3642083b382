//! The mesh machine of [`bbq_core::mesh`] on tokio: links over TCP and Unix sockets, one task that owns the machine.
//!
//! ```text
//!  worlds, gate ──MeshHandle──► router task (owns the machine) ──chunks──► one task per link ──► socket
//!       ▲                          │      ▲                                      │
//!       └────── inboxes ───────────┘      └────────── frames, opened links ◄─────┘
//! ```
//! The router never waits for a world, a gate or a socket, so nobody can block in a circle: worlds may wait for it.

mod socket;
mod opening;
mod link;
mod router;
mod dial;
mod views;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::mesh::{Config, FromGate, Input, Mesh, Placement, Stats, View};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use router::Inboxes;
pub use socket::{Address, Listener};
pub use views::{SIDECAR_LABEL, view, views};

use crate::clock::Clock;
use crate::queue;
use crate::secret::Secret;
use dial::Dialer;
use opening::Identity;
use router::{Event, Router};

/// The limits of the shell; those of the machine are in [`bbq_core::mesh::Limits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Events waiting for the router; senders wait.
    pub events: usize,
    /// Bytes queued on one link above which new calls over it are answered `BUSY`.
    pub queue_full: usize,
    /// Bytes queued on one link above which it is closed.
    pub queue_max: usize,
    /// Messages beyond a full inbox that are kept for it; more are lost, which is logged as an error.
    pub overflow: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 65_536, queue_full: 8 << 20, queue_max: 64 << 20, overflow: 1 << 20 }
    }
}

/// How the mesh of a process is set up.
#[derive(Default)]
pub struct MeshConfig {
    /// The machine: who we are, how many worlds.
    pub machine: Config,
    /// Name of the cluster; links with nodes of others are refused.
    pub cluster: String,
    /// What the other end of every link must know; `None`: anybody of the cluster gets in.
    pub secret: Option<Secret>,
    /// Where others reach this process, as they are told; empty: it takes no links.
    pub announced: String,
    /// Where the proxy of this host listens; with it, [`Config::sidecar`] must be set.
    pub uplink: Option<Address>,
    /// Limits.
    pub limits: Limits,
    /// A say in where entities are activated.
    pub placement: Option<Placement>,
}

/// The running mesh of a process. Dropping it ends it without ceremony; [`MeshNode::shutdown`] writes what is queued.
#[derive(Debug)]
pub struct MeshNode {
    handle: MeshHandle,
    addresses: Vec<Address>,
    router: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
}

impl MeshNode {
    /// Starts the mesh. `listeners` may be empty: such a process makes links, nobody makes links to it. Views with
    /// revision 0 are ignored.
    ///
    /// # Errors
    /// `InvalidInput` when there are fewer inboxes than worlds, or `uplink` and [`Config::sidecar`] do not agree.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        config: MeshConfig,
        listeners: Vec<Listener>,
        inboxes: Inboxes,
        clock: Clock,
        views: watch::Receiver<Arc<View>>,
    ) -> io::Result<Self> {
        let MeshConfig { machine, cluster, secret, announced, uplink, limits, placement } = config;
        let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if inboxes.worlds.len() < usize::from(machine.worlds) {
            return invalid("every world needs an inbox");
        }
        if uplink.is_some() != machine.sidecar {
            return invalid("a process behind a sidecar needs the address of its proxy, and no other process does");
        }
        let addresses: Vec<Address> = listeners.iter().map(|listener| listener.local_address().clone()).collect();
        let identity = Identity { me: machine.me, cluster, roles: machine.roles, listen: announced, secret };
        let (events, queue) = mpsc::channel(limits.events);
        let dialer = Arc::new(Dialer::new(identity, events.clone(), views.clone()));
        let mesh = Mesh::with_placement(machine, placement);
        let router = Router::new(mesh, clock, limits, Arc::clone(&dialer), inboxes);
        let router = tokio::spawn(router.run(queue, views));
        let accepting = listeners.into_iter().map(|listener| tokio::spawn(dial::accept(Arc::clone(&dialer), listener)));
        let mut helpers: Vec<JoinHandle<()>> = accepting.collect();
        helpers.extend(uplink.map(|address| tokio::spawn(dial::keep_uplink(dialer, address))));
        Ok(Self { handle: MeshHandle { events }, addresses, router, helpers })
    }

    /// A way into the mesh, for worlds and the gate.
    #[must_use]
    pub fn handle(&self) -> MeshHandle {
        self.handle.clone()
    }

    /// Where it accepts links, in the order of the listeners.
    #[must_use]
    pub fn local_addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Takes no more events, writes what is queued (within a second) and closes every link.
    pub async fn shutdown(mut self) {
        self.helpers.iter().for_each(JoinHandle::abort);
        for helper in &mut self.helpers {
            // Aborted: that is no failure.
            helper.await.unwrap_or_default();
        }
        if self.handle.events.send(Event::Shutdown).await.is_ok()
            && let Err(error) = (&mut self.router).await
            && error.is_panic()
        {
            tracing::error!(%error, "the mesh panicked");
        }
    }
}

impl Drop for MeshNode {
    fn drop(&mut self) {
        self.helpers.iter().for_each(JoinHandle::abort);
        self.router.abort();
    }
}

/// The mesh is no longer running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeshClosed;

impl std::fmt::Display for MeshClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the mesh of this process is closed")
    }
}

impl std::error::Error for MeshClosed {}

/// A way into the mesh. Cheap to clone. What one handle sends arrives in order.
#[derive(Clone, Debug)]
pub struct MeshHandle {
    events: mpsc::Sender<Event>,
}

impl MeshHandle {
    /// Sends one input, waiting while the queue is full.
    ///
    /// # Errors
    /// [`MeshClosed`].
    pub async fn send(&self, input: Input) -> Result<(), MeshClosed> {
        self.events.send(Event::Input(Box::new(input))).await.map_err(|_| MeshClosed)
    }

    /// Sends many inputs as one event: what a world puts out in one step.
    ///
    /// # Errors
    /// [`MeshClosed`].
    pub async fn send_many(&self, inputs: Vec<Input>) -> Result<(), MeshClosed> {
        self.events.send(Event::Inputs(inputs)).await.map_err(|_| MeshClosed)
    }

    /// As [`MeshHandle::send_many`], from a thread outside the runtime.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Panics
    /// Inside of an async task.
    pub fn blocking_send_many(&self, inputs: Vec<Input>) -> Result<(), MeshClosed> {
        self.events.blocking_send(Event::Inputs(inputs)).map_err(|_| MeshClosed)
    }

    /// Sends one input if the queue has room.
    ///
    /// # Errors
    /// The input, when the queue is full or the mesh is closed.
    pub fn try_send(&self, input: Input) -> Result<(), Box<Input>> {
        self.events.try_send(Event::Input(Box::new(input))).map_err(|refused| match refused.into_inner() {
            Event::Input(input) => input,
            _ => unreachable!("it was an input"),
        })
    }

    /// A queue of its own for the gate, in place of an earlier one; what is put in arrives in order. Ends with the
    /// mesh, or its last sender.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn gate(&self, capacity: usize) -> queue::Sender<FromGate> {
        let (sender, queue) = queue::queue(capacity);
        let events = self.events.clone();
        // Fails only if the mesh is closed; the queue closes with it.
        tokio::spawn(async move { events.send(Event::Gate(queue)).await });
        sender
    }

    /// Counters.
    ///
    /// # Errors
    /// [`MeshClosed`].
    pub async fn stats(&self) -> Result<Stats, MeshClosed> {
        let (answer, stats) = oneshot::channel();
        self.events.send(Event::Stats(answer)).await.map_err(|_| MeshClosed)?;
        stats.await.map_err(|_| MeshClosed)
    }

    /// Waits until the counters satisfy `wanted`; looks every 5 ms. For start-up and tests.
    ///
    /// # Errors
    /// [`MeshClosed`].
    pub async fn wait_for(&self, wanted: impl Fn(&Stats) -> bool) -> Result<Stats, MeshClosed> {
        loop {
            let stats = self.stats().await?;
            if wanted(&stats) {
                return Ok(stats);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
