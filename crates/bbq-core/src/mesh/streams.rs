//! What leaves for other nodes and what arrives from them: one [`Stream`] per node, over whatever link leads there.
//!
//! ```text
//! send, send_call --> outbox (not numbered yet) --> Stream (numbered, kept until acknowledged) --> link
//! ```
//! Nothing in an outbox has left: when its node dies, a call in it goes elsewhere. Messages about the links themselves,
//! and pushes that may be lost, are not numbered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bbq_wire::mesh::{Mesh as Message, MeshFrame, Want};
use bbq_wire::{Code, Error, NodeUid, Time};
use bytes::{Bytes, BytesMut};

use super::stream::{Arrival, Kept, Stream};
use super::{LinkId, Mesh, Output};

/// Frames are encoded into blocks of this many bytes.
const BLOCK: usize = 64 * 1024;
/// Messages that cannot be refused may be so many times more than calls.
const BEYOND: usize = 4;

/// What waits to leave.
#[derive(Debug)]
enum Parcel {
    /// A call; if it is still wanted when its turn comes.
    Call(u64),
    /// Anything else.
    Message(Box<Message>),
}

/// Where frames to a node can go now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Way {
    /// Onto this link.
    Link(LinkId),
    /// Onto this link, but its queue is nearly full.
    Full(LinkId),
    /// Nowhere yet: there must first be a link with this neighbour.
    Wait(NodeUid),
    /// Nowhere: the node is unknown or dead.
    #[default]
    None,
}

#[derive(Debug, Default)]
struct Row {
    stream: Stream,
    outbox: VecDeque<Parcel>,
    way: Way,
    /// The node has said that it takes nothing more.
    left: bool,
    /// When [`Streams::wakes`] has it.
    wake: Option<Time>,
}

/// All streams of a process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    table: BTreeMap<NodeUid, Row>,
    wakes: BTreeSet<(Time, NodeUid)>,
    block: BytesMut,
    /// This process has said that it takes nothing more.
    left: bool,
}

impl Streams {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.wakes.first().map(|(time, _)| *time)
    }

    fn set_wake(&mut self, node: NodeUid, wake: Option<Time>) {
        let Some(row) = self.table.get_mut(&node) else { return };
        // Too early is no harm.
        if wake.is_none_or(|wake| row.wake.is_some_and(|set| set <= wake)) {
            return;
        }
        if let Some(before) = std::mem::replace(&mut row.wake, wake) {
            self.wakes.remove(&(before, node));
        }
        self.wakes.extend(wake.map(|wake| (wake, node)));
    }
}

impl Mesh {
    /// Sends a message of ours that nobody here waits for; without a way to its node it is dropped.
    pub(super) fn send(&mut self, to: NodeUid, message: Message) {
        if to == self.config.me {
            return self.loopback.push_back(message);
        }
        if may_be_lost(&message) {
            match self.way_to(to) {
                Way::Link(link) => return self.send_on(link, to, message),
                Way::Full(_) | Way::None => return self.dropped += 1,
                Way::Wait(_) => {}
            }
        }
        let limit = self.config.limits.outbox.saturating_mul(BEYOND);
        match self.turn(to, limit) {
            Turn::Now => self.depart(to, None, message),
            Turn::Later => self.wait(to, Parcel::Message(Box::new(message))),
            Turn::NoWay => self.dropped += 1,
            Turn::Full => {
                self.dropped += 1;
                tracing::error!(node = %to, limit, "too much waits for a node; a message is lost");
            }
        }
    }

    /// Sends a call whose place is known, lets it wait, or looks for another place.
    pub(super) fn send_call_to(&mut self, to: NodeUid, id: u64) {
        match self.turn(to, self.config.limits.outbox) {
            Turn::Now => self.depart_call(to, id),
            Turn::Later => {
                self.calls.queued(id);
                self.wait(to, Parcel::Call(id));
            }
            Turn::NoWay => self.bounced(id, Error::new(Code::UNAVAILABLE, format!("no way to node {to}"))),
            Turn::Full => {
                let why = format!("too much waits to leave for node {to}");
                self.settle(id, Err(Error::new(Code::BUSY, why)));
            }
        }
    }

    /// Whether something for a node, in front of which at most `limit` others may wait, can leave.
    fn turn(&mut self, to: NodeUid, limit: usize) -> Turn {
        if !self.streams.table.contains_key(&to) {
            let way = self.find_way(to);
            if way == Way::None {
                return Turn::NoWay;
            }
            self.streams.table.insert(to, Row { way, ..Row::default() });
        }
        let Some(row) = self.streams.table.get(&to) else { return Turn::NoWay };
        match row.way {
            _ if row.left => Turn::NoWay,
            Way::None => Turn::NoWay,
            Way::Link(_) if row.outbox.is_empty() && row.stream.can_send(&self.config.limits) => Turn::Now,
            _ if row.outbox.len() >= limit => Turn::Full,
            _ => Turn::Later,
        }
    }

    fn wait(&mut self, to: NodeUid, parcel: Parcel) {
        let row = self.row(to);
        row.outbox.push_back(parcel);
        if let Way::Wait(hop) = row.way {
            self.connect(hop);
        }
    }

    fn depart_call(&mut self, to: NodeUid, id: u64) {
        if let Some(message) = self.frame_of(id) {
            self.depart(to, Some(id), message);
        }
    }

    /// Numbers a message, of this call if it is one, and puts it onto the link, which is up.
    fn depart(&mut self, to: NodeUid, call: Option<u64>, message: Message) {
        let Some(row) = self.streams.table.get_mut(&to) else { return };
        let (seq, ack) = row.stream.next_numbers();
        let frame = MeshFrame { src: self.config.me, dst: to, seq, ack, message };
        let Some(bytes) = encode(&mut self.streams.block, &frame) else {
            self.dropped += 1;
            if let Some(id) = call {
                self.settle(id, Err(Error::new(Code::INTERNAL, "the call does not fit into a frame")));
            }
            return;
        };
        if let Some(id) = call {
            self.sent(id, Some(seq));
        }
        let Some(row) = self.streams.table.get_mut(&to) else { return };
        row.stream.keep(self.now, Kept { bytes: bytes.clone(), call });
        let (way, wake) = (row.way, row.stream.wake_at(&self.config.limits));
        self.streams.set_wake(to, wake);
        if let Way::Link(link) | Way::Full(link) = way {
            self.outputs.push_back(Output::Send { link, frame: bytes });
        }
    }

    /// Lets leave what can.
    fn flush(&mut self, to: NodeUid) {
        while let Some(row) = self.streams.table.get_mut(&to)
            && matches!(row.way, Way::Link(_))
            && row.stream.can_send(&self.config.limits)
            && let Some(parcel) = row.outbox.pop_front()
        {
            match parcel {
                Parcel::Call(id) if self.calls.is_queued(id) => self.depart_call(to, id),
                // It has ended, or found another way.
                Parcel::Call(_) => {}
                Parcel::Message(message) => self.depart(to, None, *message),
            }
        }
    }

    /// Puts a message without a number onto a link.
    pub(super) fn send_on(&mut self, link: LinkId, to: NodeUid, message: Message) {
        let frame = MeshFrame::new(self.config.me, to, message);
        match encode(&mut self.streams.block, &frame) {
            Some(frame) => self.outputs.push_back(Output::Send { link, frame }),
            None => self.dropped += 1,
        }
    }

    /// A frame with this number arrived from a node; `false`: it is not to be looked at.
    pub(super) fn accept_number(&mut self, from: NodeUid, seq: u64) -> bool {
        if seq == 0 {
            return true;
        }
        let (now, limits) = (self.now, self.config.limits);
        if self.streams.left {
            self.say_leave(from);
            return false;
        }
        if self.streams.table.len() >= limits.streams && !self.streams.table.contains_key(&from) {
            self.dropped += 1;
            return false;
        }
        let row = self.row(from);
        let arrival = row.stream.arrived(now, seq, &limits);
        let wake = row.stream.wake_at(&limits);
        self.streams.set_wake(from, wake);
        if arrival == Arrival::Gap(true) {
            self.report_progress(from, Want::Rest);
        }
        arrival == Arrival::Accept
    }

    /// The frame has been dealt with: only now may its sender hear that it was taken.
    pub(super) fn frame_done(&mut self, from: NodeUid, ack: u64) {
        if ack > 0 {
            self.acknowledged(from, ack);
        }
        if self.streams.table.get(&from).is_some_and(|row| row.stream.ack_overdue(&self.config.limits)) {
            self.report_progress(from, Want::Nothing);
        }
    }

    fn row(&mut self, node: NodeUid) -> &mut Row {
        let way = match self.streams.table.contains_key(&node) {
            true => Way::None,
            false => self.find_way(node),
        };
        self.streams.table.entry(node).or_insert_with(|| Row { way, ..Row::default() })
    }

    fn acknowledged(&mut self, from: NodeUid, seen: u64) {
        let Some(row) = self.streams.table.get_mut(&from) else { return };
        match row.stream.acknowledged(self.now, seen, row.outbox.len()) {
            Some(calls) => calls.into_iter().for_each(|(seq, id)| self.taken(from, seq, id)),
            None => tracing::warn!(node = %from, seen, "a node acknowledges what was never sent to it"),
        }
        let Some(row) = self.streams.table.get(&from) else { return };
        let (wake, waits) = (row.stream.wake_at(&self.config.limits), !row.outbox.is_empty());
        // What was held back because of a bounce may be acknowledged now.
        self.streams.set_wake(from, wake);
        if waits {
            self.flush(from);
        }
    }

    /// Gives the frame back that arrived last: its sender may send it elsewhere.
    pub(super) fn give_back(&mut self, from: NodeUid, corr: u64, error: Error) {
        if let Some(row) = self.streams.table.get_mut(&from) {
            row.stream.give_back(row.outbox.len());
        }
        self.send(from, Message::Bounced { corr, error });
    }

    /// A node says how far it has come.
    pub(super) fn progress_arrived(&mut self, from: NodeUid, seen: u64, want: Want) {
        self.acknowledged(from, seen);
        match want {
            Want::Nothing => {}
            // The first frame of a stream may be what was lost: then there is no row yet.
            Want::Answer => match self.streams.table.contains_key(&from) {
                true => self.report_progress(from, Want::Rest),
                false => {
                    if let Way::Link(link) | Way::Full(link) = self.find_way(from) {
                        self.send_on(link, from, Message::Ack { seen: 0, want: Want::Rest });
                    }
                }
            },
            Want::Rest => {
                let Some(row) = self.streams.table.get_mut(&from) else { return };
                if let Way::Link(link) | Way::Full(link) = row.way {
                    let again = row.stream.repeat(self.now, seen, &self.config.limits);
                    self.outputs.extend(again.map(|frame| Output::Send { link, frame: frame.clone() }));
                }
                self.flush(from);
            }
        }
    }

    /// This process ends: the others learn what it has accepted, and that the rest must go elsewhere.
    pub(super) fn leave(&mut self) {
        self.streams.left = true;
        let nodes: Vec<NodeUid> = self.streams.table.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.say_leave(node));
    }

    fn say_leave(&mut self, to: NodeUid) {
        // Not what may be acknowledged: behind a frame that is being given back others have been processed.
        let seen = self.streams.table.get(&to).map_or(0, |row| row.stream.seen());
        if let Way::Link(link) | Way::Full(link) = self.way_to(to) {
            self.send_on(link, to, Message::Leave { seen });
        }
    }

    /// A node ends in good order: calls that it has not accepted are made elsewhere.
    pub(super) fn node_left(&mut self, node: NodeUid, seen: u64) {
        let Some(row) = self.streams.table.get_mut(&node) else { return };
        row.left = true;
        self.acknowledged(node, seen);
        let Some(row) = self.streams.table.get_mut(&node) else { return };
        let (refused, waiting) = (row.stream.give_up(), std::mem::take(&mut row.outbox));
        let error = Error::new(Code::NOT_SENT, format!("node {node} ended before it took the call"));
        for (seq, id) in refused {
            if self.calls.left_as(id, node, seq) {
                self.bounced(id, error.clone());
            }
        }
        for parcel in waiting {
            if let Parcel::Call(id) = parcel
                && self.calls.is_queued(id)
            {
                self.bounced(id, error.clone());
            }
        }
    }

    fn report_progress(&mut self, to: NodeUid, want: Want) {
        let Some(row) = self.streams.table.get_mut(&to) else { return };
        if let Way::Link(link) | Way::Full(link) = row.way {
            let seen = row.stream.told_peer();
            self.send_on(link, to, Message::Ack { seen, want });
        }
    }

    /// Does what has become due on the streams.
    pub(super) fn wake_streams(&mut self) {
        let limits = self.config.limits;
        while let Some((time, node)) = self.streams.wakes.first().copied().filter(|(time, _)| *time <= self.now) {
            self.streams.wakes.remove(&(time, node));
            let Some(row) = self.streams.table.get_mut(&node) else { continue };
            row.wake = None;
            // Without a way there is nothing to do until there is one.
            if matches!(row.way, Way::Wait(_) | Way::None) {
                continue;
            }
            let due = row.stream.due(self.now, &limits);
            let wake = row.stream.wake_at(&limits);
            self.streams.set_wake(node, wake);
            if due.ask {
                self.report_progress(node, Want::Answer);
            } else if due.ack {
                self.report_progress(node, Want::Nothing);
            }
        }
    }

    /// Finds the ways of all streams anew after links or the view changed. Where the link is another one, frames may have
    /// been lost.
    pub(super) fn find_ways(&mut self) {
        let nodes: Vec<NodeUid> = self.streams.table.keys().copied().collect();
        for node in nodes {
            let (way, limits) = (self.find_way(node), self.config.limits);
            let Some(row) = self.streams.table.get_mut(&node) else { continue };
            let before = std::mem::replace(&mut row.way, way);
            if before.link() != way.link() {
                row.stream.doubt(self.now, &limits);
            }
            let wake = row.stream.wake_at(&limits).map(|wake| wake.max(self.now));
            if way.link().is_some() {
                self.streams.set_wake(node, wake);
                self.flush(node);
            } else if let (Way::Wait(hop), true) = (way, row.stream.has_kept() || !row.outbox.is_empty()) {
                self.connect(hop);
            }
        }
        self.wake_streams();
    }

    /// Forgets the streams with dead nodes.
    pub(super) fn end_streams(&mut self, dead: &[NodeUid]) {
        for node in dead {
            let Some(row) = self.streams.table.remove(node) else { continue };
            if let Some(wake) = row.wake {
                self.streams.wakes.remove(&(wake, *node));
            }
            let messages = row.outbox.iter().filter(|parcel| matches!(parcel, Parcel::Message(_))).count();
            self.dropped += messages as u64;
        }
    }

    /// The way to a node.
    pub(super) fn way_to(&self, to: NodeUid) -> Way {
        self.streams.table.get(&to).map_or_else(|| self.find_way(to), |row| row.way)
    }
}

/// Whether something can leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Now,
    /// After others, or when there is a link and the window has room.
    Later,
    /// Too much waits already.
    Full,
    /// There is no way to the node.
    NoWay,
}

impl Way {
    fn link(self) -> Option<LinkId> {
        match self {
            Self::Link(link) | Self::Full(link) => Some(link),
            Self::Wait(_) | Self::None => None,
        }
    }
}

/// Pushes of which the newest counts.
fn may_be_lost(message: &Message) -> bool {
    match message {
        Message::ToClient(message) => message.unreliable,
        Message::Group(group) => group.unreliable,
        _ => false,
    }
}

fn encode(block: &mut BytesMut, frame: &MeshFrame) -> Option<Bytes> {
    if block.capacity() - block.len() < BLOCK / 16 {
        block.reserve(BLOCK);
    }
    match frame.encode(block) {
        Ok(()) => Some(block.split().freeze()),
        Err(error) => {
            tracing::error!(node = %frame.dst, %error, "a frame cannot be sent");
            None
        }
    }
}
