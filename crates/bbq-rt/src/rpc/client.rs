//! The asking end: one connection that comes back by itself.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{Connection, Frame, HEAD_BYTES, Kind, MAX_FRAME_BYTES, PING_EVERY, SILENCE};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a call may take, the time to connect included.
    pub patience: Duration,
    /// Pause before connecting again: it begins with the first and doubles up to the second.
    pub backoff: (Duration, Duration),
}

impl Default for ClientConfig {
    fn default() -> Self {
        let backoff = (Duration::from_millis(20), Duration::from_secs(1));
        Self { patience: Duration::from_secs(2), backoff }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    /// The call never left this process.
    NotSent(String),
    /// The call may have been carried out.
    Unknown(String),
}

/// A connection to a server that is made when needed, and made again when lost. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    patience: Duration,
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
        tokio::spawn(Task::new(address.into(), config, inbox).run());
        Self { commands, patience: config.patience }
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
}

/// Why a connection is not used any more.
enum End {
    Broken(io::Error),
    /// Nobody holds the client any more.
    Unused,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Task {
    fn new(address: String, config: ClientConfig, inbox: mpsc::Receiver<Command>) -> Self {
        let (calls, watches) = (BTreeMap::new(), BTreeMap::new());
        let trouble = "not connected yet".to_owned();
        Self {
            address,
            config,
            inbox,
            next: 0,
            calls,
            bytes: 0,
            watches,
            beginnings: VecDeque::new(),
            pause: config.backoff.0,
            trouble,
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
            }
            let pause = self.pause;
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
            Some(Ok(stream)) => Ok(Connection::new(stream?)?),
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
        connection.greet().await?;
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
            Kind::Hello | Kind::Call | Kind::Watch | Kind::Cancel | Kind::Ping => {
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
