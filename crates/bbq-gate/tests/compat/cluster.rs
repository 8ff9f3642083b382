//! A gate with a compat listener, and a mesh that plays the services which `tests/compat/run.mjs` asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::Payload;
use bbq_core::desc::{Kind, MethodDesc, ServiceDesc};
use bbq_core::mesh::{FromGate, ToGate};
use bbq_core::world::{CallId, Outgoing, Target, ToClient};
use bbq_gate::{Compat, CompatConfig, Ends, Gate, GateConfig, MethodTable, Names, Stats, Verifier};
use bbq_rt::clock::Clock;
use bbq_rt::queue::{Receiver, Sender, queue};
use bbq_wire::codec::{Reader, Sink};
use bbq_wire::id::method_id;
use bytes::Bytes;
use tokio::sync::watch;

use crate::soon;

const SERVICE_HELLO: u32 = method_id("exampb.EchoSvc2/SayHello");
const ENTITY_HELLO: u32 = method_id("exampb.EchoEty/SayHello");
const CLIENT_HELLO: u32 = method_id("exampb.Client/SayHello");

const SERVICES: [&ServiceDesc; 3] = [
    &ServiceDesc {
        name: "exampb.EchoSvc2",
        methods: &[MethodDesc { name: "SayHello", id: SERVICE_HELLO, client: true, ..MethodDesc::DEFAULT }],
        ..ServiceDesc::DEFAULT
    },
    &ServiceDesc {
        name: "exampb.EchoEty",
        kind: Kind::Entity,
        methods: &[MethodDesc { name: "SayHello", id: ENTITY_HELLO, client: true, ..MethodDesc::DEFAULT }],
        ..ServiceDesc::DEFAULT
    },
    &ServiceDesc {
        name: "exampb.Client",
        kind: Kind::Client,
        methods: &[MethodDesc { name: "SayHello", id: CLIENT_HELLO, ..MethodDesc::DEFAULT }],
        ..ServiceDesc::DEFAULT
    },
];

pub(crate) struct Cluster {
    pub(crate) gate: Gate,
    compat: Compat,
    _methods: watch::Sender<Arc<MethodTable>>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GateConfig)) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = GateConfig::new(local);
        change(&mut config);
        let (to_mesh, from_gate) = queue(256);
        let (to_gate, from_mesh) = queue(256);
        let (methods_tx, methods) = watch::channel(Arc::new(MethodTable::of_services(&SERVICES).0));
        let ends = Ends { clock: Clock::start(), to_mesh, from_mesh, methods };
        let gate = Gate::start(config, ends, Verifier::guest()).await.unwrap();
        tokio::spawn(play(from_gate, to_gate));
        let (_, names) = watch::channel(Arc::new(Names::new(&SERVICES)));
        let compat = CompatConfig { listen: Some(local), kcp: Some(local), ..CompatConfig::new(names) };
        let compat = Compat::start(&gate, compat).await.unwrap();
        Self { gate, compat, _methods: methods_tx }
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.compat.local_addr().unwrap()
    }

    pub(crate) fn kcp(&self) -> SocketAddr {
        self.compat.kcp_addr().unwrap()
    }

    pub(crate) async fn until(&self, holds: impl Fn(&Stats) -> bool) {
        soon(async {
            while !holds(&self.gate.stats().await) {
                // tidy: polls a condition, bounded by `soon`
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// The service pushes and answers; the entity answers what the client answers it.
async fn play(mut from_gate: Receiver<FromGate>, to_gate: Sender<ToGate>) {
    while let Some(message) = from_gate.recv().await {
        match message {
            FromGate::Call(Outgoing { target: Target::Entity(entity), body, call: Some(call), meta, .. }) => {
                assert_eq!(entity, bbq_wire::EntityId::new(bbq_wire::id::fnv1a_32("exampb.EchoEty"), 5));
                let asked = format!("ask:{}", text(&body.into_bytes()));
                let message = to_client(meta.unwrap().client.clone().unwrap(), &asked);
                to_gate.send(ToGate::ToClient { corr: Some(call.0), message }).await.unwrap();
            }
            FromGate::Call(Outgoing { method, body, call: Some(call), meta, .. }) => {
                assert_eq!(method, SERVICE_HELLO);
                let said = text(&body.into_bytes());
                let message = to_client(meta.unwrap().client.clone().unwrap(), &format!("push:{said}"));
                to_gate.send(ToGate::ToClient { corr: None, message }).await.unwrap();
                let result = Ok(Payload::from_bytes(hello(&format!("service:{said}"))));
                to_gate.send(ToGate::Reply { call, result }).await.unwrap();
            }
            FromGate::ClientReply { corr, result } => {
                let result = result.map(Payload::from_bytes);
                to_gate.send(ToGate::Reply { call: CallId(corr), result }).await.unwrap();
            }
            _ => {}
        }
    }
}

fn to_client(client: bbq_core::world::ClientRef, said: &str) -> ToClient {
    let deadline = bbq_wire::Time::MAX;
    ToClient { client, method: CLIENT_HELLO, from: None, body: hello(said), call: None, deadline, unreliable: false }
}

/// `SayHelloRequest { text }`, and `SayHelloResponse` alike.
pub(crate) fn hello(text: &str) -> Bytes {
    let mut out = Vec::new();
    out.varint(1 << 3 | 2);
    out.str(text);
    out.into()
}

/// The text of either.
pub(crate) fn text(body: &[u8]) -> String {
    let mut reader = Reader::new(body);
    assert_eq!(reader.varint(), Ok(1 << 3 | 2));
    reader.str().unwrap().to_owned()
}
