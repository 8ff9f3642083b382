//! What else happens at night: processes that hang for a while, the only proxy, a center without memory.

use std::time::Duration;

use crate::load::Load;
use crate::player::{Player, answered};
use crate::runner::{Cluster, until};

#[tokio::test]
async fn a_proxy_that_hangs_is_replaced_by_the_other_and_ends_when_it_wakes_up() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (mut first, _second, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy-1", &[]),
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate", &[])
    );
    let player = Player::at(&gate, "ann").await;
    for key in 0..20_u64 {
        answered("a ledger is made", || player.add(key, 1)).await;
    }
    first.freeze();
    // About half of the new ones belong to slots of the proxy that hangs.
    for key in 100..120_u64 {
        answered("new ones are made", || player.add(key, 1)).await;
    }
    first.thaw();
    until("it notices that it was declared dead", || {
        let over = !first.is_running();
        async move { over.then_some(()) }
    })
    .await;
    for key in 0..20_u64 {
        assert_eq!(answered("the old ones are there", || player.read(key)).await, [1]);
    }
}

#[tokio::test]
async fn the_only_proxy_is_replaced_under_load() {
    let (cluster, [_center, proxy, _game, gate]) = Cluster::usual().await;
    let mut load = Load::start(&gate, 8).await;
    assert!(proxy.terminate().await.success());
    load.goes_on(10).await;
    let player = Player::at(&gate, "late").await;
    let (added, _proxy) = tokio::join!(
        answered("a new ledger waits for a proxy", || player.add("new", 1)),
        cluster.start("proxy", "proxy-2", &[])
    );
    assert_eq!(added, 0);
    let outcome = load.finish().await;
    assert_eq!((outcome.unknown, outcome.resyncs), (0, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_gate_that_hangs_for_less_than_its_lease_loses_nobody() {
    let (_cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    let mut load = Load::start(&gate, 8).await;
    gate.freeze();
    // tidy: the length of a hiccup is what is tested
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.thaw();
    load.goes_on(10).await;
    let outcome = load.finish().await;
    assert_eq!((outcome.unknown, outcome.resyncs), (0, 0), "{outcome:?}");
}

#[tokio::test]
async fn a_center_without_memory_gets_its_nodes_and_what_they_hold_back_and_nobody_notices() {
    let (cluster, center) = Cluster::with_center(&[]).await;
    let address = center.address("center");
    let (mut proxy, mut game, mut gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate", &[])
    );
    let player = Player::at(&gate, "ann").await;
    for value in 1..=5 {
        answered("a number is stored", || player.add("kept", value)).await;
    }
    center.kill().await;
    let _center = cluster.start("center", "center-2", &["--center-listen", &address]).await;
    // Newcomers are let in together with those who were there before, or after them.
    let second = cluster.start("game", "game-2", &[]).await;
    answered("numbers are stored again", || player.add("kept", 6)).await;
    assert_eq!(answered("and read", || player.read("kept")).await, (1..=6).collect::<Vec<u64>>());
    until("the new game takes part", || async {
        let place = player.instance().await.ok()?;
        (place.pid == second.pid()).then_some(())
    })
    .await;
    for (process, name) in [(&mut proxy, "proxy"), (&mut game, "game"), (&mut gate, "gate")] {
        assert!(process.is_running(), "{name}");
        let log = cluster.log(name);
        assert!(log.contains("the control plane has forgotten this node"), "{log}");
    }
}

#[tokio::test]
async fn a_data_directory_without_one_of_its_files_is_said_and_what_is_left_serves() {
    let (cluster, center) = Cluster::with_center(&["--data", "data"]).await;
    let address = center.address("center");
    let (proxy, game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate", &[])
    );
    let player = Player::at(&gate, "ann").await;
    answered("a number is stored", || player.add("kept", 1)).await;
    let again = ["--center-listen", &*address, "--data", "data"];
    // Everybody goes, so that nobody remembers what the control plane forgets.
    tokio::join!(gate.kill(), game.kill(), proxy.kill(), center.kill());
    std::fs::remove_file(cluster.path("data/control.redb")).unwrap();
    let center = cluster.start("center", "center-2", &again).await;
    assert!(cluster.log("center-2").contains("control.redb was not there"), "{}", cluster.log("center-2"));
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate-2", &[])
    );
    let player = Player::at(&gate, "ann").await;
    answered("a record is not fenced", || player.add("kept", 2)).await;
    assert_eq!(answered("and has all", || player.read("kept")).await, [1, 2]);
    center.kill().await;
    std::fs::remove_file(cluster.path("data/store.redb")).unwrap();
    let _center = cluster.start("center", "center-3", &again).await;
    assert!(cluster.log("center-3").contains("store.redb was not there"), "{}", cluster.log("center-3"));
    answered("what lives is written anew", || player.add("kept", 3)).await;
}
