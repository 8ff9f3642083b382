//! A counter in actix, which brings its own system of one thread.

use actix::{Actor, Addr, Context, Handler, Message, System};

use crate::library::{Library, MAILBOX, Threads, runtime};

/// The counter.
pub(crate) struct Counter(u64);

/// What it is sent, whether or not somebody waits for the total.
pub(crate) struct Add(u64);

impl Message for Add {
    type Result = u64;
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, Add(amount): Add, _: &mut Self::Context) -> u64 {
        self.0 += amount;
        self.0
    }
}

impl Library for Counter {
    type Address = Addr<Self>;

    async fn start() -> Self::Address {
        Self(0).start()
    }

    async fn ask(address: &Self::Address, amount: u64) -> u64 {
        address.send(Add(amount)).await.expect("the actor answers")
    }

    async fn tell(address: &Self::Address, amount: u64) {
        // The way that never waits; a window of tells fits into the mailbox anyway.
        address.do_send(Add(amount));
    }

    async fn ask_all(addresses: &[Self::Address], amount: u64) -> u64 {
        // `send` puts the message into the mailbox at once.
        let waiting: Vec<_> = addresses.iter().map(|address| address.send(Add(amount))).collect();
        let mut sum = 0;
        for wait in waiting {
            sum += wait.await.expect("the actor answers");
        }
        sum
    }

    fn run<T: Send + 'static>(threads: Threads, driver: impl Future<Output = T> + Send + 'static) -> T {
        let system = System::with_tokio_rt(|| runtime(threads));
        system.block_on(async { actix::spawn(driver).await.expect("the driver does not panic") })
    }
}
