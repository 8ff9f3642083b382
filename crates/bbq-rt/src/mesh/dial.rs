//! Making links: again and again with growing pauses, and accepting them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bbq_core::mesh::View;
use bbq_wire::NodeUid;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::opening::{Identity, LinkError, Opened};
use super::router::Event;
use super::socket::{Address, Listener, Stream};
use crate::clock::jittered;
use crate::openings::{Openings, Seldom};

/// First pause after a failure; doubles up to [`LONGEST_PAUSE`]. Each is shortened by up to a half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A link that lasted this long is made again at once.
const STEADY: Duration = Duration::from_secs(4);
/// Links being opened to us at a time; with more, the oldest opening is given up.
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
        self.identity.open(Stream::connect(address).await?, peer, &self.views).await
    }

    /// Tries until a link is open, or `wanted` says stop.
    async fn connect(
        &self,
        address: &Address,
        peer: Option<NodeUid>,
        trouble: &mut Trouble,
        wanted: impl Fn() -> bool,
    ) -> Option<Opened> {
        while wanted() && !self.events.is_closed() {
            match self.attempt(address, peer).await {
                Ok(opened) => return Some(opened),
                Err(error) => trouble.failed(address, &error),
            }
            tokio::time::sleep(jittered(trouble.pause())).await;
        }
        None
    }
}

/// A link that cannot be made, or does not last: how long to wait, and what to say of it. One line when it begins and
/// one when it is over, however many tries lie between.
#[derive(Debug, Default)]
struct Trouble {
    tries: u32,
    since: Option<Instant>,
}

impl Trouble {
    /// Another failure; `true`: the first.
    fn count(&mut self) -> bool {
        self.tries = self.tries.saturating_add(1);
        self.since.replace(self.since.unwrap_or_else(Instant::now)).is_none()
    }

    fn failed(&mut self, address: &Address, error: &dyn std::fmt::Display) {
        if self.count() {
            tracing::warn!(%address, %error, "no link; trying again");
        } else {
            tracing::debug!(%address, %error, tries = self.tries, "still no link");
        }
    }

    /// How long to wait now, before jitter.
    fn pause(&self) -> Duration {
        let doublings = self.tries.saturating_sub(1).min(16);
        FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
    }

    /// All is well again: what there was, if there was anything.
    fn end(&mut self) -> Option<(u32, Duration)> {
        let Self { tries, since } = std::mem::take(self);
        since.map(|since| (tries, since.elapsed()))
    }

    fn over(&mut self, address: &Address) {
        if let Some((tries, time)) = self.end() {
            tracing::info!(%address, tries, seconds = time.as_secs(), "the link is back");
        }
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
    let mut trouble = Trouble::default();
    if let Some(opened) = dialer.connect(&address, Some(peer), &mut trouble, wanted).await {
        trouble.over(&address);
        dialer.remember_opened(peer, pause);
        // Fails only when the router has ended.
        dialer.events.send(Event::Opened(Box::new(opened))).await.unwrap_or_default();
    }
}

/// Makes the one link of a process behind a sidecar, and makes it again whenever it is lost. One that does not last is
/// a failure like one that cannot be made: a proxy that lets us in and sends us away is not asked twenty times a second.
pub(super) async fn keep_uplink(dialer: Arc<Dialer>, address: Address) {
    let mut trouble = Trouble::default();
    while let Some(mut opened) = dialer.connect(&address, None, &mut trouble, || true).await {
        let (alive, mut lost) = tokio::sync::oneshot::channel::<()>();
        opened.stream.reader = Box::new(Watched { inner: opened.stream.reader, _alive: alive });
        if dialer.events.send(Event::Opened(Box::new(opened))).await.is_err() {
            return;
        }
        // Ends when the reader is dropped, and it is dropped with the link.
        if tokio::time::timeout(STEADY, &mut lost).await.is_err() {
            trouble.over(&address);
            lost.await.unwrap_or_default();
        }
        trouble.failed(&address, &"the link is lost");
        tokio::time::sleep(jittered(trouble.pause())).await;
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
    let mut openings = Openings::new(MAX_OPENINGS);
    let mut refusals = Seldom::default();
    loop {
        tokio::select! {
            stream = listener.accept() => match stream {
                Ok(stream) => openings.admit(let_in(Arc::clone(&dialer), stream)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a link");
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
            },
            ended = openings.next() => if let Err(error) = ended
                && let Some(untold) = refusals.again(Instant::now())
            {
                tracing::warn!(%error, untold, "a link is refused");
            },
            () = dialer.events.closed() => return,
        }
    }
}

async fn let_in(dialer: Arc<Dialer>, stream: Stream) -> Result<(), LinkError> {
    let opened = dialer.identity.accept(stream, &dialer.views).await?;
    // Fails only when the router has ended.
    dialer.events.send(Event::Opened(Box::new(opened))).await.unwrap_or_default();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_when_it_was_over() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u128> = std::iter::repeat_with(|| {
            trouble.count();
            trouble.pause().as_millis()
        })
        .take(9)
        .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        trouble.end();
        assert!(trouble.count());
        assert_eq!(trouble.pause(), FIRST_PAUSE);
    }

    #[test]
    fn trouble_is_told_when_it_begins_and_when_it_is_over() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.end(), None, "there was none");
        let told: Vec<bool> = (0..100_000).map(|_| trouble.count()).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(told[0] && trouble.pause() == LONGEST_PAUSE);
        assert_eq!(trouble.end().map(|(tries, _)| tries), Some(100_000));
        assert_eq!(trouble.end(), None);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for _ in 0..1000 {
            let pause = jittered(LONGEST_PAUSE);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
    }
}
