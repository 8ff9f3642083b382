//! A gate with a mesh that the test plays, and clients that speak frames over any stream.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::desc::{Kind, MethodDesc, ServiceDesc};
use bbq_core::gate::{Config, MethodTable};
use bbq_core::mesh::{FromGate, ToGate};
use bbq_core::world::{ClientRef, GroupChange, GroupOp, Outgoing, Target, ToClient};
use bbq_gate::{Ends, Gate, GateConfig, Verifier};
use bbq_rt::clock::Clock;
use bbq_rt::queue::{Receiver, Sender, queue};
use bbq_wire::frame::{Auth, Frame, Hello, Req, Resume, Welcome};
use bbq_wire::{Error, NodeUid, SessionId, Splitter, Time};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

pub(crate) const ECHO: u32 = 5;
pub(crate) const SAY: u32 = 6;
pub(crate) const HIDDEN: u32 = 7;
pub(crate) const SAID: u32 = 8;

pub(crate) const ROOM: ServiceDesc = ServiceDesc {
    name: "test.Room",
    kind: Kind::Entity,
    methods: &[
        MethodDesc { name: "Echo", id: ECHO, client: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Say", id: SAY, client: true, oneway: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Hidden", id: HIDDEN, ..MethodDesc::DEFAULT },
    ],
    ..ServiceDesc::DEFAULT
};

/// Nothing that the tests wait for takes this long.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it should not take that long")
}

/// Waits until `ready` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(ready: impl Fn() -> F) -> T {
    soon(async {
        loop {
            if let Some(value) = ready().await {
                return value;
            }
            // tidy: this is how a condition is waited for
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// A gate and the mesh that the test plays.
pub(crate) struct Server {
    pub(crate) gate: Gate,
    pub(crate) from_gate: Receiver<FromGate>,
    pub(crate) to_gate: Sender<ToGate>,
    _methods: watch::Sender<Arc<MethodTable>>,
}

pub(crate) fn local() -> GateConfig {
    GateConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
}

impl Server {
    pub(crate) async fn start(config: GateConfig) -> Self {
        Self::start_with(config, Verifier::guest()).await
    }

    pub(crate) async fn start_with(config: GateConfig, verifier: Verifier) -> Self {
        let (to_mesh, from_gate) = queue(256);
        let (to_gate, from_mesh) = queue(256);
        let (methods_tx, methods) = watch::channel(Arc::new(MethodTable::of_services(&[&ROOM]).0));
        let ends = Ends { clock: Clock::start(), to_mesh, from_mesh, methods };
        let gate = Gate::start(config, ends, verifier).await.unwrap();
        Self { gate, from_gate, to_gate, _methods: methods_tx }
    }

    pub(crate) async fn start_machine(machine: Config) -> Self {
        Self::start(GateConfig { machine, ..local() }).await
    }

    /// The next call of a client.
    pub(crate) async fn call(&mut self) -> Outgoing {
        loop {
            match soon(self.from_gate.recv()).await.unwrap() {
                FromGate::Call(call) => return call,
                _ => continue,
            }
        }
    }

    /// Answers the next call with its own body; who called.
    pub(crate) async fn echo(&mut self) -> ClientRef {
        let call = self.call().await;
        assert!(matches!(call.target, Target::Entity(_)));
        let reply = ToGate::Reply { call: call.call.unwrap(), result: Ok(call.body) };
        self.to_gate.send(reply).await.unwrap();
        call.meta.unwrap().client.clone().unwrap()
    }

    pub(crate) async fn push(&self, session: SessionId, body: &[u8]) {
        let client = ClientRef { gate: NodeUid::default(), session, account: "".into() };
        let body = Bytes::copy_from_slice(body);
        let message =
            ToClient { client, method: SAID, from: None, body, call: None, deadline: Time::MAX, unreliable: false };
        self.to_gate.send(ToGate::ToClient { corr: None, message }).await.unwrap();
    }

    pub(crate) async fn group(&self, change: GroupChange) {
        let op = GroupOp { group: "all".into(), epoch: 0, change };
        self.to_gate.send(ToGate::Group(NodeUid::default(), op)).await.unwrap();
    }

    pub(crate) async fn join(&self, session: SessionId) {
        self.group(GroupChange::Join(ClientRef { gate: NodeUid::default(), session, account: "".into() })).await;
    }

    pub(crate) async fn tcp(&self) -> Client<Native<TcpStream>> {
        Client::native(TcpStream::connect(self.gate.local_addr()).await.unwrap()).await
    }

    pub(crate) async fn websocket(&self) -> Client<Messages<MaybeTlsStream<TcpStream>>> {
        let uri = format!("ws://{}/bbq", self.gate.local_addr());
        let (socket, _) = ClientBuilder::new().uri(&uri).unwrap().connect().await.unwrap();
        Client::new(Messages(socket))
    }
}

/// What carries frames.
pub(crate) trait Wire {
    async fn send(&mut self, bytes: Bytes);
    /// `None`: closed.
    async fn receive(&mut self) -> Option<Bytes>;
}

/// A byte stream.
pub(crate) struct Native<S>(pub(crate) S);

/// A WebSocket.
pub(crate) struct Messages<S>(pub(crate) WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for Native<S> {
    async fn send(&mut self, bytes: Bytes) {
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self) -> Option<Bytes> {
        let mut bytes = BytesMut::with_capacity(4096);
        match self.0.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(bytes.freeze()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for Messages<S> {
    async fn send(&mut self, bytes: Bytes) {
        self.0.send(Message::binary(bytes)).await.unwrap();
    }

    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            let message = self.0.next().await?.ok()?;
            if message.is_binary() {
                return Some(Bytes::from(message.into_payload()));
            }
            if message.is_close() {
                return None;
            }
        }
    }
}

/// A client.
pub(crate) struct Client<W> {
    pub(crate) wire: W,
    received: BytesMut,
    seq: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<Native<S>> {
    pub(crate) async fn native(mut stream: S) -> Self {
        stream.write_all(b"BBQ1").await.unwrap();
        Self::new(Native(stream))
    }
}

impl<W: Wire> Client<W> {
    pub(crate) fn new(wire: W) -> Self {
        Self { wire, received: BytesMut::new(), seq: 0 }
    }

    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.wire.send(bytes.freeze()).await;
    }

    /// The next frame; `None`: closed.
    pub(crate) async fn receive(&mut self) -> Option<Frame> {
        soon(async {
            loop {
                if let Some(frame) = Splitter::new(u32::MAX).next(&mut self.received).unwrap() {
                    return Some(Frame::decode(frame).unwrap());
                }
                let bytes = self.wire.receive().await?;
                self.received.extend_from_slice(&bytes);
            }
        })
        .await
    }

    pub(crate) async fn login(&mut self, account: &str) -> Welcome {
        self.send(&[hello(), auth(account.as_bytes())]).await;
        self.welcome().await
    }

    pub(crate) async fn resume(&mut self, welcome: &Welcome, seen: u64) -> Option<Frame> {
        let (sid, ticket) = (welcome.sid, welcome.ticket.clone());
        self.send(&[hello(), Frame::Resume(Resume { sid, ticket, seen })]).await;
        self.receive().await
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.receive().await {
            Some(Frame::Welcome(welcome)) => *welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    pub(crate) async fn error(&mut self) -> Error {
        match self.receive().await {
            Some(Frame::Err(error)) => error,
            other => panic!("no error but {other:?}"),
        }
    }

    pub(crate) async fn request(&mut self, method: u32, body: &[u8]) {
        self.seq += 1;
        let body = Bytes::copy_from_slice(body);
        self.send(&[Frame::Req(Req { seq: self.seq, method, body, ..Req::default() })]).await;
    }

    pub(crate) async fn response(&mut self) -> Result<Bytes, Error> {
        loop {
            match self.receive().await {
                Some(Frame::Rsp(rsp)) => return rsp.result,
                Some(Frame::Ack { .. } | Frame::Push(_)) => {}
                other => panic!("no response but {other:?}"),
            }
        }
    }

    pub(crate) async fn pushed(&mut self) -> Bytes {
        match self.receive().await {
            Some(Frame::Push(note)) => note.body,
            other => panic!("no push but {other:?}"),
        }
    }
}

pub(crate) fn hello() -> Frame {
    Frame::Hello(Hello { version: 1, ..Hello::default() })
}

pub(crate) fn auth(token: &[u8]) -> Frame {
    Frame::Auth(Auth { scheme: "guest".into(), token: Bytes::copy_from_slice(token), device: String::new() })
}
