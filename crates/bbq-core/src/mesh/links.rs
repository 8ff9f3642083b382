//! Neighbours: who is at the other end of which link, what waits for a link, and whether links are alive.
//!
//! A frame goes to the *next hop* towards its destination: the node itself, the proxy before it, or, in a process
//! behind a sidecar, the one uplink. Each end sends on its oldest link with a peer and reads from all of them, so frames
//! of one direction never overtake each other, even when both ends connect at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bbq_wire::mesh::{Mesh as Message, MeshFrame, Route};
use bbq_wire::{Code, Error, NodeUid, Time};
use bytes::Bytes;

use super::{LinkId, Mesh, Output, Roles, View};

/// The peer that stands for "whoever is at the other end of the uplink" in a process behind a sidecar.
const UPLINK: NodeUid = NodeUid { node: 0, incarnation: 0 };

#[derive(Debug)]
struct Link {
    /// Who is at the other end.
    node: NodeUid,
    /// Under which uid it is filed: the node, or [`UPLINK`].
    peer: NodeUid,
    roles: Roles,
    heard: Time,
    full: bool,
}

#[derive(Debug, Default)]
struct Peer {
    /// Oldest first; frames leave through the first.
    links: Vec<LinkId>,
    /// The shell has been asked to connect.
    connecting: bool,
    outbox: VecDeque<Parcel>,
}

/// What waits for a link.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A call; if it is still wanted when the link is up.
    Call(u64),
    /// Anything else that we send.
    Message(NodeUid, Message),
    /// A frame of another node.
    Transit(NodeUid, Bytes),
}

/// All links of a process.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<NodeUid, Peer>,
    dead: BTreeSet<NodeUid>,
    dead_order: VecDeque<NodeUid>,
    next_ping: Option<Time>,
    pings: u64,
}

/// Where a frame can go now.
pub(super) enum Way {
    /// Onto this link.
    Link(LinkId),
    /// The link is up but its queue is nearly full.
    Full(LinkId),
    /// Into the outbox of this peer.
    Wait(NodeUid),
    /// Nowhere: the node is unknown or dead.
    None,
}

impl Links {
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn next_ping(&self) -> Option<Time> {
        self.next_ping
    }

    pub(super) fn set_full(&mut self, link: LinkId, full: bool) {
        if let Some(link) = self.links.get_mut(&link) {
            link.full = full;
        }
    }

    /// Takes a link out; says its node and its peer when that was the last one with it.
    fn remove(&mut self, id: LinkId) -> Option<(NodeUid, NodeUid, bool)> {
        let link = self.links.remove(&id)?;
        let peer = self.peers.get_mut(&link.peer)?;
        let first = peer.links.first() == Some(&id);
        peer.links.retain(|other| *other != id);
        Some((link.node, link.peer, first))
    }

    fn remember_dead(&mut self, node: NodeUid, limit: usize) {
        if self.dead.insert(node) {
            self.dead_order.push_back(node);
        }
        while self.dead_order.len() > limit {
            if let Some(oldest) = self.dead_order.pop_front() {
                self.dead.remove(&oldest);
            }
        }
    }
}

impl Mesh {
    /// Sends a message of ours that nobody here waits for; without a way to its node it is dropped.
    pub(super) fn send(&mut self, to: NodeUid, message: Message) {
        if to == self.config.me {
            return self.loopback.push_back(message);
        }
        match self.way_to(to) {
            Way::Link(link) | Way::Full(link) => self.send_on(link, to, message),
            Way::Wait(peer) => {
                if !self.post(peer, Parcel::Message(to, message)) {
                    self.dropped += 1;
                }
            }
            Way::None => self.dropped += 1,
        }
    }

    pub(super) fn send_on(&mut self, link: LinkId, to: NodeUid, message: Message) {
        let frame = MeshFrame::new(self.config.me, to, message);
        self.outputs.push_back(Output::Send { link, frame });
    }

    /// Puts a parcel into the outbox of a peer without a link; `false`: it is full.
    pub(super) fn post(&mut self, to: NodeUid, parcel: Parcel) -> bool {
        let limit = self.config.limits.outbox;
        let peer = self.links.peers.entry(to).or_default();
        if peer.outbox.len() >= limit {
            return false;
        }
        peer.outbox.push_back(parcel);
        self.connect(to);
        true
    }

    /// The way to a node.
    pub(super) fn way_to(&self, to: NodeUid) -> Way {
        let Some(hop) = self.next_hop(to) else { return Way::None };
        match self.links.peers.get(&hop).and_then(|peer| peer.links.first()) {
            Some(link) if self.links.links.get(link).is_some_and(|link| link.full) => Way::Full(*link),
            Some(link) => Way::Link(*link),
            None => Way::Wait(hop),
        }
    }

    fn next_hop(&self, to: NodeUid) -> Option<NodeUid> {
        if self.links.dead.contains(&to) {
            return None;
        }
        if self.config.sidecar {
            return Some(UPLINK);
        }
        match self.view.as_ref().and_then(|view| view.nodes.get(&to)) {
            Some(info) => match info.sidecar {
                Some(proxy) if proxy != self.config.me => (!self.links.dead.contains(&proxy)).then_some(proxy),
                _ => Some(to),
            },
            // Not in the view yet, but here already.
            None => self.links.peers.get(&to).is_some_and(|peer| !peer.links.is_empty()).then_some(to),
        }
    }

    /// Asks for a link, once, if the peer is one that we can reach ourselves.
    fn connect(&mut self, to: NodeUid) {
        let Some(info) = self.view.as_ref().and_then(|view| view.nodes.get(&to)) else { return };
        if self.config.sidecar || info.sidecar.is_some() || info.address.is_empty() {
            return;
        }
        let peer = self.links.peers.entry(to).or_default();
        if peer.links.is_empty() && !peer.connecting {
            peer.connecting = true;
            self.outputs.push_back(Output::Connect { peer: to, address: info.address.clone() });
        }
    }

    /// Links with proxies are kept even when nothing is to be sent.
    pub(super) fn keep_links(&mut self, view: &View) {
        let proxies = view.nodes.iter().filter(|(node, info)| **node != self.config.me && is_proxy(info.roles));
        let proxies: Vec<NodeUid> = proxies.map(|(node, _)| *node).collect();
        let waiting = self.links.peers.iter().filter(|(_, peer)| !peer.outbox.is_empty()).map(|(node, _)| *node);
        let wanted: Vec<NodeUid> = waiting.chain(proxies).collect();
        for node in wanted {
            self.connect(node);
        }
    }

    pub(super) fn link_up(&mut self, id: LinkId, node: NodeUid, roles: Roles) {
        let peer = if self.config.sidecar { UPLINK } else { node };
        let held = self.links.peers.get(&peer).map_or(0, |peer| peer.links.len());
        let refused = node == self.config.me
            || self.links.dead.contains(&node)
            || self.links.links.contains_key(&id)
            || held >= self.config.limits.links_per_peer;
        if refused {
            tracing::warn!(%node, links = held, "a link is refused");
            return self.outputs.push_back(Output::Disconnect { link: id });
        }
        self.links.links.insert(id, Link { node, peer, roles, heard: self.now, full: false });
        self.links.next_ping.get_or_insert(self.now + self.config.limits.ping);
        let row = self.links.peers.entry(peer).or_default();
        row.links.push(id);
        row.connecting = false;
        if row.links.len() == 1 {
            let parcels = std::mem::take(&mut row.outbox);
            self.send_again(parcels);
        }
    }

    pub(super) fn link_down(&mut self, id: LinkId) {
        let Some((_, peer, first)) = self.links.remove(id) else { return };
        if first {
            self.uncount_calls_over(peer);
            self.search_through_again(peer);
        }
        let proxy = self.view.as_ref().and_then(|view| view.nodes.get(&peer)).is_some_and(|info| is_proxy(info.roles));
        let row = self.links.peers.entry(peer).or_default();
        row.connecting = false;
        if proxy || !row.outbox.is_empty() {
            self.connect(peer);
        }
    }

    /// Sends parcels in their order, wherever their way is now.
    pub(super) fn send_again(&mut self, parcels: impl IntoIterator<Item = Parcel>) {
        for parcel in parcels {
            match parcel {
                // One that has found another way meanwhile is not sent twice.
                Parcel::Call(id) if self.calls.is_queued(id) => self.send_call(id),
                Parcel::Call(_) => {}
                Parcel::Message(to, message) => self.send(to, message),
                Parcel::Transit(to, frame) => self.pass_on(to, frame),
            }
        }
    }

    /// Forgets dead nodes; returns what waited for links with them but was meant for others.
    pub(super) fn bury(&mut self, dead: &[NodeUid]) -> Vec<Parcel> {
        let mut stranded = Vec::new();
        for node in dead {
            self.links.remember_dead(*node, self.config.limits.dead);
            let Some(peer) = self.links.peers.remove(node) else { continue };
            for link in peer.links {
                self.links.links.remove(&link);
                self.outputs.push_back(Output::Disconnect { link });
            }
            stranded.extend(peer.outbox.into_iter().filter(|parcel| match parcel {
                Parcel::Call(_) => true,
                Parcel::Message(to, _) | Parcel::Transit(to, _) => to != node,
            }));
        }
        stranded
    }

    /// Whether the frame may come over this link; otherwise the link is closed.
    pub(super) fn check_source(&mut self, id: LinkId, source: NodeUid) -> bool {
        let now = self.now;
        let Some(link) = self.links.links.get_mut(&id) else { return false };
        link.heard = now;
        let (node, roles) = (link.node, link.roles);
        if self.links.dead.contains(&source) {
            self.dropped += 1;
            return false;
        }
        let behind = || match self.view.as_ref().and_then(|view| view.nodes.get(&source)) {
            Some(info) => info.sidecar == Some(node),
            // Not in the view yet: a proxy is believed.
            None => is_proxy(roles),
        };
        if source == node || self.config.sidecar || behind() {
            return true;
        }
        tracing::warn!(%node, %source, "a frame names a source that is not behind its link; the link is closed");
        self.outputs.push_back(Output::Disconnect { link: id });
        self.link_down(id);
        false
    }

    /// A frame for another node: passed on once, never back into the mesh of proxies.
    pub(super) fn transit(&mut self, id: LinkId, route: Route, frame: Bytes) {
        if !self.check_source(id, route.src) {
            return;
        }
        let nodes = self.view.as_ref().map(|view| &view.nodes);
        let behind_us =
            nodes.and_then(|nodes| nodes.get(&route.src)).is_none_or(|info| info.sidecar == Some(self.config.me));
        let from_child = behind_us && self.links.links.get(&id).is_some_and(|link| link.node == route.src);
        let info = nodes.and_then(|nodes| nodes.get(&route.dst));
        let to_child = match info {
            Some(info) => info.sidecar == Some(self.config.me),
            None => self.links.peers.get(&route.dst).is_some_and(|peer| !peer.links.is_empty()),
        };
        // From a node to a node that is not behind us only when the sender is behind us.
        let known = info.is_some() && from_child && !self.config.sidecar;
        if route.dst != self.config.me && (to_child || known) && !matches!(self.way_to(route.dst), Way::None) {
            self.pass_on(route.dst, frame);
        } else {
            self.bounce_frame(id, route, &frame);
        }
    }

    fn pass_on(&mut self, to: NodeUid, frame: Bytes) {
        match self.way_to(to) {
            Way::Link(link) | Way::Full(link) => self.outputs.push_back(Output::Forward { link, frame }),
            Way::Wait(peer) => {
                if !self.post(peer, Parcel::Transit(to, frame)) {
                    self.dropped += 1;
                }
            }
            Way::None => self.dropped += 1,
        }
    }

    /// Tells the sender of a frame that there is no way to its destination.
    fn bounce_frame(&mut self, link: LinkId, route: Route, frame: &Bytes) {
        let why = || Error::new(Code::UNAVAILABLE, format!("no way to node {}", route.dst));
        let answer = match MeshFrame::decode(frame).map(|frame| frame.message) {
            Ok(Message::Call(call)) if !call.oneway => Message::Bounced { corr: call.corr, error: why() },
            Ok(Message::ToClient(message)) if message.corr != 0 => {
                Message::Bounced { corr: message.corr, error: why() }
            }
            Ok(Message::Locate { corr, entity, .. }) => {
                let error = Error::new(Code::ABORTED, format!("no way to node {}; ask again", route.dst));
                Message::Located { corr, entity, result: Err(error) }
            }
            _ => return self.dropped += 1,
        };
        self.send_on(link, route.src, answer);
    }

    pub(super) fn pong(&mut self, link: Option<LinkId>, nonce: u64) {
        let node = link.and_then(|link| self.links.links.get(&link)).map(|link| link.node);
        if let (Some(link), Some(node)) = (link, node) {
            self.send_on(link, node, Message::Pong { nonce });
        }
    }

    /// Pings quiet links and closes dead ones.
    pub(super) fn beat(&mut self) {
        let limits = self.config.limits;
        if self.links.next_ping.is_none_or(|next| next > self.now) {
            return;
        }
        self.links.next_ping = (!self.links.links.is_empty()).then_some(self.now + limits.ping);
        let quiet: Vec<(LinkId, NodeUid, u32)> = self
            .links
            .links
            .iter()
            .map(|(id, link)| (*id, link.node, self.now.since(link.heard)))
            .filter(|(_, _, silence)| *silence >= limits.ping)
            .map(|(id, node, silence)| (id, node, (silence.as_nanos() / limits.ping.as_nanos().max(1)) as u32))
            .collect();
        for (id, node, missed) in quiet {
            if missed > limits.missed_pings {
                tracing::warn!(%node, missed, "a link is silent and closed");
                self.outputs.push_back(Output::Disconnect { link: id });
                self.link_down(id);
            } else {
                self.links.pings += 1;
                let nonce = self.links.pings;
                self.send_on(id, node, Message::Ping { nonce });
            }
        }
    }
}

/// Whether a node holds links for others.
pub(super) fn is_proxy(roles: Roles) -> bool {
    roles.contains(Roles::PROXY)
}

impl Mesh {
    /// Whether frames to `node` leave over a link with `peer`.
    pub(super) fn goes_through(&self, node: NodeUid, peer: NodeUid) -> bool {
        self.next_hop(node) == Some(peer)
    }
}
