//! Bots that add numbers to ledgers and remember what they were told, so that nothing that was promised gets lost.

use std::collections::BTreeSet;
use std::time::Duration;

use bbq_client::{Event, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::player::{Player, answered, is_passing, may_be_repeated, options};
use crate::runner::{Process, soon, until};

/// What became of the numbers that a bot added.
#[derive(Default)]
struct Account {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

/// What a load has seen when it is over.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: usize,
    /// Calls of which nobody can say whether they ran.
    pub(crate) unknown: usize,
    /// Sessions that were replaced by new ones.
    pub(crate) resyncs: usize,
}

/// Bots under way; each has a ledger, which is its number.
pub(crate) struct Load {
    bots: JoinSet<(Player, u64, Account)>,
    stop: watch::Sender<bool>,
    /// How many numbers each has had acknowledged.
    progress: Vec<watch::Receiver<usize>>,
}

impl Account {
    /// Adds a number, and again for as long as it certainly was not added.
    async fn add(&mut self, player: &Player, key: u64, value: u64) {
        let done = async {
            loop {
                match player.add(key, value).await {
                    Ok(_) => return self.acknowledged.insert(value),
                    Err(error) if may_be_repeated(&error) => {}
                    Err(error) if is_passing(&error) => return self.unknown.insert(value),
                    Err(error) => panic!("ledger {key}: {error}"),
                }
                // tidy: a bot that is told to come back later does
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(soon("a number is added", done).await);
    }

    fn check(&self, key: u64, stored: &[u64]) {
        let once: BTreeSet<u64> = stored.iter().copied().collect();
        assert_eq!(once.len(), stored.len(), "ledger {key} has a number twice: {stored:?}");
        assert!(stored.is_sorted(), "ledger {key} is out of order: {stored:?}");
        let lost: Vec<_> = self.acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "ledger {key} lost {lost:?}");
        let sent: BTreeSet<u64> = self.acknowledged.union(&self.unknown).copied().collect();
        assert!(once.is_subset(&sent), "ledger {key} invented a number: {stored:?}");
    }
}

impl Load {
    /// Starts so many bots and waits until each has begun.
    pub(crate) async fn start(gate: &Process, bots: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut load = Self { bots: JoinSet::new(), stop, progress: Vec::new() };
        for key in 0..bots {
            let player = Player::join(options(["tcp", "ws"][key as usize % 2], gate, &format!("bot-{key}"))).await;
            let (progress, seen) = watch::channel(0);
            load.progress.push(seen);
            load.bots.spawn(run(player, key, progress, stopped.clone()));
        }
        load.goes_on(10).await;
        load
    }

    /// Waits until every bot has had so many more numbers acknowledged.
    pub(crate) async fn goes_on(&mut self, numbers: usize) {
        let aims: Vec<usize> = self.progress.iter().map(|seen| *seen.borrow() + numbers).collect();
        for (seen, aim) in self.progress.iter_mut().zip(aims) {
            let reached = soon("every bot goes on", seen.wait_for(|count| *count >= aim)).await.is_ok();
            if !reached {
                break; // The panic of the bot says more, see `finish`.
            }
        }
    }

    /// Ends it, and compares every ledger with what its bot was told.
    pub(crate) async fn finish(mut self) -> Outcome {
        self.stop.send_replace(true);
        let mut outcome = Outcome { acknowledged: 0, unknown: 0, resyncs: 0 };
        while let Some(bot) = self.bots.join_next().await {
            let (mut player, key, account) = bot.expect("a bot that did not panic");
            // A call in doubt may still run: what counts is what is there when it is quiet.
            account.check(key, &answered("the ledger reads", || player.read(key)).await);
            outcome.acknowledged += account.acknowledged.len();
            outcome.unknown += account.unknown.len();
            while let Some(event) = player.events.try_next() {
                outcome.resyncs += usize::from(event == Event::Resync);
            }
        }
        outcome
    }
}

async fn run(
    mut player: Player,
    key: u64,
    progress: watch::Sender<usize>,
    stopped: watch::Receiver<bool>,
) -> (Player, u64, Account) {
    let mut account = Account::default();
    for value in 1.. {
        account.add(&player, key, value).await;
        // Every number comes back as a push, too. A client whose pushes nobody takes soon reads no replies either.
        while player.pushes.try_next().is_some() {}
        progress.send_replace(account.acknowledged.len());
        if *stopped.borrow() {
            break;
        }
    }
    (player, key, account)
}

/// Waits until none of the ledgers lives in this process.
pub(crate) async fn have_left(gate: &Process, keys: u64, pid: u32) {
    let outside = Player::at(gate, "outside").await;
    for key in 0..keys {
        until("a ledger has left", || async {
            let place: Result<_> = outside.place(key).await;
            (place.ok()?.pid != pid).then_some(())
        })
        .await;
    }
}
