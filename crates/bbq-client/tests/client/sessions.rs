//! Sessions that outlive connections, and those that do not.

use std::time::Duration;

use bbq_client::{Client, Code, Error, Event, Options, Push};
use bbq_wire::{Frame, SharedFrame};
use bytes::Bytes;
use tokio::net::TcpListener;

use crate::gate::{ECHO, FAIL, Gate, HANG, Kind};
use crate::{connect, options, soon, until};

const WAIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn calls_notifications_and_pushes_work_over_every_transport() {
    for kind in [Kind::Tcp, Kind::Ws, Kind::Tls, Kind::Wss] {
        let gate = Gate::start(kind).await;
        let (client, _events) = connect(&gate).await;
        let mut pushes = client.pushes();
        assert_eq!(client.account(), "ann");
        assert_eq!(client.call(ECHO, Some(5.into()), "hello", WAIT).await.unwrap(), "hello", "{kind:?}");
        let error = client.call(FAIL, None, "", WAIT).await.unwrap_err();
        assert_eq!((error.code, error.retry_after_ms), (Code(1001), 7));
        client.notify(9, None, "note").unwrap();
        until(|| gate.notes() == [(9, Bytes::from("note"))]).await;
        gate.push(8, &[7; 300_000]);
        let push = soon(pushes.next()).await.unwrap();
        assert_eq!((push.method, push.body.len()), (8, 300_000));
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_connections_break() {
    for kind in [Kind::Tcp, Kind::Ws] {
        let gate = Gate::start(kind).await;
        let (client, mut events) = connect(&gate).await;
        let mut pushes = client.pushes();
        for round in 0_u32..30 {
            let calls: Vec<_> = (0..5)
                .map(|n: u8| {
                    let client = client.clone();
                    tokio::spawn(async move { client.call(ECHO, None, vec![n], WAIT).await })
                })
                .collect();
            client.notify(round, None, "").unwrap();
            if round % 2 == 0 {
                client.cut()
            } else {
                gate.cut()
            }
            gate.push(round, b"");
            for (n, call) in calls.into_iter().enumerate() {
                assert_eq!(soon(call).await.unwrap().unwrap(), [n as u8][..]);
            }
            assert_eq!(soon(pushes.next()).await.unwrap().method, round);
            assert_eq!(soon(events.next()).await, Some(Event::Detached));
            assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: true }));
        }
        let notes: Vec<u32> = gate.notes().into_iter().map(|(method, _)| method).collect();
        assert_eq!(notes, (0..30).collect::<Vec<_>>());
        assert_eq!(pushes.try_next(), None);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_resumed_is_reported_and_replaced() {
    let gate = Gate::start(Kind::Tcp).await;
    let (client, mut events) = connect(&gate).await;
    let first = client.sid();
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { client.call(HANG, None, "", WAIT).await }
    });
    // The hanging call has been sent when this one is answered.
    tokio::task::yield_now().await;
    client.call(ECHO, None, "", WAIT).await.unwrap();
    gate.forget();
    gate.cut();
    assert_eq!(soon(events.next()).await, Some(Event::Detached));
    assert_eq!(soon(events.next()).await, Some(Event::Resync));
    assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: false }));
    assert_eq!(soon(hanging).await.unwrap().unwrap_err().code, Code::OUTCOME_UNKNOWN);
    assert_ne!(client.sid(), first);
    assert_eq!(client.call(ECHO, None, "new", WAIT).await.unwrap(), "new");
}

#[tokio::test]
async fn a_kick_is_the_end() {
    let gate = Gate::start(Kind::Ws).await;
    let (client, mut events) = connect(&gate).await;
    let mut pushes = client.pushes();
    gate.kick(&Error::new(Code::KICKED, "out"));
    assert_eq!(soon(events.next()).await, Some(Event::Closed(Error::new(Code::KICKED, "out"))));
    assert_eq!((soon(events.next()).await, soon(pushes.next()).await), (None, None));
    assert_eq!(client.call(ECHO, None, "", WAIT).await.unwrap_err().code, Code::NOT_SENT);
    assert_eq!(client.notify(1, None, "").unwrap_err().code, Code::NOT_SENT);
    assert_eq!(gate.accepted(), 1, "it does not come back");
}

#[tokio::test]
async fn a_gate_that_drains_hands_its_clients_over() {
    let gate = Gate::start(Kind::Tcp).await;
    let (client, mut events) = connect(&gate).await;
    let elsewhere = gate.listen().await;
    for address in [elsewhere.to_string(), format!("tcp://{elsewhere}"), String::new()] {
        gate.go_away(&address);
        assert_eq!(soon(events.next()).await, Some(Event::Detached));
        assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: true }));
        assert_eq!(client.call(ECHO, None, "x", WAIT).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn frames_that_come_twice_are_taken_once() {
    let gate = Gate::start(Kind::Tcp).await;
    let (client, _events) = connect(&gate).await;
    let mut pushes = client.pushes();
    gate.push(1, b"once");
    gate.raw(&SharedFrame::push(1, None, b"once").to_bytes(1, None));
    gate.push(2, b"next");
    let once = Push { method: 1, key: None, body: Bytes::from("once") };
    assert_eq!(soon(pushes.next()).await, Some(once));
    assert_eq!(soon(pushes.next()).await.unwrap().method, 2);
}

#[tokio::test]
async fn a_gate_that_breaks_the_protocol_is_left_and_the_session_goes_on() {
    let gap = SharedFrame::push(1, None, b"").to_bytes(99, None);
    let ahead = Frame::Ack { seen: 1000 }.to_bytes();
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 8, 0];
    for kind in [Kind::Tcp, Kind::Ws] {
        let gate = Gate::start(kind).await;
        let (client, mut events) = connect(&gate).await;
        for bytes in [&[2, 77, 0][..], &[1, 8][..], &[3, 9, 0x80, 1][..], &huge[..], &gap[..], &ahead[..]] {
            gate.raw(bytes);
            assert_eq!(soon(events.next()).await, Some(Event::Detached), "{bytes:?}");
            assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: true }), "{bytes:?}");
        }
        assert_eq!(client.call(ECHO, None, "x", WAIT).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn connect_says_why_there_is_no_session() {
    let gate = Gate::start(Kind::Ws).await;
    let refused = soon(Client::connect(options(&gate).auth("jwt", "bad", ""))).await.unwrap_err();
    assert_eq!((refused.code, &*refused.message), (Code::UNAUTHENTICATED, "no such token"));
    let nowhere = Client::connect(Options::new("http://127.0.0.1:1")).await.unwrap_err();
    assert_eq!(nowhere.code, Code::INVALID_ARGUMENT);
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = Options::new(format!("tcp://{port}")).connect_within(Duration::from_millis(50));
    let unavailable = soon(Client::connect(options)).await.unwrap_err();
    assert_eq!(unavailable.code, Code::UNAVAILABLE);
    assert!(unavailable.message.contains("refused"), "{unavailable}");
}

#[tokio::test]
async fn only_a_known_authority_is_trusted_unless_told_otherwise() {
    let gate = Gate::start(Kind::Tls).await;
    let stranger = Gate::start(Kind::Tls).await;
    let wrong = options(&gate).roots_pem(stranger.root_pem().as_bytes()).unwrap();
    let error = soon(Client::connect(wrong.connect_within(Duration::from_millis(200)))).await.unwrap_err();
    assert!(error.message.contains("certificate"), "{error}");
    let any = options(&gate).dangerous_accept_any().unwrap();
    assert!(soon(Client::connect(any)).await.is_ok());
}

#[tokio::test]
async fn what_the_server_asks_is_answered_whatever_the_handler_does() {
    let gate = Gate::start(Kind::Tcp).await;
    let (client, _events) = connect(&gate).await;
    let code = |answer: Result<Bytes, Error>| answer.unwrap_err().code;
    assert_eq!(code(soon(gate.request(1, b"")).await.unwrap()), Code::UNIMPLEMENTED);
    client.on_request(|request| async move {
        assert!(request.method != 13, "superstition");
        Ok(request.body)
    });
    assert_eq!(soon(gate.request(1, b"and you?")).await.unwrap().unwrap(), "and you?");
    assert_eq!(code(soon(gate.request(13, b"")).await.unwrap()), Code::PANICKED);
}

#[tokio::test]
async fn a_slow_reader_of_pushes_loses_none() {
    let gate = Gate::start(Kind::Tcp).await;
    let client = soon(Client::connect(options(&gate).push_queue(4))).await.unwrap();
    let mut pushes = client.pushes();
    (0..2000).for_each(|number| gate.push(number, &[0; 100]));
    for number in 0..2000 {
        assert_eq!(soon(pushes.next()).await.unwrap().method, number);
    }
}

#[tokio::test]
async fn the_session_ends_with_its_last_handle_after_what_was_said_before() {
    let gate = Gate::start(Kind::Tcp).await;
    let (client, mut events) = connect(&gate).await;
    let second = client.clone();
    drop(client);
    assert_eq!(second.call(ECHO, None, "x", WAIT).await.unwrap(), "x");
    second.notify(5, None, "goodbye").unwrap();
    drop(second);
    until(|| gate.attached() == 0 && !gate.notes().is_empty()).await;
    assert!(matches!(soon(events.next()).await, Some(Event::Closed(error)) if error.code == Code::CANCELLED));
}

#[tokio::test]
async fn a_call_has_a_deadline_whether_or_not_there_is_a_connection() {
    let gate = Gate::start(Kind::Tcp).await;
    let patient = options(&gate).backoff(Duration::from_secs(60), Duration::from_secs(60));
    let client = soon(Client::connect(patient)).await.unwrap();
    let mut events = client.events();
    assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: false }));
    let late = client.call(HANG, None, "", Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(late.code, Code::DEADLINE_EXCEEDED);
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    gate.go_away(&away.to_string());
    assert_eq!(soon(events.next()).await, Some(Event::Detached));
    let late = soon(client.call(ECHO, None, "", Duration::from_millis(1))).await.unwrap_err();
    assert_eq!(late.code, Code::DEADLINE_EXCEEDED);
}
