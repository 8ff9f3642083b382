//! The task that owns the mesh machine: events in, outputs to worlds, gate and links. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bbq_core::mesh::{FromGate, Input, LinkId, Mesh, Output, Stats, ToGate, View};
use bbq_core::world;
use bbq_wire::{Code, Error, NodeUid};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Limits;
use super::dial::{Dialer, dial};
use super::link::{Arrived, Backlog, Wiring, run};
use super::opening::Opened;
use crate::clock::Clock;
use crate::queue;

/// Events taken off the queue at a time.
const BATCH: usize = 256;
/// Chunks in the queue of a link; each holds what one batch of events brought.
const CHUNKS: usize = 4096;

/// What happens to the router.
pub(super) enum Event {
    /// For the machine.
    Input(Box<Input>),
    /// Many of them.
    Inputs(Vec<Input>),
    /// Where the gate of this process puts its messages from now on.
    Gate(queue::Receiver<FromGate>),
    /// A link has been opened; we made it, or it was made to us.
    Opened(Box<Opened>),
    /// Frames arrived.
    Arrived(LinkId, Vec<Arrived>),
    /// The queue of a link has room again.
    Room(LinkId),
    /// A link is over.
    LinkDown(LinkId),
    /// How is it?
    Stats(oneshot::Sender<Stats>),
    /// Write what is queued, then end.
    Shutdown,
}

/// Where outputs go.
#[derive(Debug, Default)]
pub struct Inboxes {
    /// One per world, in order. A call for a world whose inbox is full is answered `BUSY`; everything else waits.
    pub worlds: Vec<queue::Sender<world::Input>>,
    /// The gate's, where there is one. An unreliable push for a full inbox is dropped; everything else waits.
    pub gate: Option<queue::Sender<ToGate>>,
}

struct Port {
    /// What this batch brought.
    buffer: BytesMut,
    chunks: mpsc::Sender<Bytes>,
    backlog: Arc<Backlog>,
    full: bool,
    task: AbortHandle,
}

/// An inbox, and what this batch brought for it or did not fit.
struct Outlet<T> {
    inbox: queue::Sender<T>,
    waiting: VecDeque<T>,
    /// How much the inbox would have taken when it was last asked.
    room: usize,
}

impl<T> Outlet<T> {
    fn new(inbox: queue::Sender<T>) -> Self {
        Self { inbox, waiting: VecDeque::new(), room: 0 }
    }

    /// Takes a value for the next flush, or gives it back when the inbox is full.
    fn offer(&mut self, value: T) -> Result<(), T> {
        if self.waiting.len() >= self.room {
            self.room = self.inbox.room();
        }
        if self.waiting.len() >= self.room {
            return Err(value);
        }
        self.waiting.push_back(value);
        Ok(())
    }

    fn keep(&mut self, value: T, limit: usize) {
        if self.waiting.len() < limit {
            self.waiting.push_back(value);
        } else {
            tracing::error!(limit, "an inbox has been full for too long; a message is lost");
        }
    }

    /// The inbox, if something waits for room in it.
    fn crowded(&self) -> Option<queue::Sender<T>> {
        (!self.waiting.is_empty()).then(|| self.inbox.clone())
    }

    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.room = self.inbox.offer(&mut self.waiting);
        }
    }
}

pub(super) struct Router {
    pub(super) mesh: Mesh,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) dialer: Arc<Dialer>,
    pub(super) link_numbers: AtomicU64,
    ports: BTreeMap<LinkId, Port>,
    /// Ports with something in their buffer.
    dirty: Vec<LinkId>,
    dials: BTreeMap<NodeUid, AbortHandle>,
    worlds: Vec<Outlet<world::Input>>,
    gate: Option<Outlet<ToGate>>,
    from_gate: Option<queue::Receiver<FromGate>>,
}

impl Router {
    pub(super) fn new(mesh: Mesh, clock: Clock, limits: Limits, dialer: Arc<Dialer>, inboxes: Inboxes) -> Self {
        Self {
            mesh,
            clock,
            limits,
            dialer,
            link_numbers: AtomicU64::new(1),
            ports: BTreeMap::new(),
            dirty: Vec::new(),
            dials: BTreeMap::new(),
            worlds: inboxes.worlds.into_iter().map(Outlet::new).collect(),
            gate: inboxes.gate.map(Outlet::new),
            from_gate: None,
        }
    }

    /// Runs until [`Event::Shutdown`], or until nobody can send events any more.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>, mut views: watch::Receiver<Arc<View>>) {
        let (mut batch, mut gate_batch) = (Vec::with_capacity(BATCH), VecDeque::new());
        self.new_view(&mut views);
        let sleep = tokio::time::sleep_until(Instant::now());
        tokio::pin!(sleep);
        let mut watching = true;
        loop {
            let deadline = self.mesh.deadline().map(|time| Instant::from_std(self.clock.instant(time)));
            if let Some(deadline) = deadline.filter(|deadline| *deadline != sleep.deadline()) {
                sleep.as_mut().reset(deadline);
            }
            let world = self.worlds.iter().find_map(Outlet::crowded);
            let gate = self.gate.as_ref().and_then(Outlet::crowded);
            let mut from_gate = self.from_gate.take();
            tokio::select! {
                count = events.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                }
                more = receive(from_gate.as_mut(), &mut gate_batch) => {
                    if !more {
                        from_gate = None;
                    }
                }
                changed = views.changed(), if watching => {
                    watching = changed.is_ok();
                    self.new_view(&mut views);
                }
                () = &mut sleep, if deadline.is_some() => self.handle(Input::Tick),
                () = room(world, gate) => {}
            }
            self.from_gate = from_gate;
            if !gate_batch.is_empty() {
                self.handle_all(gate_batch.drain(..).map(Input::Gate));
            }
            let mut over = false;
            for event in batch.drain(..) {
                over |= self.take(event);
            }
            self.worlds.iter_mut().for_each(Outlet::flush);
            self.gate.iter_mut().for_each(Outlet::flush);
            self.flush();
            if over {
                break;
            }
        }
        self.dials.values().for_each(AbortHandle::abort);
        self.finish_writing(&mut events).await;
    }

    /// Closes the links once they have written what is queued, within a second.
    async fn finish_writing(&mut self, events: &mut mpsc::Receiver<Event>) {
        let tasks: Vec<AbortHandle> = std::mem::take(&mut self.ports).into_values().map(|port| port.task).collect();
        let all = async {
            while tasks.iter().any(|task| !task.is_finished()) {
                // Links report their end here, and must not wait for room.
                if events.recv().await.is_none() {
                    break;
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), all).await.is_err() {
            tasks.iter().for_each(AbortHandle::abort);
        }
    }

    fn new_view(&mut self, views: &mut watch::Receiver<Arc<View>>) {
        let view = views.borrow_and_update().clone();
        // Revision 0: nothing has been heard of the cluster yet.
        if view.revision > 0 {
            self.handle(Input::View(view));
        }
    }

    /// Takes one event; `true`: the end.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Input(input) => self.handle(*input),
            Event::Inputs(inputs) => self.handle_all(inputs),
            Event::Gate(queue) => self.from_gate = Some(queue),
            Event::Opened(opened) => self.opened(*opened),
            Event::Arrived(link, arrived) => {
                self.handle_all(arrived.into_iter().map(|arrived| match arrived {
                    Arrived::Frame(frame) => Input::Frame { link, frame: Box::new(frame) },
                    Arrived::Unreadable(route) => Input::Unreadable { link, route },
                    Arrived::Transit(route, frame) => Input::Transit { link, route, frame },
                }));
            }
            Event::Room(link) => {
                if let Some(port) = self.ports.get_mut(&link).filter(|port| port.full) {
                    port.full = false;
                    self.handle(Input::LinkFull { link, full: false });
                }
            }
            Event::LinkDown(link) => {
                self.ports.remove(&link);
                self.handle(Input::LinkDown { link });
            }
            // Whoever asked may have gone.
            Event::Stats(answer) => answer.send(self.mesh.stats()).unwrap_or_default(),
            Event::Shutdown => {
                self.handle(Input::Leave);
                return true;
            }
        }
        false
    }

    fn handle(&mut self, input: Input) {
        self.handle_all([input]);
    }

    /// What arrived together happens at the same time.
    fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let now = self.clock.now();
        for input in inputs {
            self.mesh.handle(now, input);
            while let Some(output) = self.mesh.poll() {
                self.act(output);
            }
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Connect { peer, address } => {
                let task = tokio::spawn(dial(Arc::clone(&self.dialer), peer, address));
                if let Some(before) = self.dials.insert(peer, task.abort_handle()) {
                    before.abort();
                }
            }
            Output::Disconnect { link } => self.disconnect(link),
            Output::Send { link, frame } => self.write(link, &frame),
            Output::World { index, input } => self.give_world(index, input),
            Output::Gate(message) => self.give_gate(message),
        }
    }

    fn opened(&mut self, opened: Opened) {
        let link = LinkId(self.link_numbers.fetch_add(1, Ordering::Relaxed));
        let (peer, roles) = (opened.peer, opened.roles);
        if let Some(dial) = self.dials.remove(&peer) {
            dial.abort();
        }
        let (chunks, queue) = mpsc::channel(CHUNKS);
        let backlog = Arc::new(Backlog::default());
        let wiring = Wiring {
            link,
            me: self.dialer.identity.me,
            events: self.dialer.events.clone(),
            chunks: queue,
            backlog: Arc::clone(&backlog),
            low_mark: self.limits.queue_full / 2,
        };
        let task = tokio::spawn(run(opened, wiring)).abort_handle();
        self.ports.insert(link, Port { buffer: BytesMut::new(), chunks, backlog, full: false, task });
        tracing::info!(%peer, %roles, "a link is open");
        self.handle(Input::LinkUp { link, peer, roles });
    }

    fn disconnect(&mut self, link: LinkId) {
        if let Some(port) = self.ports.remove(&link) {
            port.task.abort();
        }
        self.mesh.handle(self.clock.now(), Input::LinkDown { link });
    }

    fn write(&mut self, link: LinkId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&link) else { return };
        if port.buffer.is_empty() {
            self.dirty.push(link);
        }
        port.buffer.extend_from_slice(frame);
    }

    /// Hands every link what this batch brought for it.
    fn flush(&mut self) {
        while let Some(link) = self.dirty.pop() {
            let Some(port) = self.ports.get_mut(&link) else { continue };
            let chunk = port.buffer.split().freeze();
            let queued = port.backlog.add(chunk.len());
            let refused = port.chunks.try_send(chunk).is_err();
            if refused || queued > self.limits.queue_max {
                tracing::warn!(queued, "a peer reads too slowly; its link is closed");
                self.disconnect(link);
                self.handle(Input::Tick);
            } else if queued > self.limits.queue_full && !port.full {
                port.full = true;
                self.handle(Input::LinkFull { link, full: true });
            }
        }
    }

    fn give_world(&mut self, index: u16, input: world::Input) {
        let limit = self.limits.overflow;
        let Some(outlet) = self.worlds.get_mut(usize::from(index)) else { return };
        match outlet.offer(input) {
            Ok(()) => {}
            Err(world::Input::Call(call)) => {
                let error = Error::new(Code::BUSY, format!("the inbox of world {index} is full"));
                let output = world::Output::Reply(call.reply_to, Err(error));
                // Not `handle`: its outputs are drained by whoever called us.
                self.mesh.handle(self.clock.now(), Input::World { index, output });
            }
            Err(input) => outlet.keep(input, limit),
        }
    }

    fn give_gate(&mut self, message: ToGate) {
        let limit = self.limits.overflow;
        let Some(outlet) = &mut self.gate else { return };
        match outlet.offer(message) {
            Ok(()) => {}
            Err(ToGate::ToClient { corr: None, message }) if message.unreliable => {
                tracing::debug!("an unreliable push is dropped: the gate's inbox is full");
            }
            Err(message) => outlet.keep(message, limit),
        }
    }
}

/// What the gate has put into its queue; `false`: its last sender is gone.
async fn receive(queue: Option<&mut queue::Receiver<FromGate>>, batch: &mut VecDeque<FromGate>) -> bool {
    match queue {
        Some(queue) => queue.receive(batch).await,
        None => std::future::pending().await,
    }
}

/// Until an inbox that was full has room.
async fn room(world: Option<queue::Sender<world::Input>>, gate: Option<queue::Sender<ToGate>>) {
    match (world, gate) {
        // Gone or not: either way something can be done.
        (Some(inbox), _) => inbox.has_room().await.unwrap_or_default(),
        (None, Some(inbox)) => inbox.has_room().await.unwrap_or_default(),
        (None, None) => std::future::pending().await,
    }
}
