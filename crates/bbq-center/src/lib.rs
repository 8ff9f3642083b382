//! The center role: serves the control plane and an embedded Store to the nodes of a cluster. The control plane is the
//! embedded one, or another engine that is passed on.
//!
//! With a data directory, everything that was acknowledged survives a restart; incarnations and slot epochs only grow.
//! Games keep serving while their center is away: leases are given anew when it comes back.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bbq_rt::control::{Config, ControlAddress, ControlPlane, LocalControl, Request, SharedConfig, WatchStream};
use bbq_rt::rpc::{Answer, BoxFuture, Call, Handler, Item, Pass, Server};
use bbq_rt::store::{MemoryStore, OpenError, RedbStore, Store, StoreError, Trouble};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Files in the data directory.
const CONTROL_FILE: &str = "control.redb";
const STORE_FILE: &str = "store.redb";

/// Bodies of a watch that wait for the connection.
const BODIES: usize = 64;

/// Settings of a [`Center`].
#[derive(Clone, Debug)]
pub struct CenterConfig {
    /// Where to listen, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Where to keep state. It is made if it is missing. `None`: everything is forgotten at the end.
    pub data: Option<PathBuf>,
    /// The engine that has the control plane; `None`: the embedded one, kept with the other state.
    pub control: Option<ControlAddress>,
    /// What whoever connects must have, too; `None`: everybody is let in.
    pub pass: Option<Pass>,
    /// Lease length of nodes that ask for none.
    pub ttl: Duration,
    /// Time between the end of a lease and the death certificate.
    pub grace: Duration,
    /// How many changes a watch may lag behind before it has to take a new snapshot.
    pub history: usize,
}

impl Default for CenterConfig {
    fn default() -> Self {
        let Config { ttl, grace, history, .. } = Config::default();
        Self { listen: "127.0.0.1:0".into(), data: None, control: None, pass: None, ttl, grace, history }
    }
}

/// Why a center did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be listened on.
    Bind {
        /// As configured.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The file of the control plane cannot be used.
    Control(OpenError),
    /// The file of the Store cannot be used.
    Store(OpenError),
    /// The file of the Store cannot be read.
    Read(StoreError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "choose another address with --center-listen, or stop the process that holds it",
            Self::Control(error) | Self::Store(error) if error.trouble() == Trouble::InUse => {
                "stop the process that has it open, or choose another directory with --data"
            }
            Self::Control(error) | Self::Store(error) if error.trouble() == Trouble::Refused => {
                "look at the path, the permissions and the free space of the directory, or choose another with --data"
            }
            Self::Control(_) => {
                "keep store.redb where it is, it holds the state of the entities; move control.redb away and start again. \
                 Membership is made anew, with epochs above those in store.redb; values of the control plane (settings, \
                 locks) are lost unless a backup of control.redb takes its place"
            }
            Self::Store(_) | Self::Read(_) => {
                "keep control.redb where it is; put a backup of store.redb in the place of the damaged one, or move the \
                 damaged one away (do not delete it, parts may be recovered) and start again without the state of the \
                 entities"
            }
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind { address, cause } => write!(f, "the center cannot listen on {address}: {cause}"),
            Self::Control(error) | Self::Store(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { cause, .. } => Some(cause),
            Self::Control(error) | Self::Store(error) => Some(error),
            Self::Read(error) => Some(error),
        }
    }
}

/// A center that serves.
#[derive(Debug)]
pub struct Center {
    server: Server,
    control: AnyControl,
    store: AnyStore,
}

#[derive(Clone, Debug)]
enum AnyControl {
    Embedded(LocalControl),
    Engine(Arc<dyn ControlPlane>),
}

#[derive(Clone, Debug)]
enum AnyStore {
    Memory(Arc<MemoryStore>),
    File(RedbStore),
}

/// Starts a center; it serves until it is dropped or shut down.
///
/// # Errors
/// See [`StartError`].
pub async fn serve(config: CenterConfig) -> Result<Center, StartError> {
    let failed = |cause| StartError::Bind { address: config.listen.clone(), cause };
    // First the address, so that a second center on one machine fails before it touches files.
    let listener = TcpListener::bind(&config.listen).await.map_err(failed)?;
    let CenterConfig { ttl, grace, history, .. } = config;
    let engine = Config { ttl, grace, history, ..Config::default() };
    let (control, store) = match &config.data {
        None => {
            let control = match &config.control {
                None => AnyControl::Embedded(LocalControl::volatile(engine)),
                Some(address) => AnyControl::Engine(address.connect(shared(engine))),
            };
            (control, AnyStore::Memory(Arc::default()))
        }
        Some(directory) => {
            let store = RedbStore::open(&directory.join(STORE_FILE)).map_err(StartError::Store)?;
            match open_control(engine, config.control.as_ref(), directory, &store).await {
                Ok(control) => (control, AnyStore::File(store)),
                Err(error) => {
                    store.close().await;
                    return Err(error);
                }
            }
        }
    };
    let handler = Desk { control: control.port(), store: store.port() };
    let server = Server::start(listener, config.pass, Arc::new(handler)).map_err(failed)?;
    tracing::info!(address = %server.local_addr(), data = ?config.data, "the center serves");
    Ok(Center { server, control, store })
}

fn shared(Config { ttl, grace, epoch_floor, .. }: Config) -> SharedConfig {
    SharedConfig { ttl, grace, epoch_floor, ..SharedConfig::default() }
}

async fn open_control(
    engine: Config,
    address: Option<&ControlAddress>,
    directory: &Path,
    store: &RedbStore,
) -> Result<AnyControl, StartError> {
    let epoch_floor = store.slot_epoch().await.map_err(StartError::Read)?;
    let engine = Config { epoch_floor, ..engine };
    if let Some(address) = address {
        return Ok(AnyControl::Engine(address.connect(shared(engine))));
    }
    let control = LocalControl::open(engine, &directory.join(CONTROL_FILE)).map_err(StartError::Control)?;
    compare(directory, control.is_new(), store.is_new(), epoch_floor);
    Ok(AnyControl::Embedded(control))
}

/// Says it when one of the two files is there without the other.
fn compare(directory: &Path, control_is_new: bool, store_is_new: bool, epoch: u32) {
    let directory = directory.display();
    if store_is_new && !control_is_new {
        tracing::error!(
            %directory,
            "store.redb was not there although control.redb was: this cluster starts without the state of its entities. \
             If that is not meant, stop everything now and put store.redb back"
        );
    }
    if control_is_new && epoch > 0 {
        tracing::warn!(
            %directory,
            epoch,
            "control.redb was not there although store.redb was: membership is made anew, with epochs above those of the \
             stored state; values of the control plane (settings, locks) are gone"
        );
    }
}

impl Center {
    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Its control plane, without the network.
    #[must_use]
    pub fn control(&self) -> Arc<dyn ControlPlane> {
        self.control.port()
    }

    /// Its Store, without the network.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.port()
    }

    /// Returns when a part of the center stopped because its disk failed: shut down, then start anew.
    pub async fn failed(&self) {
        match &self.store {
            AnyStore::Memory(_) => self.control.stopped().await,
            AnyStore::File(store) => tokio::select! {
                () = self.control.stopped() => {}
                () = store.stopped() => {}
            },
        }
    }

    /// Closes the connections and the files. When it returns, another center can take over address and data.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
        self.control.close().await;
        if let AnyStore::File(store) = &self.store {
            store.close().await;
        }
    }
}

impl AnyControl {
    fn port(&self) -> Arc<dyn ControlPlane> {
        match self {
            Self::Embedded(control) => Arc::new(control.clone()),
            Self::Engine(control) => control.clone(),
        }
    }

    async fn stopped(&self) {
        match self {
            Self::Embedded(control) => control.stopped().await,
            // Engines come back.
            Self::Engine(_) => std::future::pending().await,
        }
    }

    async fn close(&self) {
        if let Self::Embedded(control) = self {
            control.close().await;
        }
    }
}

impl AnyStore {
    fn port(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::File(store) => Arc::new(store.clone()),
        }
    }
}

/// Where requests of nodes arrive.
struct Desk {
    control: Arc<dyn ControlPlane>,
    store: Arc<dyn Store>,
}

impl Handler for Desk {
    fn call(&self, body: Bytes) -> BoxFuture<'static, Bytes> {
        let (control, store) = (self.control.clone(), self.store.clone());
        Box::pin(async move {
            let answer = match Call::decode(&body) {
                Ok(Call::Control(request)) => Answer::Control(control.request(request).await),
                Ok(Call::Store(request)) => Answer::Store(store.request(request).await),
                Err(answer) => answer,
            };
            answer.encode()
        })
    }

    fn watch(&self, body: Bytes) -> BoxFuture<'static, (Bytes, Option<mpsc::Receiver<Bytes>>)> {
        let control = self.control.clone();
        Box::pin(async move {
            let (prefix, from) = match Call::decode(&body) {
                Ok(Call::Control(Request::Watch { prefix, from, .. })) => (prefix, from),
                Ok(_) => return (Answer::Unknown("this is not a watch".into()).encode(), None),
                Err(answer) => return (answer.encode(), None),
            };
            match control.watch(prefix, from).await {
                Ok(stream) => {
                    let (bodies, receiver) = mpsc::channel(BODIES);
                    tokio::spawn(forward(stream, bodies));
                    (Answer::Control(Ok(bbq_rt::control::Response::Done)).encode(), Some(receiver))
                }
                Err(error) => (Answer::Control(Err(error)).encode(), None),
            }
        })
    }
}

async fn forward(mut stream: WatchStream, bodies: mpsc::Sender<Bytes>) {
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            () = bodies.closed() => return,
        };
        let Some(event) = event else { return };
        for body in Item::encode(event) {
            if bodies.send(body).await.is_err() {
                return;
            }
        }
    }
}
