//! The game role: one thread per world, and the errands that worlds send it on (Store, jobs, other nodes).
//!
//! ```text
//!   mesh ──► inbox ──► world thread ──► mesh
//!              ▲            │
//!              └── errands ◄┘  Store requests and jobs on the process's tokio runtime
//! ```
//! No decision is taken here: the thread waits for inputs or the world's deadline, hands them over and carries the
//! outputs away.

mod errands;

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bbq_core::mesh;
use bbq_core::world::{Config, Definition, Input, Output, Stats, World};
use bbq_rt::clock::Clock;
use bbq_rt::mesh::MeshHandle;
use bbq_rt::queue::{Receiver, Sender, queue};
use bbq_wire::{EntityId, Error, Time};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use errands::StoreDriver;

/// Most inputs that wait for one world. The mesh answers calls beyond it with `BUSY`.
pub const INBOX: usize = 65_536;
/// Most inputs that a world takes before its outputs are carried away.
const BATCH: usize = 256;
/// How much later than asked for a world may say that it is drained.
const LATE: Duration = Duration::from_secs(1);
/// Time between two snapshots of the counters.
const SNAPSHOT: Duration = Duration::from_millis(500);

/// What a drain could not save.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Losses {
    /// Entities that are lost with what they could not store, and why (`DATA_LOSS`: the Store did not take it;
    /// `DEADLINE_EXCEEDED`: a turn had not ended).
    pub entities: Vec<(EntityId, Error)>,
    /// Worlds that did not even say so, because a handler does not return to them.
    pub stuck: usize,
}

impl Losses {
    /// Whether nothing is lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty() && self.stuck == 0
    }
}

type Lost = Vec<(EntityId, Error)>;

/// The queue in front of a world.
pub type Inbox = Sender<Input>;

/// How a game is set up.
#[derive(Clone, Debug)]
pub struct GameConfig {
    /// The same for every world; index and seed are made different.
    pub world: Config,
    /// The process's clock.
    pub clock: Clock,
}

/// The queues of worlds that have not been started: the mesh needs their senders first.
#[derive(Debug)]
pub struct Queues(Vec<(Inbox, Receiver<Input>)>);

impl Queues {
    /// Queues for this many worlds.
    #[must_use]
    pub fn new(worlds: u16) -> Self {
        Self((0..worlds).map(|_| queue(INBOX)).collect())
    }

    /// Where the mesh puts what is for the worlds.
    #[must_use]
    pub fn inboxes(&self) -> Vec<Inbox> {
        self.0.iter().map(|(inbox, _)| inbox.clone()).collect()
    }
}

/// A running game: its worlds. Dropping it ends them as a crash would.
pub struct Game {
    inboxes: Vec<Inbox>,
    threads: Vec<JoinHandle<()>>,
    clock: Clock,
    drained: mpsc::Sender<Lost>,
    all_drained: mpsc::Receiver<Lost>,
    stop: watch::Sender<bool>,
    snapshots: Vec<Arc<Mutex<Stats>>>,
}

impl fmt::Debug for Game {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Game({} worlds, {:?})", self.inboxes.len(), self.stats())
    }
}

impl Game {
    /// Starts the worlds.
    ///
    /// # Errors
    /// When the system gives no thread.
    ///
    /// # Panics
    /// Outside of a tokio runtime: it runs the errands.
    pub fn start(
        config: &GameConfig,
        definitions: &[Definition],
        queues: Queues,
        store: &StoreDriver,
        mesh: &MeshHandle,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let inboxes = queues.inboxes();
        let ((drained, all_drained), stop) = (mpsc::channel(inboxes.len().max(1)), watch::Sender::new(false));
        let (clock, threads, snapshots) = (config.clock, Vec::new(), Vec::new());
        let mut game = Self { inboxes, threads, clock, drained, all_drained, stop, snapshots };
        for (index, (inbox, receiver)) in queues.0.into_iter().enumerate() {
            let snapshot = Arc::new(Mutex::new(Stats::default()));
            game.snapshots.push(Arc::clone(&snapshot));
            let seed = config.world.seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let thread = WorldThread {
                config: Config { index: index as u16, seed, ..config.world.clone() },
                clock: config.clock,
                definitions: definitions.to_vec(),
                receiver,
                errands: errands::Errands::new(store.clone(), runtime.clone(), inbox),
                mesh: mesh.clone(),
                drained: game.drained.clone(),
                stop: game.stop.subscribe(),
                snapshot,
            };
            let wait = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let builder = std::thread::Builder::new().name(format!("world-{index}"));
            game.threads.push(builder.spawn(move || wait.block_on(thread.run()))?);
        }
        Ok(game)
    }

    /// Counters of all worlds together, less than a second old.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.snapshots.iter().fold(Stats::default(), |sum, snapshot| {
            let one = *snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            Stats {
                turns: sum.turns + one.turns,
                panics: sum.panics + one.panics,
                busy: sum.busy + one.busy,
                notes_dropped: sum.notes_dropped + one.notes_dropped,
                entities: sum.entities + one.entities,
                tasks: sum.tasks + one.tasks,
                operations: sum.operations + one.operations,
                waiting: sum.waiting + one.waiting,
            }
        })
    }

    /// Saves and stops every entity, for at most `limit`. Says what is lost.
    pub async fn drain(&mut self, limit: Duration) -> Losses {
        let until = self.clock.now() + limit;
        let (mut losses, mut draining) = (Losses::default(), 0);
        for inbox in &self.inboxes {
            // A world that has ended has nothing to drain, and is not waited for.
            draining += usize::from(inbox.send(Input::Drain(until)).await.is_ok());
        }
        let late = Instant::from_std(self.clock.instant(until + LATE));
        while draining > 0 {
            let Ok(Some(lost)) = tokio::time::timeout_at(late, self.all_drained.recv()).await else { break };
            losses.entities.extend(lost);
            draining -= 1;
        }
        losses.stuck = draining;
        losses
    }

    /// Ends the threads. Entities that were not drained are dropped as a crash would drop them.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        if !joined.await.unwrap_or(false) {
            tracing::error!("a world thread panicked: this is a bug of gobbq");
        }
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

struct WorldThread {
    config: Config,
    clock: Clock,
    definitions: Vec<Definition>,
    receiver: Receiver<Input>,
    errands: errands::Errands,
    mesh: MeshHandle,
    drained: mpsc::Sender<Lost>,
    stop: watch::Receiver<bool>,
    snapshot: Arc<Mutex<Stats>>,
}

impl WorldThread {
    async fn run(mut self) {
        let mut world = World::new(self.config.clone(), &self.definitions);
        let mut inputs = VecDeque::from([Input::Tick]);
        let mut next_snapshot = Time::ZERO;
        let mut alarm = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            let now = self.clock.now();
            let count = inputs.len().min(BATCH);
            for input in inputs.drain(..count) {
                world.handle(now, input);
            }
            if !self.carry(&mut world, count).await {
                return;
            }
            if now >= next_snapshot {
                next_snapshot = now + SNAPSHOT;
                *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = world.stats();
            }
            let until = world.deadline().map_or(next_snapshot, |deadline| deadline.min(next_snapshot));
            let until = Instant::from_std(self.clock.instant(until));
            if until != alarm.deadline() {
                alarm.as_mut().reset(until);
            }
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return,
                () = std::future::ready(()), if !inputs.is_empty() => {}
                more = self.receiver.receive(&mut inputs) => if !more { return },
                () = &mut alarm => inputs.push_back(Input::Tick),
            }
        }
    }

    /// Takes every output to where it belongs; about as many as there were inputs. False: the mesh has ended.
    async fn carry(&self, world: &mut World, inputs: usize) -> bool {
        let index = self.config.index;
        let mut out = Vec::with_capacity(inputs);
        while let Some(output) = world.poll() {
            match output {
                Output::Store(op, request) => self.errands.store(op, request),
                Output::Job(op, job) => self.errands.job(op, job),
                Output::Drained(lost) => {
                    let _ = self.drained.send(lost).await;
                }
                output => out.push(mesh::Input::World { index, output }),
            }
        }
        out.is_empty() || self.mesh.send_many(out).await.is_ok()
    }
}
