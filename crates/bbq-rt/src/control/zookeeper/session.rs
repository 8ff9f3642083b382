//! A session with a ZooKeeper ensemble: one connection at a time, requests in order, connected again when it breaks.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bbq_core::control::ControlError;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::jute::{MAX_FRAME_BYTES, Reader, Writer, code, op};
use crate::control::unreachable;

/// Requests that wait to be sent.
const QUEUE: usize = 1024;
/// Changed paths that wait for a reader; with more it must begin anew.
const PATHS: usize = 4096;
/// Pause before connecting again.
const PAUSE: Duration = Duration::from_millis(100);
const EVENT_XID: i32 = -1;
const PING_XID: i32 = -2;

/// What every session must know.
#[derive(Clone, Debug)]
pub(super) struct SessionConfig {
    pub(super) servers: Vec<String>,
    /// What is asked for; the servers have bounds.
    pub(super) timeout: Duration,
    /// How long a server may take to answer a connection.
    pub(super) patience: Duration,
    /// Keeps the session alive by itself, connects by itself, and begins a new one when it expired. Otherwise only
    /// requests do the first two, and after the third it is over.
    pub(super) lives: bool,
    /// Nodes that are made after every connection, and the one below which every change is told.
    pub(super) nodes: Vec<String>,
    pub(super) watched: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// The last transaction that the server knew; of a write, its own.
    pub(super) zxid: u64,
    /// See [`code`].
    pub(super) code: i32,
    pub(super) body: Reader,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The session is over, and what it held is gone.
    Expired,
    /// It may have been carried out.
    Lost(String),
}

impl From<Silence> for ControlError {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Expired => unreachable("the session with ZooKeeper expired"),
            Silence::Lost(why) => unreachable(why),
        }
    }
}

type Answer = oneshot::Sender<Result<Reply, Silence>>;

enum Command {
    Call { kind: i32, body: Bytes, answer: Answer },
    Watch(mpsc::Sender<String>),
}

/// A session. It is given up, not closed, when it is dropped: the servers wait for its timeout.
#[derive(Debug)]
pub(super) struct Session {
    commands: mpsc::Sender<Command>,
    patience: Duration,
}

/// An answer on its way.
pub(super) struct Pending {
    answered: oneshot::Receiver<Result<Reply, Silence>>,
    until: Instant,
}

impl Pending {
    pub(super) async fn reply(self) -> Result<Reply, Silence> {
        match tokio::time::timeout_at(self.until, self.answered).await {
            Ok(Ok(reply)) => reply,
            // The task ends when the session does.
            Ok(Err(_)) => Err(Silence::Expired),
            Err(_) => Err(Silence::Lost("ZooKeeper does not answer".into())),
        }
    }
}

impl Session {
    /// A session that is opened as soon as somebody asks, or by itself.
    pub(super) fn start(config: SessionConfig) -> Self {
        Self::run(config, Identity::default(), None)
    }

    /// Opens a session now: itself, its id, and the timeout that the servers gave it.
    pub(super) async fn open(config: SessionConfig) -> Result<(Self, i64, Duration), Silence> {
        let mut identity = Identity::default();
        let link = connect_any(&config, &mut identity).await?;
        let (id, timeout) = (identity.id, link.timeout);
        Ok((Self::run(config, identity, Some(link)), id, timeout))
    }

    fn run(config: SessionConfig, identity: Identity, link: Option<Link>) -> Self {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let patience = config.patience;
        tokio::spawn(Actor { config, identity, inbox, watchers: Vec::new() }.run(link));
        Self { commands, patience }
    }

    /// Sends a request; requests are answered in the order in which they were sent.
    pub(super) async fn send(&self, kind: i32, body: Writer) -> Result<Pending, Silence> {
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + self.patience;
        let command = Command::Call { kind, body: body.0.freeze(), answer };
        match tokio::time::timeout_at(until, self.commands.send(command)).await {
            Ok(Ok(())) => Ok(Pending { answered, until }),
            Ok(Err(_)) => Err(Silence::Expired),
            Err(_) => Err(Silence::Lost("ZooKeeper does not answer".into())),
        }
    }

    pub(super) async fn call(&self, kind: i32, body: Writer) -> Result<Reply, Silence> {
        self.send(kind, body).await?.reply().await
    }

    /// Paths that change from now on. It ends when something may have been missed.
    pub(super) async fn changes(&self) -> Result<mpsc::Receiver<String>, Silence> {
        let (sender, receiver) = mpsc::channel(PATHS);
        self.commands.send(Command::Watch(sender)).await.map_err(|_| Silence::Expired)?;
        Ok(receiver)
    }
}

/// By which the servers know a session again.
#[derive(Debug, Default)]
struct Identity {
    id: i64,
    password: Bytes,
    /// The last transaction that we know of: a server that is behind it is no help.
    zxid: i64,
    /// Of the servers, the one to try next.
    server: usize,
}

struct Link {
    stream: TcpStream,
    buffer: BytesMut,
    timeout: Duration,
    heard: Instant,
    pinged: Instant,
    /// When the oldest of the requests that wait was sent, or a later one.
    asked: Instant,
}

struct Actor {
    config: SessionConfig,
    identity: Identity,
    inbox: mpsc::Receiver<Command>,
    watchers: Vec<mpsc::Sender<String>>,
}

/// Why a connection ended.
enum End {
    Broken,
    /// Nobody has the [`Session`] any more.
    Dropped,
    Closed,
}

impl Actor {
    async fn run(mut self, mut link: Option<Link>) {
        let mut waiting: Option<Command> = None;
        loop {
            if link.is_none() {
                if !self.config.lives && waiting.is_none() {
                    waiting = self.inbox.recv().await;
                    if waiting.is_none() {
                        return;
                    }
                }
                if self.config.lives && self.inbox.is_closed() && self.inbox.is_empty() {
                    return;
                }
                match connect_any(&self.config, &mut self.identity).await {
                    Ok(new) => link = Some(new),
                    Err(Silence::Expired) if self.config.lives => {
                        (self.identity.id, self.identity.password) = (0, Bytes::new());
                        continue;
                    }
                    Err(Silence::Expired) => return,
                    Err(silence) => {
                        if let Some(Command::Call { answer, .. }) = waiting.take() {
                            // Whoever asked may have left.
                            let _ = answer.send(Err(silence));
                        }
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            let Some(here) = link.take() else { continue };
            match self.serve(here, waiting.take()).await {
                End::Broken => self.watchers.clear(),
                End::Dropped | End::Closed => return,
            }
        }
    }

    async fn serve(&mut self, mut link: Link, first: Option<Command>) -> End {
        let mut pending: VecDeque<(i32, Option<Answer>)> = VecDeque::new();
        let mut xid = 0;
        for path in self.config.nodes.clone() {
            let body = Writer::default().text(&path).bytes(b"").open_acl().int(0);
            xid += 1;
            pending.push_back((xid, None));
            if link.write(xid, op::CREATE, &body.0).await.is_err() {
                return End::Broken;
            }
        }
        if let Some(path) = &self.config.watched {
            // Persistent and recursive: ZooKeeper 3.6 or newer.
            let body = Writer::default().text(path).int(1);
            xid += 1;
            pending.push_back((xid, None));
            if link.write(xid, op::ADD_WATCH, &body.0).await.is_err() {
                return End::Broken;
            }
        }
        let mut command = first;
        loop {
            let (mut closes, mut is_broken) = (false, false);
            match command.take() {
                Some(Command::Call { kind, body, answer }) if !answer.is_closed() => {
                    if pending.is_empty() {
                        // Nobody was asked before.
                        link.asked = Instant::now();
                    }
                    xid += 1;
                    closes = kind == op::CLOSE;
                    is_broken = link.write(xid, kind, &body).await.is_err();
                    pending.push_back((xid, Some(answer)));
                }
                Some(Command::Watch(watcher)) => {
                    self.watchers.retain(|watcher| !watcher.is_closed());
                    self.watchers.push(watcher);
                }
                _ => {}
            }
            // A server answers a request before the ones after it; nobody waits for a session that closes.
            if is_broken || closes {
                fail(pending, "the connection to ZooKeeper broke");
                return if closes { End::Closed } else { End::Broken };
            }
            let patience = if self.config.lives { link.timeout * 2 / 3 } else { self.config.patience };
            let silent = link.heard.max(link.asked) + patience;
            let waits = self.config.lives || !pending.is_empty();
            let ping = link.heard + link.timeout / 3;
            tokio::select! {
                frame = link.frame() => {
                    let taken = frame.and_then(|frame| self.take(Reader(frame), &mut pending));
                    if let Err(error) = taken {
                        fail(pending, &format!("the connection to ZooKeeper broke: {error}"));
                        return End::Broken;
                    }
                }
                next = self.inbox.recv() => match next {
                    Some(next) => command = Some(next),
                    None => return End::Dropped,
                },
                () = sleep_until(silent), if waits => {
                    fail(pending, "ZooKeeper does not answer");
                    return End::Broken;
                }
                () = sleep_until(ping), if self.config.lives && link.pinged < link.heard => {
                    link.pinged = Instant::now();
                    if link.write(PING_XID, op::PING, &[]).await.is_err() {
                        fail(pending, "the connection to ZooKeeper broke");
                        return End::Broken;
                    }
                }
            }
        }
    }

    fn take(&mut self, mut frame: Reader, pending: &mut VecDeque<(i32, Option<Answer>)>) -> io::Result<()> {
        let (xid, zxid, code) = (frame.int()?, frame.long()?, frame.int()?);
        if zxid > 0 {
            self.identity.zxid = self.identity.zxid.max(zxid);
        }
        match xid {
            PING_XID => Ok(()),
            EVENT_XID => {
                let (_kind, _state, path) = (frame.int()?, frame.int()?, frame.text()?);
                // A reader that is too slow finds the end of its channel.
                self.watchers.retain(|watcher| watcher.try_send(path.clone()).is_ok());
                Ok(())
            }
            _ => {
                let Some((expected, answer)) = pending.pop_front() else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                if expected != xid {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if matches!(code, code::SESSION_EXPIRED | code::SESSION_MOVED) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                if let Some(answer) = answer {
                    let zxid = u64::try_from(zxid).unwrap_or(0);
                    // Whoever asked may have left.
                    let _ = answer.send(Ok(Reply { zxid, code, body: frame }));
                }
                Ok(())
            }
        }
    }
}

fn fail(pending: VecDeque<(i32, Option<Answer>)>, why: &str) {
    for answer in pending.into_iter().filter_map(|(_, answer)| answer) {
        let _ = answer.send(Err(Silence::Lost(why.to_owned())));
    }
}

/// The first server that lets us in.
async fn connect_any(config: &SessionConfig, identity: &mut Identity) -> Result<Link, Silence> {
    let mut why = String::new();
    for _ in 0..config.servers.len() {
        let server = &config.servers[identity.server % config.servers.len()];
        let share = config.patience / u32::try_from(config.servers.len()).unwrap_or(1).max(1);
        match timeout(share, connect(server, config.timeout, identity)).await {
            Ok(Ok(Some(link))) => return Ok(link),
            Ok(Ok(None)) => return Err(Silence::Expired),
            Ok(Err(error)) => why = format!("{server}: {error}"),
            Err(_) => why = format!("{server}: no answer in time"),
        }
        identity.server = identity.server.wrapping_add(1);
    }
    Err(Silence::Lost(why))
}

/// `None`: the session is over.
async fn connect(server: &str, timeout: Duration, identity: &mut Identity) -> io::Result<Option<Link>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let password = if identity.password.is_empty() { Bytes::from_static(&[0; 16]) } else { identity.password.clone() };
    let hello = Writer::default().int(0).long(identity.zxid).int(millis).long(identity.id).bytes(&password).flag(false);
    stream.write_all(&framed(&hello.0)).await?;
    let now = Instant::now();
    let mut link = Link { stream, buffer: BytesMut::new(), timeout, heard: now, pinged: now, asked: now };
    let mut answer = Reader(link.frame().await?);
    let (_protocol, millis, id, password) = (answer.int()?, answer.int()?, answer.long()?, answer.bytes()?);
    if millis <= 0 || id == 0 {
        return Ok(None);
    }
    (identity.id, identity.password) = (id, password);
    link.timeout = Duration::from_millis(u64::from(millis.unsigned_abs()));
    Ok(Some(link))
}

fn framed(body: &[u8]) -> BytesMut {
    let mut frame =
        Writer(BytesMut::with_capacity(body.len() + 4)).int(i32::try_from(body.len()).unwrap_or(i32::MAX)).0;
    frame.extend_from_slice(body);
    frame
}

impl Link {
    async fn write(&mut self, xid: i32, kind: i32, body: &[u8]) -> io::Result<()> {
        let mut request = Writer::default().int(xid).int(kind).0;
        request.extend_from_slice(body);
        // Of an operating system's buffer that is full, a server that hangs is the reason.
        timeout(self.timeout, self.stream.write_all(&framed(&request)))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// The next frame. Nothing is lost when the future is dropped.
    async fn frame(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                if length > MAX_FRAME_BYTES {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if self.buffer.len() >= 4 + length {
                    self.buffer.advance(4);
                    return Ok(self.buffer.split_to(length).freeze());
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.heard = Instant::now();
        }
    }
}
