//! The client machine, step by step.

use std::time::Duration;

use bbq_wire::client::{Call, ClientConfig, ClientSession, Input, Output, State};
use bbq_wire::delivery::RingLimits;
use bbq_wire::frame::{GoAway, LIMIT_DOWN, Req, Resume, Rsp, Welcome};
use bbq_wire::{Code, Error, Frame, SessionId, Splitter, Time};
use bytes::Bytes;

fn drain(client: &mut ClientSession) -> Vec<Output> {
    std::iter::from_fn(|| client.poll()).collect()
}

fn sent(outputs: &[Output]) -> Vec<Frame> {
    let bytes = outputs.iter().filter_map(|output| if let Output::Send(bytes) = output { Some(bytes) } else { None });
    bytes
        .map(|bytes| Splitter::new(LIMIT_DOWN).next_in_message(&mut bytes.clone()).unwrap().unwrap())
        .map(|frame| Frame::decode(frame).unwrap())
        .collect()
}

fn codes(outputs: &[Output]) -> Vec<(u64, Code)> {
    let replies = outputs.iter().filter_map(|output| match output {
        Output::Reply { call, result: Err(error) } => Some((*call, error.code)),
        _ => None,
    });
    replies.collect()
}

fn welcome(resumed: bool, peer_seen: u64) -> Input {
    Input::Frame(Frame::Welcome(Box::new(Welcome {
        version: 1,
        resumed,
        sid: SessionId(5),
        ticket: Bytes::from_static(b"ticket"),
        peer_seen,
        heartbeat_ms: 10_000,
        max_up: 65_536,
        ..Welcome::default()
    })))
}

fn call(call: u64) -> Input {
    Input::Call(Call { call, method: 7, ..Call::default() })
}

/// A client that is online with a new session, at time zero.
fn online(config: ClientConfig) -> ClientSession {
    let mut client = ClientSession::new(config);
    client.handle(Time::ZERO, Input::Connected);
    client.handle(Time::ZERO, welcome(false, 0));
    assert!(client.is_online());
    drain(&mut client);
    client
}

#[test]
fn a_call_made_before_the_connection_goes_out_right_after_welcome() {
    let mut client = ClientSession::new(ClientConfig::default());
    client.handle(Time::ZERO, call(1));
    let first = drain(&mut client);
    assert_eq!(first[0], Output::State(State::Connecting));
    assert_eq!(first[1], Output::Connect { after: Duration::ZERO, address: None });
    client.handle(Time::ZERO, Input::Connected);
    assert!(matches!(sent(&drain(&mut client))[..], [Frame::Hello(_), Frame::Auth(_)]));
    client.handle(Time::ZERO, welcome(false, 0));
    assert!(matches!(&sent(&drain(&mut client))[..], [Frame::Req(Req { seq: 1, method: 7, .. })]));
    client.handle(Time::ZERO, Input::Frame(Frame::Rsp(Rsp { seq: 1, ack: Some(1), re: 1, result: Ok(Bytes::new()) })));
    assert_eq!(drain(&mut client), [Output::Reply { call: 1, result: Ok(Bytes::new()) }]);
}

#[test]
fn after_a_failed_resume_sent_calls_have_an_unknown_outcome_and_unsent_ones_go_out_anew() {
    let mut client = online(ClientConfig::default());
    client.handle(Time::ZERO, call(1));
    client.handle(Time::ZERO, Input::Disconnected);
    client.handle(Time::ZERO, call(2));
    client.handle(Time::ZERO, Input::Connected);
    let frames = sent(&drain(&mut client));
    assert!(matches!(&frames[..], [Frame::Req(_), Frame::Hello(_), Frame::Resume(Resume { seen: 0, .. })]));
    client.handle(Time::ZERO, Input::Frame(Frame::Err(Error::new(Code::RESUME_FAILED, ""))));
    let outputs = drain(&mut client);
    assert_eq!(outputs[0], Output::State(State::Resync));
    assert_eq!(codes(&outputs), [(1, Code::OUTCOME_UNKNOWN)]);
    assert!(matches!(sent(&outputs)[..], [Frame::Auth(_)]));
    client.handle(Time::ZERO, welcome(false, 0));
    assert!(matches!(&sent(&drain(&mut client))[..], [Frame::Req(Req { seq: 1, .. })]));
}

#[test]
fn a_resumed_session_sends_again_what_the_gate_has_not_seen() {
    let mut client = online(ClientConfig::default());
    (1..=3).for_each(|n| client.handle(Time::ZERO, call(n)));
    client.handle(Time::ZERO, Input::Disconnected);
    client.handle(Time::ZERO, Input::Connected);
    drain(&mut client);
    client.handle(Time::ZERO, welcome(true, 2));
    let outputs = drain(&mut client);
    assert!(matches!(&outputs[0], Output::State(State::Online { resumed: true, .. })));
    assert!(matches!(&sent(&outputs)[..], [Frame::Req(Req { seq: 3, .. })]));
}

#[test]
fn a_gate_that_claims_to_have_seen_the_future_leads_to_a_new_session() {
    let mut client = online(ClientConfig::default());
    client.handle(Time::ZERO, Input::Disconnected);
    client.handle(Time::ZERO, Input::Connected);
    drain(&mut client);
    client.handle(Time::ZERO, welcome(true, 9));
    let outputs = drain(&mut client);
    assert_eq!(outputs[..2], [Output::State(State::Resync), Output::Disconnect]);
    client.handle(Time::ZERO, Input::Connected);
    assert!(matches!(sent(&drain(&mut client))[..], [Frame::Hello(_), Frame::Auth(_)]));
}

#[test]
fn deadlines_say_whether_the_call_was_sent() {
    let timed = |call| Input::Call(Call { call, deadline_ms: Some(500), ..Call::default() });
    let mut client = online(ClientConfig::default());
    client.handle(Time::ZERO, timed(1));
    client.handle(Time::ZERO, Input::Disconnected);
    client.handle(Time::ZERO, timed(2));
    assert_eq!(client.deadline(), Some(Time::from_millis(500)));
    drain(&mut client);
    client.handle(Time::from_millis(500), Input::Tick);
    let outputs = drain(&mut client);
    assert_eq!(codes(&outputs), [(1, Code::DEADLINE_EXCEEDED), (2, Code::DEADLINE_EXCEEDED)]);
    assert!(format!("{outputs:?}").contains("never sent"));
    client.handle(Time::from_millis(500), Input::Connected);
    drain(&mut client);
    client.handle(Time::from_millis(500), welcome(true, 1));
    assert_eq!(sent(&drain(&mut client)), [], "the call that expired is not sent");
}

#[test]
fn silence_is_answered_by_a_ping_and_then_by_a_new_connection() {
    let mut client = online(ClientConfig::default());
    assert_eq!(client.deadline(), Some(Time::from_millis(10_000)));
    client.handle(Time::from_millis(10_000), Input::Tick);
    assert!(matches!(sent(&drain(&mut client))[..], [Frame::Ping { .. }]));
    assert_eq!(client.deadline(), Some(Time::from_millis(25_000)));
    client.handle(Time::from_millis(25_000), Input::Tick);
    let outputs = drain(&mut client);
    assert_eq!(outputs[..2], [Output::Disconnect, Output::State(State::Detached)]);
    assert!(matches!(outputs[2], Output::Connect { .. }));
}

#[test]
fn pauses_between_connections_grow_to_a_limit_differ_and_respect_the_gate() {
    let pause = |client: &mut ClientSession| match drain(client).pop() {
        Some(Output::Connect { after, .. }) => after,
        other => panic!("{other:?}"),
    };
    let mut clients: Vec<ClientSession> =
        (1..=200).map(|seed| ClientSession::new(ClientConfig { seed, ..ClientConfig::default() })).collect();
    // Of 200 clients that lose the same gate, a quarter comes in every quarter of the time, more or less.
    for bound in [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000].map(Duration::from_millis) {
        let mut quarters = [0; 4];
        for client in &mut clients {
            client.handle(Time::ZERO, Input::Disconnected);
            let after = pause(client);
            assert!(after < bound, "{after:?} of {bound:?}");
            quarters[(after.as_nanos() * 4 / bound.as_nanos()) as usize] += 1;
        }
        assert!(quarters.iter().all(|count| (25..80).contains(count)), "{bound:?}: {quarters:?}");
    }
    // All are told the same time to come back; they do not come at the same time.
    let mut pauses = std::collections::BTreeSet::new();
    for client in &mut clients {
        client.handle(Time::ZERO, Input::Connected);
        let full = Error::new(Code::UNAVAILABLE, "full").retry_after(60_000);
        client.handle(Time::ZERO, Input::Frame(Frame::Err(full)));
        let after = pause(client);
        assert!(after >= Duration::from_secs(60) && after < Duration::from_secs(75), "{after:?}");
        pauses.insert(after);
    }
    assert!(pauses.len() > 190);
}

#[test]
fn goaway_moves_the_client_within_the_time_given() {
    let mut client = online(ClientConfig::default());
    let away = GoAway { after_ms: 1000, reason: 47, address: "b:1".into() };
    client.handle(Time::ZERO, Input::Frame(Frame::GoAway(away)));
    let at = client.deadline().unwrap();
    assert!(at <= Time::from_millis(1000));
    client.handle(at, Input::Tick);
    let connect = Output::Connect { after: Duration::ZERO, address: Some("b:1".into()) };
    assert_eq!(drain(&mut client), [Output::State(State::Detached), Output::Disconnect, connect]);
}

#[test]
fn a_kick_ends_everything() {
    let mut client = online(ClientConfig::default());
    client.handle(Time::ZERO, call(1));
    drain(&mut client);
    client.handle(Time::ZERO, Input::Frame(Frame::Kick { reason: Code::REPLACED, message: "".into() }));
    let outputs = drain(&mut client);
    assert_eq!(codes(&outputs), [(1, Code::OUTCOME_UNKNOWN)]);
    assert!(matches!(outputs.last(), Some(Output::State(State::Closed(error))) if error.code == Code::REPLACED));
    client.handle(Time::ZERO, call(2));
    assert_eq!(codes(&drain(&mut client)), [(2, Code::NOT_SENT)]);
    assert_eq!(client.deadline(), None);
}

#[test]
fn a_full_ring_says_busy_and_an_ack_makes_room() {
    let ring = RingLimits { frames: 2, ..RingLimits::CLIENT };
    let mut client = online(ClientConfig { ring, ..ClientConfig::default() });
    (1..=3).for_each(|n| client.handle(Time::ZERO, call(n)));
    assert!(!client.has_room(1));
    assert_eq!(codes(&drain(&mut client)), [(3, Code::BUSY)]);
    client.handle(Time::ZERO, Input::Frame(Frame::Ack { seen: 1 }));
    assert!(client.has_room(1));
    client.handle(Time::ZERO, call(4));
    assert!(matches!(&sent(&drain(&mut client))[..], [Frame::Req(Req { seq: 3, .. })]));
}

#[test]
fn a_gap_or_an_impossible_ack_drops_the_connection() {
    let gap = Frame::Req(Req { seq: 2, ..Req::default() });
    for frame in [gap, Frame::Ack { seen: 1 }, Frame::Req(Req::default())] {
        let mut client = online(ClientConfig::default());
        client.handle(Time::ZERO, Input::Frame(frame));
        assert_eq!(drain(&mut client)[0], Output::Disconnect);
    }
}

#[test]
fn the_answer_to_a_request_of_a_lost_session_is_not_sent_in_the_next() {
    let mut client = online(ClientConfig::default());
    client.handle(Time::ZERO, Input::Frame(Frame::Req(Req { seq: 1, ..Req::default() })));
    assert!(matches!(drain(&mut client)[..], [Output::Request { request: 1, .. }]));
    client.handle(Time::ZERO, Input::Disconnected);
    client.handle(Time::ZERO, Input::Connected);
    client.handle(Time::ZERO, Input::Frame(Frame::Err(Error::new(Code::RESUME_FAILED, ""))));
    client.handle(Time::ZERO, welcome(false, 0));
    drain(&mut client);
    client.handle(Time::ZERO, Input::Reply { request: 1, result: Ok(Bytes::new()) });
    assert_eq!(drain(&mut client), []);
}

#[test]
fn who_closes_an_open_session_says_bye_first() {
    let mut client = online(ClientConfig::default());
    while client.poll().is_some() {}
    client.handle(Time::ZERO, Input::Close);
    assert_eq!(client.poll(), Some(Output::Send(Frame::Bye.to_bytes())));
    assert_eq!(client.poll(), Some(Output::Disconnect));
    assert!(matches!(client.poll(), Some(Output::State(State::Closed(_)))));
    assert_eq!(client.poll(), None);
}
