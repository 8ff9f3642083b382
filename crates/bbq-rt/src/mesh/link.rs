//! One open link: frames in both directions until an end closes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bbq_core::mesh::LinkId;
use bbq_wire::NodeUid;
use bbq_wire::mesh::{MeshFrame, Route};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::opening::{LinkError, Opened};
use super::router::Event;
use super::socket::Stream;

/// Bytes asked of a socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// Most frames handed on together.
const READ_FRAMES: usize = 256;

/// A frame that arrived.
#[derive(Debug)]
pub(super) enum Arrived {
    /// For us.
    Frame(MeshFrame),
    /// For us, but its fields make no sense.
    Unreadable(Route),
    /// For somebody else; not decoded.
    Transit(Route, Bytes),
}

/// Bytes that a link has still to write.
#[derive(Debug, Default)]
pub(super) struct Backlog(AtomicUsize);

impl Backlog {
    pub(super) fn add(&self, bytes: usize) -> usize {
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn sub(&self, bytes: usize) -> usize {
        self.0.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes)
    }
}

/// What the task of an open link needs to know.
pub(super) struct Wiring {
    pub(super) link: LinkId,
    pub(super) me: NodeUid,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) chunks: mpsc::Receiver<Bytes>,
    pub(super) backlog: Arc<Backlog>,
    /// Below this the router is told that there is room again, if it was above.
    pub(super) low_mark: usize,
}

/// Reads and writes until an end closes the link; the router drops its side to close it.
pub(super) async fn run(opened: Opened, wiring: Wiring) {
    let Wiring { link, me, events, chunks, backlog, low_mark } = wiring;
    let Stream { reader, writer, .. } = opened.stream;
    let ended = tokio::select! {
        ended = read(reader, opened.rest, (link, me), &events) => ended,
        ended = write(writer, chunks, (link, low_mark), &backlog, &events) => ended,
    };
    match ended {
        Ok(()) => tracing::debug!(peer = %opened.peer, "a link is closed"),
        Err(error) => tracing::info!(peer = %opened.peer, %error, "a link is lost"),
    }
    // When the router is gone nobody needs to know.
    events.send(Event::LinkDown(link)).await.unwrap_or_default();
}

async fn read(
    mut reader: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    mut buffer: BytesMut,
    (link, me): (LinkId, NodeUid),
    events: &mpsc::Sender<Event>,
) -> Result<(), LinkError> {
    let mut arrived = Vec::new();
    loop {
        while let Some(bytes) = MeshFrame::split(&mut buffer)? {
            let route = MeshFrame::route(&bytes)?;
            if route.dst != me {
                arrived.push(Arrived::Transit(route, bytes));
            } else {
                match MeshFrame::decode(&bytes) {
                    Ok(frame) => arrived.push(Arrived::Frame(frame)),
                    Err(error) => {
                        tracing::warn!(source = %route.src, %error, "a frame cannot be read");
                        arrived.push(Arrived::Unreadable(route));
                    }
                }
            }
            if arrived.len() >= READ_FRAMES && hand_on(link, &mut arrived, events).await.is_none() {
                return Ok(());
            }
        }
        if !arrived.is_empty() && hand_on(link, &mut arrived, events).await.is_none() {
            return Ok(());
        }
        buffer.reserve(READ_BYTES);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn hand_on(link: LinkId, arrived: &mut Vec<Arrived>, events: &mpsc::Sender<Event>) -> Option<()> {
    events.send(Event::Arrived(link, std::mem::take(arrived))).await.ok()
}

async fn write(
    mut writer: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    mut chunks: mpsc::Receiver<Bytes>,
    (link, low_mark): (LinkId, usize),
    backlog: &Backlog,
    events: &mpsc::Sender<Event>,
) -> Result<(), LinkError> {
    while let Some(chunk) = chunks.recv().await {
        let bytes = chunk.len();
        writer.write_all(&chunk).await?;
        let left = backlog.sub(bytes);
        if left < low_mark && left + bytes >= low_mark {
            events.send(Event::Room(link)).await.unwrap_or_default();
        }
    }
    writer.shutdown().await?;
    Ok(())
}
