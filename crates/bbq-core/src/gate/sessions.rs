//! Feeds the protocol machine of a session and does what it says: frames to its connection, requests to the mesh,
//! and who must know when it goes, comes back or ends.

use bbq_wire::gate::{GateInput, GateOutput};
use bbq_wire::{Error, Time};

use super::connection::{Stage, Urgency};
use super::io::{ConnId, Output, Part};
use super::requests::Request;
use super::session::Session;
use super::slot::Slot;
use super::{Gate, SessionView, Timer};
use crate::mesh::FromGate;
use crate::world::SessionEvent;

impl Gate {
    /// Hands `input` to a session and does what it says.
    pub(super) fn drive(&mut self, now: Time, slot: Slot, input: GateInput) {
        let urgency = self.urgency(&input);
        let mut todo = std::mem::take(&mut self.scratch);
        if let Some(session) = self.sessions.get_mut(slot) {
            session.machine.handle(now, &self.config.session, input, &mut todo);
        }
        for output in todo.drain(..) {
            self.obey(now, slot, output, urgency);
        }
        self.scratch = todo;
        self.set_timer(slot);
    }

    pub(super) fn session_timer(&mut self, now: Time, slot: Slot) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.timer = None;
            self.drive(now, slot, GateInput::Tick);
        }
    }

    /// Tells everybody who watches a session.
    pub(super) fn tell_watchers(&mut self, slot: Slot, event: SessionEvent) {
        let Some(session) = self.sessions.get(slot) else { return };
        let told = session.watchers.iter().map(|watcher| FromGate::Session {
            target: watcher.clone(),
            client: session.client.clone(),
            event,
        });
        self.outputs.extend(told.map(Output::Mesh));
    }

    fn obey(&mut self, now: Time, slot: Slot, output: GateOutput, urgency: Urgency) {
        match output {
            GateOutput::Send { prefix, tail } => {
                if let Some(conn) = self.conn_of(slot) {
                    self.connections.queue(conn, Part { prefix, tail }, urgency);
                }
            }
            GateOutput::Close => self.close_conn_of(slot),
            GateOutput::Call { call, method, key, deadline_ms, trace, body } => {
                let request = Request { method, key, deadline_ms, trace, body };
                self.on_request(now, slot, call, request);
            }
            GateOutput::Notify { method, key, trace, body } => {
                let request = Request { method, key, deadline_ms: None, trace, body };
                self.on_notify(now, slot, request);
            }
            GateOutput::Answer { call, result } => {
                self.outputs.push_back(Output::Mesh(FromGate::ClientReply { corr: call, result }));
            }
            GateOutput::Refused(_) => self.stats.lost_pushes += 1,
            GateOutput::Detached(why) => self.on_detached(now, slot, why.as_ref()),
            GateOutput::Ended(_) => self.on_ended(slot),
        }
    }

    fn conn_of(&self, slot: Slot) -> Option<ConnId> {
        self.sessions.get(slot)?.conn
    }

    fn close_conn_of(&mut self, slot: Slot) {
        let Some(conn) = self.conn_of(slot) else { return };
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.stage = Stage::Closing { refused: false };
            self.close(conn);
        }
    }

    fn on_detached(&mut self, now: Time, slot: Slot, why: Option<&Error>) {
        if let Some(error) = why {
            self.stats.cut(error.code);
        }
        if let Some(session) = self.sessions.get_mut(slot)
            && session.conn.take().is_some()
        {
            self.stats.attached -= 1;
        }
        self.tell_watchers(slot, SessionEvent::Detached);
        self.leave_if_draining(now, slot);
    }

    fn on_ended(&mut self, slot: Slot) {
        self.tell_watchers(slot, SessionEvent::Left);
        let Some(session) = self.sessions.remove(slot) else { return };
        let Session { conn, groups, timer, .. } = *session;
        self.groups.leave_all(slot, groups);
        if let Some((_, key)) = timer {
            self.timers.cancel(key);
        }
        if conn.is_some() {
            self.stats.attached -= 1;
        }
        self.stats.ended += 1;
    }

    /// Makes sure that somebody looks at the session in time. A timer that is set too early is left alone: it is set
    /// anew when it fires, which is cheaper than moving it with every frame.
    fn set_timer(&mut self, slot: Slot) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let Some(deadline) = session.machine.deadline(&self.config.session) else { return };
        match session.timer {
            Some((at, _)) if at <= deadline => return,
            Some((_, key)) => drop(self.timers.cancel(key)),
            None => {}
        }
        session.timer = Some((deadline, self.timers.insert(deadline, Timer::Session(slot))));
    }
}

impl Session {
    pub(super) fn view(&self) -> SessionView {
        SessionView {
            session: self.client.session,
            account: self.client.account.clone(),
            device: self.device.to_string(),
            properties: self.properties.to_vec(),
            attached: self.machine.is_attached(),
            unflushed: self.machine.unflushed(),
        }
    }
}
