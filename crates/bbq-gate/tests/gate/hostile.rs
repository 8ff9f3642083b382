//! Clients that mean no good.

use std::time::Duration;

use bbq_core::desc::Rate;
use bbq_core::gate::{Config, Limits};
use bbq_gate::GateConfig;
use bbq_wire::frame::{Frame, Req};
use bbq_wire::{Code, SessionId};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::Message;

use crate::client::{Client, ECHO, Native, Server, Wire, hello, local, soon, until};

fn impatient() -> Config {
    Config { opening: Duration::from_millis(150), ..Config::default() }
}

#[tokio::test]
async fn half_open_handshakes_and_slow_writers_are_dropped_in_time() {
    let server = Server::start_machine(impatient()).await;
    let beginnings: [&[u8]; 5] = [b"", b"BB", b"BBQ1", b"GET / HTTP/1.1\r\nHost:", b"BBQ1\x05\x01"];
    let mut streams = Vec::new();
    for beginning in beginnings {
        let mut stream = TcpStream::connect(server.gate.local_addr()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        streams.push(stream);
    }
    // One byte at a time, for ever.
    let mut loris = TcpStream::connect(server.gate.local_addr()).await.unwrap();
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nX-".iter().chain(std::iter::repeat(&b'a')) {
            if loris.write_all(&[*byte]).await.is_err() {
                return;
            }
            // tidy: to be slow is the attack
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(dripping).await;
    for (mut stream, beginning) in streams.into_iter().zip(beginnings) {
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        let told = String::from_utf8_lossy(&answer).contains("not opened in time");
        assert_eq!(told, beginning.starts_with(b"BBQ1"), "{beginning:?} {answer:?}");
    }
    let stats = until(|| async { Some(server.gate.stats().await).filter(|stats| stats.connections == 0) }).await;
    assert_eq!(stats.refused.get(&Code::HANDSHAKE_TIMEOUT), Some(&6));
}

#[tokio::test]
async fn nonsense_is_answered_with_the_rule_that_it_breaks_and_the_end() {
    let server = Server::start(local()).await;
    let cases: [(&[u8], Code); 5] = [
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0], Code::FRAME_TOO_LARGE),
        (&[1, 0], Code::BAD_FRAME),
        (&[2, 99, 0], Code::BAD_FRAME),
        (&[2, 9, 0], Code::BAD_FRAME),
        (&[3, 9, 0, 1], Code::BAD_FRAME),
    ];
    for (bytes, code) in cases {
        let mut client = server.tcp().await;
        client.wire.send(Bytes::copy_from_slice(bytes)).await;
        assert_eq!(client.error().await.code, code, "{bytes:?}");
        assert_eq!(client.receive().await, None);
    }
    let mut client = server.tcp().await;
    client.login("ann").await;
    let gap = Frame::Req(Req { seq: 9, method: ECHO, ..Req::default() });
    client.send(&[gap]).await;
    assert_eq!(client.error().await.code, Code::BAD_FRAME);
    assert_eq!(client.receive().await, None);
}

#[tokio::test]
async fn a_websocket_that_breaks_its_own_protocol_is_closed_and_pings_are_answered() {
    let server = Server::start(local()).await;
    let mut client = server.websocket().await;
    client.login("ann").await;
    client.wire.0.send(Message::ping("are you there")).await.unwrap();
    let pong = soon(client.wire.0.next()).await.unwrap().unwrap();
    assert!(pong.is_pong() && pong.as_payload()[..] == b"are you there"[..]);
    client.wire.0.send(Message::text("words")).await.unwrap();
    let error = client.error().await;
    assert_eq!((error.code, &*error.message), (Code::BAD_FRAME, "WebSocket: text messages are not spoken here"));
    assert_eq!(client.receive().await, None);

    let mut client = server.websocket().await;
    let mut half = hello().to_bytes();
    half.truncate(3);
    client.wire.send(half).await;
    let error = client.error().await;
    assert_eq!((error.code, &*error.message), (Code::BAD_FRAME, "a frame spans messages"));

    let mut client = server.websocket().await;
    client.login("bob").await;
    client.wire.0.close().await.unwrap();
    until(|| async { (server.gate.stats().await.attached == 0).then_some(()) }).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_make_room_again() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let server = Server::start_machine(Config { limits, ..Config::default() }).await;
    let (mut first, mut second) = (server.tcp().await, server.tcp().await);
    first.login("1").await;
    second.login("2").await;
    let mut third = server.tcp().await;
    assert_eq!(third.error().await.code, Code::TOO_MANY_CONNECTIONS);
    assert_eq!(third.receive().await, None);
    drop(first);
    until(|| async { (server.gate.stats().await.attached == 1).then_some(()) }).await;
    server.tcp().await.login("4").await;
}

#[tokio::test]
async fn a_flood_makes_only_its_sender_wait() {
    let limits = Limits { session_rate: Some(Rate { per_second: 10.0, burst: 20 }), ..Limits::default() };
    let machine = Config { limits, ..Config::default() };
    let mut server = Server::start(GateConfig { machine, queue: 16, ..local() }).await;
    let mut flood = server.tcp().await;
    flood.login("flood").await;
    let (mut reader, mut writer) = flood.wire.0.into_split();
    let flooding = tokio::spawn(async move {
        let mut bytes = bytes::BytesMut::new();
        for seq in 1.. {
            bytes.clear();
            Frame::Req(Req { seq, method: 4711, body: vec![0; 100].into(), ..Req::default() }).encode(&mut bytes);
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    // It does read, so it is not a slow consumer.
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let mut client = server.tcp().await;
    client.login("calm").await;
    for _ in 0..10 {
        client.request(ECHO, b"x").await;
        server.echo().await;
        assert_eq!(client.response().await.unwrap(), b"x".as_slice());
    }
    until(|| async {
        let stats = server.gate.stats().await;
        stats.refused.get(&Code::RESOURCE_EXHAUSTED).is_some_and(|count| *count > 1000).then_some(())
    })
    .await;
    flooding.abort();
    reading.abort();
}

#[tokio::test]
async fn guessing_sessions_is_answered_the_same_whether_they_exist_or_not() {
    let server = Server::start(local()).await;
    let mut ann = server.tcp().await;
    let mut welcome = ann.login("ann").await;
    welcome.ticket = vec![0; 16].into();
    let mut answers = Vec::new();
    for sid in [welcome.sid, SessionId(1)] {
        let mut guess: Client<Native<TcpStream>> = server.tcp().await;
        welcome.sid = sid;
        answers.push(guess.resume(&welcome, 0).await);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(matches!(&answers[0], Some(Frame::Err(error)) if error.code == Code::RESUME_FAILED));
}

#[tokio::test]
async fn thousands_of_tiny_frames_in_one_read_are_handled_in_order() {
    let server = Server::start(GateConfig { queue: 1, ..local() }).await;
    for native in [true, false] {
        let mut flight = vec![hello(), crate::client::auth(b"ann")];
        flight.extend((0..5000).map(|nonce| Frame::Ping { nonce }));
        let check = |frame: Option<Frame>, expected| {
            assert!(matches!(frame, Some(Frame::Pong { nonce, .. }) if nonce == expected), "{frame:?}");
        };
        if native {
            let mut client = server.tcp().await;
            client.send(&flight).await;
            client.welcome().await;
            for nonce in 0..5000 {
                check(client.receive().await, nonce);
            }
        } else {
            let mut client = server.websocket().await;
            client.send(&flight).await;
            client.welcome().await;
            for nonce in 0..5000 {
                check(client.receive().await, nonce);
            }
        }
    }
}
