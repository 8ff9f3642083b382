//! Processes that come and go one after the other while bots play, as in a rolling update and as in a bad night.

use crate::load::{Load, have_left};
use crate::player::{Player, options};
use crate::runner::Cluster;

const BOTS: u64 = 16;

#[tokio::test]
async fn a_game_that_is_asked_to_end_under_load_loses_no_acknowledged_write() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (_proxy, one, _two, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    let mut pilots = tokio::task::JoinSet::new();
    for number in 0..4 {
        let pilot = Player::join(options("ws", &gate, &format!("pilot-{number}"))).await;
        pilots.spawn(example_arena::bots::bot(pilot.client, number));
    }
    let mut load = Load::start(&gate, BOTS).await;
    let pid = one.pid();
    assert!(one.terminate().await.success(), "it ends in good order");
    have_left(&gate, BOTS, pid).await;
    load.goes_on(10).await;
    let outcome = load.finish().await;
    assert_eq!((outcome.unknown, outcome.resyncs), (0, 0), "an orderly end leaves nothing in doubt: {outcome:?}");
    assert!(pilots.try_join_next().is_none(), "no pilot was thrown out");
}

#[tokio::test]
async fn games_and_proxies_are_replaced_one_by_one_under_load_and_no_player_notices() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (proxy, proxy_2, game, game_2, gate) = tokio::join!(
        cluster.start("proxy", "proxy-1", &[]),
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    let mut load = Load::start(&gate, BOTS).await;
    let mut new = Vec::new();
    for (role, number, old) in [("game", 1, game), ("proxy", 1, proxy), ("game", 2, game_2), ("proxy", 2, proxy_2)] {
        new.push(cluster.start(role, &format!("new-{role}-{number}"), &[]).await);
        assert!(old.terminate().await.success(), "{role} {number} ends in good order");
        load.goes_on(10).await;
    }
    let outcome = load.finish().await;
    assert_eq!((outcome.unknown, outcome.resyncs), (0, 0), "{outcome:?}");
}

#[tokio::test]
async fn games_and_proxies_are_killed_one_by_one_under_load_and_nothing_promised_is_lost() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (proxy, proxy_2, game, game_2, gate) = tokio::join!(
        cluster.start("proxy", "proxy-1", &[]),
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    let mut load = Load::start(&gate, BOTS).await;
    let mut new = Vec::new();
    for (role, number, old) in [("game", 1, game), ("proxy", 1, proxy), ("game", 2, game_2), ("proxy", 2, proxy_2)] {
        old.kill().await;
        new.push(cluster.start(role, &format!("new-{role}-{number}"), &[]).await);
        load.goes_on(10).await;
    }
    let outcome = load.finish().await;
    assert_eq!(outcome.resyncs, 0, "{outcome:?}");
    assert!(outcome.acknowledged >= 50 * BOTS as usize, "{outcome:?}");
}

#[tokio::test]
async fn a_game_and_the_center_die_together_and_everything_promised_is_there_when_they_are_back() {
    let (cluster, center) = Cluster::with_center(&["--data", "data"]).await;
    let address = center.address("center");
    let (_proxy, one, _two, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game-1", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate", &[])
    );
    let mut load = Load::start(&gate, BOTS).await;
    let pid = one.pid();
    tokio::join!(center.kill(), one.kill());
    let again = ["--center-listen", &*address, "--data", "data"];
    let _center = cluster.start("center", "center-2", &again).await;
    load.goes_on(10).await;
    have_left(&gate, BOTS, pid).await;
    let outcome = load.finish().await;
    assert_eq!(outcome.resyncs, 0, "{outcome:?}");
}

#[tokio::test]
async fn a_gate_that_is_asked_to_end_sends_its_clients_to_the_next_one() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listen = ["--listen", &*free];
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate-1", &listen)
    );
    let mut load = Load::start(&gate, BOTS).await;
    assert!(gate.terminate().await.success());
    let gate = cluster.start("gate", "gate-2", &listen).await;
    load.goes_on(10).await;
    let outcome = load.finish().await;
    // Sessions live in one gate: each bot gets a new one, and is told.
    assert_eq!(outcome.resyncs, BOTS as usize, "{outcome:?}");
    assert!(gate.memory_mib() < 512);
}
