//! Requests of clients: checked against what their method allows, sent into the mesh, answered once.

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::gate::GateInput;
use bbq_wire::{Code, EntityId, Error, Key, Result, SessionId, Time};
use bytes::Bytes;
use slab::Slab;

use super::admission::millis;
use super::io::Output;
use super::methods::{Method, affinity};
use super::session::Session;
use super::slot::Slot;
use super::{Gate, Timer};
use crate::Payload;
use crate::desc::Kind;
use crate::limit::{Gcra, Quota};
use crate::mesh::FromGate;
use crate::world::{CallId, ClientRef, Meta, Outgoing, Target, Trace};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: u32,
    pub(super) key: Option<Key>,
    pub(super) deadline_ms: Option<u32>,
    pub(super) trace: Option<Trace>,
    pub(super) body: Bytes,
}

/// Calls that wait for the mesh, which gives each of them a verdict in time. Should one get lost on the way here, the
/// next sweep after the grace ends the call: a timer for each of them would cost more than they do.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: Slab<Waiting>,
    generation: u32,
    sweeping: bool,
}

#[derive(Debug)]
struct Waiting {
    generation: u32,
    slot: Slot,
    session: SessionId,
    /// The seq of the REQ.
    call: u64,
    until: Time,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn insert(&mut self, slot: Slot, session: SessionId, call: u64, until: Time) -> CallId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.waiting.insert(Waiting { generation, slot, session, call, until });
        CallId(u64::from(generation) << 32 | index as u64)
    }

    fn remove(&mut self, id: CallId) -> Option<Waiting> {
        let index = id.0 as u32 as usize;
        let known = self.waiting.get(index).is_some_and(|waiting| u64::from(waiting.generation) == id.0 >> 32);
        known.then(|| self.waiting.remove(index))
    }

    /// Takes out what should have been answered long ago.
    fn take_overdue(&mut self, now: Time) -> Vec<Waiting> {
        let overdue: Vec<usize> =
            self.waiting.iter().filter(|(_, waiting)| waiting.until <= now).map(|(index, _)| index).collect();
        overdue.into_iter().map(|index| self.waiting.remove(index)).collect()
    }
}

impl Gate {
    pub(super) fn on_request(&mut self, now: Time, slot: Slot, call: u64, request: Request) {
        self.stats.requests += 1;
        let result = self.judge(now, slot, &request).and_then(|method| {
            let full = !method.oneway && self.calls.len() >= self.config.limits.calls;
            if full { Err(Error::new(Code::BUSY, "too many calls at this gate")) } else { Ok(method) }
        });
        match result {
            Ok(method) if method.oneway => {
                self.send_into_mesh(now, slot, &method, request, None);
                self.drive(now, slot, GateInput::Reply { call, result: Ok(Bytes::new()) });
            }
            Ok(method) => self.send_into_mesh(now, slot, &method, request, Some(call)),
            Err(error) => {
                self.stats.refuse(error.code);
                self.drive(now, slot, GateInput::Reply { call, result: Err(error) });
            }
        }
    }

    pub(super) fn on_notify(&mut self, now: Time, slot: Slot, request: Request) {
        self.stats.requests += 1;
        match self.judge(now, slot, &request) {
            Ok(method) => self.send_into_mesh(now, slot, &method, request, None),
            Err(error) => self.stats.refuse(error.code),
        }
    }

    pub(super) fn on_reply(&mut self, now: Time, call: CallId, result: Result<Payload>) {
        let Some(waiting) = self.calls.remove(call) else {
            self.stats.late_replies += 1;
            return;
        };
        self.answer(now, &waiting, result.map(Payload::into_bytes));
    }

    pub(super) fn sweep_calls(&mut self, now: Time) {
        for waiting in self.calls.take_overdue(now) {
            let error = Error::new(Code::DEADLINE_EXCEEDED, "no answer in time; it may have been delivered");
            self.answer(now, &waiting, Err(error));
        }
        self.calls.sweeping = self.calls.len() > 0;
        if self.calls.sweeping {
            self.timers.insert(now + self.config.call_grace, Timer::Calls);
        }
    }

    fn answer(&mut self, now: Time, waiting: &Waiting, result: Result<Bytes>) {
        let slot = waiting.slot;
        // The session may have ended, and another one may be kept there.
        if self.sessions.get(slot).is_some_and(|session| session.client.session == waiting.session) {
            self.drive(now, slot, GateInput::Reply { call: waiting.call, result });
        }
    }

    /// Whether a client may call this, now.
    fn judge(&mut self, now: Time, slot: Slot, request: &Request) -> Result<Method> {
        let gone = || Error::new(Code::CLIENT_GONE, "the session is over");
        let session = self.sessions.get_mut(slot).ok_or_else(gone)?;
        if let Some(rate) = self.config.limits.session_rate {
            within(session.quota.admit(now, Quota::new(rate)), "too many requests of this session")?;
        }
        let unknown = || Error::new(Code::UNIMPLEMENTED, "no such method");
        let method = self.methods.find(request.method).ok_or_else(unknown)?;
        if !method.client || method.kind == Kind::Client {
            return Err(Error::new(Code::PERMISSION_DENIED, "not for clients"));
        }
        if method.max_bytes > 0 && request.body.len() > method.max_bytes as usize {
            return Err(Error::new(Code::INVALID_ARGUMENT, "the body is larger than the method allows"));
        }
        if let Some(quota) = method.rate {
            within(session.method_quota(method.id).admit(now, quota), "this method is called too often")?;
        }
        Ok(*method)
    }

    fn send_into_mesh(&mut self, now: Time, slot: Slot, method: &Method, request: Request, call: Option<u64>) {
        let Some(session) = self.sessions.get(slot) else { return };
        let ClientRef { session: sid, account, .. } = &session.client;
        let Request { key, deadline_ms, trace, body, .. } = request;
        let deadline = now + self.patience(method, deadline_ms);
        let affinity = key.as_ref().filter(|_| method.kind == Kind::Service).map(|key| affinity(method.type_id, key));
        let target = match method.kind {
            Kind::Service | Kind::Client => Target::Service(method.type_id),
            Kind::Entity => {
                let key = key.unwrap_or_else(|| Key::Text(account.clone()));
                Target::Entity(EntityId { kind: method.type_id, key })
            }
        };
        let meta = match trace {
            None => Arc::clone(&session.meta),
            trace => Arc::new(Meta { client: Some(session.client.clone()), chain: Vec::new(), trace }),
        };
        let sid = *sid;
        let call = call.map(|call| self.wait(now, deadline, (slot, sid), call));
        let body = Payload::from_bytes(body);
        let outgoing = Outgoing { target, method: method.id, body, call, deadline, affinity, meta: Some(meta) };
        self.outputs.push_back(Output::Mesh(FromGate::Call(outgoing)));
    }

    /// How long a call may take: what the method allows, or less if the client says so.
    fn patience(&self, method: &Method, deadline_ms: Option<u32>) -> Duration {
        let allowed = match method.timeout_ms {
            0 => self.config.call_timeout,
            ms => Duration::from_millis(ms.into()),
        };
        deadline_ms.map_or(allowed, |ms| allowed.min(Duration::from_millis(ms.into())))
    }

    fn wait(&mut self, now: Time, deadline: Time, (slot, session): (Slot, SessionId), call: u64) -> CallId {
        let grace = self.config.call_grace;
        if !self.calls.sweeping {
            self.calls.sweeping = true;
            self.timers.insert(now + grace, Timer::Calls);
        }
        self.calls.insert(slot, session, call, deadline + grace)
    }
}

impl Session {
    fn method_quota(&mut self, method: u32) -> &mut Gcra {
        let at = self.method_quotas.iter().position(|(id, _)| *id == method).unwrap_or_else(|| {
            self.method_quotas.push((method, Gcra::default()));
            self.method_quotas.len() - 1
        });
        &mut self.method_quotas[at].1
    }
}

fn within(admitted: Result<(), Duration>, why: &str) -> Result<()> {
    admitted.map_err(|wait| Error::new(Code::RESOURCE_EXHAUSTED, why).retry_after(millis(wait)))
}
