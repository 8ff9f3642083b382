//! The one task that owns the machine: takes inputs in batches, then does everything that the machine wants.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::gate::{ConnId, Gate, Input, MethodTable, Output};
use bbq_core::mesh::{FromGate, ToGate};
use bbq_rt::clock::Clock;
use bbq_rt::queue;
use bbq_wire::{Code, Error, Time};
use hashbrown::HashMap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::messages::Control;
pub(crate) use crate::messages::ToMachine;
use crate::outbox::{End, Outbox};
use crate::verifier::Verifier;

/// Most inputs between two rounds of outputs.
const BATCH: usize = 256;
/// Messages for the mesh that wait, above which clients have to wait.
const MESH_HIGH: usize = 4096;
/// Messages for the mesh that wait, above which answers of clients are dropped: their callers' deadlines tell them.
const MESH_FULL: usize = 262_144;

pub(crate) struct Machine {
    pub(crate) gate: Gate,
    pub(crate) clock: Clock,
    pub(crate) verifier: Verifier,
    /// Longest time that a verifier may take.
    pub(crate) patience: Duration,
    pub(crate) inputs: mpsc::Receiver<ToMachine>,
    /// For verifiers to answer. Weak, so that the machine does not keep itself alive.
    pub(crate) own_inputs: mpsc::WeakSender<ToMachine>,
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) methods: watch::Receiver<Arc<MethodTable>>,
    pub(crate) to_mesh: queue::Sender<FromGate>,
    pub(crate) from_mesh: queue::Receiver<ToGate>,
    pub(crate) outboxes: HashMap<ConnId, Arc<Outbox>>,
    pub(crate) waiting_for_mesh: VecDeque<FromGate>,
    pub(crate) drained: Vec<oneshot::Sender<()>>,
    /// Bytes that sockets have taken, noticed while sending.
    pub(crate) flushed: Vec<(ConnId, u32)>,
}

impl Machine {
    /// Runs until the mesh or the owner is gone.
    pub(crate) async fn run(mut self) {
        let methods = self.methods.borrow_and_update().clone();
        self.gate.handle(self.clock.now(), Input::Methods(methods));
        let (mut inputs, mut messages) = (Vec::with_capacity(BATCH), VecDeque::new());
        let (to_mesh, mut methods_known) = (self.to_mesh.clone(), true);
        let mut alarm = pin!(sleep_until(Instant::now()));
        loop {
            let deadline = self.gate.deadline().map(|at| Instant::from_std(self.clock.instant(at)));
            if let Some(deadline) = deadline.filter(|deadline| *deadline != alarm.deadline()) {
                alarm.as_mut().reset(deadline);
            }
            let crowded = self.waiting_for_mesh.len() >= MESH_HIGH;
            tokio::select! {
                room = to_mesh.has_room(), if !self.waiting_for_mesh.is_empty() => {
                    if room.is_err() {
                        return;
                    }
                }
                more = self.from_mesh.receive(&mut messages) => {
                    if !more {
                        return;
                    }
                    let now = self.clock.now();
                    messages.drain(..).for_each(|message| self.gate.handle(now, Input::Mesh(message)));
                }
                count = self.inputs.recv_many(&mut inputs, BATCH), if !crowded => {
                    if count == 0 {
                        return;
                    }
                    let now = self.clock.now();
                    inputs.drain(..).for_each(|input| self.take(now, input));
                }
                control = self.control.recv() => match control {
                    None => return,
                    Some(Control::Stats(answer)) => drop(answer.send(self.gate.stats())),
                    Some(Control::Drain(grace, done)) => {
                        self.drained.push(done);
                        self.gate.handle(self.clock.now(), Input::Drain { grace });
                    }
                },
                changed = self.methods.changed(), if methods_known => {
                    methods_known = changed.is_ok();
                    let methods = self.methods.borrow_and_update().clone();
                    self.gate.handle(self.clock.now(), Input::Methods(methods));
                }
                () = &mut alarm, if deadline.is_some() => self.gate.handle(self.clock.now(), Input::Tick),
            }
            self.obey();
        }
    }

    fn take(&mut self, now: Time, input: ToMachine) {
        match input {
            ToMachine::Opened { conn, ip, entropy, outbox } => {
                self.outboxes.insert(conn, outbox);
                self.gate.handle(now, Input::Opened { conn, ip, entropy });
            }
            ToMachine::Input(input) => {
                if let Input::Closed { conn } = &input {
                    self.outboxes.remove(conn);
                }
                self.gate.handle(now, input);
            }
        }
    }

    fn obey(&mut self) {
        while let Some(output) = self.gate.poll() {
            match output {
                Output::Send { conn, frames } => {
                    if let Some(outbox) = self.outboxes.get(&conn) {
                        let bytes = outbox.send(frames);
                        if bytes > 0 {
                            self.flushed.push((conn, bytes));
                        }
                    }
                }
                Output::Read { conn, reading } => self.with(conn, |outbox| outbox.read_on(reading)),
                Output::Close { conn } => self.with(conn, |outbox| outbox.end(End::Close)),
                Output::Abort { conn } => self.with(conn, |outbox| outbox.end(End::Abort)),
                Output::Verify { conn, request } => self.verify(conn, *request),
                Output::Mesh(message) => self.tell_mesh(message),
                Output::Drained => self.tell_drained(),
            }
        }
        if !self.waiting_for_mesh.is_empty() {
            self.to_mesh.offer(&mut self.waiting_for_mesh);
        }
        let now = self.clock.now();
        for (conn, bytes) in std::mem::take(&mut self.flushed) {
            self.gate.handle(now, Input::Flushed { conn, bytes });
        }
    }

    fn tell_drained(&mut self) {
        for done in self.drained.drain(..) {
            // Fails only if nobody waits any more.
            let _ = done.send(());
        }
    }

    fn with(&self, conn: ConnId, act: impl FnOnce(&Outbox)) {
        if let Some(outbox) = self.outboxes.get(&conn) {
            act(outbox);
        }
    }

    fn verify(&self, conn: ConnId, request: bbq_core::gate::AuthRequest) {
        let Some(answer) = self.own_inputs.upgrade() else { return };
        let (verifier, patience) = (self.verifier.clone(), self.patience);
        tokio::spawn(async move {
            // Called in here, because checking a signature takes its time.
            let judgement = verifier.judge(request);
            let late = |_| Err(Error::new(Code::UNAVAILABLE, "the credential could not be checked in time"));
            let result = timeout(patience, judgement).await.unwrap_or_else(late);
            // Fails only if the machine is gone.
            let _ = answer.send(ToMachine::Input(Input::Verified { conn, result })).await;
        });
    }

    /// With everything else that this batch brings.
    fn tell_mesh(&mut self, message: FromGate) {
        if self.waiting_for_mesh.len() < MESH_FULL || !matches!(message, FromGate::ClientReply { .. }) {
            self.waiting_for_mesh.push_back(message);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.outboxes.values().for_each(|outbox| outbox.end(End::Abort));
    }
}
