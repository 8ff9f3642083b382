//! One KCP conversation with the original's settings: stream mode, nodelay (1, 10, 2, 1), MTU 1400, no encryption.
//!
//! Until the peer has shown that it receives what we send, little is sent again, so that somebody who forges addresses
//! gains nothing.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::kcp::{Error, Kcp};
use bbq_core::compat::IDLE;
use bytes::{Buf, BytesMut};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

const MTU: usize = 1400;
const INTERVAL_MS: i32 = 10;
const FAST_RESEND: i32 = 2;
/// Segments in flight, and taken before they are read.
const WINDOW: u16 = 128;
/// Segments that wait or are in flight, above which nothing more is taken.
const MAX_WAITING: usize = 2 * WINDOW as usize;
/// Handed to KCP at a time: fewer fragments than the window.
const CHUNK: usize = 16 * 1024;
/// How often a segment is sent before the peer is taken for dead: before and after it has proved to be there.
const STRANGER_SENDS: u32 = 3;
const KNOWN_SENDS: u32 = 20;
/// Datagrams after which the peer is no stranger: it must have seen an answer to go on.
const KNOWN_AFTER: u32 = 3;

/// One peer, as a stream of bytes.
pub(super) struct Conversation {
    kcp: Kcp<Datagrams>,
    datagrams: mpsc::Receiver<BytesMut>,
    start: Instant,
    heard: Instant,
    heard_count: u32,
    alarm: Pin<Box<Sleep>>,
    /// Leaves the list of conversations when dropped.
    _seat: Seat,
}

/// Where KCP writes.
pub(super) struct Datagrams {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) peer: SocketAddr,
}

/// A place in the list of conversations.
pub(super) struct Seat {
    pub(super) peer: SocketAddr,
    pub(super) leaving: mpsc::Sender<SocketAddr>,
}

impl Conversation {
    pub(super) fn new(conv: u32, out: Datagrams, datagrams: mpsc::Receiver<BytesMut>, seat: Seat) -> Self {
        let mut kcp = Kcp::new_stream(conv, out);
        kcp.set_nodelay(true, INTERVAL_MS, FAST_RESEND, true);
        kcp.set_wndsize(WINDOW, WINDOW);
        // Fails only below 50.
        let _ = kcp.set_mtu(MTU);
        kcp.set_maximum_resend_times(STRANGER_SENDS);
        let start = Instant::now();
        let alarm = Box::pin(tokio::time::sleep_until(start));
        Self { kcp, datagrams, start, heard: start, heard_count: 0, alarm, _seat: seat }
    }

    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        loop {
            if let Some(bytes) = self.receive()? {
                return Poll::Ready(Ok(bytes));
            }
            ready!(self.poll_progress(context))?;
        }
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        loop {
            let before = out.len();
            while !out.is_empty() && self.kcp.wait_snd() < MAX_WAITING {
                let len = out.len().min(CHUNK);
                self.kcp.send(&out[..len]).map_err(io::Error::other)?;
                out.advance(len);
            }
            if out.len() < before {
                self.flush()?;
            }
            if out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // Acknowledgements make room.
            ready!(self.poll_progress(context))?;
        }
    }

    /// Ready when the peer has acknowledged everything.
    pub(super) fn poll_delivered(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.kcp.wait_snd() > 0 {
            match self.poll_read(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {}
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when something arrived or was sent again.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.datagrams.poll_recv(context) {
            Poll::Ready(None) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Poll::Ready(Some(datagram)) => Poll::Ready(self.input(&datagram)),
            Poll::Pending => self.poll_alarm(context),
        }
    }

    fn receive(&mut self) -> io::Result<Option<BytesMut>> {
        let len = match self.kcp.peeksize() {
            Ok(0) => return Err(io::Error::other("an empty segment")),
            Ok(len) => len,
            Err(_) => return Ok(None),
        };
        let mut bytes = BytesMut::zeroed(len);
        let read = self.kcp.recv(&mut bytes).map_err(io::Error::other)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Acknowledges at once.
    fn input(&mut self, datagram: &[u8]) -> io::Result<()> {
        match self.kcp.input(datagram) {
            Ok(_) => {}
            // Of another conversation, or damaged; anybody can send it.
            Err(Error::IoError(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
        self.heard = Instant::now();
        self.heard_count = self.heard_count.saturating_add(1);
        if self.heard_count == KNOWN_AFTER {
            self.kcp.set_maximum_resend_times(KNOWN_SENDS);
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let now = self.millis();
        self.kcp.update(now).and_then(|()| self.kcp.flush()).map_err(io::Error::other)
    }

    /// Sends again what was lost; an error when the peer is gone.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pause = self.pause();
        if !pause.is_zero() {
            self.alarm.as_mut().reset(Instant::now() + pause);
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        if self.heard.elapsed() >= IDLE {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let now = self.millis();
        self.kcp.update(now).map_err(io::Error::other)?;
        let dead = self.kcp.is_dead_link();
        Poll::Ready(if dead { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) })
    }

    /// How long nothing has to be done. Without anything in flight there is only the end to wait for.
    fn pause(&self) -> Duration {
        if self.kcp.wait_snd() > 0 {
            Duration::from_millis(self.kcp.check(self.millis()).into())
        } else {
            IDLE.saturating_sub(self.heard.elapsed())
        }
    }

    fn millis(&self) -> u32 {
        // Wraps after 49 days, as KCP expects.
        self.start.elapsed().as_millis() as u32
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        // A datagram that does not go out is lost; KCP sends it again.
        let _ = self.socket.try_send_to(datagram, self.peer);
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (peer, leaving) = (self.peer, self.leaving.clone());
        match leaving.try_send(peer) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(peer)) => {
                // Outside of a runtime everything is over.
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
                runtime.spawn(async move { leaving.send(peer).await });
            }
        }
    }
}
