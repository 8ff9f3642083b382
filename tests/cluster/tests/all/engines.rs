//! Clusters whose control plane is an engine of its own: a game is killed, the engine freezes, settings are wrong.

use std::time::{Duration, Instant};

use crate::player::{Player, answered};
use crate::runner::{Cluster, Process, soon, until};
use crate::servers::{Kind, Server};

/// How long an engine is away while the game goes on.
const OUTAGE: Duration = Duration::from_secs(15);

/// A cluster with a proxy, two games and a gate.
async fn cluster(engine: &[&str]) -> (Cluster, [Process; 5]) {
    let (cluster, center) = Cluster::with_center(engine).await;
    let (proxy, one, two, gate) = tokio::join!(
        cluster.start("proxy", "proxy", engine),
        cluster.start("game", "game-1", engine),
        cluster.start("game", "game-2", engine),
        cluster.start("gate", "gate", engine)
    );
    (cluster, [center, proxy, one, two, gate])
}

/// Ledgers that live in this process.
async fn ledgers_in(player: &Player, process: &Process, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    for key in 1.. {
        if answered("a ledger is somewhere", || player.place(key)).await.pid == process.pid() {
            found.push(key);
        }
        if found.len() == count {
            break;
        }
    }
    found
}

async fn a_killed_game_is_healed(kind: Kind) {
    let server = Server::start(kind);
    let url = server.url("night");
    let (_cluster, [_center, _proxy, one, two, gate]) = cluster(&["--control-plane", &url]).await;
    let player = Player::at(&gate, "ann").await;
    let ledgers = ledgers_in(&player, &one, 5).await;
    for &ledger in &ledgers {
        answered("a ledger counts", || player.add(ledger, 7)).await;
    }
    one.kill().await;
    for &ledger in &ledgers {
        let place = answered("the ledger is back", || player.place(ledger)).await;
        assert_eq!(place.pid, two.pid(), "it lives in the other game");
        assert_eq!(answered("it remembers", || player.read(ledger)).await, [7]);
    }
}

async fn a_game_goes_on_while_its_engine_is_away(kind: Kind) {
    let server = Server::start(kind);
    let url = server.url("night");
    let engine = ["--control-plane", &url[..]];
    let (cluster, mut processes) = cluster(&engine).await;
    let player = Player::at(&processes[4], "ann").await;
    for ledger in 0..20_u64 {
        answered("a ledger counts", || player.add(ledger, 1)).await;
    }
    server.freeze();
    let (begin, mut calls) = (Instant::now(), 0);
    while begin.elapsed() < OUTAGE {
        // Also ones that nobody called before: the directory is not in the engine.
        for ledger in [calls % 20, 1000 + calls] {
            player.add(ledger, 2).await.expect("an outage of the engine is none of the game");
        }
        calls += 1;
        // tidy: calls at a pace, waits for nothing
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.thaw();
    let third = soon("a game joins", cluster.start("game", "game-3", &engine)).await;
    until("the new game gets entities", || {
        let player = &player;
        let third = third.pid();
        async move {
            static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(100_000);
            let key = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let place = player.place(key).await.ok()?;
            (place.pid == third).then_some(())
        }
    })
    .await;
    for process in &mut processes {
        assert!(process.is_running(), "nobody was declared dead");
    }
    for ledger in 0..20_u64 {
        let values = answered("it remembers", || player.read(ledger)).await;
        assert_eq!(values.first(), Some(&1), "ledger {ledger}");
    }
}

#[tokio::test]
async fn a_killed_game_is_healed_on_etcd() {
    a_killed_game_is_healed(Kind::Etcd).await;
}

#[tokio::test]
async fn a_killed_game_is_healed_on_consul() {
    a_killed_game_is_healed(Kind::Consul).await;
}

#[tokio::test]
async fn a_killed_game_is_healed_on_zookeeper() {
    a_killed_game_is_healed(Kind::ZooKeeper).await;
}

#[tokio::test]
async fn a_game_goes_on_while_etcd_is_away() {
    a_game_goes_on_while_its_engine_is_away(Kind::Etcd).await;
}

#[tokio::test]
async fn a_game_goes_on_while_consul_is_away() {
    a_game_goes_on_while_its_engine_is_away(Kind::Consul).await;
}

#[tokio::test]
async fn a_game_goes_on_while_zookeeper_is_away() {
    a_game_goes_on_while_its_engine_is_away(Kind::ZooKeeper).await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named_with_the_way_out() {
    let mut server = Server::start(Kind::Etcd);
    server.kill();
    let refused = Cluster::empty().try_start("center", "center", &["--control-plane", &server.url("night")]).await;
    let Err(refused) = refused else { panic!("it started without its control plane") };
    assert!(!refused.status.success());
    let words =
        format!("the control plane at {} cannot be reached within 10 s: {}", server.url("night"), server.address());
    assert!(refused.log.contains(&words), "{refused:?}");
    assert!(refused.log.contains("correct --control-plane"), "{refused:?}");
}

#[tokio::test]
async fn a_process_of_another_cluster_is_refused_by_the_keys_of_this_one() {
    let server = Server::start(Kind::Etcd);
    let url = server.url("night");
    let (cluster, _center) = Cluster::with_center(&["--control-plane", &url, "--cluster", "ours"]).await;
    let theirs = ["--control-plane", &url, "--cluster", "theirs"];
    let Err(refused) = cluster.try_start("game", "game", &theirs).await else { panic!("it was let in") };
    assert!(refused.log.contains("belongs to the cluster `ours`, and this process to `theirs`"), "{refused:?}");
    assert!(refused.log.contains("--control-plane URL/PATH"), "{refused:?}");
}
