//! How a link opens: who is at the other end, whether both belong to the same cluster, and whether they know its secret.
//!
//! ```text
//! dialing end     "BBQM" HELLO(n1) ──►
//!                              ◄── HELLO(n2)
//! with a secret   PROOF ──►
//!                              ◄── PROOF               the last word of the accepting end comes when it sees the
//!                              ◄── REFUSED, instead    node in its view of the cluster, or within GRACE no
//! ```
//! Without a secret the HELLO of the accepting end is that last word.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::mesh::{Roles, View};
use bbq_wire::mesh::{Hello, MESH_PREFACE, MESH_VERSION, Mesh as Message, MeshError, MeshFrame};
use bbq_wire::proof::{Introduction, Nonce, Party, Protocol, Side};
use bbq_wire::{Code, Error, NodeUid};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::socket::Stream;
use crate::secret::{Secret, nonce};

/// Time from connecting to the last word.
const OPENING: Duration = Duration::from_secs(5);
/// How long a node may be ahead of our view of the cluster.
const GRACE: Duration = Duration::from_secs(3);
/// How long a refusal may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Longest frame of an opening.
const MAX_OPENING_FRAME: usize = 4096;

/// What a process says of itself when a link opens.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) me: NodeUid,
    pub(super) cluster: String,
    pub(super) roles: Roles,
    pub(super) listen: String,
    pub(super) secret: Option<Secret>,
}

/// A link that has been opened.
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// What was read beyond the opening.
    pub(super) rest: BytesMut,
    pub(super) peer: NodeUid,
    pub(super) roles: Roles,
}

/// Why a link could not be opened, or ended.
#[derive(Debug)]
pub(super) enum LinkError {
    NotMesh,
    Cluster {
        ours: String,
        theirs: String,
    },
    Version {
        theirs: u32,
    },
    Node {
        wanted: NodeUid,
        found: NodeUid,
    },
    /// The other end has a secret, and we have none.
    SecretWanted,
    /// We have a secret, and the other end has none.
    SecretMissing,
    /// The other end has another secret.
    WrongProof,
    /// The other end went on without a proof.
    NoProof,
    /// The node is not in our view of the cluster.
    Stranger(NodeUid),
    /// The other end said so.
    Refused(Error),
    NoHello,
    Late,
    Frame(MeshError),
    Io(io::Error),
}

impl LinkError {
    /// What the other end is told.
    fn code(&self) -> Option<Code> {
        match self {
            Self::SecretWanted | Self::SecretMissing | Self::WrongProof | Self::NoProof => Some(Code::UNAUTHENTICATED),
            Self::Stranger(_) => Some(Code::PERMISSION_DENIED),
            Self::Late => Some(Code::HANDSHAKE_TIMEOUT),
            _ => None,
        }
    }
}

impl LinkError {
    /// The reason as the other end reads it.
    fn told(&self) -> String {
        match self {
            Self::SecretWanted => "you have a secret of the cluster, and the node here has none".to_owned(),
            Self::SecretMissing => "the cluster has a secret: set --cluster-secret-file".to_owned(),
            Self::WrongProof => "your secret is another than that of the node here".to_owned(),
            Self::NoProof => "you did not prove that you know the secret of the cluster".to_owned(),
            Self::Stranger(node) => format!("the control plane does not know node {node}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMesh => f.write_str("the other end does not speak the mesh protocol"),
            Self::Cluster { ours, theirs } => write!(f, "it belongs to the cluster {theirs:?}, we to {ours:?}"),
            Self::Version { theirs } => write!(f, "it speaks version {theirs} of the mesh, we speak {MESH_VERSION}"),
            Self::Node { wanted, found } => write!(f, "node {wanted} was wanted, node {found} is there"),
            Self::SecretWanted => f.write_str("it has a secret of the cluster, and we have none"),
            Self::SecretMissing => f.write_str("it has no secret of the cluster, and we have one"),
            Self::WrongProof => f.write_str("it has another secret of the cluster"),
            Self::NoProof => f.write_str("it did not prove that it knows the secret of the cluster"),
            Self::Stranger(node) => write!(f, "node {node} is not in our view of the cluster"),
            Self::Refused(error) => write!(f, "it refuses us: {error}"),
            Self::NoHello => f.write_str("its first frame is no hello"),
            Self::Late => write!(f, "the link did not open within {OPENING:?}"),
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

/// Follows the cluster as this process sees it.
pub(super) type Views = watch::Receiver<Arc<View>>;

impl Identity {
    /// Opens a link that we made. `peer`: who must be there; `None`: anybody of the cluster.
    pub(super) async fn open(&self, stream: Stream, peer: Option<NodeUid>, views: &Views) -> Result<Opened, LinkError> {
        let mut conversation = Conversation::new(self, Side::Dialer, stream);
        let opening = tokio::time::timeout(OPENING, conversation.dial(peer, views)).await;
        conversation.end(opening.unwrap_or(Err(LinkError::Late))).await
    }

    /// Opens a link that was made to us.
    pub(super) async fn accept(&self, stream: Stream, views: &Views) -> Result<Opened, LinkError> {
        let mut conversation = Conversation::new(self, Side::Acceptor, stream);
        let opening = tokio::time::timeout(OPENING, conversation.accept(views)).await;
        conversation.end(opening.unwrap_or(Err(LinkError::Late))).await
    }
}

/// One opening.
struct Conversation<'a> {
    us: &'a Identity,
    side: Side,
    nonce: Option<Nonce>,
    stream: Stream,
    rest: BytesMut,
    /// The other end, once it has said hello.
    peer: NodeUid,
}

impl<'a> Conversation<'a> {
    fn new(us: &'a Identity, side: Side, stream: Stream) -> Self {
        let nonce = us.secret.as_ref().map(|_| nonce());
        Self { us, side, nonce, stream, rest: BytesMut::new(), peer: NodeUid::default() }
    }

    async fn dial(&mut self, wanted: Option<NodeUid>, views: &Views) -> Result<Roles, LinkError> {
        self.peer = wanted.unwrap_or_default();
        self.stream.writer.write_all(MESH_PREFACE).await?;
        self.say_hello().await?;
        let (_, hello) = self.read_hello().await?;
        self.judge(&hello, wanted)?;
        if let Some((secret, theirs)) = self.secret_for(&hello)? {
            self.prove(secret, theirs).await?;
            self.check_proof(secret, theirs).await?;
        }
        known(views, self.peer).await
    }

    async fn accept(&mut self, views: &Views) -> Result<Roles, LinkError> {
        let mut preface = [0; 4];
        self.stream.reader.read_exact(&mut preface).await?;
        if &preface != MESH_PREFACE {
            return Err(LinkError::NotMesh);
        }
        let (meant, hello) = self.read_hello().await?;
        let fits = self.judge(&hello, None).and(match meant {
            meant if meant == NodeUid::default() || meant == self.us.me => Ok(()),
            meant => Err(LinkError::Node { wanted: meant, found: self.us.me }),
        });
        // Where they do not fit, each end can say why by itself; where there is a secret, it is asked for first.
        let open = fits.is_ok() && self.nonce.is_none() && hello.nonce.is_none();
        if !open {
            self.say_hello().await?;
        }
        fits?;
        let secret = self.secret_for(&hello)?;
        if let Some((secret, theirs)) = secret {
            self.check_proof(secret, theirs).await?;
        }
        let roles = known(views, self.peer).await?;
        match secret {
            Some((secret, theirs)) => self.prove(secret, theirs).await?,
            None => self.say_hello().await?,
        }
        Ok(roles)
    }

    fn judge(&self, hello: &Hello, wanted: Option<NodeUid>) -> Result<(), LinkError> {
        if hello.version != MESH_VERSION {
            return Err(LinkError::Version { theirs: hello.version });
        }
        if hello.cluster != self.us.cluster {
            return Err(LinkError::Cluster { ours: self.us.cluster.clone(), theirs: hello.cluster.clone() });
        }
        match wanted {
            Some(wanted) if wanted != self.peer => Err(LinkError::Node { wanted, found: self.peer }),
            _ => Ok(()),
        }
    }

    /// Our secret and the nonce of the other end; `None`: neither has one.
    fn secret_for(&self, hello: &Hello) -> Result<Option<(&'a Secret, Nonce)>, LinkError> {
        match (&self.us.secret, hello.nonce) {
            (Some(secret), Some(theirs)) => Ok(Some((secret, theirs))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(LinkError::SecretWanted),
            (Some(_), None) => Err(LinkError::SecretMissing),
        }
    }

    fn introduction(&self, theirs: Nonce) -> Introduction<'a> {
        let ours = Party { uid: self.us.me, nonce: self.nonce.unwrap_or_default() };
        let theirs = Party { uid: self.peer, nonce: theirs };
        let (dialer, acceptor) = match self.side {
            Side::Dialer => (ours, theirs),
            Side::Acceptor => (theirs, ours),
        };
        Introduction { protocol: Protocol::Mesh, cluster: &self.us.cluster, dialer, acceptor }
    }

    async fn prove(&mut self, secret: &Secret, theirs: Nonce) -> Result<(), LinkError> {
        let proof = secret.prove(&self.introduction(theirs), self.side);
        self.say(Message::Proof { proof: Bytes::copy_from_slice(&proof) }).await
    }

    async fn check_proof(&mut self, secret: &Secret, theirs: Nonce) -> Result<(), LinkError> {
        let frame = self.read_frame().await?;
        let Message::Proof { proof } = frame.message else { return Err(LinkError::NoProof) };
        match secret.accepts(&self.introduction(theirs), self.side.other(), &proof) {
            true => Ok(()),
            false => Err(LinkError::WrongProof),
        }
    }

    async fn say_hello(&mut self) -> Result<(), LinkError> {
        let Identity { cluster, roles, listen, .. } = self.us;
        let (cluster, listen) = (cluster.clone(), listen.clone());
        let hello = Hello { cluster, version: MESH_VERSION, roles: roles.0, listen, nonce: self.nonce };
        self.say(Message::Hello(hello)).await
    }

    async fn say(&mut self, message: Message) -> Result<(), LinkError> {
        let frame = MeshFrame::new(self.us.me, self.peer, message).to_bytes()?;
        Ok(self.stream.writer.write_all(&frame).await?)
    }

    /// Whom the other end means, and what it says of itself.
    async fn read_hello(&mut self) -> Result<(NodeUid, Hello), LinkError> {
        let MeshFrame { src, dst, message, .. } = self.read_frame().await?;
        let Message::Hello(hello) = message else { return Err(LinkError::NoHello) };
        self.peer = src;
        Ok((dst, hello))
    }

    async fn read_frame(&mut self) -> Result<MeshFrame, LinkError> {
        loop {
            if let Some(bytes) = MeshFrame::split(&mut self.rest)? {
                let frame = MeshFrame::decode(&bytes)?;
                return match frame.message {
                    Message::Refused { error } => Err(LinkError::Refused(error)),
                    _ => Ok(frame),
                };
            }
            if self.rest.len() > MAX_OPENING_FRAME {
                return Err(LinkError::NoHello);
            }
            if self.stream.reader.read_buf(&mut self.rest).await? == 0 {
                return Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// The link, or the reason why there is none, which the other end is told if it has said who it is.
    async fn end(mut self, opening: Result<Roles, LinkError>) -> Result<Opened, LinkError> {
        let error = match opening {
            Ok(roles) => return Ok(Opened { stream: self.stream, rest: self.rest, peer: self.peer, roles }),
            Err(error) => error,
        };
        if let Some(code) = error.code().filter(|_| self.peer != NodeUid::default()) {
            let last_words = async {
                self.say(Message::Refused { error: Error::new(code, error.told()) }).await?;
                self.stream.writer.shutdown().await?;
                // What lies unread in a socket when it is closed would take our last words with it.
                let mut nothing = [0; 1024];
                while self.stream.reader.read(&mut nothing).await? > 0 {}
                Ok::<(), LinkError>(())
            };
            // It may have gone, or take nothing any more.
            if let Ok(Err(why)) = tokio::time::timeout(LAST_WORDS, last_words).await {
                tracing::debug!(%why, "a refusal is not heard");
            }
        }
        Err(error)
    }
}

/// Waits until we see a node in the cluster, and says what it does there.
async fn known(views: &Views, node: NodeUid) -> Result<Roles, LinkError> {
    let mut views = views.clone();
    let seen = tokio::time::timeout(GRACE, views.wait_for(|view| view.nodes.contains_key(&node))).await;
    let roles = seen.ok().and_then(Result::ok).and_then(|view| view.nodes.get(&node).map(|info| info.roles));
    roles.ok_or(LinkError::Stranger(node))
}
