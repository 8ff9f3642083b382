//! Neighbours: who is at the other end of which link, what is passed on for others, and whether links are alive.
//!
//! A frame goes to the *next hop* towards its destination: the node itself, the proxy before it, or, in a process
//! behind a sidecar, the one uplink. Each end sends on its oldest link with a peer and reads from all of them, so frames
//! of one direction seldom overtake each other, even when both ends connect at once. Links may lose frames;
//! [`super::streams`] makes good for it, so that a proxy keeps the only copy of nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bbq_wire::mesh::{Mesh as Message, Route};
use bbq_wire::{NodeUid, Time};
use bytes::Bytes;

use super::streams::Way;
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
    /// Frames of others that wait for a link.
    transit: VecDeque<Bytes>,
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
    /// The way to a node, looked up in the view and among the links.
    pub(super) fn find_way(&self, to: NodeUid) -> Way {
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
    pub(super) fn connect(&mut self, to: NodeUid) {
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
        let waiting = self.links.peers.iter().filter(|(_, peer)| !peer.transit.is_empty());
        let wanted: Vec<NodeUid> = waiting.map(|(node, _)| *node).chain(proxies.map(|(node, _)| *node)).collect();
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
            let waiting = std::mem::take(&mut row.transit);
            self.outputs.extend(waiting.into_iter().map(|frame| Output::Send { link: id, frame }));
            self.find_ways();
        }
    }

    pub(super) fn link_down(&mut self, id: LinkId) {
        let Some((_, peer, first)) = self.links.remove(id) else { return };
        let proxy = self.view.as_ref().and_then(|view| view.nodes.get(&peer)).is_some_and(|info| is_proxy(info.roles));
        let row = self.links.peers.entry(peer).or_default();
        row.connecting = false;
        if proxy || !row.transit.is_empty() {
            self.connect(peer);
        }
        if first {
            self.find_ways();
        }
    }

    /// Forgets dead nodes and closes the links with them.
    pub(super) fn bury(&mut self, dead: &[NodeUid]) {
        for node in dead {
            self.links.remember_dead(*node, self.config.limits.dead);
            let Some(peer) = self.links.peers.remove(node) else { continue };
            for link in peer.links {
                self.links.links.remove(&link);
                self.outputs.push_back(Output::Disconnect { link });
            }
        }
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
        if route.dst != self.config.me && (to_child || known) {
            self.pass_on(route.dst, frame);
        } else {
            self.dropped += 1;
        }
    }

    /// What cannot be passed on is lost here; the sender keeps it until the receiver has it.
    fn pass_on(&mut self, to: NodeUid, frame: Bytes) {
        match self.find_way(to) {
            Way::Link(link) | Way::Full(link) => self.outputs.push_back(Output::Send { link, frame }),
            Way::Wait(hop) => {
                let limit = self.config.limits.outbox;
                let waiting = &mut self.links.peers.entry(hop).or_default().transit;
                if waiting.len() < limit {
                    waiting.push_back(frame);
                } else {
                    self.dropped += 1;
                }
                self.connect(hop);
            }
            Way::None => self.dropped += 1,
        }
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
