//! Frames between nodes (`spec/mesh.md`).
//!
//! ```text
//! frame := len:u32 crc:u32 kind:u8 src:node dst:node seq:varint ack:varint fields
//! node  := node:u32 incarnation:u64                                                        all little endian
//! ```
//! `len` counts the bytes after itself. `crc` is the CRC-32C of everything after itself; 0: not computed. A proxy
//! forwards a frame by its [`Route`] without reading the fields. `seq` numbers the frames from one incarnation to
//! another; 0: not numbered, and not sent again when it is lost. Bytes after the known fields are ignored: that is how
//! frames grow.
//!
//! A malformed frame behind an intact envelope spoils only itself; the link goes on.

mod fields;

use bytes::{Bytes, BytesMut};

use crate::code::{Code, Error};
use crate::codec::{ReadError, Reader, Sink};
use crate::frame::Trace;
use crate::id::{EntityId, NodeUid, SessionId};
use crate::proof::Nonce;

/// What the connecting node sends before its first frame.
pub const MESH_PREFACE: &[u8; 4] = b"BBQM";
/// Version of this format.
pub const MESH_VERSION: u32 = 2;
/// Longest frame, `len` excluded.
pub const MAX_MESH_FRAME: u32 = 16 * 1024 * 1024;
/// Longest call chain.
pub const MAX_CHAIN: usize = 32;
/// Most sessions in one [`Group`] frame.
pub const MAX_SESSIONS: usize = 65_536;
/// Most entities in one [`Mesh::Report`] or [`Mesh::Gone`].
pub const MAX_ENTITIES: usize = 65_536;
/// Most slots in one [`Mesh::Collect`].
pub const MAX_SLOTS: usize = 65_536;

/// Least bytes of an envelope: `len`, `crc`, `kind`, `src`, `dst`, `seq` and `ack`.
const ENVELOPE_BYTES: usize = 4 + 4 + 1 + 12 + 12 + 1 + 1;

/// One frame: who, to whom, what.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshFrame {
    /// The incarnation that sends.
    pub src: NodeUid,
    /// The incarnation that is meant; [`NodeUid::default`] in a [`Mesh::Hello`] to a node not known yet.
    pub dst: NodeUid,
    /// Its number among the frames from `src` to `dst`, from 1 on; 0: it has none.
    pub seq: u64,
    /// `src` has accepted every frame from `dst` up to this number.
    pub ack: u64,
    /// What it says.
    pub message: Mesh,
}

/// What a frame says. Every `corr` is chosen by the asking node and comes back in the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Mesh {
    /// First frame on a link, in both directions.
    Hello(Hello),
    /// A call of a method.
    Call(Call),
    /// The answer to a call.
    Reply {
        /// Of the call.
        corr: u64,
        /// The encoded reply.
        result: Result<Bytes, Error>,
    },
    /// A call was certainly not processed: its entity is not here, or nobody is. The caller may send it elsewhere.
    Bounced {
        /// Of the call.
        corr: u64,
        /// Why.
        error: Error,
    },
    /// To the slot owner: where is it?
    Locate {
        /// Comes back in [`Mesh::Located`].
        corr: u64,
        /// Which entity.
        entity: EntityId,
        /// The activation that the asker found to be over; 0: none. The owner makes sure before it answers with it again.
        stale: u64,
        /// Whether an inactive entity is activated; otherwise the answer is `NOT_FOUND`.
        activate: bool,
    },
    /// There it is.
    Located {
        /// Of the question.
        corr: u64,
        /// Which entity.
        entity: EntityId,
        /// Its place.
        result: Result<Place, Error>,
    },
    /// The slot owner tells a node to host an entity.
    Activate {
        /// Comes back in [`Mesh::Activated`].
        corr: u64,
        /// Which entity.
        entity: EntityId,
        /// The activation's epoch, the fencing token of the store.
        epoch: u64,
    },
    /// The outcome of an activation.
    Activated {
        /// Of the order.
        corr: u64,
        /// Which entity.
        entity: EntityId,
        /// The activation's epoch.
        epoch: u64,
        /// Whether the entity runs.
        result: Result<(), Error>,
    },
    /// To the slot owner: the entity is no longer here. From the slot owner: another node has a newer activation, end
    /// this one.
    Deactivated {
        /// Which entity.
        entity: EntityId,
        /// The epoch that ended.
        epoch: u64,
    },
    /// A new slot owner asks a node what it hosts of these slots. From then on the node refuses activations of older
    /// owners.
    Collect {
        /// Comes back in [`Mesh::Report`].
        corr: u64,
        /// Slots and the epochs under which the asker owns them.
        slots: Vec<(u16, u32)>,
    },
    /// A node tells a slot owner what it hosts.
    Report {
        /// Of the question.
        corr: u64,
        /// How many more frames belong to this answer.
        more: u32,
        /// Entities of the slots that were asked for, and their epochs.
        entries: Vec<(EntityId, u64)>,
    },
    /// To a gate: push to, or call, a client.
    ToClient(ToClient),
    /// The client's answer to a [`ToClient`] with a `corr`.
    ClientReply {
        /// Of the call.
        corr: u64,
        /// The client's reply.
        result: Result<Bytes, Error>,
    },
    /// To a gate: membership of a group of sessions, or a broadcast to it.
    Group(Group),
    /// From a gate: something happened to a session bound to an entity.
    SessionEvent {
        /// The entity bound to the session.
        target: EntityId,
        /// The session.
        sid: SessionId,
        /// Its account.
        account: String,
        /// What happened.
        event: SessionChange,
    },
    /// To a gate: end a session.
    Kick {
        /// The session.
        sid: SessionId,
        /// Why.
        code: Code,
        /// For people.
        message: String,
    },
    /// To a gate: begin or end to tell an entity what happens to a session ([`Mesh::SessionEvent`]).
    WatchClient {
        /// Who wants to know.
        watcher: EntityId,
        /// About which session.
        sid: SessionId,
        /// Begin or end.
        on: bool,
    },
    /// Begin or end to watch whether an entity lives.
    Watch {
        /// Who wants to know.
        watcher: EntityId,
        /// About whom.
        subject: EntityId,
        /// Begin or end.
        on: bool,
    },
    /// A named event from one entity to another.
    Notify {
        /// The receiver.
        to: EntityId,
        /// The sender.
        from: EntityId,
        /// Name of the event.
        name: String,
        /// Its content.
        body: Bytes,
    },
    /// A watched entity is gone.
    Gone {
        /// The entity that was watched.
        subject: EntityId,
        /// Who watched it on the receiving node.
        watchers: Vec<EntityId>,
    },
    /// Are you there? Answered by the scheduler of the entities, not by a network task.
    Ping {
        /// Comes back in the [`Mesh::Pong`].
        nonce: u64,
    },
    /// I am.
    Pong {
        /// From the [`Mesh::Ping`].
        nonce: u64,
    },
    /// How far the numbered frames of the receiver have come. Not numbered itself.
    Ack {
        /// Everything up to this number has been accepted.
        seen: u64,
        /// What the sender wants.
        want: Want,
    },
    /// The sender ends in good order: it has accepted everything up to `seen`, and takes nothing more. Not numbered.
    Leave {
        /// The last number that it has accepted.
        seen: u64,
    },
    /// While a link opens: the sender knows the secret of the cluster ([`crate::proof`]).
    Proof {
        /// [`crate::proof::PROOF_BYTES`] bytes.
        proof: Bytes,
    },
    /// While a link opens: the sender does not want it, and closes it.
    Refused {
        /// Why.
        error: Error,
    },
}

/// What the sender of an [`Mesh::Ack`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Nothing.
    Nothing,
    /// An answer with [`Want::Rest`]: its frames may have been lost.
    Answer,
    /// Everything after `seen`, again.
    Rest,
}

/// Where an entity runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeUid,
    /// The activation.
    pub epoch: u64,
}

/// Fields of [`Mesh::Hello`]; the sender's uid is `src`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Hello {
    /// Name of the cluster; nodes of different clusters do not talk.
    pub cluster: String,
    /// [`MESH_VERSION`] of the sender.
    pub version: u32,
    /// Bit set of roles, defined by the runtime.
    pub roles: u32,
    /// Address at which the sender accepts links.
    pub listen: String,
    /// Fresh random bytes, if the sender has a secret and wants a proof that the receiver knows it.
    pub nonce: Option<Nonce>,
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One entity.
    Entity(EntityId),
    /// Any instance of a service on the destination node.
    Service {
        /// Hash of the service's full name.
        kind: u32,
    },
}

/// The client session on whose behalf a call runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionRef {
    /// The gate that holds the session.
    pub gate: NodeUid,
    /// The session.
    pub sid: SessionId,
    /// Its account, as the gate authenticated it.
    pub account: String,
}

/// Fields of [`Mesh::Call`].
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Comes back in the [`Mesh::Reply`].
    pub corr: u64,
    /// Whom to call.
    pub target: Target,
    /// Which method.
    pub method: u32,
    /// How long the caller still waits; 0: for ever.
    pub deadline_ms: u32,
    /// No reply is wanted.
    pub oneway: bool,
    /// The activation that the caller believes in; 0: any.
    pub epoch: u64,
    /// The entities that wait for this call, outermost first; at most [`MAX_CHAIN`].
    pub chain: Vec<EntityId>,
    /// The entity that calls.
    pub caller: Option<EntityId>,
    /// The client session behind the call.
    pub session: Option<SessionRef>,
    /// Trace context.
    pub trace: Option<Trace>,
    /// The encoded argument.
    pub body: Bytes,
}

/// Fields of [`Mesh::ToClient`].
#[derive(Clone, Debug, PartialEq)]
pub struct ToClient {
    /// The session.
    pub sid: SessionId,
    /// Comes back in the [`Mesh::ClientReply`]; 0: a push, without reply.
    pub corr: u64,
    /// Which method of the client.
    pub method: u32,
    /// The entity that speaks.
    pub key: Option<EntityId>,
    /// How long the caller still waits; 0: for ever.
    pub deadline_ms: u32,
    /// A push that need not be kept.
    pub unreliable: bool,
    /// The encoded argument.
    pub body: Bytes,
}

/// What to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupOp {
    /// Add `sids`.
    Join,
    /// Remove `sids`.
    Leave,
    /// Forget the group.
    Drop,
    /// Push to every member but `except`; with `sids`, to these instead of the members.
    Push,
}

/// Fields of [`Mesh::Group`].
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What to do.
    pub op: GroupOp,
    /// Name of the group.
    pub group: String,
    /// Sessions concerned.
    pub sids: Vec<SessionId>,
    /// Members left out of a push.
    pub except: Vec<SessionId>,
    /// Method of a push.
    pub method: u32,
    /// The entity that speaks in a push.
    pub key: Option<EntityId>,
    /// A push that need not be kept.
    pub unreliable: bool,
    /// Argument of a push.
    pub body: Bytes,
    /// The activation of the entity whose group it is; 0: a group that services share.
    pub epoch: u64,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionChange {
    /// Its connection is gone; it may come back.
    Detached,
    /// It came back.
    Resumed,
    /// It is over.
    Left,
}

/// The envelope of a frame: enough to forward it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Kind of the message, as in `spec/mesh.md`.
    pub kind: u8,
    /// The incarnation that sends.
    pub src: NodeUid,
    /// The incarnation that is meant.
    pub dst: NodeUid,
    /// As [`MeshFrame::seq`].
    pub seq: u64,
    /// As [`MeshFrame::ack`].
    pub ack: u64,
}

/// Why bytes are not a frame, or a value cannot become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeshError {
    /// Longer than [`MAX_MESH_FRAME`].
    TooLarge(usize),
    /// Shorter than an envelope, or `len` does not match.
    BadLength(usize),
    /// The checksum does not match: the link is broken.
    BadChecksum,
    /// No such kind.
    UnknownKind(u8),
    /// A field is malformed or a list exceeds its limit.
    Field(ReadError),
}

impl MeshError {
    /// Whether the byte stream itself is broken, so that the link must be closed.
    #[must_use]
    pub const fn breaks_link(self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::BadLength(_) | Self::BadChecksum)
    }
}

impl std::fmt::Display for MeshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(len) => write!(f, "mesh frame of {len} bytes, limit {MAX_MESH_FRAME}"),
            Self::BadLength(len) => write!(f, "mesh frame of {len} bytes is not whole"),
            Self::BadChecksum => f.write_str("mesh frame checksum does not match"),
            Self::UnknownKind(kind) => write!(f, "unknown mesh frame kind {kind}"),
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MeshError {}

impl From<ReadError> for MeshError {
    fn from(error: ReadError) -> Self {
        Self::Field(error)
    }
}

impl MeshFrame {
    /// A frame from `src` to `dst` without a number.
    #[must_use]
    pub const fn new(src: NodeUid, dst: NodeUid, message: Mesh) -> Self {
        Self { src, dst, seq: 0, ack: 0, message }
    }

    /// Where it goes.
    #[must_use]
    pub const fn dst(&self) -> NodeUid {
        self.dst
    }

    /// Appends the whole frame to `out`.
    ///
    /// # Errors
    /// [`MeshError::TooLarge`] and [`ReadError::TooLong`] when the receiver would refuse it; `out` is then unchanged.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), MeshError> {
        self.message.check_lists()?;
        let start = out.len();
        out.put(&[0; 8]);
        out.u8(self.message.kind());
        out.node(self.src);
        out.node(self.dst);
        out.varint(self.seq);
        out.varint(self.ack);
        self.message.write(out);
        let len = out.len() - start - 4;
        let Ok(len_field) = u32::try_from(len) else {
            out.truncate(start);
            return Err(MeshError::TooLarge(len));
        };
        if len_field > MAX_MESH_FRAME {
            out.truncate(start);
            return Err(MeshError::TooLarge(len));
        }
        let (_, frame) = out.split_at_mut(start);
        let (head, payload) = frame.split_at_mut(8);
        let crc = crc32c::crc32c(payload);
        head.copy_from_slice(&(u64::from(crc) << 32 | u64::from(len_field)).to_le_bytes());
        Ok(())
    }

    /// The whole frame in a buffer of its own.
    ///
    /// # Errors
    /// As [`MeshFrame::encode`].
    pub fn to_bytes(&self) -> Result<Bytes, MeshError> {
        let mut out = BytesMut::new();
        self.encode(&mut out)?;
        Ok(out.freeze())
    }

    /// Takes the next whole frame off the front of `stream`, its checksum verified; `None`: more bytes are needed.
    /// Never reserves memory because of the length.
    ///
    /// # Errors
    /// Only those that break the link.
    pub fn split(stream: &mut BytesMut) -> Result<Option<Bytes>, MeshError> {
        let mut reader = Reader::new(stream);
        let (Ok(len), crc) = (reader.u32_le(), reader.u32_le()) else { return Ok(None) };
        let size = len as usize;
        if len > MAX_MESH_FRAME {
            return Err(MeshError::TooLarge(size));
        }
        if size + 4 < ENVELOPE_BYTES {
            return Err(MeshError::BadLength(size));
        }
        let Ok(payload) = reader.take(size - 4) else { return Ok(None) };
        if crc.is_ok_and(|crc| crc != 0 && crc != crc32c::crc32c(payload)) {
            return Err(MeshError::BadChecksum);
        }
        Ok(Some(stream.split_to(size + 4).freeze()))
    }

    /// The envelope of a whole frame.
    ///
    /// # Errors
    /// [`MeshError::BadLength`] when it is not whole.
    pub fn route(frame: &[u8]) -> Result<Route, MeshError> {
        read_envelope(frame).map(|(route, _)| route)
    }

    /// Reads a whole frame, as [`MeshFrame::split`] gives it. Bodies are slices of `frame`, not copies. The checksum is
    /// not looked at again.
    ///
    /// # Errors
    /// Anything that `spec/mesh.md` does not allow.
    pub fn decode(frame: &Bytes) -> Result<Self, MeshError> {
        let (route, mut reader) = read_envelope(frame)?;
        let message = Mesh::read(route.kind, &mut reader, frame)?;
        let Route { src, dst, seq, ack, .. } = route;
        Ok(Self { src, dst, seq, ack, message })
    }
}

fn read_envelope(frame: &[u8]) -> Result<(Route, Reader<'_>), MeshError> {
    let bad = MeshError::BadLength(frame.len());
    let mut reader = Reader::new(frame);
    let len = reader.u32_le().map_err(|_| bad)?;
    if reader.len() != len as usize {
        return Err(bad);
    }
    let mut envelope = || -> Result<Route, ReadError> {
        reader.u32_le()?;
        let (kind, src, dst) = (reader.u8()?, reader.node()?, reader.node()?);
        Ok(Route { kind, src, dst, seq: reader.varint()?, ack: reader.varint()? })
    };
    let route = envelope().map_err(|_| bad)?;
    Ok((route, reader))
}
