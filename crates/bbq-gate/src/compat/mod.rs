//! A listener for clients of the original: `gobbq-ts` 1.0.18, unmodified (`spec/compat.md`).
//!
//! ```text
//! one port: WebSocket, TCP ─► line ─► session (Bridge) ──Input──► the machine
//! another:  KCP over UDP   ─►                          ◄─Outbox─
//! ```
//! To the machine these are connections like any other: [`bbq_core::compat::Bridge`] translates. There is no
//! encryption and no credential in this protocol; every client is a guest. It is therefore off unless asked for.

mod conversation;

mod line;

mod session;

mod kcp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bbq_core::compat::{Login, Names};
use bbq_core::gate::{ConnId, Entropy};
use bbq_rt::clock::Clock;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::{Pages, StartError};
use crate::gate::Gate;
use crate::machine::ToMachine;
use crate::opening::Door;
use crate::outbox::Outbox;

use line::Line;
use session::Session;

/// Pause after a failed accept; file descriptors have run out, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections of this listener are numbered from here, those of the gate's own from 1.
const FIRST_CONN: u64 = 1 << 63;

/// How clients of the original are served.
#[derive(Clone, Debug)]
pub struct CompatConfig {
    /// Where WebSocket and TCP are spoken, on one port.
    pub listen: Option<SocketAddr>,
    /// Where KCP is spoken, as the original has it: no encryption, no proof of the sender's address.
    pub kcp: Option<SocketAddr>,
    /// What clients can call, and what they implement. New connections see the latest.
    pub names: watch::Receiver<Arc<Names>>,
    /// The scheme under which they log in; the token is `guest-` and 16 random digits.
    pub scheme: String,
    /// KCP sessions; datagrams of strangers beyond are dropped.
    pub kcp_sessions: usize,
    /// KCP sessions of one IP address; as above.
    pub kcp_sessions_per_address: usize,
}

impl CompatConfig {
    /// Nothing listens yet.
    #[must_use]
    pub fn new(names: watch::Receiver<Arc<Names>>) -> Self {
        let scheme = "guest".to_owned();
        Self { listen: None, kcp: None, names, scheme, kcp_sessions: 4096, kcp_sessions_per_address: 16 }
    }
}

/// A running listener. Dropping it stops listening; its connections go on until the gate ends them.
#[derive(Debug)]
pub struct Compat {
    listen: Option<SocketAddr>,
    kcp: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Compat {
    /// Starts listening for `gate`.
    ///
    /// # Errors
    /// An address is taken.
    pub async fn start(gate: &Gate, config: CompatConfig) -> Result<Self, StartError> {
        let mut started = Self { listen: None, kcp: None, tasks: Vec::new() };
        let Some((to_machine, clock)) = gate.entry() else { return Ok(started) };
        let (listen, kcp) = (config.listen, config.kcp);
        let entrance = Arc::new(Entrance { config, to_machine, clock, last: AtomicU64::new(FIRST_CONN) });
        if let Some(address) = listen {
            let failed = |source| StartError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            started.listen = Some(listener.local_addr().map_err(failed)?);
            started.tasks.push(tokio::spawn(accept(listener, entrance.clone())));
        }
        if let Some(address) = kcp {
            let failed = |source| StartError::Listen { address, source };
            let socket = UdpSocket::bind(address).await.map_err(failed)?;
            started.kcp = Some(socket.local_addr().map_err(failed)?);
            started.tasks.push(tokio::spawn(kcp::accept(socket, entrance)));
        }
        tracing::info!(listen = ?started.listen, kcp = ?started.kcp, "compat listens");
        Ok(started)
    }

    /// Where WebSocket and TCP are spoken.
    #[must_use]
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Where KCP is spoken.
    #[must_use]
    pub const fn kcp_addr(&self) -> Option<SocketAddr> {
        self.kcp
    }
}

impl Drop for Compat {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What new connections are made of.
struct Entrance {
    config: CompatConfig,
    to_machine: mpsc::Sender<ToMachine>,
    clock: Clock,
    last: AtomicU64,
}

impl Entrance {
    /// Announces a connection to the machine. None: the machine is gone, or there are no random numbers.
    async fn open(&self, peer: SocketAddr) -> Option<Session> {
        let (mut entropy, mut token) = ([0; 24], [0; 8]);
        if let Err(error) = getrandom::fill(&mut entropy).and_then(|()| getrandom::fill(&mut token)) {
            tracing::error!(%error, "no random numbers; connection dropped");
            return None;
        }
        let conn = ConnId(self.last.fetch_add(1, Ordering::Relaxed));
        let outbox = Arc::new(Outbox::default());
        let opened = ToMachine::Opened { conn, ip: peer.ip(), entropy: Entropy(entropy), outbox: outbox.clone() };
        self.to_machine.send(opened).await.ok()?;
        let token = format!("guest-{:016x}", u64::from_le_bytes(token));
        let login = Login { scheme: self.config.scheme.clone(), token: token.into(), device: "gobbq-ts".to_owned() };
        let names = self.config.names.borrow().clone();
        Some(Session::new(conn, outbox, self.to_machine.clone(), self.clock, names, login))
    }
}

async fn accept(listener: TcpListener, entrance: Arc<Entrance>) {
    let draining = Arc::new(AtomicBool::new(false));
    let door = Arc::new(Door { tls: None, only_tls: false, pages: Pages::default(), draining });
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Fails only on a socket that is dead already.
        let _ = stream.set_nodelay(true);
        let Some(session) = entrance.open(peer).await else { continue };
        let door = door.clone();
        tokio::spawn(session.run(async move { Line::of_stream(stream, &door).await }));
    }
}
