//! What the gate knows of a connection, and the frames that wait to be written to it together.

use core::net::IpAddr;
use std::collections::VecDeque;

use bbq_wire::handshake::Handshake;
// tidy: looked up by a key, never iterated
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::io::{ConnId, Entropy, Output, Part};
use super::slot::Slot;
use crate::timer::TimerKey;

/// Room for frames of a connection, as soon as more than one waits.
const MANY_PARTS: usize = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ip: IpAddr,
    pub(super) stage: Stage,
    waiting: Waiting,
    /// Emptied by every write: an idle connection keeps nothing on the heap.
    pending: SmallVec<[Part; 1]>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// No session yet.
    Opening(Box<Opening>),
    /// It carries a session.
    Attached(Slot),
    /// It was told to close. Whether it counts as refused.
    Closing { refused: bool },
}

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) handshake: Handshake,
    pub(super) entropy: Entropy,
    /// The device of the credential that is being verified.
    pub(super) verifying: Option<String>,
    pub(super) timer: TimerKey,
}

/// In which list of connections to be written to it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    No,
    ForFlush,
    ForPoll,
}

/// When a frame should be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// With the next poll.
    Now,
    /// With the next flush.
    Flush,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: HashMap<ConnId, Connection>,
    for_poll: VecDeque<ConnId>,
    for_flush: Vec<ConnId>,
}

impl Connections {
    /// Number of connections.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.all.get_mut(&conn)
    }

    pub(super) fn insert(&mut self, conn: ConnId, ip: IpAddr, stage: Stage) {
        let connection = Connection { ip, stage, waiting: Waiting::No, pending: SmallVec::new() };
        self.all.insert(conn, connection);
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.all.remove(&conn)
    }

    /// Adds a frame to what will be written.
    pub(super) fn queue(&mut self, conn: ConnId, part: Part, urgency: Urgency) {
        let Some(connection) = self.all.get_mut(&conn) else { return };
        if connection.pending.len() == 1 {
            // More than one: there will be many, and to grow step by step moves them each time.
            connection.pending.reserve(MANY_PARTS);
        }
        connection.pending.push(part);
        match (urgency, connection.waiting) {
            (Urgency::Now, Waiting::No | Waiting::ForFlush) => {
                connection.waiting = Waiting::ForPoll;
                self.for_poll.push_back(conn);
            }
            (Urgency::Flush, Waiting::No) => {
                connection.waiting = Waiting::ForFlush;
                self.for_flush.push(conn);
            }
            _ => {}
        }
    }

    /// What waits for a connection, to be written before it closes.
    pub(super) fn take(&mut self, conn: ConnId) -> Option<Output> {
        let connection = self.all.get_mut(&conn)?;
        connection.waiting = Waiting::No;
        let frames = std::mem::take(&mut connection.pending);
        (!frames.is_empty()).then_some(Output::Send { conn, frames })
    }

    /// The next connection's frames that should be written now.
    pub(super) fn poll(&mut self) -> Option<Output> {
        while let Some(conn) = self.for_poll.pop_front() {
            if let Some(send) = self.take(conn) {
                return Some(send);
            }
        }
        None
    }

    /// Whether something waits for a flush.
    pub(super) fn wants_flush(&self) -> bool {
        !self.for_flush.is_empty()
    }

    /// From now on nothing waits.
    pub(super) fn flush(&mut self) {
        self.for_poll.extend(self.for_flush.drain(..));
    }
}
