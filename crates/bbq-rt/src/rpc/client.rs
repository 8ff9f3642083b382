//! The asking end: one connection that comes back by itself.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use bbq_wire::Error;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::pass::{self, Closed, Nonces, Pass};
use super::{Connection, Frame, HEAD_BYTES, Hello, Kind, MAX_FRAME_BYTES, PING_EVERY, SILENCE};
use crate::clock::jittered;

/// Calls that wait for the client's task; more wait in front of the queue.
const QUEUE: usize = 256;

/// No call is taken in while this many are unanswered, or this many bytes in them; more wait in the queue.
const IN_FLIGHT: usize = 1024;
/// See [`IN_FLIGHT`].
const IN_FLIGHT_BYTES: usize = 64 << 20;

/// Events of a watch that wait for a slow reader; with more the watch ends.
const ITEMS: usize = 1024;

/// Watches that wait for a connection.
const BEGINNINGS: usize = 256;

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// How long a call may take, the time to connect included.
    pub patience: Duration,
    /// Pause before connecting again: it begins with the first and doubles up to the second.
    pub backoff: (Duration, Duration),
    /// What the server wants to see; `None`: it lets everybody in.
    pub pass: Option<Pass>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let backoff = (Duration::from_millis(20), Duration::from_secs(1));
        Self { patience: Duration::from_secs(2), backoff, pass: None }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The call never left this process.
    NotSent(String),
    /// The call may have been carried out.
    Unknown(String),
    /// The server does not let this process in, and will not until one of the two is set up differently.
    Refused(Error),
}

/// A connection to a server that is made when needed, and made again when lost. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    patience: Duration,
    refusal: watch::Receiver<Option<Error>>,
}

#[derive(Debug)]
enum Command {
    Call(Pending),
    Watch(Beginning),
}

/// A watch that was not sent yet.
#[derive(Debug)]
struct Beginning {
    body: Bytes,
    until: Instant,
    items: mpsc::Sender<Bytes>,
}

#[derive(Debug)]
struct Pending {
    body: Bytes,
    /// May be sent again over a new connection.
    again: bool,
    sent: bool,
    until: Instant,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Client {
    /// A client of the server at `address` (`host:port`). Connects at once, in the background.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(address: impl Into<String>, config: ClientConfig) -> Self {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let patience = config.patience;
        let (refused, refusal) = watch::channel(None);
        tokio::spawn(Task::new(address.into(), config, inbox, refused).run());
        Self { commands, patience, refusal }
    }

    /// Calls. With `again`, the call is sent once more over a new connection when its answer got lost with the old one:
    /// only for calls that can be repeated.
    ///
    /// # Errors
    /// There was no answer within the patience of the client.
    pub async fn call(&self, body: Bytes, again: bool) -> Result<Bytes, CallError> {
        if body.len() > MAX_FRAME_BYTES - HEAD_BYTES {
            return Err(CallError::NotSent(format!("{} bytes are more than a frame holds", body.len())));
        }
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + self.patience;
        let pending = Pending { body, again, sent: false, until, answer };
        match timeout_at(until, self.commands.send(Command::Call(pending))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(CallError::NotSent("the client has stopped".into())),
            Err(_) => return Err(CallError::NotSent("too many calls wait for the server".into())),
        }
        answered.await.unwrap_or_else(|_| Err(CallError::Unknown("the client has stopped".into())))
    }

    /// Why the server did not let this process in when it was asked last, if it did not.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.refusal.borrow().clone()
    }

    /// Begins a watch. The first item is the server's answer; the stream ends with the connection, when the reader is too
    /// slow, or when there is no connection within the patience. Dropping the receiver ends the watch.
    ///
    /// # Errors
    /// The client has stopped.
    pub async fn watch(&self, body: Bytes) -> Result<mpsc::Receiver<Bytes>, CallError> {
        let (items, receiver) = mpsc::channel(ITEMS);
        let beginning = Beginning { body, until: Instant::now() + self.patience, items };
        let sent = self.commands.send(Command::Watch(beginning)).await;
        sent.map_err(|_| CallError::NotSent("the client has stopped".into()))?;
        Ok(receiver)
    }
}

/// All state of a client.
struct Task {
    address: String,
    config: ClientConfig,
    inbox: mpsc::Receiver<Command>,
    next: u64,
    calls: BTreeMap<u64, Pending>,
    bytes: usize,
    watches: BTreeMap<u64, mpsc::Sender<Bytes>>,
    /// Watches that wait for a connection; when there are too many, the oldest end.
    beginnings: VecDeque<Beginning>,
    pause: Duration,
    /// Why the last connection ended.
    trouble: String,
    /// Why the server did not let us in the last time.
    refused: watch::Sender<Option<Error>>,
}

/// Why a connection is not used any more.
enum End {
    Broken(io::Error),
    Refused(Error),
    /// Nobody holds the client any more.
    Unused,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Closed> for End {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Refused(error) => Self::Refused(error),
            Closed::Broken(error) => Self::Broken(error),
        }
    }
}

impl Task {
    fn new(
        address: String,
        config: ClientConfig,
        inbox: mpsc::Receiver<Command>,
        refused: watch::Sender<Option<Error>>,
    ) -> Self {
        let (calls, watches) = (BTreeMap::new(), BTreeMap::new());
        let trouble = "not connected yet".to_owned();
        Self {
            address,
            pause: config.backoff.0,
            config,
            inbox,
            next: 0,
            calls,
            bytes: 0,
            watches,
            beginnings: VecDeque::new(),
            trouble,
            refused,
        }
    }

    async fn run(mut self) {
        loop {
            let result = match self.connect().await {
                Ok(connection) => self.converse(connection).await,
                Err(end) => Err(end),
            };
            match result {
                Ok(()) | Err(End::Unused) => return,
                Err(End::Broken(error)) => self.disconnected(&error),
                Err(End::Refused(error)) => self.refused(error),
            }
            let pause = jittered(self.pause);
            self.pause = (self.pause * 2).min(self.config.backoff.1);
            if self.apart(Box::pin(tokio::time::sleep(pause))).await.is_none() {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, End> {
        let address = self.address.clone();
        let connecting = Box::pin(async move { timeout(SILENCE, TcpStream::connect(address)).await });
        match self.apart(connecting).await {
            None => Err(End::Unused),
            Some(Ok(stream)) => Ok(Connection::new(stream?, self.config.pass.is_some())?),
            Some(Err(_)) => Err(End::Broken(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Does `work` while there is no connection: calls are taken in, and given up when their time is over.
    ///
    /// `None`: nobody holds the client any more.
    async fn apart<T>(&mut self, mut work: super::BoxFuture<'_, T>) -> Option<T> {
        loop {
            let until = self.first_deadline();
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.inbox.recv(), if self.has_room() => match command? {
                    Command::Call(pending) => drop(self.admit(pending)),
                    Command::Watch(beginning) => {
                        self.beginnings.push_back(beginning);
                        if self.beginnings.len() > BEGINNINGS {
                            self.beginnings.pop_front();
                        }
                    }
                },
                () = sleep_until(until) => self.give_up(),
            }
        }
    }

    async fn converse(&mut self, mut connection: Connection) -> Result<(), End> {
        timeout(SILENCE, self.introduce(&mut connection)).await.map_err(|_| silence())??;
        connection.limit = MAX_FRAME_BYTES;
        self.refused.send_replace(None);
        self.pause = self.config.backoff.0;
        for (id, pending) in &mut self.calls {
            connection.push(Kind::Call, *id, &pending.body);
            pending.sent = true;
        }
        while let Some(beginning) = self.beginnings.pop_front() {
            self.begin(&mut connection, beginning);
        }
        let (mut heard, mut ping) = (Instant::now(), Instant::now() + PING_EVERY);
        loop {
            let until = self.first_deadline();
            let room = connection.has_room() && self.has_room();
            tokio::select! {
                frame = connection.turn(true) => {
                    heard = Instant::now();
                    self.take(&mut connection, frame?)?;
                }
                command = self.inbox.recv(), if room => match command {
                    Some(command) => self.send(&mut connection, command),
                    None => return Ok(()),
                },
                () = sleep_until(ping) => {
                    if heard.elapsed() >= SILENCE {
                        return Err(silence().into());
                    }
                    self.forget_closed_watches(&mut connection);
                    connection.push(Kind::Ping, 0, &[]);
                    ping = Instant::now() + PING_EVERY;
                }
                () = sleep_until(until) => self.give_up(),
            }
        }
    }

    async fn introduce(&self, connection: &mut Connection) -> Result<(), Closed> {
        let frame = connection.turn(true).await?;
        if frame.kind == Kind::Refused {
            return Err(pass::refusal(&frame));
        }
        let theirs = Hello::check(&frame)?;
        let ours = connection.nonce;
        pass::show(connection, self.config.pass.as_ref(), Nonces { ours, theirs }).await
    }

    /// The server does not let us in. That is told once; and tried again, more and more seldom: the server may be set up
    /// anew.
    fn refused(&mut self, error: Error) {
        if self.refused.send_replace(Some(error.clone())).is_none() {
            tracing::error!(address = self.address, %error, "the center does not let this process in");
        }
        self.trouble = format!("{}: {error}", self.address);
        self.watches.clear();
        self.beginnings.clear();
        let unsent = self.calls.iter().filter(|(_, pending)| !pending.sent).map(|(id, _)| *id).collect::<Vec<u64>>();
        for pending in unsent.into_iter().filter_map(|id| self.remove(id)) {
            // Whoever called may have left.
            let _ = pending.answer.send(Err(CallError::Refused(error.clone())));
        }
    }

    fn admit(&mut self, pending: Pending) -> u64 {
        self.next += 1;
        self.bytes += pending.body.len();
        self.calls.insert(self.next, pending);
        self.next
    }

    fn send(&mut self, connection: &mut Connection, command: Command) {
        match command {
            Command::Call(mut pending) => {
                pending.sent = true;
                let body = pending.body.clone();
                let id = self.admit(pending);
                connection.push(Kind::Call, id, &body);
            }
            Command::Watch(beginning) => self.begin(connection, beginning),
        }
    }

    fn begin(&mut self, connection: &mut Connection, beginning: Beginning) {
        self.next += 1;
        self.watches.insert(self.next, beginning.items);
        connection.push(Kind::Watch, self.next, &beginning.body);
    }

    fn take(&mut self, connection: &mut Connection, frame: Frame) -> io::Result<()> {
        let Frame { kind, id, body } = frame;
        match kind {
            Kind::Answer => {
                // Nobody waits for answers that come too late.
                if let Some(pending) = self.remove(id) {
                    let _ = pending.answer.send(Ok(body));
                }
            }
            Kind::Item => {
                let Some(items) = self.watches.get(&id) else { return Ok(()) };
                if items.try_send(body).is_err() {
                    self.watches.remove(&id);
                    connection.push(Kind::Cancel, id, &[]);
                }
            }
            Kind::End => drop(self.watches.remove(&id)),
            Kind::Pong => {}
            Kind::Hello | Kind::Proof | Kind::Refused | Kind::Call | Kind::Watch | Kind::Cancel | Kind::Ping => {
                return Err(super::broken(format!("a server sent {kind:?}")));
            }
        }
        Ok(())
    }

    fn forget_closed_watches(&mut self, connection: &mut Connection) {
        self.watches.retain(|id, items| {
            let closed = items.is_closed();
            if closed {
                connection.push(Kind::Cancel, *id, &[]);
            }
            !closed
        });
    }

    fn disconnected(&mut self, error: &io::Error) {
        self.trouble = format!("{}: {error}", self.address);
        self.watches.clear();
        let lost: Vec<u64> =
            self.calls.iter().filter(|(_, pending)| pending.sent && !pending.again).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| self.fail(id));
    }

    /// All calls and watches are equally patient and come in order: the oldest ones tell.
    fn first_deadline(&self) -> Instant {
        let call = self.calls.first_key_value().map(|(_, pending)| pending.until);
        let watch = self.beginnings.front().map(|beginning| beginning.until);
        let far = || Instant::now() + Duration::from_secs(3600);
        call.into_iter().chain(watch).min().unwrap_or_else(far)
    }

    /// Whether another call may be taken in.
    fn has_room(&self) -> bool {
        self.calls.len() < IN_FLIGHT && self.bytes < IN_FLIGHT_BYTES
    }

    fn remove(&mut self, id: u64) -> Option<Pending> {
        let pending = self.calls.remove(&id)?;
        self.bytes -= pending.body.len();
        Some(pending)
    }

    fn give_up(&mut self) {
        let now = Instant::now();
        let over: Vec<u64> = self.calls.iter().filter(|(_, pending)| pending.until <= now).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.fail(id));
        self.beginnings.retain(|beginning| beginning.until > now);
    }

    fn fail(&mut self, id: u64) {
        let Some(pending) = self.remove(id) else { return };
        let why = self.trouble.clone();
        let error = if pending.sent { CallError::Unknown(why) } else { CallError::NotSent(why) };
        // Whoever called may have left.
        let _ = pending.answer.send(Err(error));
    }
}

fn silence() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server is silent")
}
