//! A counter in ractor.

use ractor::concurrency::oneshot;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::library::Library;

/// The counter.
pub(crate) struct Counter;

/// What it is sent.
pub(crate) enum Message {
    Ask(u64, RpcReplyPort<u64>),
    Tell(u64),
}

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, total: &mut u64) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(amount) => *total += amount,
            Message::Ask(amount, answer) => {
                *total += amount;
                // Whoever asked may have gone.
                drop(answer.send(*total));
            }
        }
        Ok(())
    }
}

impl Library for Counter {
    type Address = ActorRef<Message>;

    async fn start() -> Self::Address {
        Self::spawn(None, Self, ()).await.expect("a counter starts").0
    }

    async fn ask(address: &Self::Address, amount: u64) -> u64 {
        match address.call(|answer| Message::Ask(amount, answer), None).await {
            Ok(CallResult::Success(total)) => total,
            _ => panic!("the actor answers"),
        }
    }

    async fn tell(address: &Self::Address, amount: u64) {
        address.cast(Message::Tell(amount)).expect("the actor lives");
    }

    async fn ask_all(addresses: &[Self::Address], amount: u64) -> u64 {
        let mut waiting = Vec::with_capacity(addresses.len());
        for address in addresses {
            let (answer, wait) = oneshot();
            address.cast(Message::Ask(amount, answer.into())).expect("the actor lives");
            waiting.push(wait);
        }
        let mut sum = 0;
        for wait in waiting {
            sum += wait.await.expect("the actor answers");
        }
        sum
    }
}
