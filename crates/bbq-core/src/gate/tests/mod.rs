//! What the gate promises. The test plays sockets, verifier and mesh.

mod broadcast;
mod cuts;
mod drain;
mod limits;
mod login;
mod requests;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::frame::{Auth, Frame, FrameError, Hello, Note, Req, Resume, Rsp, Welcome};
use bbq_wire::{Code, EntityId, Error, NodeUid, Result, SessionId, Splitter, Time};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::*;
use crate::Payload;
use crate::desc::{Kind, MethodDesc, Rate, ServiceDesc};
use crate::mesh::{FromGate, ToGate};
use crate::world::{ClientRef, GroupChange, GroupOp, Outgoing, SessionEvent, Target, ToClient};

const NODE: NodeUid = NodeUid { node: 3, incarnation: 1 };
const ECHO: u32 = 5;
const SAY: u32 = 6;
const HIDDEN: u32 = 7;
const RARE: u32 = 8;
const SMALL: u32 = 9;
const MATCH: u32 = 10;
const QUICK: u32 = 11;
const SAID: u32 = 20;

const ROOM: ServiceDesc = ServiceDesc {
    name: "test.Room",
    kind: Kind::Entity,
    methods: &[
        MethodDesc { name: "Echo", id: ECHO, client: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Say", id: SAY, client: true, oneway: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Hidden", id: HIDDEN, ..MethodDesc::DEFAULT },
        MethodDesc {
            name: "Rare",
            id: RARE,
            client: true,
            rate: Some(Rate { per_second: 1.0, burst: 2 }),
            ..MethodDesc::DEFAULT
        },
        MethodDesc { name: "Small", id: SMALL, client: true, max_bytes: 10, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Quick", id: QUICK, client: true, timeout_ms: 200, ..MethodDesc::DEFAULT },
    ],
    ..ServiceDesc::DEFAULT
};

const LOBBY: ServiceDesc = ServiceDesc {
    name: "test.Lobby",
    kind: Kind::Service,
    methods: &[MethodDesc { name: "Match", id: MATCH, client: true, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};

/// A gate between a test and its clients.
struct Harness {
    gate: Gate,
    now: Time,
    opened: u64,
    /// What each connection was sent and nobody looked at.
    sent: BTreeMap<ConnId, Vec<Frame>>,
    /// How many [`Output::Send`] there were.
    writes: usize,
    closed: BTreeSet<ConnId>,
    aborted: BTreeSet<ConnId>,
    reading: BTreeMap<ConnId, Reading>,
    verify: Vec<(ConnId, AuthRequest)>,
    mesh: Vec<FromGate>,
    drained: bool,
}

/// A client with an open session.
struct Player {
    conn: ConnId,
    welcome: Welcome,
    seq: u64,
}

fn config() -> Config {
    Config { node: NODE, ..Config::default() }
}

impl Harness {
    fn new(config: Config) -> Self {
        let mut harness = Self {
            gate: Gate::new(config),
            now: Time::from_millis(1000),
            opened: 0,
            sent: BTreeMap::new(),
            writes: 0,
            closed: BTreeSet::new(),
            aborted: BTreeSet::new(),
            reading: BTreeMap::new(),
            verify: Vec::new(),
            mesh: Vec::new(),
            drained: false,
        };
        let (methods, conflicts) = MethodTable::of_services(&[&ROOM, &LOBBY]);
        assert!(conflicts.is_empty());
        harness.handle(Input::Methods(Arc::new(methods)));
        harness
    }

    fn handle(&mut self, input: Input) {
        self.gate.handle(self.now, input);
        self.drain_outputs();
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.gate.poll() {
            match output {
                Output::Send { conn, frames } => {
                    assert!(!self.closed.contains(&conn), "nothing is sent after a close");
                    self.writes += 1;
                    self.sent.entry(conn).or_default().extend(frames.iter().flat_map(decode));
                }
                Output::Read { conn, reading } => drop(self.reading.insert(conn, reading)),
                Output::Close { conn } => assert!(self.closed.insert(conn), "closed once"),
                Output::Abort { conn } => assert!(self.aborted.insert(conn)),
                Output::Verify { conn, request } => self.verify.push((conn, *request)),
                Output::Mesh(message) => self.mesh.push(message),
                Output::Drained => self.drained = true,
            }
        }
    }

    /// Lets time pass, with a tick at every deadline.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.gate.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Tick);
        }
        self.now = end;
        self.handle(Input::Tick);
    }

    fn open_from(&mut self, ip: [u8; 4]) -> ConnId {
        self.opened += 1;
        let conn = ConnId(self.opened);
        let mut entropy = [0; 24];
        entropy[..8].copy_from_slice(&self.opened.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        entropy[8..16].copy_from_slice(&self.opened.to_le_bytes());
        self.handle(Input::Opened { conn, ip: ip.into(), entropy: Entropy(entropy) });
        conn
    }

    fn open(&mut self) -> ConnId {
        self.open_from([10, 0, 0, 1])
    }

    fn close(&mut self, conn: ConnId) {
        self.handle(Input::Closed { conn });
    }

    fn send(&mut self, conn: ConnId, frames: impl IntoIterator<Item = Frame>) {
        let frames: SmallVec<[Frame; 1]> = frames.into_iter().collect();
        self.handle(Input::Frames { conn, bytes: 1, frames });
    }

    fn received(&mut self, conn: ConnId) -> Vec<Frame> {
        self.sent.remove(&conn).unwrap_or_default()
    }

    fn error(&mut self, conn: ConnId) -> Code {
        match self.received(conn).as_slice() {
            [Frame::Err(error)] => error.code,
            other => panic!("no error but {other:?}"),
        }
    }

    fn verified(&mut self, conn: ConnId, result: Result<Verified>) {
        self.handle(Input::Verified { conn, result });
    }

    fn login_over(&mut self, conn: ConnId, account: &str, device: &str) {
        self.send(conn, [hello(), auth(account, device)]);
        assert_eq!(
            self.verify.pop().map(|(conn, request)| (conn, request.token)),
            Some((conn, account.to_owned().into()))
        );
        self.verified(conn, Ok(Verified::account(account)));
    }

    fn login_on(&mut self, account: &str, device: &str) -> Player {
        let conn = self.open();
        self.login_over(conn, account, device);
        match self.received(conn).as_slice() {
            [Frame::Welcome(welcome)] => Player { conn, welcome: (**welcome).clone(), seq: 0 },
            other => panic!("no welcome but {other:?}"),
        }
    }

    fn login(&mut self, account: &str) -> Player {
        self.login_on(account, "")
    }

    fn resume(&mut self, player: &Player, seen: u64) -> ConnId {
        let conn = self.open();
        let (sid, ticket) = (player.welcome.sid, player.welcome.ticket.clone());
        self.send(conn, [hello(), Frame::Resume(Resume { sid, ticket, seen })]);
        conn
    }

    fn request(&mut self, player: &mut Player, req: Req) {
        player.seq += 1;
        self.send(player.conn, [Frame::Req(Req { seq: player.seq, ..req })]);
    }

    fn call(&mut self) -> Outgoing {
        match self.mesh.remove(0) {
            FromGate::Call(call) => call,
            other => panic!("no call but {other:?}"),
        }
    }

    fn reply(&mut self, call: &Outgoing, result: Result<&'static [u8]>) {
        let result = result.map(|body| Payload::from_bytes(Bytes::from_static(body)));
        self.handle(Input::Mesh(ToGate::Reply { call: call.call.unwrap(), result }));
    }

    /// The only frame that a player got: a response.
    fn response(&mut self, player: &Player) -> Result<Bytes> {
        match self.received(player.conn).as_slice() {
            [Frame::Rsp(Rsp { re, result, .. })] => {
                assert_eq!(*re, player.seq);
                result.clone()
            }
            other => panic!("no response but {other:?}"),
        }
    }

    fn push(&mut self, session: SessionId, body: &[u8], unreliable: bool) {
        let message = message(session, body, unreliable);
        self.handle(Input::Mesh(ToGate::ToClient { corr: None, message }));
    }

    fn group(&mut self, group: &str, change: GroupChange) {
        self.group_of(NodeUid::default(), 0, group, change);
    }

    /// An entity on `node` that lives under `epoch` says something to a group of its own.
    fn group_of(&mut self, node: NodeUid, epoch: u64, group: &str, change: GroupChange) {
        self.handle(Input::Mesh(ToGate::Group(node, GroupOp { group: group.into(), epoch, change })));
    }

    fn broadcast(&mut self, group: &str, body: &[u8], except: Vec<SessionId>) {
        let body = Bytes::copy_from_slice(body);
        let from = Some(EntityId::new(1, "room"));
        self.group(group, GroupChange::Push { method: SAID, from, body, except, unreliable: false });
    }

    fn join(&mut self, group: &str, session: SessionId) {
        self.group(group, GroupChange::Join(client(session)));
    }

    fn refused(&self, code: Code) -> u64 {
        self.gate.stats().refused.get(&code).copied().unwrap_or_default()
    }
}

fn decode(part: &Part) -> Vec<Frame> {
    let mut bytes = BytesMut::from(part.prefix.as_slice());
    bytes.extend_from_slice(&part.tail);
    let mut frames = Vec::new();
    while let Some(frame) = Splitter::new(u32::MAX).next(&mut bytes).unwrap() {
        frames.push(Frame::decode(frame).unwrap());
    }
    assert!(bytes.is_empty() && frames.len() == 1, "a part is one frame");
    frames
}

fn bodies(frames: &[Frame]) -> Vec<Bytes> {
    let body = |frame: &Frame| match frame {
        Frame::Push(Note { body, .. }) => body.clone(),
        other => panic!("no push but {other:?}"),
    };
    frames.iter().map(body).collect()
}

fn hello() -> Frame {
    Frame::Hello(Hello { version: 1, ..Hello::default() })
}

fn auth(account: &str, device: &str) -> Frame {
    Frame::Auth(Auth { scheme: "test".into(), token: account.to_owned().into(), device: device.into() })
}

fn echo(body: &'static [u8]) -> Req {
    Req { method: ECHO, body: Bytes::from_static(body), ..Req::default() }
}

fn client(session: SessionId) -> ClientRef {
    ClientRef { gate: NODE, session, account: "".into() }
}

fn message(session: SessionId, body: &[u8], unreliable: bool) -> ToClient {
    ToClient {
        client: client(session),
        method: SAID,
        from: Some(EntityId::new(1, "room")),
        body: Bytes::copy_from_slice(body),
        call: None,
        deadline: Time::MAX,
        unreliable,
    }
}

fn watch(watcher: u64, session: SessionId, on: bool) -> Input {
    Input::Mesh(ToGate::WatchClient { watcher: EntityId::new(1, watcher), client: client(session), on })
}

fn kick(session: SessionId) -> Input {
    Input::Mesh(ToGate::Kick { session, error: Error::new(Code::KICKED, "cheating") })
}

#[test]
fn what_is_kept_of_an_idle_client_is_small() {
    assert!(size_of::<session::Session>() <= 400);
    assert!(size_of::<connection::Connection>() <= 128);
}
