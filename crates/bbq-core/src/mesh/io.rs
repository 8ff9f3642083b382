//! What goes into the mesh of a process and what comes out of it: plain values.

use std::collections::BTreeMap;
use std::sync::Arc;

use bbq_wire::mesh::{MeshFrame, Route};
use bbq_wire::{EntityId, Error, NodeUid, Result, SessionId};
use bytes::Bytes;

use crate::Payload;
pub use crate::control::Roles;
use crate::world::{self, CallId, ClientRef, GroupOp, Outgoing, SessionEvent, ToClient};

/// Names one link of this process; never used again after [`Input::LinkDown`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// The cluster as the control plane describes it. Nodes that were in one view and are not in the next are dead.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct View {
    /// Every live node, this one included.
    pub nodes: BTreeMap<NodeUid, NodeInfo>,
    /// Owner of each directory slot, [`bbq_wire::id::SLOTS`] of them; fewer while the table is being made.
    pub slots: Vec<SlotOwner>,
    /// Grows with every change; a view that is not newer than the current one is ignored.
    pub revision: u64,
}

/// One live node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeInfo {
    /// Name that the operator gave.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Where it accepts links: `host:port`, or `unix:path`.
    pub address: String,
    /// The proxy behind which it is; `None`: it has links of its own.
    pub sidecar: Option<NodeUid>,
    /// Type ids of the services and entity types that it serves.
    pub serves: Vec<u32>,
    /// How loaded it is; only compared with other nodes.
    pub load: u32,
    /// It is about to leave: nothing new is placed on it.
    pub draining: bool,
    /// Free text for placement.
    pub labels: BTreeMap<String, String>,
}

/// Who holds a directory slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotOwner {
    /// The node; the default uid: nobody.
    pub owner: NodeUid,
    /// Grows with every change of the owner; the upper half of the epochs that it gives.
    pub epoch: u32,
}

/// How the mesh of a process is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// This process.
    pub me: NodeUid,
    /// What it does.
    pub roles: Roles,
    /// Worlds of this process, `0 .. worlds`.
    pub worlds: u16,
    /// This process has one link, to the proxy of its host, and sends everything over it.
    pub sidecar: bool,
    /// How calls without affinity are spread over the instances of a service on other nodes.
    pub spread: Spread,
    /// Names of type ids, for error messages.
    pub names: BTreeMap<u32, String>,
    /// Limits.
    pub limits: super::Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            me: NodeUid::default(),
            roles: Roles::GAME,
            worlds: 1,
            sidecar: false,
            spread: Spread::RoundRobin,
            names: BTreeMap::new(),
            limits: super::Limits::default(),
        }
    }
}

/// How calls are spread over the instances of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spread {
    /// One after the other.
    #[default]
    RoundRobin,
    /// To the node with the lowest [`NodeInfo::load`].
    LeastLoaded,
}

/// What happens to the mesh.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The cluster has changed.
    View(Arc<View>),
    /// A link is open and both Hellos are checked.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is at its other end.
        peer: NodeUid,
        /// What the peer does.
        roles: Roles,
    },
    /// A link is closed; frames under way on it may be lost.
    LinkDown {
        /// The link.
        link: LinkId,
    },
    /// The queue of a link is filling up (true), or has room again.
    LinkFull {
        /// The link.
        link: LinkId,
        /// Whether new calls over it should be refused.
        full: bool,
    },
    /// A frame for this node arrived.
    Frame {
        /// Over this link.
        link: LinkId,
        /// What it says. Boxed, because it is larger than everything else that happens.
        frame: Box<MeshFrame>,
    },
    /// A frame for this node arrived whose fields cannot be read; it is skipped.
    Unreadable {
        /// Over this link.
        link: LinkId,
        /// Its envelope.
        route: Route,
    },
    /// A frame for another node arrived; it has not been decoded.
    Transit {
        /// Over this link.
        link: LinkId,
        /// Its envelope.
        route: Route,
        /// The whole frame.
        frame: Bytes,
    },
    /// A world of this process wants something done.
    World {
        /// Which world.
        index: u16,
        /// What it wants. Store requests, jobs and `Drained` are the shell's business and ignored here.
        output: world::Output,
    },
    /// The gate of this process wants something done.
    Gate(FromGate),
    /// This process is about to end: nothing that arrives from now on is taken.
    Leave,
}

/// What a gate tells the mesh.
#[derive(Clone, PartialEq, Debug)]
pub enum FromGate {
    /// A client calls; `meta.client` is set and the call id is chosen by the gate.
    Call(Outgoing),
    /// The answer to a [`ToGate::ToClient`] with a `corr`.
    ClientReply {
        /// Of the call.
        corr: u64,
        /// The client's reply.
        result: Result<Bytes>,
    },
    /// Something happened to a session that an entity watches.
    Session {
        /// The entity.
        target: EntityId,
        /// The session.
        client: ClientRef,
        /// What happened.
        event: SessionEvent,
    },
}

/// What the mesh wants done.
#[derive(Debug)]
pub enum Output {
    /// Open a link; keep trying while the node is in the view and no link to it is up. Asked once per lost link.
    Connect {
        /// Who must be at the other end.
        peer: NodeUid,
        /// Where.
        address: String,
    },
    /// Close a link; what was sent before may be dropped.
    Disconnect {
        /// The link.
        link: LinkId,
    },
    /// Send a frame.
    Send {
        /// Over this link.
        link: LinkId,
        /// The whole frame, encoded.
        frame: Bytes,
    },
    /// For a world of this process.
    World {
        /// Which world.
        index: u16,
        /// What happens to it.
        input: world::Input,
    },
    /// For the gate of this process.
    Gate(ToGate),
}

/// What the mesh tells a gate.
#[derive(Clone, PartialEq, Debug)]
pub enum ToGate {
    /// The answer to [`FromGate::Call`].
    Reply {
        /// Chosen by the gate.
        call: CallId,
        /// The answer.
        result: Result<Payload>,
    },
    /// Push to, or call, a client. Of `message.client` only the session is sure to be filled in; `message.call` means
    /// nothing here.
    ToClient {
        /// Comes back in [`FromGate::ClientReply`]; `None`: a push.
        corr: Option<u64>,
        /// What to send.
        message: ToClient,
    },
    /// A node changes or uses a group, as far as sessions of this gate are concerned.
    Group(NodeUid, GroupOp),
    /// These nodes are dead: the groups of the entities that lived there are over.
    Dead(Vec<NodeUid>),
    /// Start or end telling an entity about a session.
    WatchClient {
        /// The entity.
        watcher: EntityId,
        /// The session; only `gate` and `session` are filled in.
        client: ClientRef,
        /// Start or end.
        on: bool,
    },
    /// End a session.
    Kick {
        /// Which.
        session: SessionId,
        /// Why.
        error: Error,
    },
}

/// A node that could host an entity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate<'a> {
    /// The node.
    pub node: NodeUid,
    /// What the control plane says of it.
    pub info: &'a NodeInfo,
    /// Its load, counting what this directory placed there since the last view.
    pub load: u64,
}

/// Chooses the node of an entity among candidates (never empty, in order of uid); `None` leaves it to the default:
/// the asking node, else the least loaded. Arguments: the entity, the node that asks, the candidates.
pub type Placement = Box<dyn Fn(&EntityId, NodeUid, &[Candidate<'_>]) -> Option<NodeUid> + Send>;
