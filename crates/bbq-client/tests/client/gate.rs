//! A scripted gate on a port of its own, made of the same session machine as the real one.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bbq_wire::delivery::{Delivery, RingLimits};
use bbq_wire::frame::{GoAway, LIMIT_UP, PREFACE};
use bbq_wire::gate::{Attach, GateConfig, GateInput, GateOutput, GateSession, Lane};
use bbq_wire::handshake::{Handshake, Step};
use bbq_wire::{Code, Error, Frame, SessionId, SharedFrame, Splitter, Time};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};

/// Answers with the request's body.
pub(crate) const ECHO: u32 = 1;
/// Answers with an application error.
pub(crate) const FAIL: u32 = 2;
/// Never answers.
pub(crate) const HANG: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Ws,
    Tls,
    Wss,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Io = Box<dyn Duplex>;

enum Line {
    Stream(Io, BytesMut),
    WebSocket(Box<WebSocketStream<Io>>, Bytes),
}

#[derive(Default)]
struct Connection {
    writer: Option<mpsc::Sender<Bytes>>,
    handshake: Option<Handshake>,
    sid: Option<u64>,
}

struct State {
    origin: Instant,
    config: GateConfig,
    sessions: BTreeMap<u64, GateSession>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    notes: Vec<(u32, Bytes)>,
    answers: BTreeMap<u64, oneshot::Sender<Result<Bytes, Error>>>,
    accepted: u64,
}

/// A gate that does what the test says.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
    kind: Kind,
    address: SocketAddr,
    tls: Option<(TlsAcceptor, Arc<str>)>,
}

impl Gate {
    pub(crate) async fn start(kind: Kind) -> Self {
        let state = State {
            origin: Instant::now(),
            config: GateConfig {
                max_calls: 1000,
                ring: RingLimits { frames: 4096, bytes: 1 << 20, ..RingLimits::GATE },
                ..GateConfig::default()
            },
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 1,
            notes: Vec::new(),
            answers: BTreeMap::new(),
            accepted: 0,
        };
        let tls = matches!(kind, Kind::Tls | Kind::Wss).then(acceptor);
        let mut gate =
            Self { state: Arc::new(Mutex::new(state)), kind, address: SocketAddr::from(([127, 0, 0, 1], 0)), tls };
        gate.address = gate.listen().await;
        gate
    }

    /// Another port of the same gate.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = self.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let gate = gate.clone();
                tokio::spawn(async move {
                    let io: Io = match &gate.tls {
                        Some((acceptor, _)) => match acceptor.accept(tcp).await {
                            Ok(tls) => Box::new(tls),
                            Err(_) => return,
                        },
                        None => Box::new(tcp),
                    };
                    gate.serve(io).await;
                });
            }
        });
        address
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match self.kind {
            Kind::Tcp => "tcp",
            Kind::Ws => "ws",
            Kind::Tls => "tls",
            Kind::Wss => "wss",
        };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn root_pem(&self) -> &str {
        self.tls.as_ref().map_or("", |(_, pem)| pem)
    }

    async fn serve(&self, io: Io) {
        let mut line = match self.kind {
            Kind::Tcp | Kind::Tls => Line::Stream(io, BytesMut::new()),
            Kind::Ws | Kind::Wss => match ServerBuilder::new().accept(io).await {
                Ok((_, socket)) => Line::WebSocket(Box::new(socket), Bytes::new()),
                Err(_) => return,
            },
        };
        if let Line::Stream(io, _) = &mut line {
            let mut preface = [0; 4];
            if io.read_exact(&mut preface).await.is_err() || preface != *PREFACE {
                return;
            }
        }
        let (writer, mut reader) = mpsc::channel(10_000);
        let id = self.with(|state| {
            state.accepted += 1;
            let handshake = Some(Handshake::new(state.now()));
            state.next += 1;
            state.connections.insert(state.next, Connection { writer: Some(writer), handshake, sid: None });
            state.next
        });
        loop {
            tokio::select! {
                biased;
                bytes = reader.recv() => match bytes {
                    Some(bytes) => if !line.send(bytes).await { break },
                    None => break,
                },
                frame = line.frame() => match frame {
                    Some(frame) => self.with(|state| state.on_frame(id, frame)),
                    None => break,
                },
            }
        }
        line.close().await;
        self.with(|state| state.gone(id));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    /// Pushes to every session.
    pub(crate) fn push(&self, method: u32, body: &[u8]) {
        let frame = SharedFrame::push(method, None, body);
        self.each(|| GateInput::Push(frame.clone(), Lane::Reliable));
    }

    pub(crate) fn kick(&self, error: &Error) {
        self.each(|| GateInput::Kick(error.clone()));
    }

    pub(crate) fn go_away(&self, address: &str) {
        self.each(|| GateInput::GoAway(GoAway { after_ms: 5, reason: 47, address: address.to_owned() }));
    }

    /// Writes bytes as they are to every connection.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        self.with(|state| {
            for connection in state.connections.values() {
                let _ = connection.writer.as_ref().map(|writer| writer.try_send(Bytes::copy_from_slice(bytes)));
            }
        });
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        self.with(|state| state.connections.values_mut().for_each(|connection| connection.writer = None));
    }

    /// Forgets every session, as a gate that crashed does.
    pub(crate) fn forget(&self) {
        self.with(|state| state.sessions.clear());
    }

    /// Calls every session; the answer of one of them.
    pub(crate) fn request(&self, method: u32, body: &'static [u8]) -> oneshot::Receiver<Result<Bytes, Error>> {
        let (sender, receiver) = oneshot::channel();
        self.with(|state| state.answers.insert(7, sender));
        let body = Bytes::from_static(body);
        self.each(|| GateInput::Request { call: 7, method, key: None, deadline_ms: Some(5000), body: body.clone() });
        receiver
    }

    pub(crate) fn notes(&self) -> Vec<(u32, Bytes)> {
        self.with(|state| state.notes.clone())
    }

    pub(crate) fn attached(&self) -> usize {
        self.with(|state| state.sessions.values().filter(|session| session.is_attached()).count())
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.with(|state| state.accepted)
    }

    fn each(&self, input: impl Fn() -> GateInput) {
        self.with(|state| {
            let sids: Vec<u64> = state.sessions.keys().copied().collect();
            sids.into_iter().for_each(|sid| state.session(sid, input()));
        });
    }
}

impl State {
    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn on_frame(&mut self, id: u64, frame: Frame) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match (connection.sid, &mut connection.handshake) {
            (Some(sid), _) => self.session(sid, GateInput::Frame(frame)),
            (None, Some(handshake)) => {
                let step = handshake.on_frame(frame);
                self.on_step(id, step);
            }
            (None, None) => {}
        }
    }

    fn on_step(&mut self, id: u64, step: Step) {
        match step {
            Step::Wait => {}
            Step::Authenticate(auth) if auth.token == "bad" => {
                self.write(id, Frame::Err(Error::new(Code::UNAUTHENTICATED, "no such token")).to_bytes());
                self.hang_up(id);
            }
            Step::Authenticate(auth) => {
                self.next += 1;
                let sid = self.next;
                self.sessions.insert(sid, GateSession::new(self.now(), SessionId(sid), Delivery::new()));
                let account = String::from_utf8_lossy(&auth.token).into_owned();
                self.attach(id, sid, Attach { resume: None, ticket: ticket(sid), account });
            }
            Step::Resume(resume) => {
                let sid = resume.sid.0;
                if self.sessions.get(&sid).is_some_and(|session| session.can_resume(&resume.ticket, resume.seen)) {
                    self.next += 1;
                    let ticket = ticket(self.next);
                    self.attach(id, sid, Attach { resume: Some(resume), ticket, account: "again".to_owned() });
                } else if let Some(handshake) = self.connections.get_mut(&id).and_then(|c| c.handshake.as_mut()) {
                    let answer = handshake.resume_failed("unknown").to_bytes();
                    self.write(id, answer);
                }
            }
            Step::Fail(error) => {
                self.write(id, Frame::Err(error).to_bytes());
                self.hang_up(id);
            }
        }
    }

    fn attach(&mut self, id: u64, sid: u64, attach: Attach) {
        for connection in self.connections.values_mut().filter(|connection| connection.sid == Some(sid)) {
            *connection = Connection::default();
        }
        self.session(sid, GateInput::Disconnected);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sid = Some(sid);
        }
        self.session(sid, GateInput::Attach(attach));
    }

    fn session(&mut self, sid: u64, input: GateInput) {
        let (now, mut out) = (self.now(), Vec::new());
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        session.handle(now, &self.config, input, &mut out);
        let connection = self.connections.iter().find(|(_, connection)| connection.sid == Some(sid)).map(|(id, _)| *id);
        for output in out {
            match output {
                GateOutput::Send { prefix, tail } => {
                    let bytes = [prefix.as_slice(), &tail].concat();
                    let sent = bytes.len() as u32;
                    connection.into_iter().for_each(|id| self.write(id, bytes.clone().into()));
                    self.session(sid, GateInput::Flushed(sent));
                }
                GateOutput::Close => connection.into_iter().for_each(|id| self.hang_up(id)),
                GateOutput::Call { call, method, body, .. } => match method {
                    HANG => {}
                    FAIL => {
                        let result = Err(Error::application(1001, "as you wish").retry_after(7));
                        self.session(sid, GateInput::Reply { call, result });
                    }
                    _ => self.session(sid, GateInput::Reply { call, result: Ok(body) }),
                },
                GateOutput::Notify { method, body, .. } => self.notes.push((method, body)),
                GateOutput::Answer { call, result } => {
                    let _ = self.answers.remove(&call).map(|answer| answer.send(result));
                }
                GateOutput::Ended(_) => drop(self.sessions.remove(&sid)),
                GateOutput::Detached(_) | GateOutput::Refused(_) => {}
            }
        }
    }

    fn write(&self, id: u64, bytes: Bytes) {
        let writer = self.connections.get(&id).and_then(|connection| connection.writer.as_ref());
        let _ = writer.map(|writer| writer.try_send(bytes).expect("tests send less"));
    }

    fn hang_up(&mut self, id: u64) {
        let _ = self.connections.get_mut(&id).map(|connection| connection.writer = None);
    }

    fn gone(&mut self, id: u64) {
        if let Some(sid) = self.connections.remove(&id).and_then(|connection| connection.sid) {
            self.session(sid, GateInput::Disconnected);
        }
    }
}

impl Line {
    /// None: the connection is over, or the client broke the protocol.
    async fn frame(&mut self) -> Option<Frame> {
        let splitter = Splitter::new(LIMIT_UP);
        loop {
            let next = match self {
                Self::Stream(_, buffer) => splitter.next(buffer),
                Self::WebSocket(_, message) => splitter.next_in_message(message),
            };
            if let Some(frame) = next.expect("clients send frames") {
                return Some(Frame::decode(frame).expect("clients send frames"));
            }
            match self {
                Self::Stream(io, buffer) => {
                    if io.read_buf(buffer).await.ok()? == 0 {
                        return None;
                    }
                }
                Self::WebSocket(socket, message) => {
                    let next = poll_fn(|cx| Pin::new(&mut **socket).poll_next(cx)).await?.ok()?;
                    if next.is_binary() {
                        *message = next.into_payload().into();
                    }
                }
            }
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        match self {
            Self::Stream(io, _) => io.write_all(&bytes).await.is_ok() && io.flush().await.is_ok(),
            Self::WebSocket(socket, _) => {
                poll_fn(|cx| Pin::new(&mut **socket).poll_ready(cx)).await.is_ok()
                    && Pin::new(&mut **socket).start_send(Message::binary(bytes)).is_ok()
                    && poll_fn(|cx| Pin::new(&mut **socket).poll_flush(cx)).await.is_ok()
            }
        }
    }

    async fn close(&mut self) {
        if let Self::Stream(io, _) = self {
            let _ = io.shutdown().await;
        }
    }
}

fn ticket(number: u64) -> [u8; 16] {
    let mut ticket = [0; 16];
    ticket[..8].copy_from_slice(&number.to_le_bytes());
    ticket
}

fn acceptor() -> (TlsAcceptor, Arc<str>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let pem: Arc<str> = made.cert.pem().into();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), pem)
}
