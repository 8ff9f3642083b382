//! How simulated nodes speak to the simulated center, what goes wrong between them, and what must hold whatever does.
//!
//! A connection to the center is ordered while it lives. When it breaks, what is under way is lost in both directions,
//! answers are missed, and watches begin anew with a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::control::{
    ClusterView, ControlError, Note, Request, Response, Session, SlotTable, Standing, Task, WatchEvent, WatchId,
};
use bbq_core::mesh;
use bbq_wire::NodeUid;

use super::{Event, Sim};
use crate::center::{Peer, Told};
use crate::member::{Member, info, view};
use crate::node::Node;

/// What failed is tried again after at most this.
const AGAIN: Duration = Duration::from_millis(300);
/// One way between a node and the center.
const WAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Complaints that are kept.
const COMPLAINTS: usize = 100;

/// What any node has ever seen of the cluster: it must fit together.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    owners: BTreeMap<(u16, u32), NodeUid>,
    seen: Option<Arc<SlotTable>>,
    broken: Vec<String>,
}

impl Truth {
    pub(crate) fn broken(&self) -> &[String] {
        &self.broken
    }

    fn complain(&mut self, what: String) {
        if self.broken.len() < COMPLAINTS {
            self.broken.push(what);
        }
    }

    /// Compares a new picture of a node with its last one, and with those of all others.
    fn compare(&mut self, who: NodeUid, before: &ClusterView, after: &ClusterView) {
        for uid in after.nodes.keys().filter(|uid| before.dead.contains_key(uid)) {
            self.complain(format!("{who} saw {uid} return from the dead"));
        }
        if Arc::ptr_eq(&before.slots, &after.slots) {
            return;
        }
        for ((number, old), (_, new)) in before.slots.iter().zip(after.slots.iter()) {
            if new.epoch < old.epoch {
                self.complain(format!("{who} saw the epoch of slot {number} go back: {old:?}, {new:?}"));
            }
        }
        if self.seen.as_ref().is_some_and(|seen| **seen == *after.slots) {
            return;
        }
        for (number, slot) in after.slots.iter() {
            let Some(owner) = slot.owner else { continue };
            let first = *self.owners.entry((number, slot.epoch)).or_insert(owner);
            if first != owner {
                self.complain(format!("slot {number} belongs to {first} and to {owner} in epoch {}", slot.epoch));
            }
        }
        self.seen = Some(after.slots.clone());
    }
}

impl Sim {
    /// Starts a process: it opens a session, and is there at once; or later, when the center does not let it in.
    pub(crate) fn start(&mut self, index: usize) {
        let info = info(index, self.random.number(), &self.definitions);
        let open = Request::Open { info: info.clone(), ttl_ms: 0 };
        let now = self.now;
        let nobody = Peer { node: index, uid: NodeUid::default() };
        let (mut session, mut others) = (None, Vec::new());
        for told in self.center.ask(now, nobody, 0, open) {
            match told {
                Told::Answer(peer, 0, result) if peer == nobody => session = result.ok(),
                other => others.push(other),
            }
        }
        self.send_all(others);
        self.mind_center();
        let Some(Response::Session(session)) = session else {
            return self.at(now + AGAIN, Event::Start(index));
        };
        self.begin(index, info, session);
    }

    fn begin(&mut self, index: usize, info: bbq_core::control::NodeInfo, session: Session) {
        let uid = session.uid;
        let node = Node::new(Member::new(info, session, self.now), &self.settings, &self.definitions);
        match self.nodes.get_mut(index) {
            Some(old) => *old = node,
            None => self.nodes.push(node),
        }
        self.trace.event(self.now, "start", &[index as u8]);
        self.settle(index);
        self.begin_watch(index, uid);
        self.settle_keeper(index);
    }

    /// Says goodbye, if there is a way: others need not wait for the end of the lease.
    pub(crate) fn leave(&mut self, index: usize) {
        let node = &self.nodes[index];
        if !node.alive || node.member.is_cut(self.now) {
            return;
        }
        let (uid, now) = (node.uid, self.now);
        let goodbye = Request::Certify { uid, seen: None, why: "it was stopped".into() };
        let told = self.center.ask(now, Peer { node: index, uid: NodeUid::default() }, 0, goodbye);
        self.send_all(told);
        self.mind_center();
    }

    // ---- sessions --------------------------------------------------------------------------------------------

    /// Tells the session of a node something, and does what it wants.
    pub(crate) fn note(&mut self, index: usize, note: Note) {
        let now = self.now;
        if self.nodes[index].alive {
            self.nodes[index].member.keeper.handle(now, note);
            self.settle_keeper(index);
        }
    }

    pub(crate) fn keeper_wake(&mut self, index: usize, uid: NodeUid) {
        let node = &mut self.nodes[index];
        if node.uid == uid && node.member.wake.is_some_and(|wake| wake <= self.now) {
            node.member.wake = None;
            self.note(index, Note::Tick);
        }
    }

    fn settle_keeper(&mut self, index: usize) {
        while let Some(task) = self.nodes[index].member.keeper.poll() {
            let member = &self.nodes[index].member;
            match task {
                Task::Ask(request) => self.question(index, request),
                Task::Rejoin => {
                    let memory = member.keeper.memory(&member.cluster);
                    self.question(index, Request::Rejoin(Box::new(memory)));
                }
                Task::Standing(Standing::Over(_)) => {
                    self.kill(index);
                    let back = self.random.between(Duration::from_millis(50), self.settings.detection);
                    return self.at(self.now + back, Event::Start(index));
                }
                Task::Standing(_) => {}
            }
        }
        let (uid, now) = (self.nodes[index].uid, self.now);
        let member = &mut self.nodes[index].member;
        if let Some(deadline) = member.keeper.deadline()
            && member.wake.is_none_or(|wake| wake > deadline || wake < now)
        {
            member.wake = Some(deadline.max(now));
            self.at(deadline, Event::KeeperWake(index, uid));
        }
    }

    fn question(&mut self, index: usize, request: Request) {
        let node = &mut self.nodes[index];
        node.member.question += 1;
        let (uid, question) = (node.uid, node.member.question);
        let arrives = self.now + self.random.between(WAY.0, WAY.1);
        self.at(arrives, Event::Ask(index, uid, question, Box::new(request)));
    }

    // ---- the way to the center and back -------------------------------------------------------------------------

    fn reaches(&self, index: usize, uid: NodeUid) -> bool {
        let node = &self.nodes[index];
        node.alive && node.uid == uid && !node.member.is_cut(self.now) && self.center.is_up()
    }

    pub(crate) fn asked(&mut self, index: usize, uid: NodeUid, question: u64, request: Request) {
        if self.reaches(index, uid) {
            self.trace.debug(self.now, &request);
            let told = self.center.ask(self.now, Peer { node: index, uid }, question, request);
            self.send_all(told);
            self.mind_center();
        } else {
            self.unreachable(index, uid, question);
        }
    }

    /// What the client of a real node says when its connection breaks.
    fn unreachable(&mut self, index: usize, uid: NodeUid, question: u64) {
        let node = &self.nodes[index];
        if node.uid == uid && node.member.question == question {
            self.note(index, Note::Answer(Err(ControlError::Unreachable { why: "the way is cut".into() })));
        }
    }

    pub(crate) fn begin_watch(&mut self, index: usize, uid: NodeUid) {
        if self.nodes[index].uid != uid || !self.nodes[index].alive {
            return;
        }
        if !self.reaches(index, uid) {
            return self.at(self.now + AGAIN, Event::Watch(index, uid));
        }
        let (id, told) = self.center.watch(self.now, Peer { node: index, uid });
        self.nodes[index].member.watch = Some(id);
        self.send_all(told);
        self.mind_center();
    }

    fn send_all(&mut self, told: Vec<Told>) {
        for told in told {
            let (Told::Answer(peer, ..) | Told::News(peer, ..)) = &told;
            let way = self.random.between(WAY.0, WAY.1);
            let Some(node) = self.nodes.get_mut(peer.node).filter(|node| node.uid == peer.uid) else { continue };
            let arrives = node.member.last_down.max(self.now + way);
            node.member.last_down = arrives;
            self.at(arrives, Event::Told(Box::new(told)));
        }
    }

    pub(crate) fn told_by_center(&mut self, told: Told) {
        match told {
            Told::Answer(Peer { node, uid }, question, result) => {
                if self.reaches(node, uid) && self.nodes[node].member.question == question {
                    self.trace.debug(self.now, &result);
                    self.note(node, Note::Answer(result));
                } else {
                    self.unreachable(node, uid, question);
                }
            }
            Told::News(Peer { node, uid }, watch, event) => {
                if self.reaches(node, uid) && self.nodes[node].member.watch == Some(watch) {
                    self.hear(node, watch, event);
                }
            }
        }
    }

    fn hear(&mut self, index: usize, watch: WatchId, event: WatchEvent) {
        let (now, uid) = (self.now, self.nodes[index].uid);
        self.trace.debug(now, &(index, &event));
        let whole = matches!(event, WatchEvent::Snapshot { .. });
        let before = &self.nodes[index].member.cluster;
        let mut after = before.clone();
        after.apply(event);
        // As a real node does: a picture without oneself is that of a center which forgot everything.
        if whole && !after.nodes.contains_key(&uid) && !after.dead.contains_key(&uid) {
            self.center.unwatch(now, watch);
            self.nodes[index].member.watch = None;
            return self.at(now + AGAIN, Event::Watch(index, uid));
        }
        self.truth.compare(uid, before, &after);
        let picture = Arc::new(view(&after));
        self.nodes[index].member.cluster = after;
        self.with(index, |node| node.feed_mesh(now, mesh::Input::View(picture)));
    }

    /// The connection of a node to the center broke.
    fn disconnect(&mut self, index: usize) {
        let uid = self.nodes[index].uid;
        if let Some(watch) = self.nodes[index].member.watch.take() {
            self.center.unwatch(self.now, watch);
            let again = self.random.between(Duration::ZERO, AGAIN);
            self.at(self.now + again, Event::Watch(index, uid));
        }
    }

    // ---- the center ------------------------------------------------------------------------------------------

    pub(crate) fn center_wake(&mut self) {
        if self.center_wake.is_some_and(|wake| wake <= self.now) {
            self.center_wake = None;
            let told = self.center.tick(self.now);
            self.send_all(told);
        }
        self.mind_center();
    }

    fn mind_center(&mut self) {
        let now = self.now;
        if let Some(deadline) = self.center.deadline()
            && self.center_wake.is_none_or(|wake| wake > deadline || wake < now)
        {
            self.center_wake = Some(deadline.max(now));
            self.at(deadline, Event::CenterWake);
        }
    }

    pub(crate) fn center_back(&mut self, with_memory: bool) {
        self.trace.debug(self.now, &("center", with_memory));
        self.center.start(self.now, with_memory);
        self.mind_center();
    }

    // ---- faults ----------------------------------------------------------------------------------------------

    pub(crate) fn center_dies(&mut self) {
        if !self.center.is_up() {
            return;
        }
        self.center.stop();
        for index in self.alive() {
            self.disconnect(index);
        }
        // A process takes a while to start, and membership changes more slowly than its clock counts meanwhile.
        let away = self.random.between(Duration::from_secs(2), self.settings.detection * 2);
        let with_memory = self.random.one_in(2);
        self.at(self.now + away, Event::CenterBack(with_memory));
    }

    /// The first node is spared, as it is by all faults: drivers live there.
    pub(crate) fn partition(&mut self) {
        let alive = self.alive();
        if alive.len() > 1 {
            let victim = alive[1 + self.random.below(alive.len() as u64 - 1) as usize];
            let length = self.random.between(Duration::from_millis(10), self.settings.detection * 2);
            self.nodes[victim].member.cut_until = self.now + length;
            self.disconnect(victim);
        }
    }

    pub(crate) fn jump(&mut self) {
        let ahead = self.random.between(Duration::from_millis(1), self.settings.detection * 3);
        self.center.jump(ahead);
        self.mind_center();
    }
}
