//! Sends everybody away: GOAWAY to every client, spread over time; nobody new; and after a while the end.

use std::time::Duration;

use bbq_wire::frame::{Frame, GoAway};
use bbq_wire::gate::GateInput;
use bbq_wire::{Code, Error, SessionId, Time};

use super::admission::millis;
use super::connection::{Stage, Urgency};
use super::io::{Output, Part};
use super::slot::Slot;
use super::{Gate, Timer};

/// How far a drain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drain {
    Going,
    Done,
}

impl Gate {
    pub(super) fn start_drain(&mut self, now: Time, grace: Duration) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain::Going);
        let grace = self.time_to_leave(grace);
        self.timers.insert(now + grace, Timer::Drain);
        for slot in self.sessions.all() {
            let Some(session) = self.sessions.get(slot) else { continue };
            if session.machine.is_attached() {
                let after_ms = jitter(grace, session.machine.sid());
                let away = GoAway { after_ms, reason: Code::GOING_AWAY.0, address: String::new() };
                self.drive(now, slot, GateInput::GoAway(away));
            } else {
                self.leave_if_draining(now, slot);
            }
        }
    }

    /// The grace, or more when many have to go: they are asked to within its first half.
    fn time_to_leave(&self, grace: Duration) -> Duration {
        let limits = &self.config.limits;
        let departing = Duration::from_secs(self.stats.attached) / limits.departures_per_second.max(1);
        grace.max((departing * 2).min(limits.longest_drain))
    }

    /// A session that is detached while the gate drains cannot come back here.
    pub(super) fn leave_if_draining(&mut self, now: Time, slot: Slot) {
        if self.drain.is_some() {
            self.drive(now, slot, GateInput::Kick(going_away()));
        }
    }

    /// Cuts off who is still here.
    pub(super) fn end_drain(&mut self, now: Time) {
        for slot in self.sessions.all() {
            if let Some(conn) = self.sessions.get(slot).and_then(|session| session.conn)
                && let Some(connection) = self.connections.get_mut(conn)
            {
                connection.stage = Stage::Closing { refused: false };
                // Not KICK: the client shall come back, to another gate.
                self.connections.queue(conn, Part::of(&Frame::Err(going_away())), Urgency::Now);
                self.close(conn);
            }
            self.drive(now, slot, GateInput::Disconnected);
        }
    }

    pub(super) fn check_drained(&mut self) {
        if self.drain == Some(Drain::Going) && self.sessions.len() == 0 {
            self.drain = Some(Drain::Done);
            self.outputs.push_back(Output::Drained);
        }
    }
}

fn going_away() -> Error {
    Error::new(Code::GOING_AWAY, "the gate drains")
}

/// Between a quarter and a half of the grace, so that clients which all react alike still come at different times.
fn jitter(grace: Duration, sid: SessionId) -> u32 {
    let quarter = millis(grace / 4);
    quarter.saturating_add((sid.0 % (u64::from(quarter) + 1)) as u32)
}
