//! Limits that an operator sets, in processes that keep them.

use std::time::Duration;

use bbq_client::{Client, Code};

use crate::player::{Player, answered, options};
use crate::runner::{Cluster, soon};

#[tokio::test]
async fn a_gate_takes_as_many_sessions_as_it_may_and_a_game_as_many_entities() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &["--worlds", "1", "--max-entities", "2"]),
        cluster.start("gate", "gate", &["--max-sessions", "1"])
    );
    let player = Player::at(&gate, "ann").await;
    answered("the first entity answers", || player.add("one", 1)).await;
    answered("the second entity answers", || player.add("two", 1)).await;
    let third = player.add("three", 1).await.expect_err("the world is full");
    assert_eq!(third.code, Code::RESOURCE_EXHAUSTED);
    answered("who lives there goes on", || player.add("two", 2)).await;

    let mut second = Box::pin(Client::connect(options("tcp", &gate, "bob")));
    let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
    assert!(early.is_err(), "the gate is full");
    player.client.close();
    soon("who waited is let in", second).await.expect("there is room");
}
