//! Processes in one process, joined by real sockets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bbq_core::Payload;
use bbq_core::mesh::{NodeInfo, Roles, SlotOwner, ToGate};
use bbq_core::world::{self, CallId, Outgoing, Target};
use bbq_wire::id::SLOTS;
use bbq_wire::mesh::{Mesh as Message, MeshFrame};
use bbq_wire::{Code, EntityId, NodeUid, Result};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::opening::{Identity, LinkError};
use super::socket::Stream;
use super::*;
use crate::queue::{Receiver, queue};

const KIND: u32 = 7;
const GAME_AND_PROXY: Roles = Roles(Roles::GAME.0 | Roles::PROXY.0);

fn uid(node: u32) -> NodeUid {
    NodeUid { node, incarnation: 1 }
}

fn entity(n: u64) -> EntityId {
    EntityId::new(KIND, n)
}

/// A process: a mesh, worlds that answer every call with its body, and a gate.
struct Process {
    node: MeshNode,
    replies: mpsc::Receiver<(CallId, Result<Payload>)>,
    gate: Receiver<ToGate>,
}

struct Setup {
    number: u32,
    roles: Roles,
    listen: Vec<Address>,
    uplink: Option<Address>,
}

async fn start(setup: Setup, views: watch::Receiver<Arc<View>>) -> Process {
    let Setup { number, roles, listen, uplink } = setup;
    let worlds = if roles.contains(Roles::GAME) { 2 } else { 0 };
    let machine = Config { me: uid(number), roles, worlds, sidecar: uplink.is_some(), ..Config::default() };
    let config = MeshConfig { machine, cluster: "test".into(), uplink, ..MeshConfig::default() };
    let mut listeners = Vec::new();
    for address in &listen {
        listeners.push(Listener::bind(address).await.unwrap());
    }
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..worlds).map(|_| queue(4096)).unzip();
    let (gate_sender, gate) = queue(64);
    let inboxes = Inboxes { worlds: senders, gate: Some(gate_sender) };
    let node = MeshNode::start(config, listeners, inboxes, Clock::start(), views).unwrap();
    let (reply_sender, replies) = mpsc::channel(4096);
    for (index, inbox) in receivers.into_iter().enumerate() {
        tokio::spawn(echo_world(index as u16, inbox, node.handle(), reply_sender.clone()));
    }
    Process { node, replies, gate }
}

async fn echo_world(
    index: u16,
    mut inbox: Receiver<world::Input>,
    mesh: MeshHandle,
    replies: mpsc::Sender<(CallId, Result<Payload>)>,
) {
    while let Some(input) = inbox.recv().await {
        let output = match input {
            world::Input::Activate(entity, epoch) => world::Output::Activated(entity, epoch, Ok(())),
            world::Input::Call(call) => world::Output::Reply(call.reply_to, Ok(call.body)),
            world::Input::Reply(call, result) => {
                replies.send((call, result)).await.unwrap();
                continue;
            }
            _ => continue,
        };
        if mesh.send(Input::World { index, output }).await.is_err() {
            return;
        }
    }
}

impl Process {
    async fn call(&self, call: u64, to: EntityId, body: Bytes) {
        let outgoing = Outgoing {
            target: Target::Entity(to),
            method: 1,
            body: Payload::from_bytes(body),
            call: Some(CallId(call)),
            deadline: bbq_wire::Time::MAX,
            affinity: None,
            meta: None,
        };
        self.node.handle().send(Input::World { index: 0, output: world::Output::Call(outgoing) }).await.unwrap();
    }

    async fn reply(&mut self) -> (u64, Bytes) {
        let (call, result) = within(self.replies.recv()).await.unwrap();
        (call.0, result.unwrap().into_bytes())
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it takes too long")
}

/// Nodes with their roles, addresses and proxies; node 1 holds every slot.
fn cluster(nodes: &[(u32, Roles, String, Option<u32>)]) -> View {
    let nodes: BTreeMap<NodeUid, NodeInfo> = nodes
        .iter()
        .map(|(number, roles, address, sidecar)| {
            let (roles, address, sidecar) = (*roles, address.clone(), sidecar.map(uid));
            let serves = if roles.contains(Roles::GAME) { vec![KIND] } else { Vec::new() };
            (uid(*number), NodeInfo { roles, address, sidecar, serves, ..NodeInfo::default() })
        })
        .collect();
    View { nodes, slots: vec![SlotOwner { owner: uid(1), epoch: 1 }; usize::from(SLOTS)], revision: 1 }
}

fn address_of(process: &Process) -> String {
    process.node.local_addresses()[0].to_string()
}

fn anywhere() -> Vec<Address> {
    vec![Address::parse("127.0.0.1:0")]
}

fn temporary_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bbq-mesh-{}-{name}", std::process::id()))
}

async fn two_nodes() -> (Process, Process, watch::Sender<Arc<View>>) {
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let listening = |number| Setup { number, roles: GAME_AND_PROXY, listen: anywhere(), uplink: None };
    let one = start(listening(1), views.clone()).await;
    let two = start(listening(2), views).await;
    let nodes = [(1, GAME_AND_PROXY, address_of(&one), None), (2, GAME_AND_PROXY, address_of(&two), None)];
    sender.send_replace(Arc::new(cluster(&nodes)));
    (one, two, sender)
}

#[tokio::test]
async fn two_processes_call_each_other_over_tcp() {
    let (mut one, mut two, _views) = two_nodes().await;
    one.call(1, entity(1), Bytes::from_static(b"mine")).await;
    assert_eq!(one.reply().await, (1, Bytes::from_static(b"mine")));
    // Entity 1 lives on node 1 now; a body of a megabyte comes and goes in one frame.
    let body = Bytes::from(vec![7; 1 << 20]);
    two.call(2, entity(1), body.clone()).await;
    assert_eq!(two.reply().await, (2, body));
    for n in 0..1000 {
        two.call(n, entity(1), Bytes::from_static(b"x")).await;
    }
    for n in 0..1000 {
        assert_eq!(two.reply().await.0, n, "answers of one entity come in order");
    }
    one.node.shutdown().await;
    two.node.shutdown().await;
}

#[tokio::test]
async fn a_broken_link_is_made_again() {
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let setup = |number, listen| Setup { number, roles: GAME_AND_PROXY, listen, uplink: None };
    let mut one = start(setup(1, anywhere()), views.clone()).await;
    let mut two = start(setup(2, Vec::new()), views).await;
    // Node 2 reaches node 1 through a relay that can be cut.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (through, behind) = (relay.local_addr().unwrap().to_string(), address_of(&one));
    let (cut, cuts) = tokio::sync::broadcast::channel::<()>(4);
    let cutter = cut.clone();
    let (count, mut accepted) = watch::channel(0);
    tokio::spawn(async move {
        let _ = cuts;
        while let Ok((mut near, _)) = relay.accept().await {
            count.send_modify(|count| *count += 1);
            let mut far = TcpStream::connect(&behind).await.unwrap();
            let mut cuts = cutter.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.recv() => {}
                }
            });
        }
    });
    let nodes = [(1, GAME_AND_PROXY, through, None), (2, GAME_AND_PROXY, String::new(), None)];
    sender.send_replace(Arc::new(cluster(&nodes)));
    one.call(0, entity(1), Bytes::new()).await;
    assert_eq!(one.reply().await.0, 0);
    for round in 0..5 {
        two.call(round, entity(1), Bytes::from_static(b"again")).await;
        assert_eq!(two.reply().await.0, round);
        cut.send(()).unwrap();
        within(accepted.wait_for(|count| *count == round + 2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_closes_every_link_at_once_is_not_dialled_without_pauses() {
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let setup = Setup { number: 1, roles: GAME_AND_PROXY, listen: Vec::new(), uplink: None };
    let one = start(setup, views.clone()).await;
    let listener = Listener::bind(&Address::parse("127.0.0.1:0")).await.unwrap();
    let address = listener.local_address().to_string();
    let nodes = [(1, GAME_AND_PROXY, String::new(), None), (2, GAME_AND_PROXY, address, None)];
    sender.send_replace(Arc::new(cluster(&nodes)));
    // As a node does that was told that we are dead.
    let mut opened = 0;
    let refusing = async {
        loop {
            drop(identity(2, "test").accept(listener.accept().await.unwrap(), &views).await.unwrap());
            opened += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), refusing).await.is_err());
    assert!((2..20).contains(&opened), "{opened} links in a second");
    one.node.shutdown().await;
}

#[tokio::test]
async fn processes_of_a_host_share_the_links_of_its_proxy() {
    let path = temporary_path("sidecar");
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let unix = Address::Unix(path.clone());
    let mut listen = anywhere();
    listen.push(unix.clone());
    let proxy = start(Setup { number: 1, roles: Roles::PROXY, listen, uplink: None }, views.clone()).await;
    let child = |number, roles| Setup { number, roles, listen: Vec::new(), uplink: Some(unix.clone()) };
    let mut game = start(child(2, Roles::GAME), views.clone()).await;
    let mut gate = start(child(3, Roles::GATE), views.clone()).await;
    let alone = Setup { number: 4, roles: Roles::GAME, listen: anywhere(), uplink: None };
    let mut alone = start(alone, views).await;
    let nodes = [
        (1, Roles::PROXY, address_of(&proxy), None),
        (2, Roles::GAME, String::new(), Some(1)),
        (3, Roles::GATE, String::new(), Some(1)),
        (4, Roles::GAME, address_of(&alone), None),
    ];
    sender.send_replace(Arc::new(cluster(&nodes)));
    game.call(1, entity(1), Bytes::from_static(b"home")).await;
    assert_eq!(game.reply().await.0, 1);
    alone.call(2, entity(1), Bytes::from_static(b"from afar")).await;
    assert_eq!(alone.reply().await, (2, Bytes::from_static(b"from afar")));
    let push = world::ToClient {
        client: world::ClientRef { gate: uid(3), session: bbq_wire::SessionId(9), account: "ann".into() },
        method: 1,
        from: None,
        body: Bytes::from_static(b"hello"),
        call: None,
        deadline: bbq_wire::Time::MAX,
        unreliable: false,
    };
    alone.node.handle().send(Input::World { index: 0, output: world::Output::ToClient(push) }).await.unwrap();
    let Some(ToGate::ToClient { message, .. }) = within(gate.gate.recv()).await else { panic!("no push") };
    assert_eq!(&message.body[..], b"hello");
    for child in [&game, &gate] {
        assert_eq!(child.node.handle().stats().await.unwrap().links, 1);
    }
    proxy.node.shutdown().await;
    within(game.node.handle().wait_for(|stats| stats.links == 0)).await.unwrap();
    assert!(!path.exists(), "the file of the socket is removed");
}

#[tokio::test]
async fn a_process_behind_a_sidecar_comes_back_when_its_proxy_does() {
    let path = temporary_path("again");
    let unix = Address::Unix(path.clone());
    let (_sender, views) = known();
    let child = Setup { number: 2, roles: Roles::GAME, listen: Vec::new(), uplink: Some(unix.clone()) };
    let game = start(child, views.clone()).await;
    for _ in 0..2 {
        let setup = Setup { number: 1, roles: Roles::PROXY, listen: vec![unix.clone()], uplink: None };
        let proxy = start(setup, views.clone()).await;
        within(game.node.handle().wait_for(|stats| stats.links == 1)).await.unwrap();
        proxy.node.shutdown().await;
        within(game.node.handle().wait_for(|stats| stats.links == 0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_lets_in_and_sends_away_is_asked_less_and_less_often() {
    let path = temporary_path("moody");
    let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let (_sender, views) = known();
    let child = Setup { number: 2, roles: Roles::GAME, listen: Vec::new(), uplink: Some(Address::Unix(path)) };
    let _game = start(child, views.clone()).await;
    let mut asked = 0;
    let begun = tokio::time::Instant::now();
    while let Ok(stream) = tokio::time::timeout_at(begun + Duration::from_millis(1500), listener.accept()).await {
        drop(identity(1, "test").accept(stream.unwrap(), &views).await.unwrap());
        asked += 1;
    }
    // Pauses of at least 25, 50, 100, 200, 400, 800 ms; it was every 25 to 50 ms.
    assert!((1..=7).contains(&asked), "{asked} times in 1.5 s");
}

#[tokio::test]
async fn a_full_inbox_makes_calls_busy_and_loses_nothing_else() {
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let machine = Config { me: uid(1), roles: GAME_AND_PROXY, worlds: 1, ..Config::default() };
    let config = MeshConfig { machine, cluster: "test".into(), ..MeshConfig::default() };
    let (inbox, mut inputs) = queue(1);
    let inboxes = Inboxes { worlds: vec![inbox], gate: None };
    let node = MeshNode::start(config, Vec::new(), inboxes, Clock::start(), views).unwrap();
    sender.send_replace(Arc::new(cluster(&[(1, GAME_AND_PROXY, String::new(), None)])));
    let process = Process { node, replies: mpsc::channel(1).1, gate: queue(1).1 };
    process.call(0, entity(1), Bytes::new()).await;
    let Some(world::Input::Activate(id, epoch)) = within(inputs.recv()).await else { panic!("no order") };
    let handle = process.node.handle();
    handle.send(Input::World { index: 0, output: world::Output::Activated(id, epoch, Ok(())) }).await.unwrap();
    for call in 1..4 {
        process.call(call, entity(1), Bytes::new()).await;
    }
    handle.stats().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(match within(inputs.recv()).await {
            Some(world::Input::Call(_)) => None,
            Some(world::Input::Reply(call, Err(error))) => Some((call.0, error.code)),
            other => panic!("{other:?}"),
        });
    }
    let busy = |call| Some((call, bbq_wire::Code::BUSY));
    assert_eq!(seen, [None, busy(1), busy(2), busy(3)]);
}

fn identity(number: u32, cluster: &str) -> Identity {
    Identity { me: uid(number), cluster: cluster.into(), roles: Roles::GAME, listen: String::new(), secret: None }
}

/// Nodes 1 and 2 are in the cluster.
fn known() -> (watch::Sender<Arc<View>>, watch::Receiver<Arc<View>>) {
    let nodes = [(1, Roles::PROXY, String::new(), None), (2, Roles::GAME, String::new(), Some(1))];
    watch::channel(Arc::new(cluster(&nodes)))
}

fn pair() -> (Stream, Stream) {
    let (a, b) = tokio::io::duplex(1 << 16);
    let stream = |end| {
        let (reader, writer) = tokio::io::split(end);
        Stream { reader: Box::new(reader), writer: Box::new(writer) }
    };
    (stream(a), stream(b))
}

/// Node 1 opens a link to node 2: what each end makes of it.
async fn open(dialing: &Identity, accepting: &Identity, wanted: u32) -> [Result<NodeUid, LinkError>; 2] {
    let (_sender, views) = known();
    let (near, far) = pair();
    let (dialed, accepted) = tokio::join!(dialing.open(near, Some(uid(wanted)), &views), accepting.accept(far, &views));
    [dialed, accepted].map(|opened| opened.map(|opened| opened.peer))
}

#[tokio::test]
async fn links_of_other_clusters_and_to_other_incarnations_are_refused_with_the_reason() {
    let [dialed, accepted] = open(&identity(1, "east"), &identity(2, "west"), 2).await;
    let text = dialed.unwrap_err().to_string();
    assert!(text.contains("west") && text.contains("east"), "{text}");
    assert!(matches!(accepted, Err(LinkError::Cluster { .. })));

    let [dialed, accepted] = open(&identity(1, "east"), &identity(2, "east"), 3).await;
    assert!(matches!(dialed, Err(LinkError::Node { .. })));
    assert!(matches!(accepted, Err(LinkError::Node { .. })));

    let (near, mut far) = pair();
    far.writer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (_sender, views) = known();
    assert!(matches!(identity(2, "east").accept(near, &views).await.map(|_| ()), Err(LinkError::NotMesh)));
}

fn keeps(secret: &str, identity: Identity) -> Identity {
    Identity { secret: Some(Secret::new(secret.as_bytes()).unwrap()), ..identity }
}

const OURS: &str = "the secret of this cluster";

fn is_unauthenticated(end: &Result<NodeUid, LinkError>) -> bool {
    matches!(end, Err(LinkError::Refused(error)) if error.code == Code::UNAUTHENTICATED)
}

#[tokio::test]
async fn who_knows_the_secret_gets_in_and_nobody_else() {
    let (one, two) = (identity(1, "c"), identity(2, "c"));
    let ends = open(&keeps(OURS, one.clone()), &keeps(OURS, two.clone()), 2).await;
    assert!(matches!(ends, [Ok(there), Ok(here)] if there == uid(2) && here == uid(1)), "{ends:?}");

    let [dialed, accepted] =
        open(&keeps("another secret of somebody", one.clone()), &keeps(OURS, two.clone()), 2).await;
    assert!(is_unauthenticated(&dialed), "{dialed:?}");
    assert!(matches!(accepted, Err(LinkError::WrongProof)), "{accepted:?}");

    let [dialed, accepted] = open(&one, &keeps(OURS, two.clone()), 2).await;
    assert!(matches!(dialed, Err(LinkError::SecretWanted)), "{dialed:?}");
    assert!(matches!(accepted, Err(LinkError::SecretMissing)), "{accepted:?}");

    let [dialed, accepted] = open(&keeps(OURS, one), &two, 2).await;
    assert!(matches!(dialed, Err(LinkError::SecretMissing)), "{dialed:?}");
    assert!(matches!(accepted, Err(LinkError::SecretWanted)), "{accepted:?}");
}

/// A stream that can be read only in our words: what the accepting end says, frame by frame.
async fn frames(stream: &mut Stream, buffer: &mut BytesMut, count: usize) -> Vec<Message> {
    let mut said = Vec::new();
    while said.len() < count {
        match MeshFrame::split(buffer).unwrap() {
            Some(bytes) => said.push(MeshFrame::decode(&bytes).unwrap().message),
            None if within(stream.reader.read_buf(buffer)).await.unwrap() == 0 => break,
            None => {}
        }
    }
    said
}

#[tokio::test]
async fn what_was_overheard_opens_no_second_link() {
    let two = keeps(OURS, identity(2, "c"));
    let (_sender, views) = known();
    // An honest link whose dialing end is overheard.
    let (near, far) = pair();
    let (mut overheard, relayed) = pair();
    let honest = keeps(OURS, identity(1, "c"));
    let Stream { reader: mut from_dialer, writer: mut to_dialer, .. } = far;
    let Stream { reader: mut from_acceptor, writer: mut to_acceptor, .. } = relayed;
    let recorded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    let up = async move {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_dialer.read(&mut buffer).await {
            tape.lock().unwrap().extend_from_slice(&buffer[..count]);
            to_acceptor.write_all(&buffer[..count]).await.unwrap();
        }
    };
    let down = async move {
        tokio::io::copy(&mut from_acceptor, &mut to_dialer).await.unwrap();
    };
    let relay = tokio::spawn(async { tokio::join!(up, down) });
    let acceptor = async {
        let stream = Stream {
            reader: std::mem::replace(&mut overheard.reader, Box::new(tokio::io::empty())),
            writer: std::mem::replace(&mut overheard.writer, Box::new(tokio::io::sink())),
        };
        two.accept(stream, &views).await
    };
    let (dialed, accepted) = tokio::join!(honest.open(near, Some(uid(2)), &views), acceptor);
    assert!(dialed.is_ok() && accepted.is_ok());
    relay.abort();
    let words = std::mem::take(&mut *recorded.lock().unwrap());
    assert!(words.starts_with(b"BBQM"));

    // The same words again: the nonce of the accepting end is another now.
    let (mut thief, far) = pair();
    thief.writer.write_all(&words).await.unwrap();
    let accepted = two.accept(far, &views).await.map(|opened| opened.peer);
    assert!(matches!(accepted, Err(LinkError::WrongProof)), "{accepted:?}");
    let said = frames(&mut thief, &mut BytesMut::new(), 3).await;
    let [Message::Hello(_), Message::Refused { error }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(error.code, Code::UNAUTHENTICATED, "and no proof of the accepting end");
}

#[tokio::test]
async fn who_goes_on_without_a_proof_is_told_why_it_is_sent_away() {
    let two = keeps(OURS, identity(2, "c"));
    let (_sender, views) = known();
    let (mut eve, far) = pair();
    let hello = mesh_hello(Some([7; 32]));
    let frame = |message| MeshFrame::new(uid(1), uid(2), message).to_bytes().unwrap();
    let words = [&b"BBQM"[..], &frame(hello), &frame(Message::Ping { nonce: 1 })].concat();
    eve.writer.write_all(&words).await.unwrap();
    let accepted = two.accept(far, &views).await.map(|opened| opened.peer);
    assert!(matches!(accepted, Err(LinkError::NoProof)), "{accepted:?}");
    let said = frames(&mut eve, &mut BytesMut::new(), 3).await;
    assert!(matches!(&said[..], [Message::Hello(_), Message::Refused { .. }]), "{said:?}");
}

fn mesh_hello(nonce: Option<[u8; 32]>) -> Message {
    let version = bbq_wire::mesh::MESH_VERSION;
    Message::Hello(bbq_wire::mesh::Hello { cluster: "c".into(), version, roles: 8, listen: String::new(), nonce })
}

#[tokio::test]
async fn a_node_that_is_ahead_of_our_view_waits_for_it_and_one_that_never_comes_is_refused() {
    let (sender, views) = watch::channel(Arc::new(cluster(&[(2, Roles::GAME, String::new(), None)])));
    for secret in [false, true] {
        let guarded = |one| if secret { keeps(OURS, one) } else { one };
        let (ahead, two) = (guarded(identity(1, "c")), guarded(identity(2, "c")));
        let (near, far) = pair();
        let (_all, theirs) = known();
        let opening = async { tokio::join!(ahead.open(near, Some(uid(2)), &theirs), two.accept(far, &views)) };
        let late = async {
            // tidy: the view is late by less than the grace
            tokio::time::sleep(Duration::from_millis(100)).await;
            sender.send_replace(Arc::clone(&known().1.borrow()));
        };
        let ((dialed, accepted), ()) = tokio::join!(opening, late);
        assert!(dialed.is_ok());
        // What it says of itself is not what counts.
        assert_eq!(accepted.map(|opened| opened.roles).unwrap(), Roles::PROXY);

        let stranger = guarded(identity(9, "c"));
        let (near, far) = pair();
        let (dialed, accepted) = tokio::join!(stranger.open(near, Some(uid(2)), &theirs), two.accept(far, &views));
        let told = dialed.map(|opened| opened.peer).unwrap_err();
        assert!(matches!(told, LinkError::Refused(error) if error.code == Code::PERMISSION_DENIED));
        assert!(matches!(accepted.map(|opened| opened.peer), Err(LinkError::Stranger(node)) if node == uid(9)));
        sender.send_replace(Arc::new(cluster(&[(2, Roles::GAME, String::new(), None)])));
    }
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let (sender, views) = watch::channel(Arc::new(View::default()));
    let setup = |number, listen| Setup { number, roles: GAME_AND_PROXY, listen, uplink: None };
    let one = start(setup(1, anywhere()), views.clone()).await;
    let address = address_of(&one);
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    // Only node 2 can make the link.
    let two = start(setup(2, Vec::new()), views).await;
    let nodes = [(1, GAME_AND_PROXY, address, None), (2, GAME_AND_PROXY, String::new(), None)];
    sender.send_replace(Arc::new(cluster(&nodes)));
    let begun = std::time::Instant::now();
    within(two.node.handle().wait_for(|stats| stats.links == 1)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it did not wait until the others were late");
    drop(silent);
}

#[test]
fn addresses_survive_their_text() {
    for text in ["127.0.0.1:80", "host.example:1", "unix:/run/bbq.sock"] {
        assert_eq!(Address::parse(text).to_string(), text);
    }
}
