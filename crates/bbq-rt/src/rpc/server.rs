//! The serving end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::pass::{self, Closed, Nonces, Pass};
use super::{BoxFuture, CLIENT_SILENCE, Connection, Frame, Hello, Kind, MAX_FRAME_BYTES};
use crate::openings::{Openings, Seldom};

/// Most connections; more are closed at once.
const MAX_CONNECTIONS: usize = 8192;

/// Connections that have not said who they are; with more, the oldest is closed.
const MAX_OPENINGS: usize = 256;

/// Time from connecting to the end of the opening.
const OPENING: Duration = Duration::from_secs(5);

/// How long a refusal may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A connection is not read while it has this many unanswered calls, or this many bytes in them.
const IN_FLIGHT: usize = 1024;
/// See [`IN_FLIGHT`].
const IN_FLIGHT_BYTES: usize = 32 << 20;

/// Most watches of a connection; more end it, and so does a number that is in use.
const MAX_WATCHES: usize = 256;

/// Events of all watches that wait to be written.
const ITEMS: usize = 64;

/// What a server does with bodies.
pub trait Handler: Send + Sync + 'static {
    /// Answers a call. It takes its place in line when the future is polled for the first time.
    fn call(&self, body: Bytes) -> BoxFuture<'static, Bytes>;

    /// Answers, and begins a stream of events unless it failed. A stream that ends tells the client so.
    fn watch(&self, body: Bytes) -> BoxFuture<'static, (Bytes, Option<mpsc::Receiver<Bytes>>)>;
}

/// A listening server and its connections. They end when it is dropped or shut down.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<()>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves the connections of `listener`; with a pass, those that have the same.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(listener: TcpListener, pass: Option<Pass>, handler: Arc<dyn Handler>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        let accepting = tokio::spawn(accept(listener, pass.map(Arc::new), handler, stopped));
        Ok(Self { address, stop, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections, and waits for them.
    pub async fn shutdown(self) {
        drop(self.stop);
        // A panic inside has been reported already.
        let _ = self.accepting.await;
    }
}

async fn accept(
    listener: TcpListener,
    pass: Option<Arc<Pass>>,
    handler: Arc<dyn Handler>,
    mut stopped: watch::Receiver<()>,
) {
    let (mut openings, mut refusals) = (Openings::new(MAX_OPENINGS), Seldom::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // The sender is gone.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            (peer, opened) = openings.next() => match opened {
                Ok(connection) => {
                    let handler = handler.clone();
                    connections.spawn(async move {
                        if let Err(error) = serve(connection, handler).await
                            && error.kind() != io::ErrorKind::UnexpectedEof
                        {
                            tracing::debug!(%peer, %error, "the connection of a node ended");
                        }
                    });
                }
                Err(Closed::Refused(error)) => if let Some(untold) = refusals.again(Instant::now()) {
                    tracing::warn!(%peer, %error, untold, "a process is refused");
                },
                Err(Closed::Broken(error)) => tracing::debug!(%peer, %error, "a connection did not open"),
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < MAX_CONNECTIONS => {
                    let pass = pass.clone();
                    openings.admit(async move { (peer, open(stream, pass.as_deref()).await) });
                }
                Ok(_) => tracing::warn!(limit = MAX_CONNECTIONS, "too many connections, one was closed"),
                // Out of file descriptors, say: give others time to close theirs.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

/// Until both ends know whom they have before them.
async fn open(stream: TcpStream, pass: Option<&Pass>) -> Result<Connection, Closed> {
    let mut connection = Connection::new(stream, pass.is_some())?;
    let ours = connection.nonce;
    let opening = async {
        let theirs = Hello::check(&connection.turn(true).await?)?;
        pass::check(&mut connection, pass, Nonces { ours, theirs }).await
    };
    let late = || Closed::Broken(io::Error::new(io::ErrorKind::TimedOut, "it did not open in time"));
    match timeout(OPENING, opening).await.unwrap_or_else(|_| Err(late())) {
        Ok(()) => {
            connection.limit = MAX_FRAME_BYTES;
            Ok(connection)
        }
        Err(closed) => {
            if let Closed::Refused(error) = &closed {
                pass::refuse(&mut connection, error);
                // It may have gone.
                let _ = timeout(LAST_WORDS, connection.finish()).await;
            }
            Err(closed)
        }
    }
}

struct Call {
    id: u64,
    bytes: usize,
    answer: Bytes,
}

/// The end of a watch is an empty item.
type Item = (u64, Option<Bytes>);

struct Peer {
    connection: Connection,
    handler: Arc<dyn Handler>,
    calls: JoinSet<Call>,
    call_bytes: usize,
    watches: BTreeMap<u64, AbortHandle>,
    /// Tasks that feed `items`; aborted with the connection.
    feeders: JoinSet<()>,
    items: mpsc::Sender<Item>,
}

async fn serve(connection: Connection, handler: Arc<dyn Handler>) -> io::Result<()> {
    let (items, mut item_inbox) = mpsc::channel(ITEMS);
    let (calls, feeders) = (JoinSet::new(), JoinSet::new());
    let mut peer = Peer { connection, handler, calls, call_bytes: 0, watches: BTreeMap::new(), feeders, items };
    let mut heard = Instant::now();
    loop {
        let room = peer.connection.has_room();
        let read = room && peer.calls.len() < IN_FLIGHT && peer.call_bytes < IN_FLIGHT_BYTES;
        tokio::select! {
            frame = peer.connection.turn(read) => {
                let frame = frame?;
                heard = Instant::now();
                peer.take(frame).await?;
            }
            Some(call) = peer.calls.join_next(), if room => match call {
                Ok(call) => peer.answer(&call),
                Err(_) => return Err(io::Error::other("a call panicked")),
            },
            Some((id, item)) = item_inbox.recv(), if room => peer.pass_on(id, item),
            Some(_) = peer.feeders.join_next() => {}
            () = sleep_until(heard + CLIENT_SILENCE), if read => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Peer {
    async fn take(&mut self, frame: Frame) -> io::Result<()> {
        let Frame { kind, id, body } = frame;
        match kind {
            Kind::Call => self.call(id, body).await,
            Kind::Watch => return self.watch(id, body),
            Kind::Cancel => {
                if let Some(feeder) = self.watches.remove(&id) {
                    feeder.abort();
                }
            }
            Kind::Ping => self.connection.push(Kind::Pong, id, &[]),
            Kind::Hello | Kind::Proof | Kind::Refused | Kind::Answer | Kind::Item | Kind::End | Kind::Pong => {
                return Err(super::broken(format!("a client sent {kind:?}")));
            }
        }
        Ok(())
    }

    /// Polls the call once, here, so that calls take their places in line in the order in which they arrived.
    async fn call(&mut self, id: u64, body: Bytes) {
        let bytes = body.len();
        let mut future = self.handler.call(body);
        let at_once = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        self.call_bytes += bytes;
        match at_once {
            Poll::Ready(answer) => self.answer(&Call { id, bytes, answer }),
            Poll::Pending => drop(self.calls.spawn(async move { Call { id, bytes, answer: future.await } })),
        }
    }

    fn answer(&mut self, call: &Call) {
        self.call_bytes -= call.bytes;
        self.connection.push(Kind::Answer, call.id, &call.answer);
    }

    fn watch(&mut self, id: u64, body: Bytes) -> io::Result<()> {
        if self.watches.len() >= MAX_WATCHES || self.watches.contains_key(&id) {
            return Err(super::broken("too many watches, or two with one number"));
        }
        let (watch, items) = (self.handler.watch(body), self.items.clone());
        let feeder = self.feeders.spawn(async move {
            let (answer, events) = watch.await;
            // The first item is the answer. Failing to send means that the connection is over.
            let mut going = items.send((id, Some(answer))).await.is_ok();
            let mut events = events;
            while let (true, Some(events)) = (going, &mut events) {
                let Some(event) = events.recv().await else { break };
                going = items.send((id, Some(event))).await.is_ok();
            }
            let _ = items.send((id, None)).await;
        });
        self.watches.insert(id, feeder);
        Ok(())
    }

    fn pass_on(&mut self, id: u64, item: Option<Bytes>) {
        match item {
            Some(item) => self.connection.push(Kind::Item, id, &item),
            None => {
                self.watches.remove(&id);
                self.connection.push(Kind::End, id, &[]);
            }
        }
    }
}
