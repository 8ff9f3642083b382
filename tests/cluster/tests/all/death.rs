//! Processes that are killed, hang, or are asked to end: what the others and the players notice.

use std::time::{Duration, Instant};

use bbq_client::{Code, Event, Result};
use example_chat::chat::{JoinReply, JoinRequest, ROOM, SayReply, SayRequest};

use crate::player::{Player, answered, id, options};
use crate::runner::{Cluster, Process, soon, until};

/// A lease, the grace after it, and the time that a busy machine needs to act on it.
const DEATH: Duration = Duration::from_secs(15);

/// A cluster with a proxy, two games and a gate.
async fn two_games() -> (Cluster, Process, Process, Process, Process, Process) {
    let (cluster, center) = Cluster::with_center(&[]).await;
    let (proxy, one, two, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    (cluster, center, proxy, one, two, gate)
}

/// Ledgers that live in this process.
async fn ledgers_in(player: &Player, process: &Process, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    for key in 1000.. {
        if answered("a ledger is somewhere", || player.place(key)).await.pid == process.pid() {
            found.push(key);
        }
        if found.len() == count {
            break;
        }
    }
    found
}

async fn enter(player: &Player, room: &str, name: &str) -> Result<JoinReply> {
    let join = JoinRequest { name: name.to_owned(), ..Default::default() };
    player.client.ask(id(&ROOM, "Join"), Some(room.into()), &join).await
}

async fn say(player: &Player, room: &str, text: &str) -> Result<SayReply> {
    let say = SayRequest { text: text.to_owned(), ..Default::default() };
    player.client.ask(id(&ROOM, "Say"), Some(room.into()), &say).await
}

#[tokio::test]
async fn rooms_of_a_killed_game_come_back_elsewhere_with_every_acknowledged_line() {
    let (_cluster, _center, _proxy, one, _two, gate) = two_games().await;
    let mut members = Vec::new();
    for number in 0..12 {
        let (room, player) = (format!("room-{number}"), Player::at(&gate, &format!("member-{number}")).await);
        answered("a room lets one in", || enter(&player, &room, "ann")).await;
        for line in 1..=5 {
            assert_eq!(say(&player, &room, &format!("line {line}")).await.unwrap().number, line);
        }
        members.push((room, player));
    }
    one.kill().await;
    for (room, player) in &members {
        let joined = answered("the room is back", || enter(player, room, "ann")).await;
        assert_eq!((&*joined.name, joined.members.len()), ("ann", 1), "a member is still a member");
        let lines: Vec<&str> = joined.history.iter().map(|line| &*line.text).collect();
        assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4", "line 5"], "{room}");
        assert!(answered("talk goes on", || say(player, room, "line 6")).await.number >= 6);
    }
}

#[tokio::test]
async fn sessions_are_in_no_group_of_a_killed_game_until_they_join_again() {
    let (cluster, [_center, _proxy, game, gate]) = Cluster::usual().await;
    let (mut ann, mut bob) = (Player::at(&gate, "ann").await, Player::at(&gate, "bob").await);
    for player in [&ann, &bob] {
        answered("it joins", || player.enter("crowd")).await;
    }
    bob.shout("crowd", 1, 0).await.unwrap();
    assert_eq!((ann.heard().await, bob.heard().await), (1, 1));
    game.kill().await;
    let _other = cluster.start("game", "game-2", &[]).await;
    answered("it joins the next life", || bob.enter("crowd")).await;
    bob.shout("crowd", 2, 0).await.unwrap();
    assert_eq!(bob.heard().await, 2);
    answered("so does the other", || ann.enter("crowd")).await;
    bob.shout("crowd", 3, 0).await.unwrap();
    assert_eq!(ann.heard().await, 3, "and missed nothing that was meant for it");
}

#[tokio::test]
async fn callers_of_a_killed_game_get_a_verdict_and_nobody_is_sent_there_any_more() {
    let (_cluster, _center, _proxy, one, two, gate) = two_games().await;
    let player = Player::at(&gate, "ann").await;
    let keys = ledgers_in(&player, &one, 5).await;
    let (last, waiting) = keys.split_last().unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for &key in waiting {
        let call = bbq_client::Client::clone(&player.client);
        calls.spawn(async move {
            let body = gobbq::codegen::buffa::Message::encode_to_bytes(&crate::player::number(60_000));
            let method = id(&cluster_tests::probe::LEDGER, "Linger");
            call.call(method, Some(key.into()), body, Duration::from_secs(60)).await
        });
    }
    // Calls of one session travel in order: when this one is answered, those before it are being worked on.
    tokio::task::yield_now().await;
    answered("the game still lives", || player.place(*last)).await;
    let killed = Instant::now();
    one.kill().await;
    while let Some(verdict) = soon("a verdict", calls.join_next()).await {
        let error = verdict.unwrap().expect_err("nobody is left to answer");
        assert_eq!(error.code, Code::OUTCOME_UNKNOWN, "{error}");
        assert!(killed.elapsed() < DEATH, "after {:?}", killed.elapsed());
    }
    for _ in 0..50 {
        let place = player.instance().await.expect("the service is served");
        assert_eq!(place.pid, two.pid(), "not by the dead");
    }
    for key in keys {
        assert_eq!(answered("the ledger is back", || player.place(key)).await.pid, two.pid());
    }
}

#[tokio::test]
async fn a_killed_proxy_takes_no_entity_with_it() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (first, _second, _one, _two, gate) = tokio::join!(
        cluster.start("proxy", "proxy-1", &[]),
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    let player = Player::at(&gate, "ann").await;
    let mut places = Vec::new();
    for key in 0..40_u64 {
        answered("a ledger is made", || player.add(key, 1)).await;
        places.push(player.place(key).await.unwrap());
    }
    first.kill().await;
    let other = Player::at(&gate, "bob").await;
    for (key, place) in (0_u64..).zip(&places) {
        assert_eq!(answered("it is found", || other.place(key)).await, *place, "ledger {key} stays where it was");
        assert_eq!(answered("it reads", || other.read(key)).await, [1]);
    }
    for key in 100..140_u64 {
        answered("new ones are made", || other.add(key, 1)).await;
    }
}

#[tokio::test]
async fn clients_of_a_killed_gate_come_back_and_are_told_that_they_missed_something() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listen = ["--listen", &*free];
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate-1", &listen)
    );
    let mut players = Vec::new();
    for (scheme, name) in [("tcp", "ann"), ("ws", "bob")] {
        let player = Player::join(options(scheme, &gate, name)).await;
        answered("a room lets one in", || enter(&player, "lobby", name)).await;
        let old = player.client.sid().unwrap();
        players.push((player, name, old));
    }
    gate.kill().await;
    let _gate = cluster.start("gate", "gate-2", &listen).await;
    for (player, name, old) in &mut players {
        player.until_event(|event| *event == Event::Resync).await;
        player.until_event(|event| matches!(event, Event::Online { resumed: false })).await;
        assert_ne!(player.client.sid().unwrap(), *old);
        answered("the new session may join again", || enter(player, "lobby", name)).await;
    }
    // Sessions of the dead gate have left the room as soon as its death is certain.
    let present = until("only the living are members", || async {
        let joined = enter(&players[0].0, "lobby", "ann").await.ok()?;
        (joined.members.len() == 2).then_some(joined.members)
    });
    assert_eq!(present.await.len(), 2);
}

#[tokio::test]
async fn a_cluster_serves_without_its_center_and_grows_again_when_it_is_back() {
    let (cluster, center) = Cluster::with_center(&["--data", "data"]).await;
    let address = center.address("center");
    let (_proxy, game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("gate", "gate", &[])
    );
    let player = Player::at(&gate, "ann").await;
    for value in 1..=10 {
        answered("a number is stored", || player.add("kept", value)).await;
    }
    center.kill().await;
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(6) {
        let place = soon("calls go on", player.place("kept")).await.expect("nobody needs the center to answer");
        assert_eq!(place.pid, game.pid());
        soon("services go on", player.instance()).await.expect("nor do services");
        // tidy: a player that is slower than the network, for longer than a lease
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _center = cluster.start("center", "center-2", &["--center-listen", &address, "--data", "data"]).await;
    answered("numbers are stored again", || player.add("kept", 11)).await;
    let stored = answered("and read", || player.read("kept")).await;
    assert_eq!(stored[..10], (1..=10).collect::<Vec<u64>>()[..]);
    assert_eq!(stored.last(), Some(&11));
    let second = cluster.start("game", "game-2", &[]).await;
    until("the new game takes part", || async {
        let place = player.instance().await.ok()?;
        (place.pid == second.pid()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_game_that_hangs_for_longer_than_its_lease_is_replaced_and_ends_when_it_wakes_up() {
    let (cluster, _center, _proxy, mut one, two, gate) = two_games().await;
    let player = Player::at(&gate, "ann").await;
    let keys = ledgers_in(&player, &one, 3).await;
    for &key in &keys {
        answered("a number is stored", || player.add(key, 1)).await;
    }
    one.freeze();
    for &key in &keys {
        assert_eq!(answered("the ledger is back", || player.place(key)).await.pid, two.pid());
        answered("another number is stored", || player.add(key, 2)).await;
    }
    one.thaw();
    until("it notices that it was declared dead", || {
        let over = !one.is_running();
        async move { over.then_some(()) }
    })
    .await;
    assert!(cluster.log("game-1").contains("declared dead"), "and says so");
    for &key in &keys {
        let stored = player.read(key).await.unwrap();
        assert_eq!((stored.first(), stored.last()), (Some(&1), Some(&2)));
    }
}
