//! A counter in a world of gobbq, with all that a call has there: deadline, caller chain, limits, isolation of panics.
//!
//! The types are written by hand the way generated code looks. The driver is a task of the world, as those of the
//! others are tasks of their runtimes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bbq_core::codegen::{
    Call, Ctx, Definition, EntityGlue, EntityHandle, EntityId, EntityStub, Hook, Kind, MethodDesc, Payload, Result,
    ServiceDesc,
};
use bbq_core::world::{Config, World, all};
use bbq_wire::Time;
use buffa_types::google::protobuf::UInt64Value;

use crate::subject::{Load, Subject};

/// Measured on one thread: a world has no more.
pub(crate) const SUBJECT: Subject = Subject { name: "gobbq", ours: true, ask, tell, fan };

const ADD: usize = 0;

static COUNTER: ServiceDesc = ServiceDesc {
    name: "peers.Counter",
    kind: Kind::Entity,
    methods: &[MethodDesc { name: "Add", id: 1, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};

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

fn ask(load: &Load) -> Duration {
    let load = *load;
    run(move |ctx| async move {
        let counter = ctx.entity::<CounterRef>(1);
        assert_eq!(total(counter.add(0).await), 0);
        let started = Instant::now();
        for asked in 1..=load.asks {
            assert_eq!(total(counter.add(1).await), asked, "a lost question");
        }
        started.elapsed()
    })
}

fn tell(load: &Load) -> Duration {
    let load = *load;
    run(move |ctx| async move {
        let counter = ctx.entity::<CounterRef>(1);
        assert_eq!(total(counter.add(0).await), 0);
        let started = Instant::now();
        let mut told = 0;
        while told < load.tells {
            for _ in 0..load.tell_window {
                counter.add(1).tell();
            }
            told += load.tell_window;
            assert_eq!(total(counter.add(0).await), told, "a lost message");
        }
        started.elapsed()
    })
}

fn fan(load: &Load) -> Duration {
    let load = *load;
    run(move |ctx| async move {
        let counters: Vec<CounterRef> = (0..load.fan_actors).map(|key| ctx.entity(key)).collect();
        assert_eq!(all(counters.iter().map(|counter| counter.add(0))).await.into_iter().map(total).sum::<u64>(), 0);
        let started = Instant::now();
        for round in 1..=load.fan_rounds {
            let answers = all(counters.iter().map(|counter| counter.add(1))).await;
            let sum: u64 = answers.into_iter().map(total).sum();
            assert_eq!(sum, round * load.fan_actors, "a lost answer");
        }
        started.elapsed()
    })
}

fn total(answer: Result<UInt64Value>) -> u64 {
    answer.expect("a counter always answers").value
}

/// Runs the driver in a world of its own.
fn run<F: Future<Output = Duration> + 'static>(driver: impl FnOnce(Ctx) -> F + 'static) -> Duration {
    let mut world = World::new(Config { solo: true, ..Config::default() }, &[Definition::entity::<CounterGlue>()]);
    let took = Rc::new(Cell::new(None));
    let result = Rc::clone(&took);
    world.spawn(Time::from_millis(1), |ctx| async move { result.set(Some(driver(ctx).await)) });
    took.get().expect("the driver runs to its end")
}
