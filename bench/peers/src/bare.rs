//! The actor that one writes by hand: a task, a bounded channel, and a oneshot for every answer.

use tokio::sync::{mpsc, oneshot};

use crate::library::{Library, MAILBOX};

/// The counter.
pub(crate) struct Counter;

/// What it is sent.
pub(crate) enum Message {
    Ask(u64, oneshot::Sender<u64>),
    Tell(u64),
}

impl Library for Counter {
    type Address = mpsc::Sender<Message>;

    async fn start() -> Self::Address {
        let (sender, mut receiver) = mpsc::channel(MAILBOX);
        tokio::spawn(async move {
            let mut total = 0;
            while let Some(message) = receiver.recv().await {
                match message {
                    Message::Tell(amount) => total += amount,
                    Message::Ask(amount, answer) => {
                        total += amount;
                        // Whoever asked may have gone.
                        let _ = answer.send(total);
                    }
                }
            }
        });
        sender
    }

    async fn ask(address: &Self::Address, amount: u64) -> u64 {
        let (answer, wait) = oneshot::channel();
        address.send(Message::Ask(amount, answer)).await.expect("the actor lives");
        wait.await.expect("the actor answers")
    }

    async fn tell(address: &Self::Address, amount: u64) {
        address.send(Message::Tell(amount)).await.expect("the actor lives");
    }

    async fn ask_all(addresses: &[Self::Address], amount: u64) -> u64 {
        let mut waiting = Vec::with_capacity(addresses.len());
        for address in addresses {
            let (answer, wait) = oneshot::channel();
            address.send(Message::Ask(amount, answer)).await.expect("the actor lives");
            waiting.push(wait);
        }
        let mut sum = 0;
        for wait in waiting {
            sum += wait.await.expect("the actor answers");
        }
        sum
    }
}
