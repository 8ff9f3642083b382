//! Measures a gate: memory of idle connections, calls per second, copies of broadcasts per second.
//!
//! ```text
//! cargo run --release -p bbq-gate --example measure -- idle 5000 ws
//! cargo run --release -p bbq-gate --example measure -- calls 50 tcp
//! cargo run --release -p bbq-gate --example measure -- broadcast 1000 tcp
//! ```
//! Clients run in a process of their own, started by this one.

#![expect(clippy::print_stdout, reason = "its output is the point")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bbq_core::desc::{Kind, MethodDesc, ServiceDesc};
use bbq_core::gate::MethodTable;
use bbq_core::mesh::{FromGate, ToGate};
use bbq_core::world::{ClientRef, GroupChange, GroupOp};
use bbq_gate::{Ends, Gate, GateConfig, Verifier};
use bbq_rt::clock::Clock;
use bbq_rt::queue::{Receiver, Sender, queue};
use bbq_wire::frame::{Auth, Frame, Hello, Req};
use bbq_wire::{NodeUid, Splitter};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_websockets::{ClientBuilder, Message};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ECHO: u32 = 5;
const ROOM: ServiceDesc = ServiceDesc {
    name: "measure.Room",
    kind: Kind::Entity,
    methods: &[MethodDesc { name: "Echo", id: ECHO, client: true, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};
/// Calls of one client that are on their way.
const WINDOW: u64 = 16;
/// How long is measured.
const SPAN: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["client", address, what, count, transport] => clients(address.parse()?, what, count.parse()?, transport).await,
        [what, count, transport] => serve(what, count.parse()?, transport).await,
        _ => Err("usage: measure idle|calls|broadcast <clients> tcp|ws".into()),
    }
}

async fn serve(what: &str, count: u64, transport: &str) -> Result<(), Failure> {
    let (to_mesh, from_gate) = queue(4096);
    let (to_gate, from_mesh) = queue(4096);
    let (_methods, methods) = watch::channel(Arc::new(MethodTable::of_services(&[&ROOM]).0));
    let mut config = GateConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.machine.limits.connections_per_address = 100_000;
    config.machine.limits.session_rate = None;
    config.machine.limits.connection_rate = None;
    config.machine.session.heartbeat = Duration::from_secs(600);
    let gate =
        Gate::start(config, Ends { clock: Clock::start(), to_mesh, from_mesh, methods }, Verifier::guest()).await?;
    let (sessions, members) = mpsc::channel(100_000);
    tokio::spawn(echo(from_gate, to_gate.clone(), sessions));
    let address = gate.local_addr().to_string();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["client", &address, what, &count.to_string(), transport])
        .stdin(Stdio::null())
        .spawn()?;
    let half = wait_for(&gate, count / 2).await;
    let before = resident()?;
    let all = wait_for(&gate, count).await;
    match what {
        "idle" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let used = resident()?.saturating_sub(before);
            println!("{count} idle {transport} connections: {} bytes for each of the second half", used / (all - half));
        }
        "calls" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (start, first) = (Instant::now(), gate.stats().await.requests);
            tokio::time::sleep(SPAN).await;
            let calls = gate.stats().await.requests - first;
            println!("{count} {transport} clients: {:.0} calls/s", calls as f64 / start.elapsed().as_secs_f64());
        }
        _ => broadcast(&gate, &to_gate, members, count, transport).await?,
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Waits until so many sessions are attached; how many it were then.
async fn wait_for(gate: &Gate, count: u64) -> u64 {
    loop {
        let attached = gate.stats().await.attached;
        if attached >= count {
            return attached;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Plays the mesh: answers every call with its own body, and remembers who called first.
async fn echo(mut calls: Receiver<FromGate>, replies: Sender<ToGate>, sessions: mpsc::Sender<ClientRef>) {
    while let Some(message) = calls.recv().await {
        let FromGate::Call(call) = message else { continue };
        if let Some(client) = call.meta.and_then(|meta| meta.client.clone()) {
            let _ = sessions.try_send(client);
        }
        if let Some(id) = call.call {
            let _ = replies.send(ToGate::Reply { call: id, result: Ok(call.body) }).await;
        }
    }
}

async fn broadcast(
    gate: &Gate,
    to_gate: &Sender<ToGate>,
    mut members: mpsc::Receiver<ClientRef>,
    count: u64,
    transport: &str,
) -> Result<(), Failure> {
    let tell =
        |change| to_gate.send(ToGate::Group(NodeUid::default(), GroupOp { group: "all".into(), epoch: 0, change }));
    for _ in 0..count {
        let member = members.recv().await.ok_or("nobody")?;
        tell(GroupChange::Join(ClientRef { gate: NodeUid::default(), ..member }))
            .await
            .map_err(|_| "the gate is gone")?;
    }
    let body = Bytes::from(vec![7; 100]);
    let (start, first) = (Instant::now(), gate.stats().await.bytes_out);
    let mut rounds = 0_u64;
    while start.elapsed() < SPAN {
        for _ in 0..16 {
            let (body, except) = (body.clone(), Vec::new());
            tell(GroupChange::Push { method: 9, from: None, body, except, unreliable: false })
                .await
                .map_err(|_| "the gate is gone")?;
            rounds += 1;
        }
        // Not faster than the clients read.
        while gate.stats().await.cut.is_empty() && gate.stats().await.broadcasts < rounds {
            tokio::task::yield_now().await;
        }
    }
    let stats = gate.stats().await;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{count} {transport} members: {:.0} copies/s, {:.1} MB/s, cut off: {:?}",
        stats.broadcast_copies as f64 / seconds,
        (stats.bytes_out - first) as f64 / seconds / 1e6,
        stats.cut,
    );
    Ok(())
}

async fn clients(address: SocketAddr, what: &str, count: u64, transport: &str) -> Result<(), Failure> {
    let received = Arc::new(AtomicU64::new(0));
    for number in 0..count {
        let mut client = Client::connect(address, transport).await?;
        let auth = Auth { scheme: "guest".into(), token: format!("p{number}").into(), device: String::new() };
        client.send(&[Frame::Hello(Hello { version: 1, ..Hello::default() }), Frame::Auth(auth)]).await?;
        client.receive().await?;
        let (calls, received) = (what == "calls", received.clone());
        if what == "broadcast" {
            client.send(&[call(1)]).await?;
        }
        tokio::spawn(async move {
            if calls {
                let window: Vec<Frame> = (1..=WINDOW).map(call).collect();
                client.send(&window).await?;
            }
            let mut seq = WINDOW;
            loop {
                let frames = client.receive().await?;
                let answers = frames.iter().filter(|frame| matches!(frame, Frame::Rsp(_))).count() as u64;
                received.fetch_add(frames.len() as u64, Ordering::Relaxed);
                let mut out: Vec<Frame> = Vec::new();
                if calls {
                    out.extend((seq + 1..=seq + answers).map(call));
                    seq += answers;
                } else if let Some(Frame::Push(note)) = frames.last() {
                    out.push(Frame::Ack { seen: note.seq });
                }
                if !out.is_empty() {
                    client.send(&out).await?;
                }
            }
            #[expect(unreachable_code, reason = "names the type of the error")]
            Ok::<(), Failure>(())
        });
    }
    loop {
        let before = received.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!("  received by the clients: {} frames/s", (received.load(Ordering::Relaxed) - before) / 2);
    }
}

fn call(seq: u64) -> Frame {
    Frame::Req(Req { seq, method: ECHO, body: Bytes::from_static(&[7; 64]), ..Req::default() })
}

enum Client {
    Tcp(TcpStream, BytesMut),
    Web(Box<tokio_websockets::WebSocketStream<tokio_websockets::MaybeTlsStream<TcpStream>>>),
}

impl Client {
    async fn connect(address: SocketAddr, transport: &str) -> Result<Self, Failure> {
        if transport == "ws" {
            let (socket, _) = ClientBuilder::new().uri(&format!("ws://{address}/bbq"))?.connect().await?;
            return Ok(Self::Web(Box::new(socket)));
        }
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(b"BBQ1").await?;
        Ok(Self::Tcp(stream, BytesMut::new()))
    }

    async fn send(&mut self, frames: &[Frame]) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        match self {
            Self::Tcp(stream, _) => stream.write_all(&bytes).await?,
            Self::Web(socket) => socket.send(Message::binary(bytes.freeze())).await?,
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Vec<Frame>, Failure> {
        let (mut frames, splitter) = (Vec::new(), Splitter::new(u32::MAX));
        match self {
            Self::Tcp(stream, buffer) => {
                while frames.is_empty() {
                    buffer.reserve(16 * 1024);
                    if stream.read_buf(buffer).await? == 0 {
                        return Err("closed".into());
                    }
                    while let Some(frame) = splitter.next(buffer)? {
                        frames.push(Frame::decode(frame)?);
                    }
                }
            }
            Self::Web(socket) => {
                let message = socket.next().await.ok_or("closed")??;
                let mut bytes = Bytes::from(message.into_payload());
                while let Some(frame) = splitter.next_in_message(&mut bytes)? {
                    frames.push(Frame::decode(frame)?);
                }
            }
        }
        Ok(frames)
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}
