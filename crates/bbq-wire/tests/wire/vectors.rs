//! The vectors that every SDK is tested against, and the tables of `spec/`.
//!
//! `BBQ_WRITE_VECTORS=1 cargo test -p bbq-wire` writes them anew; otherwise they are compared.
//! Numbers of 64 bits are decimal strings, bytes are hex.

use bbq_wire::compat::{CompatFrame, Header, MAX_COMPAT_FRAME, RequestType, ServiceType};
use bbq_wire::frame::{Auth, GoAway, Hello, LIMIT_DOWN, LIMIT_OPENING, Note, Req, Resume, Rsp, Trace, Welcome};
use bbq_wire::mesh::{self, GroupOp, Mesh, MeshFrame, Place, SessionChange, SessionRef, Target, Want};
use bbq_wire::{Code, EntityId, Error, Frame, Key, NodeUid, SessionId, SharedFrame, Splitter, id};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec");

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn compare(name: &str, value: &Value) {
    let path = format!("{SPEC}/vectors/{name}.json");
    let text = format!("{value:#}\n");
    if std::env::var_os("BBQ_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(format!("{SPEC}/vectors")).unwrap();
        return std::fs::write(path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{path} is out of date: run with BBQ_WRITE_VECTORS=1 and look at the difference");
}

fn key_json(key: Option<&Key>) -> Value {
    match key {
        None => Value::Null,
        Some(Key::Number(number)) => json!({ "number": number.to_string() }),
        Some(Key::Text(text)) => json!({ "text": &**text }),
    }
}

fn trace_json(trace: Option<&Trace>) -> Value {
    trace.map_or(Value::Null, |trace| to_hex(trace).into())
}

fn u64_json(number: Option<u64>) -> Value {
    number.map_or(Value::Null, |number| number.to_string().into())
}

fn note_json(kind: &str, note: &Note) -> Value {
    json!({
        "kind": kind, "seq": note.seq.to_string(), "ack": u64_json(note.ack), "method": note.method,
        "key": key_json(note.key.as_ref()), "trace": trace_json(note.trace.as_ref()), "body": to_hex(&note.body),
    })
}

fn error_json(error: &Error) -> Value {
    json!({ "code": error.code.0, "message": &*error.message, "retry_after_ms": error.retry_after_ms })
}

fn welcome_json(welcome: &Welcome) -> Value {
    json!({
        "kind": "WELCOME", "version": welcome.version, "resumed": welcome.resumed, "sid": welcome.sid.0.to_string(),
        "ticket": to_hex(&welcome.ticket), "account": welcome.account, "peer_seen": welcome.peer_seen.to_string(),
        "heartbeat_ms": welcome.heartbeat_ms, "max_up": welcome.max_up, "max_down": welcome.max_down,
        "resume_ms": welcome.resume_ms, "time_ms": welcome.time_ms.to_string(), "server": welcome.server,
        "max_calls": welcome.max_calls,
    })
}

fn fields(frame: &Frame) -> Value {
    match frame {
        Frame::Hello(hello) => json!({
            "kind": "HELLO", "version": hello.version, "features": hello.features.to_string(), "sdk": hello.sdk,
        }),
        Frame::Welcome(welcome) => welcome_json(welcome),
        Frame::Auth(auth) => json!({
            "kind": "AUTH", "scheme": auth.scheme, "token": to_hex(&auth.token), "device": auth.device,
        }),
        Frame::Resume(resume) => json!({
            "kind": "RESUME", "sid": resume.sid.0.to_string(), "ticket": to_hex(&resume.ticket),
            "seen": resume.seen.to_string(),
        }),
        Frame::Req(req) => json!({
            "kind": "REQ", "seq": req.seq.to_string(), "ack": u64_json(req.ack), "method": req.method,
            "key": key_json(req.key.as_ref()), "deadline_ms": req.deadline_ms,
            "trace": trace_json(req.trace.as_ref()), "body": to_hex(&req.body),
        }),
        Frame::Rsp(rsp) => json!({
            "kind": "RSP", "seq": rsp.seq.to_string(), "ack": u64_json(rsp.ack), "re": rsp.re.to_string(),
            "body": rsp.result.as_ref().map_or(Value::Null, |body| to_hex(body).into()),
            "error": rsp.result.as_ref().err().map_or(Value::Null, error_json),
        }),
        Frame::Notify(note) => note_json("NOTIFY", note),
        Frame::Push(note) => note_json("PUSH", note),
        Frame::Ack { seen } => json!({ "kind": "ACK", "seen": seen.to_string() }),
        Frame::Ping { nonce } => json!({ "kind": "PING", "nonce": nonce.to_string() }),
        Frame::Pong { nonce, time_ms } => {
            json!({ "kind": "PONG", "nonce": nonce.to_string(), "time_ms": time_ms.to_string() })
        }
        Frame::GoAway(away) => json!({
            "kind": "GOAWAY", "after_ms": away.after_ms, "reason": away.reason, "address": away.address,
        }),
        Frame::Bye => json!({ "kind": "BYE" }),
        Frame::Kick { reason, message } => json!({ "kind": "KICK", "reason": reason.0, "message": &**message }),
        Frame::Err(error) => {
            let mut value = error_json(error);
            value["kind"] = "ERR".into();
            value
        }
    }
}

fn control_samples() -> Vec<(&'static str, Frame)> {
    let ticket = Bytes::from_static(&[0xa5; 16]);
    let welcome = Welcome {
        version: 1,
        resumed: false,
        sid: SessionId(0x0123_4567_89ab_cdef),
        ticket: ticket.clone(),
        account: "ada".into(),
        peer_seen: 0,
        heartbeat_ms: 10_000,
        max_up: 65_536,
        max_down: 1_048_576,
        resume_ms: 60_000,
        time_ms: 1_767_225_600_000,
        server: "gate-1".into(),
        max_calls: 64,
    };
    let resumed = Welcome { resumed: true, peer_seen: 4711, ..welcome.clone() };
    vec![
        ("hello", Frame::Hello(Hello { version: 1, features: 0, sdk: "test/1".into() })),
        ("hello with every feature", Frame::Hello(Hello { version: 1, features: u64::MAX, sdk: "ü".into() })),
        ("welcome", Frame::Welcome(Box::new(welcome))),
        ("welcome back", Frame::Welcome(Box::new(resumed))),
        ("auth", Frame::Auth(Auth { scheme: "dev".into(), token: Bytes::from_static(b"ada"), device: "pc".into() })),
        ("resume", Frame::Resume(Resume { sid: SessionId(0x0123_4567_89ab_cdef), ticket, seen: 300 })),
        ("ack", Frame::Ack { seen: 128 }),
        ("ping", Frame::Ping { nonce: 1 }),
        ("pong", Frame::Pong { nonce: u64::MAX, time_ms: 1_767_225_600_123 }),
        ("goaway", Frame::GoAway(GoAway { after_ms: 5000, reason: 47, address: "ws://b.example/bbq".into() })),
        ("bye", Frame::Bye),
        ("kick", Frame::Kick { reason: Code::REPLACED, message: "logged in elsewhere".into() }),
        ("err", Frame::Err(Error::new(Code::UNAVAILABLE, "full").retry_after(1500))),
    ]
}

fn message_samples() -> Vec<(&'static str, Frame)> {
    let body = Bytes::from_static(&[0x0a, 0x02, b'h', b'i']);
    let trace = Some(std::array::from_fn(|at| at as u8));
    let note = Note { seq: 1, method: 7, body: body.clone(), ..Note::default() };
    let req = Req { seq: 1, method: id::method_id("chat.Room/Say"), body: body.clone(), ..Req::default() };
    let everything = Req {
        seq: 16_384,
        ack: Some(127),
        key: Some(Key::from("lobby")),
        deadline_ms: Some(5000),
        trace,
        ..req.clone()
    };
    let rsp = Rsp { seq: 2, ack: Some(1), re: 1, result: Ok(body) };
    let error = Error::application(1001, "no such room").retry_after(20);
    vec![
        ("req to a service", Frame::Req(req.clone())),
        ("req to a numbered entity", Frame::Req(Req { seq: 2, key: Some(Key::Number(u64::MAX)), ..req })),
        ("req with everything", Frame::Req(everything)),
        ("rsp", Frame::Rsp(rsp.clone())),
        ("rsp without a body", Frame::Rsp(Rsp { seq: 3, ack: None, result: Ok(Bytes::new()), ..rsp.clone() })),
        ("rsp with an error", Frame::Rsp(Rsp { seq: 4, re: 300, result: Err(error), ..rsp })),
        ("notify", Frame::Notify(Note { key: Some(Key::Number(42)), ..note.clone() })),
        ("notify on the unreliable lane", Frame::Notify(Note { seq: 0, body: Bytes::new(), ..note.clone() })),
        ("push", Frame::Push(note.clone())),
        ("push with everything", Frame::Push(Note { ack: Some(3), key: Some(Key::from("ü")), trace, ..note })),
    ]
}

/// The inside of a frame, in hex, with its length in front.
fn framed(inside: &str) -> String {
    let len = inside.len() / 2;
    assert!(len < 128, "one byte of length");
    format!("{len:02x}{inside}")
}

/// What a reader must refuse: whole frames, and the limit in force.
fn invalid_samples() -> Vec<(&'static str, String, u32)> {
    let fields: [(&str, &str); 19] = [
        ("kind 0", "000000"),
        ("reserved kind 14", "0e0000"),
        ("kind 17", "110000"),
        ("flags on a control frame", "0a0101"),
        ("an unknown flag on REQ", "05200101aabb"),
        ("both kinds of key", "05060101016baa"),
        ("a key on RSP", "060201010000"),
        ("a deadline on PUSH", "08080101aabb"),
        ("seq is cut short", "050080"),
        ("ack is missing", "050101"),
        ("a trace of 23 bytes", "051001010000000000000000000000000000000000000000000000"),
        ("varint of eleven bytes", "0a008080808080808080808000"),
        ("varint over 64 bits", "0a00ffffffffffffffffff02"),
        ("method over 32 bits", "0500018080808010"),
        ("string longer than the frame", "010001000561"),
        ("string of 2^64-1 bytes", "01000100ffffffffffffffffff01"),
        ("string that is not UTF-8", "0100010002c328"),
        ("error without message", "0600010105"),
        ("error whose message is cut short", "06000101050361"),
    ];
    let long_key = format!("0504010141{}", "6b".repeat(65));
    let framed_samples = fields.into_iter().chain([("a text key of 65 bytes", &*long_key)]);
    let lengths = [
        ("empty frame", "00".into(), LIMIT_DOWN),
        ("a kind without flags", "0101".into(), LIMIT_DOWN),
        ("length over the limit", "8110".into(), 2048),
        ("length far over the limit", "ffffffffffffffff7f".into(), LIMIT_OPENING),
        ("length that is no varint", "ff".repeat(10), LIMIT_DOWN),
    ];
    framed_samples.map(|(name, inside)| (name, framed(inside), LIMIT_DOWN)).chain(lengths).collect()
}

/// What a writer would not make and a reader must accept.
fn lenient_samples() -> Vec<(&'static str, String)> {
    vec![
        ("bytes after the known fields of a control frame", framed("0a0007ffff")),
        ("a number in long form", framed("0a00878000")),
        ("a length in long form", "8380000a0007".to_owned()),
        ("bytes after the error of a RSP", framed("0600010105036162630affff")),
        ("a session that is resumed with any number but 0", {
            let frame = Frame::Welcome(Box::new(Welcome { version: 1, resumed: true, ..Welcome::default() }));
            to_hex(&frame.to_bytes()).replacen("0101", "0102", 1)
        }),
        ("a gate that does not say how many calls it takes at a time", {
            let frame = Frame::Welcome(Box::new(Welcome { version: 1, ..Welcome::default() })).to_bytes();
            framed(&to_hex(&frame[1..frame.len() - 1]))
        }),
    ]
}

#[test]
fn client_frames_match_their_vectors() {
    let samples: Vec<_> = control_samples().into_iter().chain(message_samples()).collect();
    for (name, frame) in &samples {
        let mut message = frame.to_bytes();
        let inner = Splitter::new(LIMIT_DOWN).next_in_message(&mut message).unwrap().unwrap();
        assert_eq!(Frame::decode(inner).as_ref(), Ok(frame), "{name}");
    }
    let valid: Vec<Value> = samples
        .iter()
        .map(|(name, frame)| json!({ "name": name, "hex": to_hex(&frame.to_bytes()), "fields": fields(frame) }))
        .collect();
    let lenient: Vec<Value> = lenient_samples()
        .into_iter()
        .map(|(name, hex)| {
            let frame = decode_whole(&hex, LIMIT_DOWN).unwrap();
            json!({ "name": name, "hex": hex, "fields": fields(&frame) })
        })
        .collect();
    let invalid: Vec<Value> = invalid_samples()
        .into_iter()
        .map(|(name, hex, limit)| {
            let code = decode_whole(&hex, limit).expect_err(name);
            json!({ "name": name, "hex": hex, "limit": limit, "error": code.name() })
        })
        .collect();
    compare("client", &json!({ "version": 1, "valid": valid, "lenient": lenient, "invalid": invalid }));
}

fn decode_whole(hex: &str, limit: u32) -> Result<Frame, Code> {
    let mut stream = BytesMut::from(&from_hex(hex)[..]);
    let frame = Splitter::new(limit).next(&mut stream).map_err(|error| error.code())?;
    let frame = Frame::decode(frame.expect("vectors are whole")).map_err(|error| error.code())?;
    assert!(stream.is_empty(), "a vector is one frame");
    Ok(frame)
}

#[test]
fn a_shared_push_gives_the_bytes_of_the_vectors() {
    for (name, frame) in message_samples() {
        if let Frame::Push(note) = &frame {
            let shared = SharedFrame::push_traced(note.method, note.key.as_ref(), note.trace.as_ref(), &note.body);
            assert_eq!(shared.to_bytes(note.seq, note.ack), frame.to_bytes(), "{name}");
        }
    }
}

#[test]
fn original_frames_match_their_vectors() {
    let request = Header {
        request_id: "6f1d9a52-54a5-4a0e-9a0e-1d2c3b4a5f60".into(),
        timeout_ms: 5000,
        service_type: ServiceType::Service,
        service: "exampb.Echo".into(),
        method: "SayHello".into(),
        src_entity: 77,
        ..Header::default()
    };
    let failed = Header { error_code: 12, error_message: "no such method".into(), ..request.response() };
    let push = Header { request_type: RequestType::Request, timeout_ms: 0, ..request.clone() };
    let frame = |header: &Header| CompatFrame { header: header.clone(), body: Bytes::from_static(b"\x0a\x01x") };
    let valid: Vec<Value> = [("request", request), ("failed response", failed), ("push", push)]
        .iter()
        .map(|(name, header)| {
            json!({ "name": name, "hex": to_hex(&frame(header).to_bytes()), "value": format!("{:?}", frame(header)) })
        })
        .collect();
    let invalid: Vec<Value> = [
        ("total below 4", "03000000"),
        ("total over the limit", "ffffffff"),
        ("header_len below 4", "0400000003000000"),
        ("header_len over total", "0400000005000000"),
        ("field 0", "06000000060000000000"),
        ("a string that is cut short", "06000000060000001205"),
        ("a group", "05000000050000000b"),
        ("an unknown request type", "06000000060000002002"),
    ]
    .into_iter()
    .map(|(name, hex)| {
        let mut stream = BytesMut::from(&from_hex(hex)[..]);
        let whole = CompatFrame::split(&mut stream, MAX_COMPAT_FRAME);
        let error = whole.and_then(|whole| CompatFrame::decode(&whole.expect("whole"))).expect_err(name);
        json!({ "name": name, "hex": hex, "error": error.to_string() })
    })
    .collect();
    compare("compat", &json!({ "version": 1, "valid": valid, "invalid": invalid }));
}

fn mesh_samples() -> Vec<Mesh> {
    let entity = EntityId::new(0x0102_0304, "lobby");
    let player = EntityId::new(0x0a0b_0c0d, 42);
    let node = NodeUid { node: 9, incarnation: 1 << 40 };
    let (sid, body) = (SessionId(0xfeed), Bytes::from_static(b"body"));
    let error = Error::new(Code::FENCED, "newer").retry_after(5);
    let session = SessionRef { gate: node, sid, account: "ada".into() };
    let call = mesh::Call {
        corr: 300,
        target: Target::Entity(entity.clone()),
        method: 4711,
        deadline_ms: 5000,
        oneway: false,
        epoch: 7 << 32 | 1,
        chain: vec![player.clone()],
        caller: Some(player.clone()),
        session: Some(session),
        trace: Some([3; 25]),
        body: body.clone(),
    };
    let bare = mesh::Call {
        target: Target::Service { kind: 5 },
        oneway: true,
        chain: Vec::new(),
        caller: None,
        session: None,
        trace: None,
        ..call.clone()
    };
    let to_client = mesh::ToClient {
        sid,
        corr: 0,
        method: 7,
        key: Some(entity.clone()),
        deadline_ms: 0,
        unreliable: true,
        body: body.clone(),
    };
    let group = mesh::Group {
        op: GroupOp::Push,
        group: "room".into(),
        sids: vec![],
        except: vec![sid],
        method: 7,
        key: None,
        unreliable: false,
        body: body.clone(),
        epoch: 7 << 32 | 1,
    };
    let hello = mesh::Hello { cluster: "c".into(), version: 1, roles: 5, listen: "tcp://h:1".into(), nonce: None };
    let guarded = mesh::Hello { nonce: Some([0xa5; 32]), ..hello.clone() };
    let place = Place { node, epoch: 9 };
    vec![
        Mesh::Hello(hello),
        Mesh::Hello(guarded),
        Mesh::Call(call),
        Mesh::Call(bare),
        Mesh::Reply { corr: 300, result: Ok(body.clone()) },
        Mesh::Reply { corr: 300, result: Err(error.clone()) },
        Mesh::Bounced { corr: 300, error: error.clone() },
        Mesh::Locate { corr: 1, entity: entity.clone(), stale: 7, activate: true },
        Mesh::Collect { corr: 3, slots: vec![(5, 1), (4095, 300)] },
        Mesh::WatchClient { watcher: entity.clone(), sid, on: true },
        Mesh::Located { corr: 1, entity: entity.clone(), result: Ok(place) },
        Mesh::Activate { corr: 2, entity: entity.clone(), epoch: 9 },
        Mesh::Activated { corr: 2, entity: entity.clone(), epoch: 9, result: Ok(()) },
        Mesh::Activated { corr: 2, entity: entity.clone(), epoch: 9, result: Err(error) },
        Mesh::Deactivated { entity: entity.clone(), epoch: 9 },
        Mesh::Report { corr: 3, more: 1, entries: vec![(entity.clone(), 9), (player.clone(), 10)] },
        Mesh::ToClient(to_client),
        Mesh::ClientReply { corr: 4, result: Ok(body.clone()) },
        Mesh::Group(group),
        Mesh::SessionEvent { target: player.clone(), sid, account: "ada".into(), event: SessionChange::Resumed },
        Mesh::Kick { sid, code: Code::KICKED, message: "bye".into() },
        Mesh::Watch { watcher: entity.clone(), subject: player.clone(), on: true },
        Mesh::Notify { to: entity.clone(), from: player.clone(), name: "won".into(), body },
        Mesh::Gone { subject: player, watchers: vec![entity] },
        Mesh::Ping { nonce: 5 },
        Mesh::Pong { nonce: 5 },
        Mesh::Ack { seen: 300, want: Want::Rest },
        Mesh::Leave { seen: 300 },
        Mesh::Proof { proof: vec![0x5a; 32].into() },
        Mesh::Refused { error: Error::new(Code::UNAUTHENTICATED, "no") },
    ]
}

#[test]
fn node_frames_match_their_vectors() {
    let (src, dst) = (NodeUid { node: 1, incarnation: 2 }, NodeUid { node: 3, incarnation: 4 });
    let valid: Vec<Value> = mesh_samples()
        .into_iter()
        .map(|message| {
            let frame = MeshFrame { src, dst, seq: 130, ack: 7, message };
            let bytes = frame.to_bytes().unwrap();
            assert_eq!(MeshFrame::decode(&bytes).as_ref(), Ok(&frame));
            json!({ "hex": to_hex(&bytes), "value": format!("{:?}", frame.message) })
        })
        .collect();
    let about =
        json!({ "version": 2, "src": src.to_string(), "dst": dst.to_string(), "seq": 130, "ack": 7, "valid": valid });
    compare("mesh", &about);
}

#[test]
fn ids_match_their_vectors() {
    let methods = ["chat.Room/Say", "gobbq.Echo/Echo", "a.B/C", "game.v1.Match/Start"];
    let methods: Vec<Value> = methods.map(|path| json!({ "path": path, "id": id::method_id(path) })).to_vec();
    let entities: Vec<Value> = [("chat.Room", Key::from("lobby")), ("game.Player", Key::Number(42))]
        .map(|(kind, key)| {
            let entity = EntityId { kind: id::fnv1a_32(kind), key: key.clone() };
            json!({ "kind": kind, "kind_id": entity.kind, "key": key_json(Some(&key)), "slot": entity.slot() })
        })
        .to_vec();
    compare("ids", &json!({ "version": 1, "methods": methods, "entities": entities }));
}

#[test]
fn the_table_of_codes_in_the_spec_is_the_one_in_the_source() {
    let spec = std::fs::read_to_string(format!("{SPEC}/errors.md")).unwrap();
    let rows: Vec<(u32, String)> = spec
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
        })
        .collect();
    let table: Vec<(u32, String)> = Code::TABLE.iter().map(|entry| (entry.0, entry.1.to_owned())).collect();
    assert_eq!(rows, table);
}
