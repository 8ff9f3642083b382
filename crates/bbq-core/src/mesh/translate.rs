//! Between what worlds say and what frames say.

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::mesh::{self, SessionChange, SessionRef};
use bbq_wire::{Code, Error, NodeUid, SessionId, Time};

use crate::Payload;
use crate::world::{ClientRef, Meta, Outgoing, SessionEvent, Target, ToClient};

/// Room for the fields of a frame beside its body.
const HEADROOM: usize = 64 * 1024;

/// Why a body does not fit into a frame, if it does not.
pub(super) fn too_large(body: &[u8]) -> Option<Error> {
    let limit = mesh::MAX_MESH_FRAME as usize - HEADROOM;
    let why = || format!("a message of {} bytes does not fit into a frame, limit {limit}", body.len());
    (body.len() > limit).then(|| Error::new(Code::FRAME_TOO_LARGE, why()))
}

/// Time left in milliseconds, at least 1; 0 = for ever.
pub(super) fn millis_left(now: Time, deadline: Time) -> u32 {
    if deadline == Time::MAX {
        return 0;
    }
    let millis = deadline.since(now).as_nanos().div_ceil(1_000_000);
    u32::try_from(millis).unwrap_or(u32::MAX).max(1)
}

/// The inverse of [`millis_left`].
pub(super) fn deadline_in(now: Time, millis: u32) -> Time {
    if millis == 0 { Time::MAX } else { now + Duration::from_millis(millis.into()) }
}

/// A call as a frame carries it. For a service `epoch` carries the affinity.
pub(super) fn call_to_wire(now: Time, corr: u64, call: &Outgoing, deadline: Time, epoch: u64) -> mesh::Call {
    let meta = call.meta.as_deref();
    let chain = meta.map_or(&[][..], |meta| &meta.chain);
    mesh::Call {
        corr,
        target: match &call.target {
            Target::Entity(id) => mesh::Target::Entity(id.clone()),
            Target::Service(kind) => mesh::Target::Service { kind: *kind },
        },
        method: call.method,
        deadline_ms: millis_left(now, deadline),
        oneway: call.call.is_none(),
        epoch,
        chain: chain.to_vec(),
        caller: chain.last().cloned(),
        session: meta.and_then(|meta| meta.client.as_ref()).map(|client| SessionRef {
            gate: client.gate,
            sid: client.session,
            account: client.account.to_string(),
        }),
        trace: meta.and_then(|meta| meta.trace),
        body: call.body.clone().into_bytes(),
    }
}

/// A call that arrived, as a world could have made it; and the epoch that the caller believes in.
pub(super) fn call_from_wire(now: Time, call: mesh::Call) -> (Outgoing, u64) {
    let client = call.session.map(|session| ClientRef {
        gate: session.gate,
        session: session.sid,
        account: session.account.into(),
    });
    let service = matches!(call.target, mesh::Target::Service { .. });
    let outgoing = Outgoing {
        target: match call.target {
            mesh::Target::Entity(id) => Target::Entity(id),
            mesh::Target::Service { kind } => Target::Service(kind),
        },
        method: call.method,
        body: Payload::from_bytes(call.body),
        call: None,
        deadline: deadline_in(now, call.deadline_ms),
        affinity: (service && call.epoch != 0).then_some(call.epoch),
        meta: Meta { client, chain: call.chain, trace: call.trace }.shared(),
    };
    (outgoing, call.epoch)
}

/// A message to a client as a frame carries it.
pub(super) fn to_client_to_wire(now: Time, corr: u64, message: &ToClient) -> mesh::ToClient {
    mesh::ToClient {
        sid: message.client.session,
        corr,
        method: message.method,
        key: message.from.clone(),
        deadline_ms: millis_left(now, message.deadline),
        unreliable: message.unreliable,
        body: message.body.clone(),
    }
}

/// The inverse of [`to_client_to_wire`], at the gate `me`.
pub(super) fn to_client_from_wire(now: Time, me: NodeUid, message: mesh::ToClient) -> ToClient {
    ToClient {
        client: session_at(me, message.sid),
        method: message.method,
        from: message.key,
        body: message.body,
        call: None,
        deadline: deadline_in(now, message.deadline_ms),
        unreliable: message.unreliable,
    }
}

/// A session of which only the gate and the number are known.
pub(super) fn session_at(gate: NodeUid, session: SessionId) -> ClientRef {
    ClientRef { gate, session, account: Arc::from("") }
}

pub(super) fn change_to_wire(event: SessionEvent) -> SessionChange {
    match event {
        SessionEvent::Detached => SessionChange::Detached,
        SessionEvent::Resumed => SessionChange::Resumed,
        SessionEvent::Left => SessionChange::Left,
    }
}

pub(super) fn change_from_wire(event: SessionChange) -> SessionEvent {
    match event {
        SessionChange::Detached => SessionEvent::Detached,
        SessionChange::Resumed => SessionEvent::Resumed,
        SessionChange::Left => SessionEvent::Left,
    }
}
