//! Arbitrary values of everything that travels.

use bbq_wire::frame::{Auth, Frame, GoAway, Hello, Note, Req, Resume, Rsp, Welcome};
use bbq_wire::mesh::{self, GroupOp, Mesh, MeshFrame, Place, SessionChange, SessionRef, Target, Want};
use bbq_wire::{Code, EntityId, Error, Key, NodeUid, SessionId};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

pub(crate) fn small() -> impl Strategy<Value = u32> {
    number().prop_map(|value| value as u32)
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    prop_oneof![number().prop_map(Key::Number), "[a-z0-9]{0,64}".prop_map(Key::from)]
}

pub(crate) fn error() -> impl Strategy<Value = Error> {
    (1..2000_u32, text(), small()).prop_map(|(code, text, ms)| Error::new(Code(code), text).retry_after(ms))
}

fn entity() -> impl Strategy<Value = EntityId> {
    (any::<u32>(), key()).prop_map(|(kind, key)| EntityId { kind, key })
}

fn node() -> impl Strategy<Value = NodeUid> {
    (any::<u32>(), any::<u64>()).prop_map(|(node, incarnation)| NodeUid { node, incarnation })
}

fn sid() -> impl Strategy<Value = SessionId> {
    number().prop_map(SessionId)
}

fn call() -> impl Strategy<Value = Mesh> {
    let target = prop_oneof![entity().prop_map(Target::Entity), any::<u32>().prop_map(|kind| Target::Service { kind })];
    let session = (node(), sid(), text()).prop_map(|(gate, sid, account)| SessionRef { gate, sid, account });
    let head = (number(), target, small(), small(), any::<bool>(), number());
    let rest = (
        vec(entity(), 0..=mesh::MAX_CHAIN),
        option::of(entity()),
        option::of(session),
        option::of(any::<[u8; 25]>()),
        bytes(),
    );
    (head, rest).prop_map(
        |((corr, target, method, deadline_ms, oneway, epoch), (chain, caller, session, trace, body))| {
            Mesh::Call(mesh::Call {
                corr,
                target,
                method,
                deadline_ms,
                oneway,
                epoch,
                chain,
                caller,
                session,
                trace,
                body,
            })
        },
    )
}

fn to_client() -> impl Strategy<Value = Mesh> {
    (sid(), number(), small(), option::of(entity()), small(), any::<bool>(), bytes()).prop_map(
        |(sid, corr, method, key, deadline_ms, unreliable, body)| {
            Mesh::ToClient(mesh::ToClient { sid, corr, method, key, deadline_ms, unreliable, body })
        },
    )
}

fn group() -> impl Strategy<Value = Mesh> {
    let op = prop_oneof![Just(GroupOp::Join), Just(GroupOp::Leave), Just(GroupOp::Drop), Just(GroupOp::Push)];
    let sids = || vec(sid(), 0..5);
    (op, text(), sids(), sids(), small(), option::of(entity()), any::<bool>(), bytes(), number()).prop_map(
        |(op, group, sids, except, method, key, unreliable, body, epoch)| {
            Mesh::Group(mesh::Group { op, group, sids, except, method, key, unreliable, body, epoch })
        },
    )
}

fn directory() -> impl Strategy<Value = Mesh> {
    let place = (node(), number()).prop_map(|(node, epoch)| Place { node, epoch });
    prop_oneof![
        (number(), entity(), number(), any::<bool>()).prop_map(|(corr, entity, stale, activate)| Mesh::Locate {
            corr,
            entity,
            stale,
            activate
        }),
        (number(), entity(), prop::result::maybe_ok(place, error())).prop_map(|(corr, entity, result)| Mesh::Located {
            corr,
            entity,
            result
        }),
        (number(), entity(), number()).prop_map(|(corr, entity, epoch)| Mesh::Activate { corr, entity, epoch }),
        (number(), entity(), number(), prop::result::maybe_ok(Just(()), error()))
            .prop_map(|(corr, entity, epoch, result)| Mesh::Activated { corr, entity, epoch, result }),
        (entity(), number()).prop_map(|(entity, epoch)| Mesh::Deactivated { entity, epoch }),
        (number(), small(), vec((entity(), number()), 0..5)).prop_map(|(corr, more, entries)| Mesh::Report {
            corr,
            more,
            entries
        }),
        (number(), vec((any::<u16>(), small()), 0..5)).prop_map(|(corr, slots)| Mesh::Collect { corr, slots }),
    ]
}

fn small_messages() -> impl Strategy<Value = Mesh> {
    let change = prop_oneof![Just(SessionChange::Detached), Just(SessionChange::Resumed), Just(SessionChange::Left)];
    prop_oneof![
        (text(), small(), any::<u32>(), text(), option::of(any::<[u8; 32]>())).prop_map(
            |(cluster, version, roles, listen, nonce)| {
                Mesh::Hello(mesh::Hello { cluster, version, roles, listen, nonce })
            }
        ),
        (number(), prop::result::maybe_ok(bytes(), error())).prop_map(|(corr, result)| Mesh::Reply { corr, result }),
        (number(), prop::result::maybe_ok(bytes(), error()))
            .prop_map(|(corr, result)| Mesh::ClientReply { corr, result }),
        (entity(), sid(), text(), change).prop_map(|(target, sid, account, event)| Mesh::SessionEvent {
            target,
            sid,
            account,
            event
        }),
        (sid(), small(), text()).prop_map(|(sid, code, message)| Mesh::Kick { sid, code: Code(code), message }),
        (entity(), entity(), any::<bool>()).prop_map(|(watcher, subject, on)| Mesh::Watch { watcher, subject, on }),
        (entity(), entity(), text(), bytes()).prop_map(|(to, from, name, body)| Mesh::Notify { to, from, name, body }),
        (entity(), vec(entity(), 0..4)).prop_map(|(subject, watchers)| Mesh::Gone { subject, watchers }),
        (number(), error()).prop_map(|(corr, error)| Mesh::Bounced { corr, error }),
        (entity(), sid(), any::<bool>()).prop_map(|(watcher, sid, on)| Mesh::WatchClient { watcher, sid, on }),
        number().prop_map(|nonce| Mesh::Ping { nonce }),
        (number(), want()).prop_map(|(seen, want)| Mesh::Ack { seen, want }),
        number().prop_map(|seen| Mesh::Leave { seen }),
        number().prop_map(|nonce| Mesh::Pong { nonce }),
        bytes().prop_map(|proof| Mesh::Proof { proof }),
        error().prop_map(|error| Mesh::Refused { error }),
    ]
}

fn want() -> impl Strategy<Value = Want> {
    prop::sample::select(vec![Want::Nothing, Want::Answer, Want::Rest])
}

pub(crate) fn mesh_frame() -> impl Strategy<Value = MeshFrame> {
    let message = prop_oneof![call(), to_client(), group(), directory(), small_messages()];
    (node(), node(), number(), number(), message).prop_map(|(src, dst, seq, ack, message)| MeshFrame {
        src,
        dst,
        seq,
        ack,
        message,
    })
}

fn note() -> impl Strategy<Value = Note> {
    let trace = option::of(any::<[u8; 25]>());
    (number(), option::of(number()), small(), option::of(key()), trace, bytes())
        .prop_map(|(seq, ack, method, key, trace, body)| Note { seq, ack, method, key, trace, body })
}

fn welcome() -> impl Strategy<Value = Frame> {
    let numbers = (number(), number(), number(), any::<bool>(), any::<[u32; 6]>());
    (numbers, bytes(), text(), text()).prop_map(|((sid, peer_seen, time_ms, resumed, n), ticket, account, server)| {
        Frame::Welcome(Box::new(Welcome {
            version: n[0],
            resumed,
            sid: SessionId(sid),
            ticket,
            account,
            peer_seen,
            heartbeat_ms: n[1],
            max_up: n[2],
            max_down: n[3],
            resume_ms: n[4],
            time_ms,
            server,
            max_calls: n[5],
        }))
    })
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (small(), number(), text()).prop_map(|(version, features, sdk)| Frame::Hello(Hello { version, features, sdk })),
        welcome(),
        (text(), bytes(), text()).prop_map(|(scheme, token, device)| Frame::Auth(Auth { scheme, token, device })),
        (number(), bytes(), number()).prop_map(|(sid, ticket, seen)| Frame::Resume(Resume {
            sid: SessionId(sid),
            ticket,
            seen
        })),
        (note(), option::of(small())).prop_map(|(note, deadline_ms)| {
            let Note { seq, ack, method, key, trace, body } = note;
            Frame::Req(Req { seq, ack, method, key, deadline_ms, trace, body })
        }),
        (number(), option::of(number()), number(), prop::result::maybe_ok(bytes(), error()))
            .prop_map(|(seq, ack, re, result)| Frame::Rsp(Rsp { seq, ack, re, result })),
        note().prop_map(Frame::Notify),
        note().prop_map(Frame::Push),
        number().prop_map(|seen| Frame::Ack { seen }),
        number().prop_map(|nonce| Frame::Ping { nonce }),
        (number(), number()).prop_map(|(nonce, time_ms)| Frame::Pong { nonce, time_ms }),
        (small(), small(), text()).prop_map(|(after_ms, reason, address)| Frame::GoAway(GoAway {
            after_ms,
            reason,
            address
        })),
        (small(), text()).prop_map(|(code, message)| Frame::Kick { reason: Code(code), message: message.into() }),
        Just(Frame::Bye),
        error().prop_map(Frame::Err),
    ]
}
