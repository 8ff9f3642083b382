//! Requests, pushes, groups, resume and drain.

use std::time::Duration;

use bbq_core::gate::Config;
use bbq_core::world::GroupChange;
use bbq_wire::Code;
use bbq_wire::frame::Frame;
use bytes::Bytes;

use crate::client::{ECHO, HIDDEN, SAID, SAY, Server, Wire, auth, hello, local, soon, until};

async fn talk(server: &mut Server, mut client: crate::client::Client<impl Wire>, account: &str) {
    let welcome = client.login(account).await;
    assert_eq!((&*welcome.account, welcome.resumed), (account, false));
    for len in [0, 1, 100, 200, 5000, 60_000] {
        let body = vec![7; len];
        client.request(ECHO, &body).await;
        let caller = server.echo().await;
        assert_eq!((&*caller.account, caller.session), (account, welcome.sid));
        assert_eq!(client.response().await.unwrap(), body);
    }
    client.request(HIDDEN, b"").await;
    assert_eq!(client.response().await.unwrap_err().code, Code::PERMISSION_DENIED);
    client.request(4711, b"").await;
    assert_eq!(client.response().await.unwrap_err().code, Code::UNIMPLEMENTED);
    client.request(SAY, b"hi").await;
    assert_eq!(client.response().await.unwrap(), b"".as_slice());
    let said = server.call().await;
    assert_eq!((said.method, said.call, said.body.into_bytes()), (SAY, None, Bytes::from_static(b"hi")));
    for len in [0, 200, 70_000, 900_000] {
        server.push(welcome.sid, &vec![1; len]).await;
        assert_eq!(client.pushed().await.len(), len);
    }
}

#[tokio::test]
async fn requests_are_answered_and_pushes_arrive_over_every_transport() {
    let mut server = Server::start(local()).await;
    let (tcp, websocket) = (server.tcp().await, server.websocket().await);
    talk(&mut server, tcp, "ann").await;
    talk(&mut server, websocket, "bob").await;
    let stats = until(|| async { Some(server.gate.stats().await).filter(|stats| stats.connections == 0) }).await;
    assert_eq!((stats.opened, stats.detached, stats.requests), (2, 2, 18));
    assert!(stats.bytes_in > 130_000 && stats.bytes_out > 2_000_000, "{stats:?}");
}

#[tokio::test]
async fn what_a_client_sends_in_one_flight_is_handled_in_order() {
    let mut server = Server::start(local()).await;
    for native in [true, false] {
        let request = Frame::Req(bbq_wire::frame::Req {
            seq: 1,
            method: ECHO,
            body: vec![3; 20_000].into(),
            ..bbq_wire::frame::Req::default()
        });
        let flight = [hello(), auth(b"eve"), request];
        if native {
            let mut client = server.tcp().await;
            client.send(&flight).await;
            client.welcome().await;
            server.echo().await;
            assert_eq!(client.response().await.unwrap().len(), 20_000);
        } else {
            let mut client = server.websocket().await;
            client.send(&flight).await;
            client.welcome().await;
            server.echo().await;
            assert_eq!(client.response().await.unwrap().len(), 20_000);
        }
    }
}

#[tokio::test]
async fn a_session_moves_from_one_transport_to_another_and_misses_nothing() {
    let mut server = Server::start(local()).await;
    let mut first = server.tcp().await;
    let welcome = first.login("ann").await;
    server.push(welcome.sid, b"1").await;
    assert_eq!(first.pushed().await, b"1".as_slice());
    first.request(ECHO, b"question").await;
    let call = server.call().await;
    drop(first);
    until(|| async { (server.gate.stats().await.detached == 1).then_some(()) }).await;
    let reply = bbq_core::mesh::ToGate::Reply { call: call.call.unwrap(), result: Ok(call.body) };
    server.to_gate.send(reply).await.unwrap();
    server.push(welcome.sid, b"3").await;

    let mut second = server.websocket().await;
    let Some(Frame::Welcome(resumed)) = second.resume(&welcome, 1).await else { panic!("not resumed") };
    assert_eq!((resumed.resumed, resumed.peer_seen, resumed.sid), (true, 1, welcome.sid));
    assert_eq!(second.response().await.unwrap(), b"question".as_slice());
    assert_eq!(second.pushed().await, b"3".as_slice());

    // The ticket is good until the gate knows that its successor has arrived.
    second.send(&[Frame::Ping { nonce: 1 }]).await;
    assert!(matches!(second.receive().await, Some(Frame::Pong { nonce: 1, .. })));

    let mut thief = server.tcp().await;
    assert!(
        matches!(thief.resume(&welcome, 1).await, Some(Frame::Err(error)) if error.code == Code::RESUME_FAILED),
        "a ticket is good once"
    );
    thief.send(&[auth(b"thief")]).await;
    assert!(!thief.welcome().await.resumed, "the connection stays open for a login");
}

#[tokio::test]
async fn a_group_is_told_at_once_and_all_get_the_same() {
    let server = Server::start(local()).await;
    let (mut clients, mut sids) = (Vec::new(), Vec::new());
    for number in 0..50 {
        let mut client = server.tcp().await;
        let sid = client.login(&format!("p{number}")).await.sid;
        server.join(sid).await;
        clients.push(client);
        sids.push(sid);
    }
    for round in 0..20_u8 {
        let body = Bytes::from(vec![round; 300]);
        let except = vec![sids[0]];
        server.group(GroupChange::Push { method: SAID, from: None, body, except, unreliable: false }).await;
    }
    server.push(sids[0], b"alone").await;
    assert_eq!(clients[0].pushed().await, b"alone".as_slice());
    for client in &mut clients[1..] {
        for round in 0..20_u8 {
            assert_eq!(client.pushed().await, vec![round; 300]);
        }
    }
}

#[tokio::test]
async fn a_second_login_replaces_the_first() {
    let server = Server::start(local()).await;
    let (mut first, mut second) = (server.tcp().await, server.websocket().await);
    first.login("ann").await;
    second.login("ann").await;
    assert!(matches!(first.receive().await, Some(Frame::Kick { reason: Code::REPLACED, .. })));
    assert_eq!(first.receive().await, None);
}

#[tokio::test]
async fn a_drain_sends_clients_away_and_ends() {
    let server = Server::start(local()).await;
    let (mut stays, mut goes) = (server.tcp().await, server.websocket().await);
    stays.login("stays").await;
    goes.login("goes").await;
    let grace = Duration::from_millis(400);
    let clients = async {
        let away = goes.receive().await;
        assert!(matches!(away, Some(Frame::GoAway(away)) if (100..=200).contains(&away.after_ms)));
        drop(goes);
        assert!(matches!(stays.receive().await, Some(Frame::GoAway(_))));
        let mut late = server.tcp().await;
        late.send(&[hello()]).await;
        assert_eq!(late.error().await.code, Code::GOING_AWAY);
        assert_eq!(stays.error().await.code, Code::GOING_AWAY);
        assert_eq!(stays.receive().await, None);
    };
    soon(async { tokio::join!(server.gate.drain(grace), clients) }).await;
    assert_eq!(server.gate.stats().await.detached, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_the_others_do_not_notice() {
    let mut config = Config::default();
    config.session.max_unflushed = 256 * 1024;
    let server = Server::start_machine(config).await;
    let (mut slow, mut quick) = (server.tcp().await, server.websocket().await);
    let sids = [slow.login("slow").await.sid, quick.login("quick").await.sid];
    for sid in sids {
        server.join(sid).await;
    }
    let body = Bytes::from(vec![0; 32 * 1024]);
    for _ in 0..500 {
        let (body, except) = (body.clone(), Vec::new());
        server.group(GroupChange::Push { method: SAID, from: None, body, except, unreliable: false }).await;
        assert_eq!(quick.pushed().await.len(), 32 * 1024);
        quick.send(&[Frame::Ack { seen: 1 }]).await;
    }
    let stats = server.gate.stats().await;
    assert_eq!((stats.cut.get(&Code::SLOW_CONSUMER), stats.attached), (Some(&1), 1), "{stats:?}");
}
