//! How processes form a cluster, and how they refuse to.

use std::collections::BTreeSet;

use bbq_client::Code;
use example_chat::chat::{CHAT_CLIENT, JoinReply, JoinRequest, Line, ROOM, SayReply, SayRequest};
use gobbq::codegen::buffa::Message;

use crate::player::{Player, answered, id, options};
use crate::runner::{Cluster, soon};

#[tokio::test]
async fn center_proxy_game_and_gate_as_four_processes_form_a_cluster() {
    let (_cluster, [_center, _proxy, game, gate]) = Cluster::usual().await;
    for scheme in ["tcp", "ws"] {
        let mut player = Player::join(options(scheme, &gate, scheme)).await;
        let place = answered("a service answers", || player.instance()).await;
        assert_eq!(place.pid, game.pid());
        assert_eq!(answered("an entity answers", || player.add(scheme, 7)).await, 0);
        assert_eq!(player.added().await, 7);
        assert_eq!(answered("the client is asked back", || player.is_asked(41)).await, 42);
        assert_eq!(player.read(scheme).await.unwrap(), [7]);
    }
}

#[tokio::test]
async fn people_in_a_chat_room_hear_each_other_through_two_gates_and_two_games() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (_proxy, _one, _two, gate, other) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate-1", &[]),
        cluster.start("gate", "gate-2", &[])
    );
    let ann = Player::at(&gate, "ann").await;
    let mut bob = Player::join(options("ws", &other, "bob")).await;
    for room in ["lobby", "help", "arena"] {
        for (player, name) in [(&ann, "ann"), (&bob, "bob")] {
            let join = JoinRequest { name: name.to_owned(), ..Default::default() };
            let joined: JoinReply =
                answered("a room lets one in", || player.client.ask(id(&ROOM, "Join"), Some(room.into()), &join)).await;
            assert_eq!(joined.name, name);
        }
        let say = SayRequest { text: format!("hello {room}"), ..Default::default() };
        let said: SayReply = ann.client.ask(id(&ROOM, "Say"), Some(room.into()), &say).await.unwrap();
        let heard = soon("the line is heard", async {
            loop {
                let push = bob.pushes.next().await.expect("the client is open");
                if push.method == id(&CHAT_CLIENT, "Said") {
                    return Line::decode_from_slice(&push.body).unwrap();
                }
            }
        })
        .await;
        assert_eq!((heard.text, heard.number, heard.from), (say.text, said.number, "ann".to_owned()));
    }
}

#[tokio::test]
async fn every_entity_is_found_from_every_gate_and_lives_in_one_process() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (_proxy, one, two, gate, other) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate-1", &[]),
        cluster.start("gate", "gate-2", &[])
    );
    let (here, there) = (Player::at(&gate, "here").await, Player::at(&other, "there").await);
    let mut pids = BTreeSet::new();
    for key in 0..64_u64 {
        let (mine, yours) = tokio::join!(
            answered("found from one gate", || here.place(key)),
            answered("found from the other", || there.place(key))
        );
        assert_eq!(mine, yours, "ledger {key}");
        pids.insert(mine.pid);
    }
    assert_eq!(pids, BTreeSet::from([one.pid(), two.pid()]), "both games take part");
}

#[tokio::test]
async fn games_and_gates_go_through_the_unix_socket_of_a_sidecar() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let socket = cluster.path("proxy.sock");
    let sidecar = ["--sidecar", socket.to_str().unwrap()];
    let proxy = cluster.start("proxy", "proxy", &sidecar).await;
    assert_eq!(proxy.mesh().len(), 2, "{:?}", proxy.mesh());
    let (game, gate) = tokio::join!(cluster.start("game", "game", &sidecar), cluster.start("gate", "gate", &sidecar));
    assert!(game.mesh().is_empty() && gate.mesh().is_empty(), "only the proxy listens");
    let player = Player::at(&gate, "ann").await;
    answered("an entity answers", || player.add("sidecar", 1)).await;

    // The proxy dies; another takes its place on the same path, and nobody else has to be told.
    proxy.kill().await;
    let _proxy = cluster.start("proxy", "proxy-2", &sidecar).await;
    answered("the way through the new proxy", || player.add("sidecar", 2)).await;
    let stored = answered("it reads", || player.read("sidecar")).await;
    assert_eq!((stored.first(), stored.last()), (Some(&1), Some(&2)));
    assert!(game.memory_mib() < 512);
}

#[tokio::test]
async fn others_come_to_the_address_that_a_game_advertises() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    // What stands for a port that is forwarded to a container.
    let forwarded = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = forwarded.local_addr().unwrap().to_string();
    let advertise = ["--mesh-advertise", &*outside];
    let (_proxy, game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &advertise),
        cluster.start("gate", "gate", &[])
    );
    let inside = game.mesh().remove(0);
    assert_ne!(inside, outside);
    let log = cluster.log("game");
    assert!(log.contains(&inside) && log.contains(&outside), "it says what it announces: {log}");
    let forwarding = tokio::spawn(async move {
        while let Ok((mut near, _)) = forwarded.accept().await {
            let mut far = tokio::net::TcpStream::connect(&inside).await.expect("the game listens");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let player = Player::at(&gate, "ann").await;
    // The gate has no other way to it.
    assert_eq!(answered("the service answers", || player.instance()).await.pid, game.pid());
    answered("an entity answers", || player.add("forwarded", 1)).await;
    forwarding.abort();
}

#[tokio::test]
async fn a_process_of_another_cluster_is_refused_with_the_names_of_both() {
    let (cluster, _center) = Cluster::with_center(&["--cluster", "ours"]).await;
    let _proxy = cluster.start("proxy", "proxy", &["--cluster", "ours"]).await;
    let refused = cluster.try_start("game", "stranger", &["--cluster", "theirs"]).await;
    let refused = refused.err().expect("it does not become ready");
    assert!(!refused.status.success());
    let says = |word: &str| refused.log.contains(word);
    assert!(says("ours") && says("theirs") && says("--cluster"), "{}", refused.log);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_option_that_changes_it() {
    let (cluster, center) = Cluster::with_center(&[]).await;
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (role, option) in [("center", "--center-listen"), ("gate", "--listen"), ("proxy", "--mesh-listen")] {
        let refused = cluster.try_start(role, &format!("late-{role}"), &[option, &taken]).await;
        let refused = refused.err().expect("it does not become ready");
        assert_eq!(refused.status.code(), Some(1), "{role}");
        assert!(refused.log.contains(&taken) && refused.log.contains(option), "{role}: {}", refused.log);
    }
    assert!(center.memory_mib() < 512);
}

#[tokio::test]
async fn a_process_that_finds_no_center_says_so_and_ends() {
    let cluster = Cluster::empty();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = cluster.try_start("game", "lonely", &["--center", &nobody]).await;
    let refused = refused.err().expect("it does not become ready");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.log.contains("--center"), "{}", refused.log);
}

#[tokio::test]
async fn a_mistake_in_an_option_is_named_and_nothing_starts() {
    let cluster = Cluster::empty();
    let refused = cluster.try_start("game", "typo", &["--centre", "127.0.0.1:1"]).await;
    let refused = refused.err().expect("it does not become ready");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.log.contains("--centre") && refused.log.contains("--help"), "{}", refused.log);
}

#[tokio::test]
async fn a_call_to_nobody_ends_with_a_verdict() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (_proxy, gate) = tokio::join!(cluster.start("proxy", "proxy", &[]), cluster.start("gate", "gate", &[]));
    let player = Player::at(&gate, "ann").await;
    let error = soon("a verdict", player.add("nowhere", 1)).await.expect_err("there is no game");
    assert!(matches!(error.code, Code::UNIMPLEMENTED | Code::UNAVAILABLE), "{error}");
    let _game = cluster.start("game", "game", &[]).await;
    answered("the first game serves", || player.add("nowhere", 1)).await;
}
