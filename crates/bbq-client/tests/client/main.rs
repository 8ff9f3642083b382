//! The client against a scripted gate, over every transport.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod bots;
mod gate;
mod sessions;

use std::future::Future;
use std::time::Duration;

use bbq_client::{Client, Event, Options, Receiver};

use crate::gate::Gate;

const SOON: Duration = Duration::from_secs(10);

/// What must happen soon, does.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it happens within ten seconds")
}

async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            // tidy: polls a condition, bounded by `soon`
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn options(gate: &Gate) -> Options {
    let options = Options::new(gate.url()).guest("ann").backoff(Duration::from_millis(2), Duration::from_millis(20));
    match gate.root_pem() {
        "" => options,
        pem => options.roots_pem(pem.as_bytes()).unwrap(),
    }
}

async fn connect(gate: &Gate) -> (Client, Receiver<Event>) {
    let client = soon(Client::connect(options(gate))).await.unwrap();
    let mut events = client.events();
    assert_eq!(soon(events.next()).await, Some(Event::Online { resumed: false }));
    (client, events)
}
