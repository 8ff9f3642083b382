//! A client of the original against the session machine of the gate, through the bridge.

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::compat::{CallType, CompatFrame, GATE_SERVICE, Header, RequestType, ServiceType};
use bbq_wire::delivery::Delivery;
use bbq_wire::frame::{Frame, GoAway};
use bbq_wire::gate::{Attach, GateConfig, GateInput, GateOutput, GateSession, Lane};
use bbq_wire::handshake::{Handshake, Step};
use bbq_wire::split::Splitter;
use bbq_wire::{Code, Error, Key, SessionId, SharedFrame, Time};
use bytes::{Bytes, BytesMut};

use super::{Bridge, IDLE, Login, Names, Output, entity_id};
use crate::desc::Kind;

const SID: u64 = 0xfeed_0000_0000_0001;

/// `RegisterClient` and `Ping` as `gobbq-ts` 1.0.18 wrote them.
const REGISTER: &[u8] = b"\x53\0\0\0\x53\0\0\0\x12\x246f1d9a52-54a5-4a0e-9a0e-1d2c3b4a5f60\x18\x88\x27\x28\x01\
    \x4a\x12gatepb.GateService\x52\x0eRegisterClient";

struct World {
    now: Time,
    bridge: Bridge,
    handshake: Handshake,
    config: GateConfig,
    session: GateSession,
    /// What the client has received.
    received: Vec<CompatFrame>,
    /// What the session wants of the gate, sends left out.
    wanted: Vec<GateOutput>,
    closed: bool,
}

impl World {
    fn new() -> Self {
        let mut names = Names::default();
        names.add("exampb.Echo", Kind::Service, [("SayHello", 11, true)]);
        names.add("exampb.EchoEty", Kind::Entity, [("SayHello", 12, true)]);
        names.add("exampb.Client", Kind::Client, [("SayHello", 13, false)]);
        let login = Login { scheme: "guest".into(), token: Bytes::from("c-1"), device: "ts".into() };
        Self {
            now: Time::ZERO,
            bridge: Bridge::new(Time::ZERO, Arc::new(names), login),
            handshake: Handshake::new(Time::ZERO),
            config: GateConfig::default(),
            session: GateSession::new(Time::ZERO, SessionId(SID), Delivery::new()),
            received: Vec::new(),
            wanted: Vec::new(),
            closed: false,
        }
    }

    fn online() -> Self {
        let mut world = Self::new();
        world.bytes(REGISTER);
        assert_eq!(world.received.len(), 1);
        world.received.clear();
        world
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut stream = BytesMut::from(bytes);
        while let Some(frame) = CompatFrame::split(&mut stream, self.bridge.limit()).unwrap() {
            self.original(CompatFrame::decode(&frame).unwrap());
        }
        assert!(stream.is_empty());
    }

    fn original(&mut self, frame: CompatFrame) {
        let mut out = Vec::new();
        self.bridge.on_original(self.now, frame, &mut out);
        self.outputs(out);
    }

    fn native(&mut self, frame: Frame) {
        let mut out = Vec::new();
        self.bridge.on_native(self.now, frame, &mut out);
        self.outputs(out);
    }

    fn outputs(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Original(frame) => self.received.push(CompatFrame::decode(&frame.to_bytes()).unwrap()),
                Output::Close => self.closed = true,
                Output::Native(frame) if self.session.is_attached() => self.gate(GateInput::Frame(frame)),
                Output::Native(frame) => match self.handshake.on_frame(frame) {
                    Step::Wait => {}
                    Step::Authenticate(auth) => {
                        assert_eq!((&*auth.scheme, &auth.token[..], &*auth.device), ("guest", &b"c-1"[..], "ts"));
                        let account = "c-1".to_owned();
                        self.gate(GateInput::Attach(Attach { resume: None, ticket: [0; 16], account }));
                    }
                    step => panic!("{step:?}"),
                },
            }
        }
    }

    fn gate(&mut self, input: GateInput) {
        let mut outputs = Vec::new();
        self.session.handle(self.now, &self.config, input, &mut outputs);
        for output in outputs {
            match output {
                GateOutput::Send { prefix, tail } => {
                    let mut bytes = Bytes::from([prefix.as_slice(), &tail].concat());
                    let frame = Splitter::new(u32::MAX).next_in_message(&mut bytes).unwrap().unwrap();
                    self.native(Frame::decode(frame).unwrap());
                }
                output => self.wanted.push(output),
            }
        }
    }

    fn answer(&mut self) -> CompatFrame {
        assert_eq!(self.received.len(), 1, "{:?}", self.received);
        self.received.remove(0)
    }
}

fn request(service: &str, id: &str, body: &'static str) -> CompatFrame {
    let service_type = if service.is_empty() { ServiceType::Entity } else { ServiceType::Service };
    let header = Header {
        request_id: id.into(),
        timeout_ms: 5000,
        service_type,
        service: service.into(),
        method: "SayHello".into(),
        src_entity: SID,
        ..Header::default()
    };
    CompatFrame { header, body: Bytes::from(body) }
}

#[test]
fn registering_opens_a_session_and_tells_its_id() {
    let mut world = World::new();
    world.bytes(REGISTER);
    let CompatFrame { header, body } = world.answer();
    assert_eq!(header.request_id, "6f1d9a52-54a5-4a0e-9a0e-1d2c3b4a5f60");
    assert_eq!((header.request_type, header.error_code), (RequestType::Response, 0));
    assert_eq!(body, [0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0xc0, 0xf6, 0xfe, 0x01][..]);
    assert_eq!(world.bridge.session(), Some(SessionId(SID)));
    world.bytes(REGISTER);
    assert_eq!(world.answer().body, body, "again: the same");
}

#[test]
fn before_registering_nothing_is_called_but_pings_are_answered() {
    let mut world = World::new();
    world.original(request("exampb.EchoService", "a", ""));
    assert_eq!(world.answer().header.error_code, Code::UNAUTHENTICATED.0 as i32);
    world.original(CompatFrame {
        header: Header { method: "Ping".into(), ..request(GATE_SERVICE, "p", "").header },
        ..CompatFrame::default()
    });
    assert_eq!((world.answer().header.error_code, world.wanted.len()), (0, 0));
}

#[test]
fn a_call_of_a_service_and_one_of_an_entity_are_answered_in_any_order() {
    let mut world = World::online();
    world.original(request("exampb.EchoService", "one", "hello"));
    let mut entity = request("", "two", "room");
    entity.header.dst_entity = entity_id("exampb.EchoEty", 5);
    world.original(entity);
    let calls: Vec<_> = world.wanted.drain(..).collect();
    let [
        GateOutput::Call { call: one, method: 11, key: None, .. },
        GateOutput::Call { call: two, method: 12, key, deadline_ms, .. },
    ] = &calls[..]
    else {
        panic!("{calls:?}")
    };
    assert_eq!((key, deadline_ms), (&Some(Key::Number(5)), &Some(5000)));
    world.gate(GateInput::Reply { call: *two, result: Err(Error::new(Code(1007), "no")) });
    let refused = world.answer().header;
    assert_eq!((&*refused.request_id, refused.error_code, &*refused.error_message), ("two", 1007, "no"));
    world.gate(GateInput::Reply { call: *one, result: Ok(Bytes::from("world")) });
    let CompatFrame { header, body } = world.answer();
    assert_eq!((&*header.request_id, header.error_code, header.dst_entity), ("one", 0, SID));
    assert_eq!(body, "world");
}

#[test]
fn one_way_requests_become_notifications_and_are_never_answered() {
    let mut world = World::online();
    for service in ["exampb.EchoService", "exampb.Nobody"] {
        let mut note = request(service, "note", "x");
        note.header.call_type = CallType::OneWay;
        world.original(note);
    }
    assert!(matches!(&world.wanted[..], [GateOutput::Notify { method: 11, .. }]), "{:?}", world.wanted);
    assert_eq!(world.received, []);
}

#[test]
fn what_cannot_be_called_says_why() {
    let mut world = World::online();
    let mut gzip = request("exampb.EchoService", "b", "");
    gzip.header.compress_type = 1;
    let huge = CompatFrame { body: Bytes::from(vec![0; 70_000]), ..request("exampb.EchoService", "c", "") };
    let unknown = request("exampb.NobodyService", "a", "");
    for (frame, code) in [(unknown, Code::UNIMPLEMENTED), (gzip, Code::UNIMPLEMENTED), (huge, Code::FRAME_TOO_LARGE)] {
        world.original(frame);
        assert_eq!(world.answer().header.error_code, code.0 as i32);
    }
    assert_eq!(world.wanted, []);
}

#[test]
fn a_push_arrives_as_a_one_way_request_whose_answer_nobody_needs() {
    let mut world = World::online();
    let push = SharedFrame::push(13, Some(&Key::Number(9)), b"news");
    world.gate(GateInput::Push(push.clone(), Lane::Reliable));
    world.gate(GateInput::Push(push, Lane::Unreliable));
    assert_eq!(world.received.len(), 2);
    let CompatFrame { header, body } = world.received.remove(0);
    assert_eq!(
        (&*header.service, &*header.method, header.call_type),
        ("exampb.ClientEntity", "SayHello", CallType::OneWay)
    );
    assert_eq!((header.src_entity, header.dst_entity, &body[..]), (9, SID, &b"news"[..]));
    // The original's client answers whatever has a response type.
    world.original(CompatFrame { header: header.response(), body });
    assert_eq!(world.wanted, []);
    world.received.clear();
    world.gate(GateInput::Push(SharedFrame::push(99, None, b""), Lane::Reliable));
    assert_eq!(world.received, [], "a method without a name cannot be dispatched");
}

#[test]
fn a_call_of_the_client_is_answered_by_its_response() {
    let mut world = World::online();
    let ask =
        |method| GateInput::Request { call: 1, method, key: None, deadline_ms: Some(100), body: Bytes::from("you?") };
    world.gate(ask(13));
    let CompatFrame { header, body } = world.answer();
    assert_eq!((header.call_type, header.timeout_ms, &body[..]), (CallType::Unary, 100, &b"you?"[..]));
    world.original(CompatFrame { header: header.response(), body: Bytes::from("me") });
    assert_eq!(world.wanted, [GateOutput::Answer { call: 1, result: Ok(Bytes::from("me")) }]);
    world.wanted.clear();
    world.gate(ask(13));
    let failed = Header { error_code: -4, error_message: "bad".into(), ..world.answer().header.response() };
    world.original(CompatFrame { header: failed, body: Bytes::new() });
    let error = Error::new(Code::UNKNOWN, "bad");
    assert_eq!(world.wanted, [GateOutput::Answer { call: 1, result: Err(error) }]);
    world.wanted.clear();
    world.gate(ask(99));
    assert!(
        matches!(&world.wanted[..], [GateOutput::Answer { result: Err(error), .. }] if error.code == Code::UNIMPLEMENTED)
    );
}

#[test]
fn the_gate_does_not_drop_a_client_that_pings_and_drops_one_that_is_silent() {
    let mut world = World::online();
    let ping = || CompatFrame {
        header: Header { method: "Ping".into(), ..request(GATE_SERVICE, "p", "").header },
        ..CompatFrame::default()
    };
    for _ in 0..30 {
        world.now = world.now + Duration::from_secs(5);
        world.gate(GateInput::Tick);
        if world.now.as_millis().is_multiple_of(10_000) {
            world.original(ping());
        }
    }
    assert!(world.session.is_attached() && !world.closed);
    let silent_since = world.now;
    while !world.closed {
        world.now = world.session.deadline(&world.config).unwrap();
        world.gate(GateInput::Tick);
    }
    let after = world.now.since(silent_since);
    assert!(after >= IDLE && after <= IDLE + world.config.heartbeat * 5 / 2, "{after:?}");
}

#[test]
fn many_pushes_are_acknowledged_so_that_the_gate_keeps_few() {
    let mut world = World::online();
    for _ in 0..1000 {
        world.gate(GateInput::Push(SharedFrame::push(13, None, &[0; 100]), Lane::Reliable));
    }
    assert_eq!(world.received.len(), 1000);
    assert!(world.session.can_resume(&[0; 16], 1000));
    assert!(!world.session.can_resume(&[0; 16], 900), "acknowledged and forgotten");
}

#[test]
fn calls_that_wait_fail_when_the_session_ends() {
    let mut world = World::online();
    world.gate(GateInput::GoAway(GoAway::default()));
    assert!(!world.closed, "the original's client cannot be sent elsewhere");
    world.original(request("exampb.EchoService", "a", ""));
    world.gate(GateInput::Kick(Error::new(Code::KICKED, "out")));
    assert_eq!(world.answer().header.error_code, Code::KICKED.0 as i32);
    assert!(world.closed);
    world.original(request("exampb.EchoService", "b", ""));
    assert_eq!(world.received, []);
}

#[test]
fn a_login_that_fails_is_the_answer_to_registering() {
    let mut world = World::new();
    let frame = CompatFrame::decode(&Bytes::from_static(REGISTER)).unwrap();
    let mut out = Vec::new();
    world.bridge.on_original(Time::ZERO, frame, &mut out);
    assert!(matches!(&out[..], [Output::Native(Frame::Hello(_)), Output::Native(Frame::Auth(_))]));
    world.native(Frame::Err(Error::new(Code::UNAVAILABLE, "full")));
    assert_eq!((world.answer().header.error_code, world.closed), (Code::UNAVAILABLE.0 as i32, true));
}
