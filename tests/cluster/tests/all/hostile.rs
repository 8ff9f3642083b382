//! Peers that mean harm, or know no better: none of them hurts anybody else.

use std::time::{Duration, Instant};

use bbq_client::{Client, Code, Event};
use cluster_tests::probe::{LEDGER, Noise, PROBE, PROBE_CLIENT};
use example_echo::echo::GREETER;
use gobbq::codegen::buffa::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::player::{Player, answered, id, options};
use crate::runner::{Cluster, Process, soon};

/// What an attack may cost a process; buffers of sockets are not even part of it.
const GROWTH_MIB: u64 = 96;
/// An honest call among attackers takes no longer, on a machine that does other things, too.
const HONEST: Duration = Duration::from_secs(5);

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const AUTH: u8 = 3;
const RESUME: u8 = 4;
const PUSH: u8 = 8;
const GOAWAY: u8 = 12;
const KICK: u8 = 13;
const ERR: u8 = 15;

/// `spec/wire.md`, section 1. Everything here is shorter than what needs a second byte of length.
fn frame(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let length = u8::try_from(fields.len() + 2).expect("a short frame");
    assert!(length < 0x80);
    [&[length, kind, 0], &*fields].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn hello() -> Vec<u8> {
    frame(HELLO, &[&[1, 0], &text("by hand")])
}

fn auth(name: &str) -> Vec<u8> {
    frame(AUTH, &[&text("guest"), &text(name), &text("")])
}

/// Sends all of it, and returns what comes back until the other side closes.
async fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("it still listens");
    let mut answer = Vec::new();
    let talking = async {
        // It may close in the middle of what we say.
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    soon("the other side closes", talking).await;
    answer
}

/// The code of the last ERR in an answer. Frames before it are short.
fn error_code(mut answer: &[u8]) -> Option<u8> {
    let mut code = None;
    while let [length, kind, _flags, rest @ ..] = answer {
        if *kind == ERR {
            code = rest.first().copied();
        }
        answer = answer.get(usize::from(*length) + 1..)?;
    }
    code
}

/// Xorshift: the same attack every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.next() % most + 1;
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn a_client_reaches_nothing_that_is_not_declared_for_clients() {
    let (_cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    let player = Player::at(&gate, "ann").await;
    answered("a number is stored", || player.add("safe", 1)).await;
    let mut random = Random(11);
    let hidden = [id(&LEDGER, "Wipe"), id(&PROBE, "Secret"), id(&GREETER, "Count"), id(&PROBE_CLIENT, "Added")];
    let invented = (0..50).map(|_| random.next() as u32).chain([0, 1, 1023, u32::MAX]).collect::<Vec<_>>();
    for method in hidden.into_iter().chain(invented) {
        for key in [None, Some("safe".into())] {
            let error = player.client.call(method, key.clone(), "", HONEST).await.expect_err("refused");
            let fine = matches!(error.code, Code::UNIMPLEMENTED | Code::PERMISSION_DENIED);
            assert!(fine, "method {method}: {error}");
            player.client.notify(method, key, "").expect("it can be said");
        }
    }
    assert_eq!(player.read("safe").await.unwrap(), [1]);
}

#[tokio::test]
async fn a_client_is_who_the_gate_says_whatever_it_claims() {
    let (_cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    let mut ann = Player::at(&gate, "ann").await;
    let bob = Player::at(&gate, "bob").await;
    for (player, name) in [(&ann, "ann"), (&bob, "bob")] {
        let caller = answered("the gate knows", || player.who()).await;
        assert_eq!(caller.account, name);
        assert_eq!(Some(caller.session), player.client.sid().map(|sid| sid.0));
    }
    ann.until_event(|event| matches!(event, Event::Online { .. })).await;
    // A stranger wants her session, with every ticket but the right one.
    let (address, sid) = (gate.address("gate"), varint(ann.client.sid().unwrap().0));
    let mut random = Random(5);
    for length in [0, 1, 15, 16, 17, 64] {
        let ticket: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let ticket = [&[length], &*ticket].concat();
        let mut bytes = [b"BBQ1", &*hello(), &frame(RESUME, &[&sid, &ticket, &[0]])].concat();
        // What follows a failed RESUME must be AUTH; this ends the connection.
        bytes.extend(frame(PUSH, &[&[1, 1]]));
        let code = error_code(&exchange(&address, &bytes).await);
        assert_eq!(code, Some(Code::BAD_FRAME.0 as u8), "a ticket of {length} bytes");
    }
    assert!(ann.events.try_next().is_none(), "she notices nothing");
    answered("and is served", || ann.add("ann", 1)).await;
}

#[tokio::test]
async fn what_only_gates_and_nodes_may_say_ends_the_connection_of_a_client() {
    let (_cluster, [_center, _proxy, mut game, mut gate]) = Cluster::usual().await;
    let address = gate.address("gate");
    let greeting = [b"BBQ1", &*hello(), &auth("eve")].concat();
    for (kind, fields) in [
        (WELCOME, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]),
        (PUSH, &[1, 1]),
        (GOAWAY, &[0, 0, 0]),
        (KICK, &[0, 0]),
        (ERR, &[13, 0, 0]),
        (14, &[]),
        (0, &[]),
        (99, &[]),
    ] {
        let answer = exchange(&address, &[&*greeting, &frame(kind, &[fields])].concat()).await;
        assert_eq!(error_code(&answer), Some(Code::BAD_FRAME.0 as u8), "kind {kind}");
    }
    // The protocol of nodes is not spoken here: nobody registers anything at the door for clients.
    for bytes in [&b"BBQM"[..], b"BBQMBBQMBBQMBBQM", b"BBQ2", b"\0\0\0\0"] {
        let answer = exchange(&address, &[bytes, &[0; 64]].concat()).await;
        assert!(error_code(&answer).is_none_or(|code| code != 0), "{answer:?}");
    }
    let player = Player::at(&gate, "ann").await;
    answered("an honest client is served", || player.add("after", 1)).await;
    assert!(gate.is_running() && game.is_running());
}

/// Openings that promise more than they hold, for each protocol.
fn traps(random: &mut Random) -> Vec<Vec<u8>> {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut traps = vec![
        [&b"BBQ1"[..], &huge].concat(),
        [&b"BBQ1"[..], &hello(), &huge].concat(),
        [&b"BBQ1"[..], &hello(), &auth("mallory"), &huge, &[5, 0]].concat(),
        [&b"BBQ1"[..], &[0xff; 64]].concat(),
        [&b"BBQM"[..], &[0xff; 64]].concat(),
        [&b"BBQM"[..], &0x00ff_ffff_u32.to_le_bytes(), &[0; 32]].concat(),
        u32::MAX.to_be_bytes().to_vec(),
        [&u32::MAX.to_le_bytes()[..], &[1; 100]].concat(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        [&b"GET /bbq HTTP/1.1\r\nupgrade: websocket\r\n"[..], &[b'a'; 20_000]].concat(),
        b"\x16\x03\x01\xff\xff".to_vec(),
        Vec::new(),
    ];
    for most in [1, 4, 16, 256, 5000] {
        traps.push(random.bytes(most));
        traps.push([&b"BBQ1"[..], &random.bytes(most)].concat());
        traps.push([&b"BBQM"[..], &random.bytes(most)].concat());
    }
    traps
}

/// Opens one connection for each trap, says it, and waits for nothing.
async fn set_traps(address: &str, random: &mut Random) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for trap in traps(random) {
        let mut stream = TcpStream::connect(address).await.expect("it still listens");
        let _ = stream.write_all(&trap).await;
        open.push(stream);
    }
    open
}

async fn is_served_quickly(player: &Player, calls: u64) {
    for call in 0..calls {
        let begun = Instant::now();
        player.add("honest", call).await.expect("an honest call is answered");
        player.instance().await.expect("an honest call is answered");
        assert!(begun.elapsed() < HONEST, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn hostile_bytes_at_every_port_harm_nobody() {
    let (cluster, [center, proxy, game, gate]) = Cluster::usual().await;
    let player = Player::at(&gate, "ann").await;
    answered("it serves", || player.add("honest", 0)).await;
    let ports: Vec<String> = [&proxy, &game, &gate]
        .into_iter()
        .flat_map(Process::mesh)
        .chain([gate.address("gate"), center.address("center")])
        .collect();
    assert_eq!(ports.len(), 5);
    let mut all = [center, proxy, game, gate];
    let before: Vec<u64> = all.iter().map(Process::memory_mib).collect();
    let mut random = Random(77);
    // Those that are half open stay so while others come.
    let mut open = Vec::new();
    for _round in 0..8 {
        for port in &ports {
            open.extend(set_traps(port, &mut random).await);
        }
        is_served_quickly(&player, 10).await;
    }
    let held = open.len();
    assert!(held > 500);
    for (process, before) in all.iter_mut().zip(before) {
        assert!(process.is_running());
        let now = process.memory_mib();
        assert!(now < before + GROWTH_MIB, "{held} hostile connections: {before} MiB before, {now} now");
    }
    // Newcomers are let in meanwhile: clients, and games.
    let [_center, _proxy, _game, gate] = &all;
    let late = Player::join(options("ws", gate, "late")).await;
    is_served_quickly(&late, 10).await;
    let second = cluster.start("game", "game-2", &[]).await;
    crate::runner::until("the new game takes part", || async {
        (late.instance().await.ok()?.pid == second.pid()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_nobody() {
    const SHOUTS: u64 = 300;
    const BYTES: usize = 48 * 1024;
    let (_cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    // It takes one push, and then nothing any more from its socket.
    let slow = Player::join(options("tcp", &gate, "slow").push_queue(1)).await;
    answered("it joins", || slow.enter("crowd")).await;
    let mut listeners = tokio::task::JoinSet::new();
    for (number, scheme) in ["tcp", "ws", "tcp"].into_iter().enumerate() {
        let mut player = Player::join(options(scheme, &gate, &format!("listener-{number}"))).await;
        answered("it joins", || player.enter("crowd")).await;
        listeners.spawn(async move {
            for wanted in 0..SHOUTS {
                let push = soon("a shout is heard", player.pushes.next()).await.expect("the client is open");
                let noise = Noise::decode_from_slice(&push.body).expect("noise");
                assert_eq!((noise.number, noise.filling.len()), (wanted, BYTES), "every shout, in order");
            }
            player
        });
    }
    let before = gate.memory_mib();
    let shouter = Player::at(&gate, "shouter").await;
    for number in 0..SHOUTS {
        let begun = Instant::now();
        shouter.shout("crowd", number, BYTES).await.expect("it is shouted");
        assert!(begun.elapsed() < HONEST, "{:?}", begun.elapsed());
    }
    while let Some(listener) = listeners.join_next().await {
        listener.expect("every listener heard everything");
    }
    let now = gate.memory_mib();
    assert!(now < before + GROWTH_MIB, "{before} MiB before, {now} now");
    drop::<Client>(slow.client);
}
