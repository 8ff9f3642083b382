//! Requests of clients, and calls to them.

use super::*;

#[test]
fn a_request_goes_to_its_entity_with_the_sender_that_the_gate_knows() {
    let mut harness = Harness::new(config());
    let mut ann = harness.login("ann");
    let trace = Some([7; 25]);
    harness.request(&mut ann, Req { key: Some(42.into()), trace, ..echo(b"hi") });
    let call = harness.call();
    assert_eq!(call.target, Target::Entity(EntityId::new(ROOM.type_id(), 42)));
    let client = ClientRef { gate: NODE, session: ann.welcome.sid, account: "ann".into() };
    let meta = call.meta.clone().unwrap();
    assert_eq!((&meta.client, meta.trace), (&Some(client), trace));
    assert_eq!((call.method, call.body.clone().into_bytes()), (ECHO, Bytes::from_static(b"hi")));
    harness.reply(&call, Ok(b"hello"));
    assert_eq!(harness.response(&ann), Ok(Bytes::from_static(b"hello")));
    assert_eq!(harness.gate.stats().calls, 0);
}

#[test]
fn without_a_key_an_entity_is_the_accounts_own_and_a_service_is_any_instance() {
    let mut harness = Harness::new(config());
    let mut ann = harness.login("ann");
    harness.request(&mut ann, echo(b""));
    assert_eq!(harness.call().target, Target::Entity(EntityId::new(ROOM.type_id(), "ann")));
    harness.request(&mut ann, Req { method: MATCH, ..Req::default() });
    let call = harness.call();
    assert_eq!((call.target, call.affinity), (Target::Service(LOBBY.type_id()), None));
    harness.request(&mut ann, Req { method: MATCH, key: Some("eu".into()), ..Req::default() });
    assert!(harness.call().affinity.is_some());
}

#[test]
fn what_a_client_may_not_call_never_reaches_the_mesh() {
    let mut harness = Harness::new(config());
    let mut ann = harness.login("ann");
    let cases = [
        (4711, 0, Code::UNIMPLEMENTED),
        (SAID, 0, Code::UNIMPLEMENTED),
        (HIDDEN, 0, Code::PERMISSION_DENIED),
        (SMALL, 11, Code::INVALID_ARGUMENT),
    ];
    for (method, len, code) in cases {
        harness.request(&mut ann, Req { method, body: vec![0; len].into(), ..Req::default() });
        assert_eq!(harness.response(&ann).unwrap_err().code, code);
        assert_eq!(harness.refused(code), harness.gate.stats().refused[&code]);
    }
    let note = Note { seq: ann.seq + 1, method: HIDDEN, ..Note::default() };
    harness.send(ann.conn, [Frame::Notify(note)]);
    assert_eq!(harness.received(ann.conn), []);
    assert_eq!((harness.mesh.len(), harness.refused(Code::PERMISSION_DENIED)), (0, 2));
}

#[test]
fn a_oneway_method_is_answered_at_once_and_a_notification_never() {
    let mut harness = Harness::new(config());
    let mut ann = harness.login("ann");
    harness.request(&mut ann, Req { method: SAY, ..Req::default() });
    assert_eq!(harness.response(&ann), Ok(Bytes::new()));
    assert_eq!(harness.call().call, None);
    harness.send(ann.conn, [Frame::Notify(Note { seq: 2, method: ECHO, ..Note::default() })]);
    assert_eq!(harness.call().call, None);
    harness.send(ann.conn, [Frame::Notify(Note { seq: 0, method: SAY, ..Note::default() })]);
    assert_eq!(harness.call().call, None);
    assert_eq!(harness.received(ann.conn), []);
}

#[test]
fn the_deadline_is_the_shorter_one_and_the_gate_answers_if_the_mesh_does_not() {
    let mut harness = Harness::new(config());
    let mut ann = harness.login("ann");
    let mut deadline = |method, deadline_ms| {
        harness.request(&mut ann, Req { method, deadline_ms, ..Req::default() });
        let call = harness.call();
        (call.deadline.since(harness.now), call)
    };
    let ms = Duration::from_millis;
    assert_eq!(deadline(ECHO, None).0, ms(30_000));
    assert_eq!(deadline(ECHO, Some(500)).0, ms(500));
    assert_eq!(deadline(QUICK, Some(500)).0, ms(200));
    let (patience, call) = deadline(QUICK, Some(100));
    assert_eq!(patience, ms(100));
    harness.pass(ms(1099));
    assert_eq!(harness.received(ann.conn), []);
    harness.pass(ms(1001));
    assert_eq!(harness.gate.stats().calls, 1, "only the one with the longest deadline still waits");
    let overdue = |frame: &Frame| matches!(frame, Frame::Rsp(Rsp { result: Err(error), .. }) if error.code == Code::DEADLINE_EXCEEDED);
    assert_eq!(harness.received(ann.conn).iter().filter(|frame| overdue(frame)).count(), 3);
    harness.reply(&call, Ok(b"late"));
    assert_eq!(harness.received(ann.conn), [], "a late reply is dropped");
    assert_eq!(harness.gate.stats().late_replies, 1);
}

#[test]
fn a_reply_to_a_session_that_is_over_is_dropped_and_one_to_a_detached_session_is_kept() {
    let mut harness = Harness::new(config());
    let (mut ann, mut bob) = (harness.login("ann"), harness.login("bob"));
    harness.request(&mut ann, echo(b"a"));
    harness.request(&mut bob, echo(b"b"));
    let (first, second) = (harness.call(), harness.call());
    harness.handle(kick(ann.welcome.sid));
    harness.close(bob.conn);
    harness.reply(&first, Ok(b"gone"));
    harness.reply(&second, Ok(b"kept"));
    let conn = harness.resume(&bob, 0);
    assert!(matches!(&harness.received(conn)[..], [_, Frame::Rsp(rsp)] if rsp.result.as_deref() == Ok(b"kept")));
    assert_eq!(harness.gate.stats().calls, 0);
}

#[test]
fn a_client_may_be_called_and_answers_once() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    let ask = |harness: &mut Harness, corr, deadline| {
        let message = ToClient { deadline, ..message(ann.welcome.sid, b"well?", false) };
        harness.handle(Input::Mesh(ToGate::ToClient { corr: Some(corr), message }));
    };
    let (now, soon) = (harness.now, harness.now + Duration::from_millis(500));
    ask(&mut harness, 77, soon);
    let [Frame::Req(req)] = &harness.received(ann.conn)[..] else { panic!("no request") };
    assert_eq!((req.method, req.deadline_ms, req.key.clone()), (SAID, Some(500), Some("room".into())));
    let rsp = |seq, re| Frame::Rsp(Rsp { seq, ack: None, re, result: Ok(Bytes::from_static(b"yes")) });
    harness.send(ann.conn, [rsp(1, req.seq), rsp(2, req.seq)]);
    let answer = FromGate::ClientReply { corr: 77, result: Ok(Bytes::from_static(b"yes")) };
    assert_eq!(std::mem::take(&mut harness.mesh), [answer]);

    ask(&mut harness, 78, soon);
    harness.pass(Duration::from_secs(1));
    ask(&mut harness, 79, now);
    harness.close(ann.conn);
    ask(&mut harness, 80, Time::MAX);
    harness.handle(kick(ann.welcome.sid));
    ask(&mut harness, 81, Time::MAX);
    let codes: Vec<_> = std::mem::take(&mut harness.mesh)
        .into_iter()
        .map(|message| match message {
            FromGate::ClientReply { corr, result } => (corr, result.unwrap_err().code),
            other => panic!("{other:?}"),
        })
        .collect();
    let (late, gone) = (Code::DEADLINE_EXCEEDED, Code::CLIENT_GONE);
    assert_eq!(codes, [(78, late), (79, late), (80, gone), (81, gone)]);
}
