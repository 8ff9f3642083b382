//! Connections that break all the time, and sessions that do not.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bbq_client::{Error, Event};
use cluster_tests::probe::{LEDGER, Position};

use crate::player::{Player, answered, id, number, options};
use crate::runner::{Cluster, soon};

const CUTS: u32 = 200;
/// Numbers that are on their way at a time.
const WINDOW: usize = 24;
const KEY: &str = "cut";

type Adding = Pin<Box<dyn Future<Output = Result<Position, Error>> + Send>>;

/// A session that adds 1, 2, 3 .. to a ledger, with calls and with notifications, and is told of each.
struct Run {
    player: Player,
    calls: tokio::task::JoinSet<(u64, Result<Position, Error>)>,
    /// The last number that was given to the client.
    last: u64,
    /// The last number that was pushed back.
    heard: u64,
    answered: BTreeSet<u64>,
    asked: BTreeSet<u64>,
}

impl Run {
    /// Gives the client as much as the window allows.
    async fn fill(&mut self) {
        while self.last < self.heard + WINDOW as u64 {
            let value = self.last + 1;
            if value.is_multiple_of(3) {
                let told = self.player.client.tell(id(&LEDGER, "Put"), Some(KEY.into()), &number(value));
                told.expect("the window is smaller than the ring");
            } else {
                let adding = begun(add(&self.player, value)).await;
                self.asked.insert(value);
                self.calls.spawn(async move { (value, adding.await) });
            }
            self.last = value;
        }
    }

    /// Waits for one push or one answer.
    async fn step(&mut self) {
        tokio::select! {
            value = self.player.added() => {
                assert_eq!(value, self.heard + 1, "pushes come once each, and in order");
                self.heard = value;
            }
            Some(done) = self.calls.join_next() => {
                let (value, position) = done.expect("no panic");
                let position = position.unwrap_or_else(|error| panic!("{value}: {error}"));
                assert_eq!(position.index + 1, value, "requests arrive once each, and in order");
                assert!(self.answered.insert(value));
            }
        }
    }
}

fn add(player: &Player, value: u64) -> Adding {
    let client = player.client.clone();
    Box::pin(async move { client.ask(id(&LEDGER, "Add"), Some(KEY.into()), &number(value)).await })
}

/// A call takes its place among the others when it is polled first.
async fn begun(mut adding: Adding) -> Adding {
    let first = poll_fn(|context| Poll::Ready(adding.as_mut().poll(context))).await;
    assert!(first.is_pending(), "not even begun: {first:?}");
    adding
}

async fn survives(scheme: &str) {
    let (_cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    let player = Player::join(options(scheme, &gate, "ann").backoff(ms(1), ms(20))).await;
    answered("the ledger is there", || player.read(KEY)).await;
    let session = player.client.sid();
    let (calls, asked, done) = (tokio::task::JoinSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut run = Run { player, calls, last: 0, heard: 0, answered: done, asked };
    let (mut cuts, mut online, mut wait_for) = (0, true, 1);
    while cuts < CUTS {
        run.fill().await;
        soon("something arrives", run.step()).await;
        while let Some(event) = run.player.events.try_next() {
            assert!(!matches!(event, Event::Resync | Event::Closed(_)), "{event:?} after {cuts} cuts");
            online = matches!(event, Event::Online { .. });
        }
        if online && run.heard >= wait_for {
            run.player.client.cut();
            cuts += 1;
            online = false;
            // Sometimes at once, sometimes while a lot is under way.
            wait_for = run.heard + u64::from(cuts * 7 % 11);
        }
    }
    while run.heard < run.last || !run.calls.is_empty() {
        soon("what is under way arrives", run.step()).await;
    }
    assert_eq!(run.answered, run.asked);
    assert_eq!(run.player.client.sid(), session, "it is the same session");
    let stored = answered("the ledger reads", || run.player.read(KEY)).await;
    assert_eq!(stored, (1..=run.last).collect::<Vec<u64>>());
    assert_eq!(run.player.is_asked(1).await.expect("a request of the server"), 2);
    assert!(run.player.pushes.try_next().is_none(), "nothing is pushed twice");
}

const fn ms(millis: u64) -> std::time::Duration {
    std::time::Duration::from_millis(millis)
}

#[tokio::test]
async fn a_session_over_tcp_survives_two_hundred_cuts_and_nothing_is_lost_doubled_or_reordered() {
    survives("tcp").await;
}

#[tokio::test]
async fn a_session_over_websocket_survives_two_hundred_cuts_and_nothing_is_lost_doubled_or_reordered() {
    survives("ws").await;
}
