//! A client as the tests use it, and what they call.

use std::future::Future;
use std::time::Duration;

use bbq_client::{Client, Code, Error, Event, Key, Options, Push, Receiver, Result};
use cluster_tests::probe::{CROWD, Caller, LEDGER, LedgerState, Noise, Number, PROBE, PROBE_CLIENT, Place, Position};
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;

use crate::runner::{PATIENCE, Process, soon, until};

/// A message without fields.
pub(crate) type Empty = Number;

/// One player.
pub(crate) struct Player {
    pub(crate) client: Client,
    pub(crate) pushes: Receiver<Push>,
    pub(crate) events: Receiver<Event>,
}

/// The wire id of a method.
pub(crate) fn id(desc: &ServiceDesc, name: &str) -> u32 {
    let method = desc.methods.iter().find(|method| method.name == name);
    method.unwrap_or_else(|| panic!("{} has no {name}", desc.name)).id
}

/// The address of a gate for clients.
pub(crate) fn url(scheme: &str, gate: &Process) -> String {
    let path = if scheme == "ws" { "/bbq" } else { "" };
    format!("{scheme}://{}{path}", gate.address("gate"))
}

/// Comes back quickly when its connection breaks.
pub(crate) fn options(scheme: &str, gate: &Process, name: &str) -> Options {
    let options = Options::new(url(scheme, gate)).guest(name).connect_within(PATIENCE).timeout(Duration::from_secs(10));
    options.backoff(Duration::from_millis(5), Duration::from_millis(200))
}

/// Whether the same call may simply be made again.
pub(crate) fn may_be_repeated(error: &Error) -> bool {
    matches!(error.code, Code::UNAVAILABLE | Code::NOT_SENT | Code::BUSY | Code::ENTITY_STOPPED | Code::ABORTED)
}

/// Whether a call failed because something died or is not there yet.
pub(crate) fn is_passing(error: &Error) -> bool {
    may_be_repeated(error)
        || matches!(error.code, Code::OUTCOME_UNKNOWN | Code::DEADLINE_EXCEEDED | Code::UNIMPLEMENTED)
}

/// Calls until it is answered; anything but a passing error fails the test.
pub(crate) async fn answered<T, F: Future<Output = Result<T>>>(what: &str, mut call: impl FnMut() -> F) -> T {
    until(what, || {
        let call = call();
        async move {
            match call.await {
                Ok(answer) => Some(answer),
                Err(error) if is_passing(&error) => None,
                Err(error) => panic!("{what}: {error}"),
            }
        }
    })
    .await
}

impl Player {
    pub(crate) async fn join(options: Options) -> Self {
        let client = soon("a client connects", Client::connect(options)).await.expect("the gate lets it in");
        let (pushes, events) = (client.pushes(), client.events());
        client.on_request(|request| async move {
            let number = Number::decode_from_slice(&request.body).expect("a number");
            let answer = Number { value: number.value + 1, ..Default::default() };
            Ok(answer.encode_to_bytes())
        });
        Self { client, pushes, events }
    }

    pub(crate) async fn at(gate: &Process, name: &str) -> Self {
        Self::join(options("tcp", gate, name)).await
    }

    pub(crate) async fn add(&self, ledger: impl Into<Key>, value: u64) -> Result<u64> {
        let position: Position = self.client.ask(id(&LEDGER, "Add"), Some(ledger.into()), &number(value)).await?;
        Ok(position.index)
    }

    pub(crate) async fn read(&self, ledger: impl Into<Key>) -> Result<Vec<u64>> {
        let state: LedgerState = self.client.ask(id(&LEDGER, "Read"), Some(ledger.into()), &Empty::default()).await?;
        Ok(state.values)
    }

    /// Which process has the ledger.
    pub(crate) async fn place(&self, ledger: impl Into<Key>) -> Result<Place> {
        self.client.ask(id(&LEDGER, "Where"), Some(ledger.into()), &Empty::default()).await
    }

    /// Which process answers for the service.
    pub(crate) async fn instance(&self) -> Result<Place> {
        self.client.ask(id(&PROBE, "Where"), None, &Empty::default()).await
    }

    pub(crate) async fn who(&self) -> Result<Caller> {
        self.client.ask(id(&PROBE, "Who"), None, &Empty::default()).await
    }

    /// The server asks this client back.
    pub(crate) async fn is_asked(&self, value: u64) -> Result<u64> {
        let answer: Number = self.client.ask(id(&PROBE, "Ask"), None, &number(value)).await?;
        Ok(answer.value)
    }

    pub(crate) async fn enter(&self, crowd: &str) -> Result<()> {
        self.client.ask::<_, Empty>(id(&CROWD, "Join"), Some(crowd.into()), &Empty::default()).await.map(drop)
    }

    pub(crate) async fn shout(&self, crowd: &str, number: u64, bytes: usize) -> Result<()> {
        let noise = Noise { number, filling: vec![7; bytes].into(), ..Default::default() };
        self.client.ask::<_, Empty>(id(&CROWD, "Shout"), Some(crowd.into()), &noise).await.map(drop)
    }

    /// The number of the next shout.
    pub(crate) async fn heard(&mut self) -> u64 {
        let push = soon("a shout is heard", self.pushes.next()).await.expect("the client is open");
        assert_eq!(push.method, id(&PROBE_CLIENT, "Heard"));
        Noise::decode_from_slice(&push.body).expect("noise").number
    }

    /// The next number that a ledger has pushed.
    pub(crate) async fn added(&mut self) -> u64 {
        let push = soon("a push arrives", self.pushes.next()).await.expect("the client is open");
        assert_eq!(push.method, id(&PROBE_CLIENT, "Added"));
        Number::decode_from_slice(&push.body).expect("a number").value
    }

    /// Waits for an event.
    pub(crate) async fn until_event(&mut self, wanted: impl Fn(&Event) -> bool) {
        let waiting = async {
            while let Some(event) = self.events.next().await {
                if wanted(&event) {
                    return;
                }
            }
            panic!("the client is closed");
        };
        soon("an event of the session", waiting).await;
    }
}

pub(crate) fn number(value: u64) -> Number {
    Number { value, ..Default::default() }
}
