//! How each message between nodes is written and read, field by field, in the order of `spec/mesh.md`.

use bytes::Bytes;

use super::{
    Call, Group, GroupOp, Hello, MAX_CHAIN, MAX_ENTITIES, MAX_SESSIONS, MAX_SLOTS, Mesh, MeshError, Place,
    SessionChange, SessionRef, Target, ToClient, Want,
};
use crate::code::{Code, Error};
use crate::codec::{ReadError, Reader, Sink};
use crate::id::SessionId;

const HELLO: u8 = 1;
const CALL: u8 = 2;
const REPLY: u8 = 3;
const LOCATE: u8 = 4;
const LOCATED: u8 = 5;
const ACTIVATE: u8 = 6;
const ACTIVATED: u8 = 7;
const DEACTIVATED: u8 = 8;
const REPORT: u8 = 9;
const TO_CLIENT: u8 = 10;
const CLIENT_REPLY: u8 = 11;
const GROUP: u8 = 12;
const SESSION_EVENT: u8 = 13;
const KICK: u8 = 14;
const WATCH: u8 = 15;
const NOTIFY: u8 = 16;
const GONE: u8 = 17;
const PING: u8 = 18;
const PONG: u8 = 19;
const BOUNCED: u8 = 20;
const COLLECT: u8 = 21;
const WATCH_CLIENT: u8 = 22;
const ACK: u8 = 23;
const LEAVE: u8 = 24;
const PROOF: u8 = 25;
const REFUSED: u8 = 26;

impl Mesh {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => HELLO,
            Self::Call(_) => CALL,
            Self::Reply { .. } => REPLY,
            Self::Locate { .. } => LOCATE,
            Self::Located { .. } => LOCATED,
            Self::Activate { .. } => ACTIVATE,
            Self::Activated { .. } => ACTIVATED,
            Self::Deactivated { .. } => DEACTIVATED,
            Self::Report { .. } => REPORT,
            Self::ToClient(_) => TO_CLIENT,
            Self::ClientReply { .. } => CLIENT_REPLY,
            Self::Group(_) => GROUP,
            Self::SessionEvent { .. } => SESSION_EVENT,
            Self::Kick { .. } => KICK,
            Self::Watch { .. } => WATCH,
            Self::Notify { .. } => NOTIFY,
            Self::Gone { .. } => GONE,
            Self::Ping { .. } => PING,
            Self::Pong { .. } => PONG,
            Self::Bounced { .. } => BOUNCED,
            Self::Collect { .. } => COLLECT,
            Self::WatchClient { .. } => WATCH_CLIENT,
            Self::Ack { .. } => ACK,
            Self::Leave { .. } => LEAVE,
            Self::Proof { .. } => PROOF,
            Self::Refused { .. } => REFUSED,
        }
    }

    /// Whether every list is within the limit that the receiver enforces.
    pub(super) fn check_lists(&self) -> Result<(), ReadError> {
        let fits = match self {
            Self::Call(call) => call.chain.len() <= MAX_CHAIN,
            Self::Group(group) => group.sids.len() <= MAX_SESSIONS && group.except.len() <= MAX_SESSIONS,
            Self::Report { entries, .. } => entries.len() <= MAX_ENTITIES,
            Self::Collect { slots, .. } => slots.len() <= MAX_SLOTS,
            Self::Gone { watchers, .. } => watchers.len() <= MAX_ENTITIES,
            _ => true,
        };
        if fits { Ok(()) } else { Err(ReadError::TooLong) }
    }

    pub(super) fn write(&self, out: &mut impl Sink) {
        match self {
            Self::Hello(hello) => hello.write(out),
            Self::Call(call) => call.write(out),
            Self::Reply { corr, result } | Self::ClientReply { corr, result } => {
                out.varint(*corr);
                write_result(result, out, |body, out| out.bytes(body));
            }
            Self::Locate { corr, entity, stale, activate } => {
                out.varint(*corr);
                out.entity(entity);
                out.varint(*stale);
                out.u8((*activate).into());
            }
            Self::Bounced { corr, error } => {
                out.varint(*corr);
                write_error(error, out);
            }
            Self::Collect { corr, slots } => {
                out.varint(*corr);
                write_list(slots, out, |(slot, epoch), out| {
                    out.varint((*slot).into());
                    out.varint((*epoch).into());
                });
            }
            Self::Located { corr, entity, result } => {
                out.varint(*corr);
                out.entity(entity);
                write_result(result, out, |place, out| {
                    out.node(place.node);
                    out.varint(place.epoch);
                });
            }
            Self::Activate { corr, entity, epoch } => {
                out.varint(*corr);
                out.entity(entity);
                out.varint(*epoch);
            }
            Self::Activated { corr, entity, epoch, result } => {
                out.varint(*corr);
                out.entity(entity);
                out.varint(*epoch);
                write_result(result, out, |(), _| {});
            }
            Self::Deactivated { entity, epoch } => {
                out.entity(entity);
                out.varint(*epoch);
            }
            Self::Report { corr, more, entries } => {
                out.varint(*corr);
                out.varint((*more).into());
                write_list(entries, out, |(entity, epoch), out| {
                    out.entity(entity);
                    out.varint(*epoch);
                });
            }
            Self::ToClient(message) => message.write(out),
            Self::Group(group) => group.write(out),
            Self::SessionEvent { target, sid, account, event } => {
                out.entity(target);
                out.varint(sid.0);
                out.str(account);
                out.u8(*event as u8);
            }
            Self::Kick { sid, code, message } => {
                out.varint(sid.0);
                out.varint(code.0.into());
                out.str(message);
            }
            Self::WatchClient { watcher, sid, on } => {
                out.entity(watcher);
                out.varint(sid.0);
                out.u8((*on).into());
            }
            Self::Watch { watcher, subject, on } => {
                out.entity(watcher);
                out.entity(subject);
                out.u8((*on).into());
            }
            Self::Notify { to, from, name, body } => {
                out.entity(to);
                out.entity(from);
                out.str(name);
                out.bytes(body);
            }
            Self::Gone { subject, watchers } => {
                out.entity(subject);
                write_list(watchers, out, |watcher, out| out.entity(watcher));
            }
            Self::Ping { nonce } | Self::Pong { nonce } => out.varint(*nonce),
            Self::Ack { seen, want } => {
                out.varint(*seen);
                out.u8(*want as u8);
            }
            Self::Leave { seen } => out.varint(*seen),
            Self::Proof { proof } => out.bytes(proof),
            Self::Refused { error } => write_error(error, out),
        }
    }

    pub(super) fn read(kind: u8, reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, MeshError> {
        Ok(match kind {
            HELLO => Self::Hello(Hello::read(reader)?),
            CALL => Self::Call(Call::read(reader, frame)?),
            REPLY => Self::Reply { corr: reader.varint()?, result: read_result(reader, |r| body(r, frame))? },
            LOCATE => Self::Locate {
                corr: reader.varint()?,
                entity: reader.entity()?,
                stale: reader.varint()?,
                activate: reader.u8()? != 0,
            },
            LOCATED => Self::Located {
                corr: reader.varint()?,
                entity: reader.entity()?,
                result: read_result(reader, |r| Ok(Place { node: r.node()?, epoch: r.varint()? }))?,
            },
            ACTIVATE => Self::Activate { corr: reader.varint()?, entity: reader.entity()?, epoch: reader.varint()? },
            ACTIVATED => Self::Activated {
                corr: reader.varint()?,
                entity: reader.entity()?,
                epoch: reader.varint()?,
                result: read_result(reader, |_| Ok(()))?,
            },
            DEACTIVATED => Self::Deactivated { entity: reader.entity()?, epoch: reader.varint()? },
            COLLECT => Self::Collect {
                corr: reader.varint()?,
                slots: reader.list(MAX_SLOTS, |r| {
                    let slot = u16::try_from(r.varint()?).map_err(|_| ReadError::BadTag)?;
                    Ok((slot, r.varint_u32()?))
                })?,
            },
            REPORT => Self::Report {
                corr: reader.varint()?,
                more: reader.varint_u32()?,
                entries: reader.list(MAX_ENTITIES, |r| Ok((r.entity()?, r.varint()?)))?,
            },
            BOUNCED => Self::Bounced { corr: reader.varint()?, error: read_error(reader)? },
            TO_CLIENT => Self::ToClient(ToClient::read(reader, frame)?),
            CLIENT_REPLY => {
                Self::ClientReply { corr: reader.varint()?, result: read_result(reader, |r| body(r, frame))? }
            }
            GROUP => Self::Group(Group::read(reader, frame)?),
            SESSION_EVENT => Self::SessionEvent {
                target: reader.entity()?,
                sid: SessionId(reader.varint()?),
                account: reader.str()?.to_owned(),
                event: SessionChange::read(reader)?,
            },
            KICK => Self::Kick {
                sid: SessionId(reader.varint()?),
                code: Code(reader.varint_u32()?),
                message: reader.str()?.to_owned(),
            },
            WATCH_CLIENT => {
                Self::WatchClient { watcher: reader.entity()?, sid: SessionId(reader.varint()?), on: reader.u8()? != 0 }
            }
            WATCH => Self::Watch { watcher: reader.entity()?, subject: reader.entity()?, on: reader.u8()? != 0 },
            NOTIFY => Self::Notify {
                to: reader.entity()?,
                from: reader.entity()?,
                name: reader.str()?.to_owned(),
                body: body(reader, frame)?,
            },
            GONE => Self::Gone { subject: reader.entity()?, watchers: reader.list(MAX_ENTITIES, Reader::entity)? },
            PING => Self::Ping { nonce: reader.varint()? },
            PONG => Self::Pong { nonce: reader.varint()? },
            ACK => Self::Ack { seen: reader.varint()?, want: Want::read(reader)? },
            LEAVE => Self::Leave { seen: reader.varint()? },
            PROOF => Self::Proof { proof: body(reader, frame)? },
            REFUSED => Self::Refused { error: read_error(reader)? },
            kind => return Err(MeshError::UnknownKind(kind)),
        })
    }
}

impl Hello {
    fn write(&self, out: &mut impl Sink) {
        out.str(&self.cluster);
        out.varint(self.version.into());
        out.u32_le(self.roles);
        out.str(&self.listen);
        write_option(self.nonce.as_ref(), out, |nonce, out| out.put(nonce));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            cluster: reader.str()?.to_owned(),
            version: reader.varint_u32()?,
            roles: reader.u32_le()?,
            listen: reader.str()?.to_owned(),
            nonce: reader.option(Reader::array)?,
        })
    }
}

const ONEWAY: u8 = 0x01;

impl Call {
    fn write(&self, out: &mut impl Sink) {
        out.varint(self.corr);
        match &self.target {
            Target::Entity(entity) => {
                out.u8(0);
                out.entity(entity);
            }
            Target::Service { kind } => {
                out.u8(1);
                out.u32_le(*kind);
            }
        }
        out.varint(self.method.into());
        out.varint(self.deadline_ms.into());
        out.u8(if self.oneway { ONEWAY } else { 0 });
        out.varint(self.epoch);
        write_list(&self.chain, out, |entity, out| out.entity(entity));
        write_option(self.caller.as_ref(), out, |entity, out| out.entity(entity));
        write_option(self.session.as_ref(), out, |session, out| {
            out.node(session.gate);
            out.varint(session.sid.0);
            out.str(&session.account);
        });
        write_option(self.trace.as_ref(), out, |trace, out| out.put(trace));
        out.bytes(&self.body);
    }

    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, ReadError> {
        Ok(Self {
            corr: reader.varint()?,
            target: match reader.u8()? {
                0 => Target::Entity(reader.entity()?),
                1 => Target::Service { kind: reader.u32_le()? },
                _ => return Err(ReadError::BadTag),
            },
            method: reader.varint_u32()?,
            deadline_ms: reader.varint_u32()?,
            oneway: reader.u8()? & ONEWAY != 0,
            epoch: reader.varint()?,
            chain: reader.list(MAX_CHAIN, Reader::entity)?,
            caller: reader.option(Reader::entity)?,
            session: reader.option(|r| {
                Ok(SessionRef { gate: r.node()?, sid: SessionId(r.varint()?), account: r.str()?.to_owned() })
            })?,
            trace: reader.option(Reader::array)?,
            body: body(reader, frame)?,
        })
    }
}

impl ToClient {
    fn write(&self, out: &mut impl Sink) {
        out.varint(self.sid.0);
        out.varint(self.corr);
        out.varint(self.method.into());
        write_option(self.key.as_ref(), out, |entity, out| out.entity(entity));
        out.varint(self.deadline_ms.into());
        out.u8(self.unreliable.into());
        out.bytes(&self.body);
    }

    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, ReadError> {
        Ok(Self {
            sid: SessionId(reader.varint()?),
            corr: reader.varint()?,
            method: reader.varint_u32()?,
            key: reader.option(Reader::entity)?,
            deadline_ms: reader.varint_u32()?,
            unreliable: reader.u8()? != 0,
            body: body(reader, frame)?,
        })
    }
}

impl Group {
    fn write(&self, out: &mut impl Sink) {
        out.u8(self.op as u8);
        out.str(&self.group);
        write_list(&self.sids, out, |sid, out| out.varint(sid.0));
        write_list(&self.except, out, |sid, out| out.varint(sid.0));
        out.varint(self.method.into());
        write_option(self.key.as_ref(), out, |entity, out| out.entity(entity));
        out.u8(self.unreliable.into());
        out.bytes(&self.body);
        out.varint(self.epoch);
    }

    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, ReadError> {
        let sid = |r: &mut Reader<'_>| r.varint().map(SessionId);
        Ok(Self {
            op: match reader.u8()? {
                0 => GroupOp::Join,
                1 => GroupOp::Leave,
                2 => GroupOp::Drop,
                3 => GroupOp::Push,
                _ => return Err(ReadError::BadTag),
            },
            group: reader.str()?.to_owned(),
            sids: reader.list(MAX_SESSIONS, sid)?,
            except: reader.list(MAX_SESSIONS, sid)?,
            method: reader.varint_u32()?,
            key: reader.option(Reader::entity)?,
            unreliable: reader.u8()? != 0,
            body: body(reader, frame)?,
            epoch: reader.varint()?,
        })
    }
}

impl SessionChange {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        match reader.u8()? {
            0 => Ok(Self::Detached),
            1 => Ok(Self::Resumed),
            2 => Ok(Self::Left),
            _ => Err(ReadError::BadTag),
        }
    }
}

impl Want {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        match reader.u8()? {
            0 => Ok(Self::Nothing),
            1 => Ok(Self::Answer),
            2 => Ok(Self::Rest),
            _ => Err(ReadError::BadTag),
        }
    }
}

/// `len:varint` and that many bytes, sharing the memory of the frame.
fn body(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Bytes, ReadError> {
    let body = reader.bytes()?;
    let end = frame.len().saturating_sub(reader.len());
    Ok(frame.slice(end.saturating_sub(body.len())..end))
}

fn read_result<T>(
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, ReadError>,
) -> Result<Result<T, Error>, ReadError> {
    match reader.u8()? {
        0 => read(reader).map(Ok),
        1 => read_error(reader).map(Err),
        _ => Err(ReadError::BadTag),
    }
}

fn read_error(reader: &mut Reader<'_>) -> Result<Error, ReadError> {
    let (code, message) = (Code(reader.varint_u32()?), reader.str()?.into());
    Ok(Error { code, message, retry_after_ms: reader.varint_u32()? })
}

fn write_error(error: &Error, out: &mut impl Sink) {
    out.varint(error.code.0.into());
    out.str(&error.message);
    out.varint(error.retry_after_ms.into());
}

fn write_result<T, S: Sink>(result: &Result<T, Error>, out: &mut S, write: impl FnOnce(&T, &mut S)) {
    match result {
        Ok(value) => {
            out.u8(0);
            write(value, out);
        }
        Err(error) => {
            out.u8(1);
            write_error(error, out);
        }
    }
}

fn write_option<T, S: Sink>(option: Option<&T>, out: &mut S, write: impl FnOnce(&T, &mut S)) {
    out.u8(option.is_some().into());
    if let Some(value) = option {
        write(value, out);
    }
}

fn write_list<T, S: Sink>(items: &[T], out: &mut S, mut write: impl FnMut(&T, &mut S)) {
    out.varint(items.len() as u64);
    items.iter().for_each(|item| write(item, out));
}
