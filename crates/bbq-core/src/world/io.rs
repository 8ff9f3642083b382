//! What goes into a world and what comes out of it: plain values, so that a log of inputs replays a world.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bbq_wire::{Code, EntityId, Error, NodeUid, Result, SessionId, Time};
use bytes::Bytes;

use crate::Payload;

/// Whom a call is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// One entity.
    Entity(EntityId),
    /// Any instance of a service, by type id.
    Service(u32),
}

/// Names one outstanding call of one world; meaningless outside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Where the answer of an incoming call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyTo {
    /// One-way: nobody waits.
    Nobody,
    /// A world of the same process.
    World(u16, CallId),
    /// Whatever the shell meant by this number.
    Remote(u64),
}

/// A player's session, as entities see it. Set by the gate, never by a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientRef {
    /// The gate that holds it.
    pub gate: NodeUid,
    /// The session.
    pub session: SessionId,
    /// Who authenticated.
    pub account: Arc<str>,
}

impl ClientRef {
    /// As an entity keeps it in its state, to let the session into its groups again in its next life.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(20 + self.account.len());
        bytes.extend_from_slice(&self.gate.node.to_le_bytes());
        bytes.extend_from_slice(&self.gate.incarnation.to_le_bytes());
        bytes.extend_from_slice(&self.session.0.to_le_bytes());
        bytes.extend_from_slice(self.account.as_bytes());
        bytes.into()
    }

    /// The reverse of [`ClientRef::to_bytes`]. It may be a session that has ended meanwhile: who watches it is told so.
    ///
    /// # Errors
    /// `DATA_LOSS`: the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let parts = || {
            let (node, rest) = bytes.split_first_chunk()?;
            let (incarnation, rest) = rest.split_first_chunk()?;
            let (session, account) = rest.split_first_chunk()?;
            let gate = NodeUid { node: u32::from_le_bytes(*node), incarnation: u64::from_le_bytes(*incarnation) };
            let session = SessionId(u64::from_le_bytes(*session));
            Some(Self { gate, session, account: std::str::from_utf8(account).ok()?.into() })
        };
        parts().ok_or_else(|| Error::new(Code::DATA_LOSS, "these bytes are no session"))
    }
}

/// W3C trace context: trace id (16), span id (8), flags (1).
pub type Trace = [u8; 25];

/// What travels along a chain of calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// The session whose request started the chain.
    pub client: Option<ClientRef>,
    /// Entities of other worlds that wait further up the chain, outermost first.
    pub chain: Vec<EntityId>,
    /// Trace context.
    pub trace: Option<Trace>,
}

impl Meta {
    /// As calls carry it: nothing is `None`.
    #[must_use]
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// A call that arrives from outside the world.
#[derive(Clone, PartialEq, Debug)]
pub struct Incoming {
    /// Whom it is for.
    pub target: Target,
    /// Wire id of the method.
    pub method: u32,
    /// The request.
    pub body: Payload,
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// After this nobody waits any more; [`Time::MAX`] = no deadline.
    pub deadline: Time,
    /// Session, chain and trace.
    pub meta: Option<Arc<Meta>>,
}

/// A call that leaves the world.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// Whom it is for.
    pub target: Target,
    /// Wire id of the method.
    pub method: u32,
    /// The request.
    pub body: Payload,
    /// Names the answer; `None` = one-way.
    pub call: Option<CallId>,
    /// After this nobody waits any more.
    pub deadline: Time,
    /// Services only: calls with the same hash go to the same instance.
    pub affinity: Option<u64>,
    /// Session, chain and trace.
    pub meta: Option<Arc<Meta>>,
}

/// A push to, or call on, one session.
#[derive(Clone, PartialEq, Debug)]
pub struct ToClient {
    /// Which session.
    pub client: ClientRef,
    /// Wire id of the method of the client interface.
    pub method: u32,
    /// The entity that speaks.
    pub from: Option<EntityId>,
    /// The message.
    pub body: Bytes,
    /// Names the answer; `None` = push.
    pub call: Option<CallId>,
    /// After this nobody waits any more.
    pub deadline: Time,
    /// May be dropped, is never resent.
    pub unreliable: bool,
}

/// What can be done to a group of sessions.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupChange {
    /// Adds a session.
    Join(ClientRef),
    /// Takes a session out.
    Leave(ClientRef),
    /// Sends to every member but those listed.
    Push {
        /// Wire id of the method of the client interface.
        method: u32,
        /// The entity that speaks.
        from: Option<EntityId>,
        /// The message, encoded once.
        body: Bytes,
        /// Members that do not get it.
        except: Vec<SessionId>,
        /// May be dropped, is never resent.
        unreliable: bool,
    },
    /// Ends the group.
    Drop,
}

/// One operation on one group.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupOp {
    /// Name, unique in the cluster.
    pub group: Arc<str>,
    /// The activation of the entity whose group it is; 0: a group that services share. A newer activation begins with an
    /// empty group, and nothing that an older one still says is heard.
    pub epoch: u64,
    /// What to do.
    pub change: GroupChange,
}

/// A message from a watched entity.
#[derive(Clone, PartialEq, Debug)]
pub struct Note {
    /// Who speaks.
    pub from: EntityId,
    /// What about; chosen by the speaker.
    pub name: Arc<str>,
    /// The message.
    pub body: Payload,
}

/// What happened to a watched session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    /// The connection is gone; the session is kept for a while.
    Detached,
    /// It came back; nothing was lost.
    Resumed,
    /// It is over.
    Left,
}

/// Why an entity stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It asked for it.
    Requested,
    /// Nobody talked to it for the configured time.
    Idle,
    /// The node shuts down.
    Shutdown,
    /// Another node has a newer activation; nothing is stored any more.
    Superseded,
}

/// What the world asks of the Store. `token` is the activation's epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreRequest {
    /// Take the right to write, and read.
    Claim {
        /// Whose state.
        entity: EntityId,
        /// Fencing token.
        token: u64,
    },
    /// Write, if the token and the version still hold.
    Commit {
        /// Whose state.
        entity: EntityId,
        /// Fencing token.
        token: u64,
        /// Version that the last claim or commit returned.
        version: u64,
        /// The encoded state message.
        state: Bytes,
    },
}

/// What the Store answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreReply {
    /// The claim holds.
    Claimed {
        /// Version of the record, 0 when there is none.
        version: u64,
        /// The stored state.
        state: Option<Bytes>,
    },
    /// The commit is durable.
    Committed {
        /// The new version.
        version: u64,
    },
    /// It failed; `FENCED` means that a newer activation exists.
    Failed(Error),
}

/// Names a Store request or a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// A value whose type only the two ends know.
pub struct Opaque(pub Box<dyn Any + Send>);

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opaque")
    }
}

/// Work that a world cannot do itself: a future for tokio, or a closure for a thread that may block.
pub enum Job {
    /// Awaits something outside. The name is what a simulation scripts it by.
    External(&'static str, std::pin::Pin<Box<dyn Future<Output = Opaque> + Send>>),
    /// Computes, or blocks.
    Blocking(Box<dyn FnOnce() -> Opaque + Send>),
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External(name, _) => write!(f, "External({name})"),
            Self::Blocking(_) => f.write_str("Blocking"),
        }
    }
}

/// What happens to a world.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A call for an entity or service here.
    Call(Incoming),
    /// The answer to [`Outgoing::call`] or [`ToClient::call`].
    Reply(CallId, Result<Payload>),
    /// The directory decided that the entity lives here, under this epoch.
    Activate(EntityId, u64),
    /// The answer to [`Output::Store`].
    Store(OpId, StoreReply),
    /// The result of a [`Job`]; an error when the job panicked or was dropped.
    JobDone(OpId, Result<Opaque>),
    /// Starts (true) or ends a watch: the first entity wants the notes of the second.
    Watch(EntityId, EntityId, bool),
    /// A note for an entity here.
    Note(EntityId, Note),
    /// The second entity, watched by the first, has stopped.
    Gone(EntityId, EntityId),
    /// Something happened to a session that the entity watches.
    Session(EntityId, ClientRef, SessionEvent),
    /// Another node has a newer activation of this entity: a copy here of this epoch or an older one ends, and stores
    /// nothing.
    Supersede(EntityId, u64),
    /// Save and stop every entity; [`Output::Drained`] follows, at the latest at this time.
    Drain(Time),
}

/// What a world wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a call.
    Call(Outgoing),
    /// The answer to an [`Incoming`].
    Reply(ReplyTo, Result<Payload>),
    /// Ask the Store.
    Store(OpId, StoreRequest),
    /// Do something outside.
    Job(OpId, Job),
    /// The activation with this epoch is running, or failed.
    Activated(EntityId, u64, Result<()>),
    /// The activation with this epoch is over; its state is stored.
    Deactivated(EntityId, u64),
    /// Push to, or call, a session.
    ToClient(ToClient),
    /// Change or use a group.
    Group(GroupOp),
    /// Start or end a watch on an entity elsewhere.
    Watch(EntityId, EntityId, bool),
    /// A note for an entity elsewhere.
    Note(EntityId, Note),
    /// The second entity, watched by the first (elsewhere), has stopped.
    Gone(EntityId, EntityId),
    /// Start or end telling the entity about a session.
    WatchClient(EntityId, ClientRef, bool),
    /// End a session.
    Kick(ClientRef, Error),
    /// After [`Input::Drain`], once: no entity is left but those that are lost with what they could not store, and why
    /// (`DATA_LOSS`: the Store did not take it; `DEADLINE_EXCEEDED`: a turn had not ended).
    Drained(Vec<(EntityId, Error)>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_survives_its_bytes_and_other_bytes_are_refused() {
        let gate = NodeUid { node: 3, incarnation: 1 << 40 };
        for account in ["", "guest:ann", "ä"] {
            let client = ClientRef { gate, session: SessionId(u64::MAX - 1), account: account.into() };
            assert_eq!(ClientRef::from_bytes(&client.to_bytes()), Ok(client));
        }
        for bad in [&[][..], &[0; 19], &[255; 21]] {
            assert_eq!(ClientRef::from_bytes(bad).expect_err("no session").code, Code::DATA_LOSS);
        }
    }
}
