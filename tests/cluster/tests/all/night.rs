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
async fn nodes_that_a_center_without_memory_does_not_know_say_so_and_end_and_new_ones_form_a_cluster() {
    let (cluster, center) = Cluster::with_center(&[]).await;
    let address = center.address("center");
    let (proxy, game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate", &[])
    );
    center.kill().await;
    let _center = cluster.start("center", "center-2", &["--center-listen", &address]).await;
    for (mut process, name) in [(proxy, "proxy"), (game, "game"), (gate, "gate")] {
        until("it ends", || {
            let over = !process.is_running();
            async move { over.then_some(()) }
        })
        .await;
        let log = cluster.log(name);
        assert!(log.contains("does not know the incarnation") && log.contains("start it again"), "{log}");
    }
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy-2", &[]),
        cluster.start("game", "game-2", &[]),
        cluster.start("gate", "gate-2", &[])
    );
    let player = Player::at(&gate, "ann").await;
    answered("it serves", || player.add("new", 1)).await;
}
