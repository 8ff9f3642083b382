//! A counter in kameo.

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox::bounded;
use kameo::message::{Context, Message};

use crate::library::{Library, MAILBOX};

/// The counter.
#[derive(Actor)]
pub(crate) struct Counter(u64);

/// What it is sent, whether or not somebody waits for the total.
pub(crate) struct Add(u64);

impl Message<Add> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self, u64>) -> u64 {
        self.0 += amount;
        self.0
    }
}

impl Library for Counter {
    type Address = ActorRef<Self>;

    async fn start() -> Self::Address {
        Self::spawn_with_mailbox(Self(0), bounded(MAILBOX))
    }

    async fn ask(address: &Self::Address, amount: u64) -> u64 {
        address.ask(Add(amount)).send().await.expect("the actor answers")
    }

    async fn tell(address: &Self::Address, amount: u64) {
        address.tell(Add(amount)).send().await.expect("the actor lives");
    }

    async fn ask_all(addresses: &[Self::Address], amount: u64) -> u64 {
        let mut waiting = Vec::with_capacity(addresses.len());
        for address in addresses {
            waiting.push(address.ask(Add(amount)).enqueue().await.expect("the actor lives"));
        }
        let mut sum = 0;
        for wait in waiting {
            sum += wait.await.expect("the actor answers");
        }
        sum
    }
}
