//! Proxies with a real control plane and real sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::Payload;
use bbq_core::control::{Config as EngineConfig, NodeInfo, Roles, ServiceRecord};
use bbq_core::mesh::{Config as Machine, Input};
use bbq_core::world::{self, CallId, Meta, Outgoing, Target};
use bbq_proxy::{Config, Proxy, StartError, run};
use bbq_rt::clock::Clock;
use bbq_rt::control::{Attendance, ControlPlane, LocalControl, Membership};
use bbq_rt::mesh::{Address, Inboxes, MeshConfig, MeshNode, SIDECAR_LABEL, views};
use bbq_wire::{EntityId, Result};
use bytes::Bytes;
use tokio::sync::mpsc;

const KIND: u32 = 7;

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it takes too long")
}

fn control() -> Arc<dyn ControlPlane> {
    Arc::new(LocalControl::volatile(EngineConfig::default()))
}

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bbq-proxy-{}-{name}", std::process::id()))
}

async fn proxy(name: &str, control: &Arc<dyn ControlPlane>) -> Proxy {
    let mut config = Config::new(name, "test", "127.0.0.1:0", Arc::clone(control));
    config.sidecar = Some(socket(name));
    config.host = "here".into();
    run(config).await.expect("a proxy")
}

/// A game behind a proxy, with one world that answers every call with its body.
struct Game {
    node: MeshNode,
    replies: mpsc::Receiver<(CallId, Result<Payload>)>,
    _attendance: Attendance,
    _membership: Membership,
}

async fn game(name: &str, proxy: &str, control: &Arc<dyn ControlPlane>) -> Game {
    let info = NodeInfo {
        name: name.into(),
        start: 1,
        roles: Roles::GAME,
        labels: [(SIDECAR_LABEL.to_owned(), format!("here:{}", socket(proxy).display()))].into(),
        services: vec![ServiceRecord { kind: KIND, entity: true, ..ServiceRecord::default() }],
        weight: 100,
        ..NodeInfo::default()
    };
    let membership = Membership::start(Arc::clone(control));
    let attendance = Attendance::open(Arc::clone(control), info, Duration::ZERO).await.expect("a session");
    let me = attendance.session().uid;
    let machine = Machine { me, roles: Roles::GAME, worlds: 1, sidecar: true, ..Machine::default() };
    let uplink = Some(Address::Unix(socket(proxy)));
    let config = MeshConfig { machine, cluster: "test".into(), uplink, ..MeshConfig::default() };
    let (sender, mut inbox) = mpsc::channel(1024);
    let inboxes = Inboxes { worlds: vec![sender], gate: None };
    let views = views(membership.views());
    let node = MeshNode::start(config, Vec::new(), inboxes, Clock::start(), views).expect("a mesh");
    let (replied, replies) = mpsc::channel(1024);
    let mesh = node.handle();
    tokio::spawn(async move {
        while let Some(input) = inbox.recv().await {
            let output = match input {
                world::Input::Activate(entity, epoch) => world::Output::Activated(entity, epoch, Ok(())),
                world::Input::Call(call) => world::Output::Reply(call.reply_to, Ok(call.body)),
                world::Input::Reply(call, result) => {
                    if replied.send((call, result)).await.is_err() {
                        return;
                    }
                    continue;
                }
                _ => continue,
            };
            if mesh.send(Input::World { index: 0, output }).await.is_err() {
                return;
            }
        }
    });
    Game { node, replies, _attendance: attendance, _membership: membership }
}

impl Game {
    async fn ask(&mut self, number: u64, entity: u64) {
        let call = Outgoing {
            target: Target::Entity(EntityId::new(KIND, entity)),
            method: 1,
            body: Payload::from_bytes(Bytes::copy_from_slice(&number.to_le_bytes())),
            call: Some(CallId(number)),
            deadline: bbq_wire::Time::MAX,
            affinity: None,
            meta: Meta::default(),
        };
        let input = Input::World { index: 0, output: world::Output::Call(call) };
        self.node.handle().send(input).await.expect("an open mesh");
        let (call, result) = within(self.replies.recv()).await.expect("an answer");
        assert_eq!(call.0, number);
        assert_eq!(result.expect("an echo").into_bytes(), number.to_le_bytes()[..]);
    }
}

#[tokio::test]
async fn games_of_two_hosts_share_their_entities_through_their_proxies() {
    let control = control();
    let (east, west) = (proxy("east", &control).await, proxy("west", &control).await);
    let mut one = game("one", "east", &control).await;
    let mut two = game("two", "west", &control).await;
    // Whoever asks first hosts; the other reaches it through both proxies.
    for entity in 0..20 {
        one.ask(entity, entity).await;
        two.ask(100 + entity, entity).await;
        two.ask(200 + entity, 1000 + entity).await;
        one.ask(300 + entity, 1000 + entity).await;
    }
    let hosted = |game: &Game| {
        let handle = game.node.handle();
        async move { handle.stats().await.expect("an open mesh").hosted }
    };
    assert_eq!((hosted(&one).await, hosted(&two).await), (20, 20));
    let known = east.stats().await.expect("open").directory + west.stats().await.expect("open").directory;
    assert_eq!(known, 40, "the slots of both proxies together know every entity");
}

#[tokio::test]
async fn the_slots_of_a_proxy_that_leaves_go_on_at_the_other() {
    let control = control();
    let (stays, leaves) = (proxy("stays", &control).await, proxy("leaves", &control).await);
    let mut one = game("three", "stays", &control).await;
    let mut two = game("four", "stays", &control).await;
    for entity in 0..20 {
        one.ask(entity, entity).await;
    }
    assert!(leaves.stats().await.expect("open").directory > 0);
    leaves.shutdown().await;
    for entity in 0..30 {
        two.ask(100 + entity, entity).await;
    }
    assert_eq!(one.node.handle().stats().await.expect("open").hosted, 20, "nothing was activated twice");
    assert_eq!(stays.stats().await.expect("open").directory, 30);
    stays.shutdown().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let control = control();
    let first = proxy("first", &control).await;
    let config = Config::new("second", "test", &first.local_addr(), control);
    match run(config).await {
        Err(StartError::Listen(address, _)) => assert_eq!(address.to_string(), first.local_addr()),
        other => panic!("{other:?}"),
    }
}
