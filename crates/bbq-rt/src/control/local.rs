//! The embedded engine in a task of this process, kept in a file or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bbq_core::control::{Engine, Input, Output, RequestId, Write};
use bbq_wire::Time;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::file::ControlFile;
use super::{Config, ControlError, ControlPlane, Request, Response, WatchEvent, WatchId, WatchStream, unreachable};
use crate::rpc::BoxFuture;
use crate::store::OpenError;

/// Requests that wait for the engine; more wait in front of the queue.
const QUEUE: usize = 1024;

/// Requests that share one write to disk.
const BATCH: usize = 256;

/// The embedded control plane. Clones speak to the same engine; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct LocalControl {
    commands: mpsc::Sender<Command>,
    new: bool,
}

type Answer = oneshot::Sender<Result<Response, ControlError>>;

#[derive(Debug)]
enum Command {
    Request(Request, Answer),
    Watch { prefix: String, from: Option<u64>, events: mpsc::Sender<WatchEvent>, answer: Answer },
    Close(oneshot::Sender<()>),
}

impl LocalControl {
    /// An engine that keeps nothing. Where `config.boot` is 0, it is taken from the clock.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn volatile(mut config: Config) -> Self {
        if config.boot == 0 {
            config.boot = quarters_since_2025();
        }
        Self::start(Engine::new(config), None, Instant::now(), true)
    }

    /// An engine that keeps incarnations, certificates, slot epochs and keys in the file at `path`. Where there is none
    /// it may have been lost: the new one counts from the clock, and takes back nodes that still run.
    ///
    /// # Errors
    /// The file cannot be opened, is in use by another process, or is damaged.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(mut config: Config, path: &Path) -> Result<Self, OpenError> {
        let file = ControlFile::open(path)?;
        let records = file.records()?;
        let new = records.is_empty();
        if new && config.boot == 0 {
            config.boot = quarters_since_2025();
        }
        let damaged = |error: bbq_core::control::RestoreError| OpenError::damaged(path, error);
        let engine = Engine::restore(config, Time::ZERO, records).map_err(damaged)?;
        Ok(Self::start(engine, Some(file), Instant::now(), new))
    }

    /// Whether it remembers nothing of an earlier engine.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.new
    }

    fn start(engine: Engine, file: Option<ControlFile>, origin: Instant, new: bool) -> Self {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let file = file.map(Arc::new);
        let shell = Shell { engine, file, origin, answers: BTreeMap::new(), watches: BTreeMap::new(), next: 0 };
        tokio::spawn(shell.run(inbox));
        Self { commands, new }
    }

    /// Stops the engine for all clones; returns when its file can be opened again.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            // An engine that is gone already is closed as well.
            let _ = closed.await;
        }
    }

    /// Returns when the engine stopped, because it was closed or because its disk failed.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    async fn ask(&self, command: impl FnOnce(Answer) -> Command) -> Result<Response, ControlError> {
        let (answer, answered) = oneshot::channel();
        let gone = || unreachable("the embedded engine has stopped");
        self.commands.send(command(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl ControlPlane for LocalControl {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, ControlError>> {
        Box::pin(async move {
            if matches!(request, Request::Watch { .. }) {
                return Err(ControlError::Invalid { why: "a watch is not a request".into() });
            }
            self.ask(|answer| Command::Request(request, answer)).await
        })
    }

    fn watch(&self, prefix: String, from: Option<u64>) -> BoxFuture<'_, Result<WatchStream, ControlError>> {
        let (events, stream) = WatchStream::channel();
        Box::pin(async move {
            self.ask(|answer| Command::Watch { prefix, from, events, answer }).await?;
            Ok(stream)
        })
    }
}

struct Shell {
    engine: Engine,
    file: Option<Arc<ControlFile>>,
    origin: Instant,
    answers: BTreeMap<RequestId, Answer>,
    watches: BTreeMap<WatchId, mpsc::Sender<WatchEvent>>,
    next: u64,
}

impl Shell {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut batch = Vec::new();
        let closed = loop {
            let deadline = self.engine.deadline();
            let tick = self.origin + deadline.unwrap_or_default().since(Time::ZERO);
            tokio::select! {
                biased;
                count = inbox.recv_many(&mut batch, BATCH) => if count == 0 { break None },
                () = sleep_until(tick), if deadline.is_some() => self.handle(Input::Tick),
            }
            let mut closed = None;
            for command in batch.drain(..) {
                match command {
                    Command::Close(done) => closed = Some(done),
                    other => self.command(other),
                }
            }
            if let Err(error) = self.carry_out().await {
                tracing::error!(%error, "the control plane stops: its disk failed");
                break None;
            }
            if closed.is_some() {
                break closed;
            }
        };
        drop(self);
        drop(inbox);
        if let Some(done) = closed {
            // Whoever waited may have left.
            let _ = done.send(());
        }
    }

    fn handle(&mut self, input: Input) {
        let now = Time::ZERO + self.origin.elapsed();
        self.engine.handle(now, input);
    }

    fn command(&mut self, command: Command) {
        self.next += 1;
        let id = RequestId(self.next);
        match command {
            Command::Request(request, answer) => {
                self.answers.insert(id, answer);
                self.handle(Input::Request(id, request));
            }
            Command::Watch { prefix, from, events, answer } => {
                self.forget_closed_watches();
                let watch = WatchId(self.next);
                self.answers.insert(id, answer);
                self.watches.insert(watch, events);
                self.handle(Input::Request(id, Request::Watch { id: watch, prefix, from }));
            }
            Command::Close(_) => {}
        }
    }

    fn forget_closed_watches(&mut self) {
        let closed: Vec<WatchId> =
            self.watches.iter().filter(|(_, events)| events.is_closed()).map(|(id, _)| *id).collect();
        closed.into_iter().for_each(|id| self.unwatch(id));
    }

    fn unwatch(&mut self, id: WatchId) {
        self.watches.remove(&id);
        self.handle(Input::Unwatch(id));
    }

    /// Writes once for everything that was handled, then tells it. Telling can end watches, hence the loop.
    async fn carry_out(&mut self) -> Result<(), OpenError> {
        loop {
            let (mut writes, mut told) = (Vec::new(), Vec::new());
            while let Some(output) = self.engine.poll() {
                match output {
                    Output::Persist(more) => writes.extend(more),
                    other => told.push(other),
                }
            }
            if told.is_empty() && writes.is_empty() {
                return Ok(());
            }
            self.persist(writes).await?;
            told.into_iter().for_each(|output| self.tell(output));
        }
    }

    fn tell(&mut self, output: Output) {
        match output {
            Output::Persist(_) => {}
            Output::Reply(id, result) => {
                if let Some(answer) = self.answers.remove(&id) {
                    // Whoever asked may have left.
                    let _ = answer.send(result);
                }
            }
            Output::Event(id, event) => {
                let Some(events) = self.watches.get(&id) else { return };
                let over = event == WatchEvent::Gap;
                // A reader that is too slow finds the end of its stream, which is a gap.
                if events.try_send(event).is_err() || over {
                    self.unwatch(id);
                }
            }
        }
    }

    async fn persist(&self, writes: Vec<Write>) -> Result<(), OpenError> {
        let Some(file) = self.file.clone().filter(|_| !writes.is_empty()) else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || file.write(writes)).await;
        written.expect("writing does not panic, and the runtime outlives its tasks")
    }
}

/// Quarters of a second since 2025-01-01: fits u32 until 2059, and no process restarts faster.
fn quarters_since_2025() -> u32 {
    const YEAR_2025: Duration = Duration::from_secs(1_735_689_600);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_1970.saturating_sub(YEAR_2025).as_millis() / 250).unwrap_or(u32::MAX).max(1)
}
