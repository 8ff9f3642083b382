//! Making links: again and again with growing pauses, and accepting them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bbq_core::mesh::View;
use bbq_wire::NodeUid;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::link::{Identity, LinkError, Opened};
use super::router::Event;
use super::socket::{Address, Listener, Stream};

/// First pause after a failure; doubles up to [`LONGEST_PAUSE`]. Each is shortened by up to a half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A link that lasted this long is made again at once.
const STEADY: Duration = Duration::from_secs(4);
/// Links being opened to us at a time; more connections are closed at once.
const MAX_OPENINGS: usize = 256;

/// What everybody who opens links shares.
pub(super) struct Dialer {
    pub(super) identity: Identity,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) views: watch::Receiver<Arc<View>>,
    /// When links were opened lately, and the pause if they do not last. A node that thinks us dead opens links and
    /// closes them at once: without a pause that is thousands in a second, on both sides.
    opened: Mutex<HashMap<NodeUid, (Instant, Duration)>>,
}

impl Dialer {
    pub(super) fn new(identity: Identity, events: mpsc::Sender<Event>, views: watch::Receiver<Arc<View>>) -> Self {
        Self { identity, events, views, opened: Mutex::default() }
    }

    /// How long to wait before a link to this peer is tried again: not at all, unless the last one was opened just now.
    fn pause_before(&self, peer: NodeUid) -> Duration {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|_, (at, _)| at.elapsed() < STEADY);
        opened.get(&peer).map_or(Duration::ZERO, |(_, pause)| *pause)
    }

    fn remember_opened(&self, peer: NodeUid, waited: Duration) {
        let pause = (waited * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, (Instant::now(), pause));
    }

    async fn attempt(&self, address: &Address, peer: Option<NodeUid>) -> Result<Opened, LinkError> {
        self.identity.open(Stream::connect(address).await?, peer).await
    }

    /// Tries until a link is open, or `wanted` says stop.
    async fn connect(&self, address: &Address, peer: Option<NodeUid>, wanted: impl Fn() -> bool) -> Option<Opened> {
        let mut pause = FIRST_PAUSE;
        let mut told = String::new();
        while wanted() && !self.events.is_closed() {
            match self.attempt(address, peer).await {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    let text = error.to_string();
                    if text != told {
                        tracing::warn!(%address, %error, "no link; trying again");
                        told = text;
                    }
                }
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        None
    }
}

/// Makes a link to a node of the view.
pub(super) async fn dial(dialer: Arc<Dialer>, peer: NodeUid, address: String) {
    let address = Address::parse(&address);
    let wanted = || dialer.views.borrow().nodes.contains_key(&peer);
    let pause = dialer.pause_before(peer);
    if !pause.is_zero() {
        tokio::time::sleep(jittered(pause)).await;
    }
    if let Some(opened) = dialer.connect(&address, Some(peer), wanted).await {
        dialer.remember_opened(peer, pause);
        // Fails only when the router has ended.
        dialer.events.send(Event::Opened(Box::new(opened))).await.unwrap_or_default();
    }
}

/// Makes the one link of a process behind a sidecar, and makes it again whenever it is lost.
pub(super) async fn keep_uplink(dialer: Arc<Dialer>, address: Address) {
    while let Some(mut opened) = dialer.connect(&address, None, || true).await {
        let (alive, lost) = tokio::sync::oneshot::channel::<()>();
        opened.stream.reader = Box::new(Watched { inner: opened.stream.reader, _alive: alive });
        if dialer.events.send(Event::Opened(Box::new(opened))).await.is_err() {
            return;
        }
        // Ends when the reader is dropped, and it is dropped with the link.
        lost.await.unwrap_or_default();
        tokio::time::sleep(jittered(FIRST_PAUSE)).await;
    }
}

/// A reader whose end somebody waits for.
struct Watched {
    inner: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    _alive: tokio::sync::oneshot::Sender<()>,
}

impl tokio::io::AsyncRead for Watched {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

/// Accepts links until the router ends.
pub(super) async fn accept(dialer: Arc<Dialer>, listener: Listener) {
    let openings = Arc::new(Semaphore::new(MAX_OPENINGS));
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            () = dialer.events.closed() => return,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link");
                tokio::time::sleep(FIRST_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&openings).try_acquire_owned() else { continue };
        let dialer = Arc::clone(&dialer);
        tokio::spawn(async move {
            match dialer.identity.accept(stream).await {
                Ok(opened) => dialer.events.send(Event::Opened(Box::new(opened))).await.unwrap_or_default(),
                Err(error) => tracing::warn!(%error, "a link is refused"),
            }
            drop(permit);
        });
    }
}

/// Between a half and all of it.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause / 2 + pause.mul_f64(f64::from((random & 0xffff) as u16) / 131_072.0)
}
