//! One link: the opening, then frames in both directions until an end closes it.
//!
//! ```text
//! dialing end:   "BBQM" HELLO ──►             accepting end reads, answers with its own HELLO, then judges:
//!                ◄── HELLO                    so each end can say why they do not fit
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bbq_core::mesh::{LinkId, Roles};
use bbq_wire::NodeUid;
use bbq_wire::mesh::{Hello, MESH_PREFACE, MESH_VERSION, Mesh as Message, MeshError, MeshFrame, Route};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::router::Event;
use super::socket::Stream;

/// Time from connecting to the second Hello.
const OPENING: Duration = Duration::from_secs(5);
/// Longest first frame.
const MAX_HELLO: usize = 4096;
/// Bytes asked of a socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// Most frames handed on together.
const READ_FRAMES: usize = 256;

/// What a process says of itself when a link opens.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) me: NodeUid,
    pub(super) cluster: String,
    pub(super) roles: Roles,
    pub(super) listen: String,
}

/// A link that has been opened.
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// What was read beyond the Hello.
    pub(super) rest: BytesMut,
    pub(super) peer: NodeUid,
    pub(super) roles: Roles,
}

/// Why a link could not be opened, or ended.
#[derive(Debug)]
pub(super) enum LinkError {
    NotMesh,
    Cluster { ours: String, theirs: String },
    Version { theirs: u32 },
    Node { wanted: NodeUid, found: NodeUid },
    NoHello,
    Late,
    Frame(MeshError),
    Io(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMesh => f.write_str("the other end does not speak the mesh protocol"),
            Self::Cluster { ours, theirs } => write!(f, "it belongs to the cluster {theirs:?}, we to {ours:?}"),
            Self::Version { theirs } => write!(f, "it speaks version {theirs} of the mesh, we speak {MESH_VERSION}"),
            Self::Node { wanted, found } => write!(f, "node {wanted} was wanted, node {found} is there"),
            Self::NoHello => f.write_str("its first frame is no hello"),
            Self::Late => write!(f, "it did not say hello within {OPENING:?}"),
            Self::Frame(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<MeshError> for LinkError {
    fn from(error: MeshError) -> Self {
        Self::Frame(error)
    }
}

impl Identity {
    fn hello(&self, to: NodeUid) -> Result<Bytes, MeshError> {
        let hello = Hello {
            cluster: self.cluster.clone(),
            version: MESH_VERSION,
            roles: self.roles.0,
            listen: self.listen.clone(),
        };
        MeshFrame::new(self.me, to, Message::Hello(hello)).to_bytes()
    }

    fn judge(&self, source: NodeUid, hello: &Hello, wanted: Option<NodeUid>) -> Result<(), LinkError> {
        if hello.version != MESH_VERSION {
            return Err(LinkError::Version { theirs: hello.version });
        }
        if hello.cluster != self.cluster {
            return Err(LinkError::Cluster { ours: self.cluster.clone(), theirs: hello.cluster.clone() });
        }
        match wanted {
            Some(wanted) if wanted != source => Err(LinkError::Node { wanted, found: source }),
            _ => Ok(()),
        }
    }

    /// Opens a link that we made. `peer`: who must be there; `None`: anybody of the cluster.
    pub(super) async fn open(&self, mut stream: Stream, peer: Option<NodeUid>) -> Result<Opened, LinkError> {
        let opening = async {
            let mut first = BytesMut::from(&MESH_PREFACE[..]);
            first.extend_from_slice(&self.hello(peer.unwrap_or_default())?);
            stream.writer.write_all(&first).await?;
            let mut rest = BytesMut::new();
            let (source, _, hello) = read_hello(&mut stream, &mut rest).await?;
            self.judge(source, &hello, peer)?;
            Ok((rest, source, Roles(hello.roles)))
        };
        let (rest, peer, roles) = in_time(opening).await?;
        Ok(Opened { stream, rest, peer, roles })
    }

    /// Opens a link that was made to us.
    pub(super) async fn accept(&self, mut stream: Stream) -> Result<Opened, LinkError> {
        let opening = async {
            let mut preface = [0; 4];
            stream.reader.read_exact(&mut preface).await?;
            if &preface != MESH_PREFACE {
                return Err(LinkError::NotMesh);
            }
            let mut rest = BytesMut::new();
            let (source, meant, hello) = read_hello(&mut stream, &mut rest).await?;
            stream.writer.write_all(&self.hello(source)?).await?;
            self.judge(source, &hello, None)?;
            if meant != NodeUid::default() && meant != self.me {
                return Err(LinkError::Node { wanted: meant, found: self.me });
            }
            Ok((rest, source, Roles(hello.roles)))
        };
        let (rest, peer, roles) = in_time(opening).await?;
        Ok(Opened { stream, rest, peer, roles })
    }
}

async fn in_time<T>(opening: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    tokio::time::timeout(OPENING, opening).await.unwrap_or(Err(LinkError::Late))
}

/// Who speaks, whom they mean, and what they say.
async fn read_hello(stream: &mut Stream, rest: &mut BytesMut) -> Result<(NodeUid, NodeUid, Hello), LinkError> {
    loop {
        if let Some(bytes) = MeshFrame::split(rest)? {
            let MeshFrame { src, dst, message, .. } = MeshFrame::decode(&bytes)?;
            let Message::Hello(hello) = message else { return Err(LinkError::NoHello) };
            return Ok((src, dst, hello));
        }
        if rest.len() > MAX_HELLO {
            return Err(LinkError::NoHello);
        }
        if stream.reader.read_buf(rest).await? == 0 {
            return Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

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
