//! The game role: one thread per world, and the errands that worlds send it on (Store, jobs, other nodes).
//!
//! ```text
//!   mesh, sibling worlds ──► inbox ──► world thread ──► outlet (mesh)
//!                              ▲            │
//!                              └── errands ◄┘  Store requests and jobs on tokio
//! ```
//! No decision is taken here: the thread waits for an input or the world's deadline, hands it over and carries the
//! outputs away.

mod errands;
mod inbox;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bbq_core::world::{Config, Definition, Input, Output, ReplyTo, Stats, World};
use bbq_rt::clock::Clock;
use bbq_wire::{EntityId, Time};
use tokio::sync::Notify;

pub use errands::StoreDriver;
pub use inbox::Inbox;

/// Most inputs that a world takes before its outputs are carried away.
const BATCH: usize = 256;

/// Takes what a world sends elsewhere: the index of the world, and the output.
pub type Outlet = Arc<dyn Fn(u16, Output) + Send + Sync>;

/// How a game is set up.
#[derive(Clone)]
pub struct GameConfig {
    /// The same for every world; index and seed are made different.
    pub world: Config,
    /// Number of worlds, at least one; one per core is right.
    pub worlds: u16,
    /// The process's clock.
    pub clock: Clock,
}

/// A running game: its worlds.
pub struct Game {
    inboxes: Vec<Inbox>,
    threads: Vec<JoinHandle<()>>,
    drained: Arc<Notify>,
    running: Arc<AtomicBool>,
    snapshots: Vec<Arc<Snapshot>>,
}

/// What a world last said of itself.
#[derive(Default)]
struct Snapshot(std::sync::Mutex<Stats>);

impl fmt::Debug for Game {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Game({} worlds, {:?})", self.inboxes.len(), self.stats())
    }
}

impl Game {
    /// Starts the worlds. Must be called inside a tokio runtime, which runs their errands.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        config: &GameConfig,
        definitions: &[Definition],
        store: StoreDriver,
        outlet: Outlet,
    ) -> std::io::Result<Self> {
        let count = config.worlds.max(1);
        let drained = Arc::new(Notify::new());
        let running = Arc::new(AtomicBool::new(true));
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| inbox::inbox()).unzip();
        let mut game = Self { inboxes, threads: Vec::new(), drained, running, snapshots: Vec::new() };
        for (index, receiver) in receivers.into_iter().enumerate() {
            let snapshot = Arc::new(Snapshot::default());
            game.snapshots.push(Arc::clone(&snapshot));
            let seed = config.world.seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let thread = WorldThread {
                config: Config { index: index as u16, seed, ..config.world.clone() },
                clock: config.clock,
                definitions: definitions.to_vec(),
                inboxes: game.inboxes.clone(),
                receiver,
                errands: errands::Errands::new(store.clone(), game.inboxes[index].clone()),
                outlet: Arc::clone(&outlet),
                drained: Arc::clone(&game.drained),
                running: Arc::clone(&game.running),
                snapshot,
            };
            let builder = std::thread::Builder::new().name(format!("world-{index}"));
            game.threads.push(builder.spawn(move || thread.run())?);
        }
        Ok(game)
    }

    /// Where inputs for the world with this index go.
    #[must_use]
    pub fn inbox(&self, index: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(index))
    }

    /// The inboxes of all worlds, in order.
    #[must_use]
    pub fn inboxes(&self) -> &[Inbox] {
        &self.inboxes
    }

    /// Which world an entity lives in.
    #[must_use]
    pub fn world_of(&self, id: &EntityId) -> u16 {
        (id.stable_hash() % self.inboxes.len() as u64) as u16
    }

    /// Counters of all worlds together, at most a second old.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.snapshots.iter().fold(Stats::default(), |sum, snapshot| {
            let one = *snapshot.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
            inbox.send(Input::Drain);
        }
        for _ in &self.inboxes {
            self.drained.notified().await;
        }
    }

    /// Ends the threads. Entities that were not drained are dropped as a crash would drop them.
    pub fn stop(mut self) {
        self.running.store(false, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.send(Input::Tick);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a world thread panicked: this is a bug of gobbq");
            }
        }
    }
}

struct WorldThread {
    config: Config,
    clock: Clock,
    definitions: Vec<Definition>,
    inboxes: Vec<Inbox>,
    receiver: inbox::Receiver,
    errands: errands::Errands,
    outlet: Outlet,
    drained: Arc<Notify>,
    running: Arc<AtomicBool>,
    snapshot: Arc<Snapshot>,
}

impl WorldThread {
    fn run(self) {
        let mut world = World::new(self.config.clone(), &self.definitions);
        let mut next_snapshot = Time::ZERO;
        world.handle(self.clock.now(), Input::Tick);
        self.carry(&mut world);
        while self.running.load(Ordering::Acquire) {
            let until = world.deadline().map_or(next_snapshot, |deadline| deadline.min(next_snapshot));
            let first = self.receiver.wait(self.clock.instant(until.max(self.clock.now())));
            let now = self.clock.now();
            world.handle(now, first.unwrap_or(Input::Tick));
            for _ in 1..BATCH {
                let Some(input) = self.receiver.take() else { break };
                world.handle(now, input);
            }
            self.carry(&mut world);
            if now >= next_snapshot {
                next_snapshot = now + std::time::Duration::from_secs(1);
                *self.snapshot.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = world.stats();
            }
        }
    }

    /// Takes every output to where it belongs.
    fn carry(&self, world: &mut World) {
        while let Some(output) = world.poll() {
            match output {
                Output::Store(op, request) => self.errands.store(op, request),
                Output::Job(op, job) => self.errands.job(op, job),
                Output::Drained => self.drained.notify_one(),
                Output::Reply(ReplyTo::World(index, call), result) if usize::from(index) < self.inboxes.len() => {
                    self.inboxes[usize::from(index)].send(Input::Reply(call, result));
                }
                other => (self.outlet)(self.config.index, other),
            }
        }
    }
}
