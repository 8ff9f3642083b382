//! Starts a gate and keeps hold of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bbq_core::gate::{ConnId, Entropy, MethodTable, Stats};
use bbq_core::mesh::{FromGate, ToGate};
use bbq_rt::clock::Clock;
use bbq_rt::queue;
use hashbrown::HashMap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{GateConfig, StartError, TlsConfig};
use crate::connection::serve;
use crate::machine::Machine;
use crate::messages::{Control, ToMachine};
use crate::opening::Door;
use crate::outbox::Outbox;
use crate::verifier::Verifier;

/// Pause after a failed accept; file descriptors have run out, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the gate meets the rest of the process.
#[derive(Debug)]
pub struct Ends {
    /// The clock that the mesh uses, too: deadlines cross between them.
    pub clock: Clock,
    /// To the mesh.
    pub to_mesh: queue::Sender<FromGate>,
    /// From the mesh.
    pub from_mesh: queue::Receiver<ToGate>,
    /// What the games serve.
    pub methods: watch::Receiver<Arc<MethodTable>>,
}

/// A running gate. Dropping it stops it at once; [`Gate::drain`] first for the clients' sake.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    /// Weak, so that the machine ends with its connections.
    entry: mpsc::WeakSender<ToMachine>,
    clock: Clock,
    control: mpsc::Sender<Control>,
    draining: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
    machine: JoinHandle<()>,
}

impl Gate {
    /// Starts listening.
    ///
    /// # Errors
    /// The address is taken, or the certificate is unusable.
    pub async fn start(config: GateConfig, ends: Ends, verifier: Verifier) -> Result<Self, StartError> {
        let address = config.listen;
        let failed = |source| StartError::Listen { address, source };
        let tls = config.tls.as_ref().map(tls_acceptor).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let draining = Arc::new(AtomicBool::new(false));
        let (to_machine, inputs) = mpsc::channel(config.queue);
        let (control, controls) = mpsc::channel(16);
        let mut machine_config = config.machine;
        machine_config.session.origin_ms = ends.clock.unix_offset() / 1_000_000;
        let (entry, clock) = (to_machine.downgrade(), ends.clock);
        let machine = Machine {
            // The machine gives up first, and says why.
            patience: machine_config.opening * 2,
            gate: bbq_core::gate::Gate::new(machine_config),
            clock: ends.clock,
            verifier,
            inputs,
            own_inputs: to_machine.downgrade(),
            control: controls,
            methods: ends.methods,
            to_mesh: ends.to_mesh,
            from_mesh: ends.from_mesh,
            outboxes: HashMap::new(),
            waiting_for_mesh: VecDeque::new(),
            drained: Vec::new(),
            flushed: Vec::new(),
        };
        let door = Door { tls, only_tls: config.only_tls, pages: config.pages, draining: draining.clone() };
        let accepting = tokio::spawn(accept(listener, Arc::new(door), to_machine));
        let machine = tokio::spawn(machine.run());
        tracing::info!(%address, "gate listens");
        Ok(Self { address, entry, clock, control, draining, accepting, machine })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// For other listeners: where connections are announced, and the machine's clock. None: it has stopped.
    pub(crate) fn entry(&self) -> Option<(mpsc::Sender<ToMachine>, Clock)> {
        self.entry.upgrade().map(|to_machine| (to_machine, self.clock))
    }

    /// Whether it serves; not after its mesh has gone, or a bug has stopped it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.machine.is_finished()
    }

    /// What it has done and holds; nothing when it has stopped.
    pub async fn stats(&self) -> Stats {
        self.counters().stats().await.unwrap_or_default()
    }

    /// The same for others, who do not keep the gate alive.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters(self.control.downgrade())
    }

    /// Sends the clients away and returns when they are gone: those that do not go within `grace` are cut off.
    /// `/readyz` says 503 from now on.
    pub async fn drain(&self, grace: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let (done, drained) = oneshot::channel();
        let _ = self.control.send(Control::Drain(grace, done)).await;
        let _ = drained.await;
        self.accepting.abort();
    }

    /// Drains and stops.
    pub async fn shutdown(self, grace: Duration) {
        self.drain(grace).await;
    }
}

/// Reads the counters of a gate.
#[derive(Clone, Debug)]
pub struct Counters(mpsc::WeakSender<Control>);

impl Counters {
    /// What the gate has done and holds; `None` when it has stopped.
    pub async fn stats(&self) -> Option<Stats> {
        let (answer, stats) = oneshot::channel();
        self.0.upgrade()?.send(Control::Stats(answer)).await.ok()?;
        stats.await.ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
        self.machine.abort();
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, to_machine: mpsc::Sender<ToMachine>) {
    for number in 1.. {
        let (stream, peer) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let mut entropy = [0; 24];
        if let Err(error) = getrandom::fill(&mut entropy) {
            tracing::error!(%error, "no random numbers; connection dropped");
            continue;
        }
        // Fails only on a socket that is dead already.
        let _ = stream.set_nodelay(true);
        let (conn, outbox) = (ConnId(number), Arc::new(Outbox::default()));
        let opened = ToMachine::Opened { conn, ip: peer.ip(), entropy: Entropy(entropy), outbox: outbox.clone() };
        if to_machine.send(opened).await.is_err() {
            return;
        }
        tokio::spawn(serve(conn, stream, door.clone(), outbox, to_machine.clone()));
    }
}

fn tls_acceptor(config: &TlsConfig) -> Result<TlsAcceptor, StartError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |why: tokio_rustls::rustls::pki_types::pem::Error| StartError::Pem { path, reason: why.to_string() }
    };
    let chain = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(unreadable(&config.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(unreadable(&config.key))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| StartError::Tls(why.to_string()))?;
    let mut server =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|why| StartError::Tls(why.to_string()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}
