//! What a message inside one world costs: `probe [ask | tell | fan | join | memory] [N]`, all of them without a name.
//!
//! One mode alone does nothing else, so that a profiler sees only it; `docs/benchmarks.md` has the numbers and says how
//! instructions are counted. How gobbq compares to others is measured by `cargo xtask bench`.
//!
//! The types below are what generated code looks like.

use std::time::{Duration, Instant};

use bbq_core::codegen::{
    Call, Ctx, Definition, EntityGlue, EntityHandle, EntityId, EntityStub, Hook, Kind, MethodDesc, Payload, Result,
    ServiceDesc,
};
use bbq_core::world::{Config, World, all};
use bbq_wire::Time;
use buffa_types::google::protobuf::UInt64Value;
use futures_util::future::join_all;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ADD: usize = 0;
const NOW: Time = Time::from_millis(1);
/// Messages between two questions in `tell`, entities in `fan`.
const WINDOW: u64 = 1_000;

type Mode = (&'static str, fn(u64));
const MODES: [Mode; 5] = [("ask", ask), ("tell", tell), ("fan", fan), ("join", join), ("memory", memory)];

static COUNTER: ServiceDesc = ServiceDesc {
    name: "probe.Counter",
    kind: Kind::Entity,
    methods: &[MethodDesc { name: "Add", id: 1, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};

/// Adds up what it is told.
struct Counter(u64);

struct CounterGlue;

struct CounterRef(EntityHandle);

impl EntityStub for CounterRef {
    const DESC: &'static ServiceDesc = &COUNTER;

    fn bind(handle: EntityHandle) -> Self {
        Self(handle)
    }

    fn handle(&self) -> &EntityHandle {
        &self.0
    }
}

impl CounterRef {
    fn add(&self, amount: u64) -> Call<UInt64Value> {
        self.0.call(&COUNTER, ADD, Payload::of(number(amount)), Payload::take)
    }
}

impl EntityGlue for CounterGlue {
    type Entity = Counter;
    const DESC: &'static ServiceDesc = &COUNTER;

    fn create(_: &EntityId, _: Payload) -> Result<Counter> {
        Ok(Counter(0))
    }

    fn state(_: &Counter) -> Payload {
        Payload::EMPTY
    }

    async fn call(counter: &mut Counter, ctx: &Ctx, _: usize, body: Payload) -> Result<Payload> {
        counter.0 += body.take::<UInt64Value>()?.value;
        Ok(ctx.answer(number(counter.0)))
    }

    async fn hook(_: &mut Counter, _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}

fn number(value: u64) -> UInt64Value {
    UInt64Value { value, ..Default::default() }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let count = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let named = |name: &str| words.iter().any(|word| word == name);
    let everything = !MODES.iter().any(|mode| named(mode.0));
    for (name, run) in MODES {
        if everything || named(name) {
            run(count);
        }
    }
}

/// One question after the other to one entity.
fn ask(count: u64) {
    measure("ask", count, |ctx| async move {
        let counter = ctx.entity::<CounterRef>(1);
        for asked in 1..=count {
            assert_eq!(total(counter.add(1).await), asked, "a lost question");
        }
    });
}

/// One-way messages to one entity, a question after each window of them.
fn tell(count: u64) {
    measure("tell", count, |ctx| async move {
        let counter = ctx.entity::<CounterRef>(1);
        for window in 1..=count / WINDOW {
            (0..WINDOW).for_each(|_| counter.add(1).tell());
            assert_eq!(total(counter.add(0).await), window * WINDOW, "a lost message");
        }
    });
}

/// A question to many entities at once.
fn fan(count: u64) {
    measure("fan", count, |ctx| async move {
        let counters: Vec<CounterRef> = (0..WINDOW).map(|key| ctx.entity(key)).collect();
        for round in 1..=count / WINDOW {
            let answers = all(counters.iter().map(|counter| counter.add(1))).await;
            assert_eq!(answers.into_iter().map(total).sum::<u64>(), round * WINDOW, "a lost answer");
        }
    });
}

/// The same through a combinator that wakes each future by itself.
fn join(count: u64) {
    measure("join", count, |ctx| async move {
        let counters: Vec<CounterRef> = (0..WINDOW).map(|key| ctx.entity(key)).collect();
        for round in 1..=count / WINDOW {
            let answers = join_all(counters.iter().map(|counter| counter.add(1))).await;
            assert_eq!(answers.into_iter().map(total).sum::<u64>(), round * WINDOW, "a lost answer");
        }
    });
}

/// What an idle entity occupies.
fn memory(count: u64) {
    let before = resident();
    let mut world = world();
    let started = Instant::now();
    world.spawn(NOW, |ctx| async move {
        for key in 0..count {
            total(ctx.entity::<CounterRef>(key).add(1).await);
        }
    });
    let took = started.elapsed();
    assert_eq!(world.stats().entities, count, "an entity per key");
    match (before, resident()) {
        (Some(before), Some(after)) => report("memory", (after - before) as f64 / count as f64, "B per idle entity"),
        _ => report("memory", f64::NAN, "B: this system does not say"),
    }
    report("first call", took.as_nanos() as f64 / count as f64, "ns");
}

fn measure<F: Future<Output = ()> + 'static>(name: &str, count: u64, driver: impl FnOnce(Ctx) -> F) {
    let mut world = world();
    let started = Instant::now();
    world.spawn(NOW, driver);
    let took: Duration = started.elapsed();
    assert_eq!(world.stats().tasks, 0, "the driver ran to its end");
    report(name, took.as_nanos() as f64 / count as f64, "ns per message");
}

#[expect(clippy::print_stdout, reason = "a program that prints what it measures")]
fn report(name: &str, value: f64, unit: &str) {
    println!("{name:<10} {value:8.1} {unit}");
}

fn world() -> World {
    World::new(Config { solo: true, ..Config::default() }, &[Definition::entity::<CounterGlue>()])
}

fn total(answer: Result<UInt64Value>) -> u64 {
    answer.expect("a counter always answers").value
}

/// Bytes of memory that this process occupies.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}
