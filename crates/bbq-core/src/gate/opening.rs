//! Connections from the first frame to a session: admission, handshake, login, resume.

use core::net::IpAddr;
use std::sync::Arc;

use bbq_wire::frame::{Auth, Frame, FrameError, Resume};
use bbq_wire::gate::{Attach, GateInput, GateSession, Ticket};
use bbq_wire::handshake::{Handshake, Step};
use bbq_wire::id::MAX_KEY_BYTES;
use bbq_wire::{Code, Error, Result, SessionId, Time};
use smallvec::SmallVec;

use super::config::DuplicateLogin;
use super::connection::{Connection, Opening, Stage, Urgency};
use super::io::{AuthRequest, ConnId, Entropy, Output, Part, Reading, Verified};
use super::session::Session;
use super::slot::Slot;
use super::{Gate, Timer};
use crate::limit::Gcra;
use crate::world::{ClientRef, Meta, SessionEvent};

/// Longest name of a device, in bytes.
const MAX_DEVICE_BYTES: usize = 64;

impl Gate {
    pub(super) fn opened(&mut self, now: Time, conn: ConnId, ip: IpAddr, entropy: Entropy) {
        self.stats.accepted += 1;
        if let Err(error) = self.admit(now, ip) {
            return self.turn_away(conn, ip, error);
        }
        let handshake = Handshake::new(now);
        let timer = self.timers.insert(handshake.deadline(self.config.opening), Timer::Opening(conn));
        let opening = Opening { handshake, entropy, verifying: None, timer };
        self.connections.insert(conn, ip, Stage::Opening(Box::new(opening)));
        self.stats.handshakes += 1;
    }

    pub(super) fn received(&mut self, now: Time, conn: ConnId, bytes: u32, frames: SmallVec<[Frame; 1]>) {
        self.stats.bytes_in += u64::from(bytes);
        for frame in frames {
            match self.connections.get_mut(conn).map(|connection| &mut connection.stage) {
                Some(Stage::Attached(slot)) => {
                    let slot = *slot;
                    self.drive(now, slot, GateInput::Frame(frame));
                }
                Some(Stage::Opening(opening)) if opening.verifying.is_none() => {
                    let step = opening.handshake.on_frame(frame);
                    self.take_step(now, conn, step);
                }
                // Frames behind a credential are held by the inlet; what was decoded before a close is late.
                Some(Stage::Opening(_) | Stage::Closing { .. }) | None => return,
            }
        }
    }

    pub(super) fn bad_frame(&mut self, now: Time, conn: ConnId, error: FrameError) {
        match self.connections.get_mut(conn).map(|connection| &connection.stage) {
            Some(Stage::Attached(slot)) => {
                let slot = *slot;
                self.drive(now, slot, GateInput::BadFrame(error));
            }
            Some(Stage::Opening(_)) => self.fail(conn, error.to_error()),
            Some(Stage::Closing { .. }) | None => {}
        }
    }

    pub(super) fn closed(&mut self, now: Time, conn: ConnId) {
        let Some(Connection { ip, stage, .. }) = self.connections.remove(conn) else { return };
        if matches!(stage, Stage::Closing { refused: true }) {
            self.refusals -= 1;
            return;
        }
        self.admission.leave(now, ip);
        match stage {
            Stage::Opening(opening) => self.end_opening(&opening),
            Stage::Attached(slot) => self.drive(now, slot, GateInput::Disconnected),
            Stage::Closing { .. } => {}
        }
    }

    pub(super) fn flushed(&mut self, now: Time, conn: ConnId, bytes: u32) {
        if let Some(Stage::Attached(slot)) = self.connections.get_mut(conn).map(|connection| &connection.stage) {
            let slot = *slot;
            self.drive(now, slot, GateInput::Flushed(bytes));
        }
    }

    pub(super) fn verified(&mut self, now: Time, conn: ConnId, result: Result<Verified>) {
        // The client may be gone, or its time may be up.
        let Some(Stage::Opening(opening)) = self.connections.get_mut(conn).map(|one| &mut one.stage) else { return };
        let Some(device) = opening.verifying.take() else { return };
        let entropy = opening.entropy;
        match result.and_then(|verified| self.check_login(verified)) {
            Ok(verified) => self.log_in(now, conn, verified, device, entropy),
            Err(error) => self.fail(conn, error),
        }
    }

    pub(super) fn opening_timed_out(&mut self, _now: Time, conn: ConnId) {
        self.fail(conn, Error::new(Code::HANDSHAKE_TIMEOUT, "the session was not opened in time"));
    }

    fn admit(&mut self, now: Time, ip: IpAddr) -> Result<()> {
        let limits = &self.config.limits;
        if self.drain.is_some() {
            return Err(Error::new(Code::GOING_AWAY, "the gate drains").retry_after(limits.retry_after_ms));
        }
        if self.stats.handshakes >= limits.handshakes as u64 {
            let error = Error::new(Code::UNAVAILABLE, "too many clients are connecting");
            return Err(error.retry_after(limits.retry_after_ms));
        }
        self.admission.admit(now, ip, limits)
    }

    /// Refuses a connection that was not counted.
    fn turn_away(&mut self, conn: ConnId, ip: IpAddr, error: Error) {
        self.stats.refuse(error.code);
        if self.refusals >= self.config.limits.refusals {
            return self.outputs.push_back(Output::Abort { conn });
        }
        self.refusals += 1;
        self.connections.insert(conn, ip, Stage::Closing { refused: true });
        self.connections.queue(conn, Part::of(&Frame::Err(error)), Urgency::Now);
        self.close(conn);
    }

    fn take_step(&mut self, now: Time, conn: ConnId, step: Step) {
        match step {
            Step::Wait => {}
            Step::Authenticate(auth) => self.authenticate(conn, auth),
            Step::Resume(resume) => self.resume(now, conn, resume),
            Step::Fail(error) => self.fail(conn, error),
        }
    }

    fn authenticate(&mut self, conn: ConnId, auth: Auth) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Stage::Opening(opening) = &mut connection.stage else { return };
        let Auth { scheme, token, device } = auth;
        if device.len() > MAX_DEVICE_BYTES {
            return self.fail(conn, Error::new(Code::INVALID_ARGUMENT, "the name of the device is too long"));
        }
        opening.verifying = Some(device.clone());
        let request = Box::new(AuthRequest { scheme, token, device, ip: connection.ip });
        self.outputs.push_back(Output::Verify { conn, request });
    }

    fn check_login(&self, verified: Verified) -> Result<Verified> {
        let limits = &self.config.limits;
        let property_bytes: usize = verified.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        if verified.account.is_empty() || verified.account.len() > MAX_KEY_BYTES {
            return Err(Error::new(Code::UNAUTHENTICATED, "an account has 1 to 64 bytes"));
        }
        if property_bytes > limits.property_bytes {
            return Err(Error::new(Code::UNAUTHENTICATED, "the account has too many properties"));
        }
        if self.sessions.len() >= limits.sessions {
            return Err(Error::new(Code::UNAVAILABLE, "the gate is full").retry_after(limits.retry_after_ms));
        }
        Ok(verified)
    }

    fn log_in(&mut self, now: Time, conn: ConnId, verified: Verified, device: String, entropy: Entropy) {
        self.replace_others(now, &verified.account, &device);
        let (sid, ticket) = self.name_session(entropy);
        let Verified { account, properties } = verified;
        let client = ClientRef { gate: self.config.node, session: sid, account: account.as_str().into() };
        let slot = self.sessions.insert(Session {
            machine: GateSession::new(now, sid, bbq_wire::delivery::Delivery::new()),
            conn: None,
            meta: Arc::new(Meta { client: Some(client.clone()), ..Meta::default() }),
            client,
            device: device.into(),
            properties: properties.into(),
            watchers: Vec::new(),
            groups: Vec::new(),
            quota: Gcra::default(),
            method_quotas: Vec::new(),
            timer: None,
        });
        self.stats.opened += 1;
        self.attach(now, conn, slot, Attach { resume: None, ticket, account });
    }

    fn resume(&mut self, now: Time, conn: ConnId, resume: Resume) {
        let found = self.sessions.find(resume.sid);
        let slot = found.filter(|slot| {
            let session = self.sessions.get(*slot);
            session.is_some_and(|session| session.machine.can_resume(&resume.ticket, resume.seen))
        });
        let Some(slot) = slot else { return self.refuse_resume(conn) };
        let Some(entropy) = self.entropy_of(conn) else { return };
        // The client knows better than we do that its earlier connection is dead.
        if let Some(old) = self.sessions.get(slot).and_then(|session| session.conn) {
            if let Some(connection) = self.connections.get_mut(old) {
                connection.stage = Stage::Closing { refused: false };
            }
            self.close(old);
            self.drive(now, slot, GateInput::Disconnected);
        }
        let Some(account) = self.sessions.get(slot).map(|session| session.client.account.to_string()) else {
            return self.refuse_resume(conn);
        };
        self.stats.resumed += 1;
        let (_, ticket) = self.name_session(entropy);
        self.attach(now, conn, slot, Attach { resume: Some(resume), ticket, account });
        self.tell_watchers(slot, SessionEvent::Resumed);
    }

    fn refuse_resume(&mut self, conn: ConnId) {
        self.stats.resume_failures += 1;
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Stage::Opening(opening) = &mut connection.stage else { return };
        let frame = opening.handshake.resume_failed("the session is not known here, or no longer complete");
        self.connections.queue(conn, Part::of(&frame), Urgency::Now);
        self.outputs.push_back(Output::Read { conn, reading: Reading::Opening });
    }

    fn attach(&mut self, now: Time, conn: ConnId, slot: Slot, attach: Attach) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Stage::Opening(opening) = std::mem::replace(&mut connection.stage, Stage::Attached(slot)) {
            self.end_opening(&opening);
        }
        if let Some(session) = self.sessions.get_mut(slot) {
            session.conn = Some(conn);
            self.stats.attached += 1;
        }
        self.outputs.push_back(Output::Read { conn, reading: Reading::Session(self.config.session.max_up) });
        self.drive(now, slot, GateInput::Attach(attach));
    }

    /// Ends a connection that has no session.
    pub(super) fn fail(&mut self, conn: ConnId, error: Error) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if !matches!(connection.stage, Stage::Opening(_)) {
            return;
        }
        let stage = std::mem::replace(&mut connection.stage, Stage::Closing { refused: false });
        if let Stage::Opening(opening) = stage {
            self.end_opening(&opening);
        }
        self.stats.refuse(error.code);
        self.connections.queue(conn, Part::of(&Frame::Err(error)), Urgency::Now);
        self.close(conn);
    }

    fn end_opening(&mut self, opening: &Opening) {
        self.stats.handshakes -= 1;
        self.timers.cancel(opening.timer);
    }

    fn replace_others(&mut self, now: Time, account: &str, device: &str) {
        let same_device = |gate: &Self, slot: Slot| gate.sessions.get(slot).is_some_and(|one| &*one.device == device);
        let mut others = self.sessions.of_account(account);
        match self.config.duplicate_login {
            DuplicateLogin::Replace => {}
            DuplicateLogin::ReplaceDevice => others.retain(|slot| same_device(self, *slot)),
            DuplicateLogin::Allow => {
                let keep = self.config.limits.sessions_per_account.saturating_sub(1);
                others.truncate(others.len().saturating_sub(keep));
            }
        }
        for slot in others {
            let error = Error::new(Code::REPLACED, "the same account logged in elsewhere");
            self.drive(now, slot, GateInput::Kick(error));
        }
    }

    fn entropy_of(&mut self, conn: ConnId) -> Option<Entropy> {
        match &self.connections.get_mut(conn)?.stage {
            Stage::Opening(opening) => Some(opening.entropy),
            _ => None,
        }
    }

    /// An id that no session here has, and a ticket. Ids have 53 bits, so that they are exact in every language.
    fn name_session(&self, Entropy(bytes): Entropy) -> (SessionId, Ticket) {
        let [a, b, c, d, e, f, g, h, ticket @ ..] = bytes;
        let mut id = u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11;
        while id == 0 || self.sessions.find(SessionId(id)).is_some() {
            id = (id + 1) & ((1 << 53) - 1);
        }
        (SessionId(id), ticket)
    }
}
