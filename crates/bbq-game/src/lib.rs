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

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bbq_core::mesh;
use bbq_core::world::{Config, Definition, Input, Output, Stats, World};
use bbq_rt::clock::Clock;
use bbq_rt::mesh::MeshHandle;
use bbq_wire::Time;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

pub use errands::StoreDriver;

/// Most inputs that wait for one world. The mesh answers calls beyond it with `BUSY`.
pub const INBOX: usize = 65_536;
/// Most inputs that a world takes before its outputs are carried away.
const BATCH: usize = 256;
/// Time between two snapshots of the counters.
const SNAPSHOT: Duration = Duration::from_millis(500);

/// The queue in front of a world.
pub type Inbox = mpsc::Sender<Input>;

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
pub struct Queues(Vec<(Inbox, mpsc::Receiver<Input>)>);

impl Queues {
    /// Queues for this many worlds.
    #[must_use]
    pub fn new(worlds: u16) -> Self {
        Self((0..worlds).map(|_| mpsc::channel(INBOX)).collect())
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
    drained: Arc<Notify>,
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
        let (drained, stop) = (Arc::new(Notify::new()), watch::Sender::new(false));
        let mut game = Self { inboxes, threads: Vec::new(), drained, stop, snapshots: Vec::new() };
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
                drained: Arc::clone(&game.drained),
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

    /// Saves and stops every entity, and waits for it.
    pub async fn drain(&self) {
        for inbox in &self.inboxes {
            // A world that has ended has nothing to drain, but must not be waited for.
            if inbox.send(Input::Drain).await.is_err() {
                self.drained.notify_one();
            }
            self.drained.notified().await;
        }
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
    receiver: mpsc::Receiver<Input>,
    errands: errands::Errands,
    mesh: MeshHandle,
    drained: Arc<Notify>,
    stop: watch::Receiver<bool>,
    snapshot: Arc<Mutex<Stats>>,
}

impl WorldThread {
    async fn run(mut self) {
        let mut world = World::new(self.config.clone(), &self.definitions);
        let mut inputs = vec![Input::Tick];
        let mut next_snapshot = Time::ZERO;
        let mut alarm = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            let now = self.clock.now();
            for input in inputs.drain(..) {
                world.handle(now, input);
            }
            if !self.carry(&mut world).await {
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
                count = self.receiver.recv_many(&mut inputs, BATCH) => if count == 0 { return },
                () = &mut alarm => inputs.push(Input::Tick),
            }
        }
    }

    /// Takes every output to where it belongs. False: the mesh has ended.
    async fn carry(&self, world: &mut World) -> bool {
        let index = self.config.index;
        let mut out = Vec::new();
        while let Some(output) = world.poll() {
            match output {
                Output::Store(op, request) => self.errands.store(op, request),
                Output::Job(op, job) => self.errands.job(op, job),
                Output::Drained => self.drained.notify_one(),
                output => out.push(mesh::Input::World { index, output }),
            }
        }
        out.is_empty() || self.mesh.send_many(out).await.is_ok()
    }
}
