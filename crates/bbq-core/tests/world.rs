//! What the world promises, each promise a test. The types are written by hand here; generated ones look the same.

use std::collections::VecDeque;
use std::time::Duration;

use bbq_core::codegen::{EntityId, Key, Payload, Result};
use bbq_core::desc::{Kind, MethodDesc, Restart, Save, ServiceDesc, StateDesc};
use bbq_core::world::{
    Call, CallId, Config, Ctx, Definition, EntityGlue, EntityHandle, EntityStub, Hook, Incoming, Input, Meta, OpId,
    Output, ReplyTo, ServiceGlue, ServiceHandle, ServiceStub, StoreReply, StoreRequest, Target, World, all, lend,
    no_such_method,
};
use bbq_wire::{Code, Error, Time};
use buffa_types::google::protobuf::UInt64Value;

fn number(value: u64) -> UInt64Value {
    UInt64Value { value, ..Default::default() }
}

const METHODS: &[MethodDesc] = &[
    MethodDesc { name: "Add", id: 1, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Panic", id: 2, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskOther", id: 3, ..MethodDesc::DEFAULT },
    MethodDesc { name: "LendOther", id: 4, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Peek", id: 5, reentrant: true, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Redirect", id: 6, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Sleep", id: 7, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Foreign", id: 8, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Work", id: 9, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Stop", id: 10, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Timers", id: 11, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Watch", id: 12, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Notify", id: 13, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskMany", id: 14, ..MethodDesc::DEFAULT },
    MethodDesc { name: "LendBack", id: 15, ..MethodDesc::DEFAULT },
    MethodDesc { name: "PeekBack", id: 16, ..MethodDesc::DEFAULT },
    MethodDesc { name: "FailAsStopped", id: 90, ..MethodDesc::DEFAULT },
    MethodDesc { name: "TellAndAdd", id: 91, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Keep", id: 92, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskKept", id: 93, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskKeptKept", id: 94, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskPanicBack", id: 99, ..MethodDesc::DEFAULT },
    MethodDesc { name: "LendTo", id: 95, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskAround", id: 96, ..MethodDesc::DEFAULT },
    MethodDesc { name: "PeekAround", id: 97, reentrant: true, ..MethodDesc::DEFAULT },
    MethodDesc { name: "PeekPanic", id: 98, reentrant: true, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Awaited", id: 100, ..MethodDesc::DEFAULT },
    MethodDesc { name: "TellAwaited", id: 101, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Down", id: 17, ..MethodDesc::DEFAULT },
    MethodDesc { name: "SpinOn", id: 18, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AddToNext", id: 19, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskRedirect", id: 20, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskPanic", id: 21, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskSleep", id: 22, ..MethodDesc::DEFAULT },
    MethodDesc { name: "AskAll", id: 23, ..MethodDesc::DEFAULT },
];

static COUNTER: ServiceDesc =
    ServiceDesc { name: "test.Counter", kind: Kind::Entity, methods: METHODS, mailbox: 4, ..ServiceDesc::DEFAULT };
static SAVED: ServiceDesc =
    ServiceDesc { name: "test.Saved", state: Some(StateDesc { message: "Value", save: Save::Turn }), ..COUNTER };
static LAZY: ServiceDesc = ServiceDesc {
    name: "test.Lazy",
    state: Some(StateDesc { message: "Value", save: Save::Interval(1000) }),
    ..COUNTER
};
static FRAGILE: ServiceDesc = ServiceDesc { name: "test.Fragile", restart: Restart::Stop, ..COUNTER };
static IDLER: ServiceDesc = ServiceDesc { name: "test.Idler", idle_ms: 1000, ..COUNTER };

/// The same behaviour under five descriptors.
#[derive(Default)]
struct Counter {
    kept: Option<EntityHandle>,
    value: u64,
    timers: Vec<String>,
}

#[derive(Clone)]
struct Ref<const K: usize>(EntityHandle);

const DESCS: [&ServiceDesc; 5] = [&COUNTER, &SAVED, &LAZY, &FRAGILE, &IDLER];

impl<const K: usize> EntityStub for Ref<K> {
    const DESC: &'static ServiceDesc = DESCS[K];
    fn bind(handle: EntityHandle) -> Self {
        Self(handle)
    }
    fn handle(&self) -> &EntityHandle {
        &self.0
    }
}

impl<const K: usize> Ref<K> {
    fn call(&self, name: &str, value: u64) -> Call<UInt64Value> {
        let index = METHODS.iter().position(|method| method.name == name).expect("a method");
        self.0.call(Self::DESC, index, Payload::of(number(value)), Payload::take)
    }
}

struct Glue<const K: usize>;

impl<const K: usize> EntityGlue for Glue<K> {
    type Entity = Counter;
    const DESC: &'static ServiceDesc = DESCS[K];

    fn create(_: &EntityId, state: Payload) -> Result<Counter> {
        let value = state.take::<UInt64Value>()?.value;
        Ok(Counter { value, ..Counter::default() })
    }

    fn state(entity: &Counter) -> Payload {
        Payload::from_bytes(Payload::of(number(entity.value)).into_bytes())
    }

    async fn call(entity: &mut Counter, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload> {
        let argument = body.take::<UInt64Value>()?.value;
        let other = || ctx.entity::<Ref<K>>(argument);
        match METHODS.get(method).map_or("", |method| method.name) {
            "Add" => entity.value += argument,
            "Panic" => panic!("asked to"),
            "AskOther" => return other().call("AskOther", number_of(ctx.key())).await.map(Payload::of),
            "FailAsStopped" => return Err(Error::new(Code::ENTITY_STOPPED, "a callee of mine stopped")),
            "TellAndAdd" => {
                other().call("Add", 1).tell();
                entity.value += 1;
            }
            "Keep" => entity.kept = Some(other().0),
            "AskKept" => {
                let kept = Ref::<K>(entity.kept.clone().expect("kept before"));
                return kept.call("Add", argument).await.map(Payload::of);
            }
            "Awaited" => entity.value += if ctx.answer(number(1)) == Payload::EMPTY { 100 } else { 1 },
            "TellAwaited" => other().call("Awaited", 0).tell(),
            "AskKeptKept" => {
                let kept = Ref::<K>(entity.kept.clone().expect("kept before"));
                return kept.call("AskKept", argument).await.map(Payload::of);
            }
            "LendTo" => {
                let (call, other) = (argument % 10, argument / 10);
                let method = ["LendBack", "AskAround", "AskPanicBack"][call as usize];
                let call = ctx.entity::<Ref<K>>(other).call(method, number_of(ctx.key()));
                return lend::<Self, _>(entity, ctx, call).await.map(Payload::of);
            }
            "AskAround" => return other().call("PeekAround", 3).await.map(Payload::of),
            "AskPanicBack" => return other().call("PeekPanic", 0).await.map(Payload::of),
            "PeekAround" => return other().call("LendBack", number_of(ctx.key())).await.map(Payload::of),
            "PeekPanic" => panic!("asked to, within a turn"),
            "LendBack" => return other().call("Peek", 0).await.map(Payload::of),
            "PeekBack" => return other().call("LendBack", number_of(ctx.key())).await.map(Payload::of),
            "LendOther" => {
                entity.value = 7;
                let call = other().call("LendBack", number_of(ctx.key()));
                return lend::<Self, _>(entity, ctx, call).await.map(Payload::of);
            }
            "Peek" => {}
            "Redirect" => return ctx.redirect(other().call("Add", 5)).map(Payload::of),
            "Sleep" => ctx.sleep(Duration::from_millis(argument)).await,
            "Foreign" => std::future::pending().await,
            "Work" => entity.value = ctx.spawn_blocking(move || argument * 2).await?,
            "Stop" => ctx.stop()?,
            "Timers" => {
                ctx.after("once", Duration::from_millis(100))?;
                ctx.every("often", Duration::from_millis(50))?;
            }
            "Watch" => ctx.watch(&EntityId::new(Self::DESC.type_id(), argument))?,
            "Notify" => ctx.notify("news", Payload::of(number(argument)))?,
            "Down" if argument == 0 => {}
            "Down" => {
                let below = ctx.entity::<Ref<K>>(999 + argument).call("Down", argument - 1).await?.value;
                entity.value = below + 1;
            }
            "AddToNext" => ctx.entity::<Ref<K>>(argument + 1).call("Add", 1).tell(),
            "SpinOn" => {
                ctx.entity::<Ref<K>>(argument - 1).call("AddToNext", argument - 1).tell();
                while other().call("Peek", 0).await?.value == 0 {
                    entity.value += 1;
                }
            }
            "AskRedirect" => return other().call("Redirect", argument + 1).await.map(Payload::of),
            "AskPanic" => {
                let error = other().call("Panic", 0).await.expect_err("it panics");
                assert_eq!(error.code, Code::PANICKED);
                entity.value += 1;
            }
            "AskSleep" => {
                let slept = ctx.entity::<Ref<K>>(99).call("Sleep", argument).await?;
                entity.value = slept.value + 1;
            }
            "AskAll" => {
                let calls = (1..=argument).map(|key| ctx.entity::<Ref<K>>(key).call("Add", key));
                let answers = all(calls).await.into_iter().collect::<Result<Vec<_>>>()?;
                entity.value = answers.iter().map(|answer| answer.value).sum();
            }
            "AskMany" => {
                let calls = (1..=argument).map(|key| ctx.entity::<Ref<K>>(key).call("Add", 1));
                let all: futures_util::stream::FuturesUnordered<_> = calls.collect();
                entity.value =
                    futures_util::StreamExt::fold(
                        all,
                        0,
                        |sum, one| async move { sum + one.map_or(0, |one| one.value) },
                    )
                    .await;
            }
            _ => return Err(no_such_method(Self::DESC, method)),
        }
        Ok(Payload::of(number(entity.value)))
    }

    async fn hook(entity: &mut Counter, ctx: &Ctx, hook: Hook) -> Result<()> {
        match hook {
            Hook::Timer(name) => entity.timers.push(name.to_string()),
            Hook::Notify(note) => entity.value += note.body.take::<UInt64Value>()?.value,
            Hook::Gone(subject) => entity.value += 1000 + number_of(&subject.key),
            Hook::Init if ctx.key() == &Key::from(13) => return Err(Error::new(Code::FAILED_PRECONDITION, "unlucky")),
            _ => {}
        }
        Ok(())
    }
}

fn number_of(key: &Key) -> u64 {
    match key {
        Key::Number(number) => *number,
        Key::Text(_) => 0,
    }
}

/// A service that calls back the entity that called it.
#[derive(Clone)]
struct Mirror;
static MIRROR: ServiceDesc = ServiceDesc { name: "test.Mirror", mailbox: 2, methods: METHODS, ..ServiceDesc::DEFAULT };
struct MirrorGlue;
struct MirrorRef(#[expect(dead_code, reason = "what is made here is the stub itself")] ServiceHandle);

impl ServiceStub for MirrorRef {
    const DESC: &'static ServiceDesc = &MIRROR;
    fn bind(handle: ServiceHandle) -> Self {
        Self(handle)
    }
}

impl ServiceGlue for MirrorGlue {
    type Service = Mirror;
    const DESC: &'static ServiceDesc = &MIRROR;
    async fn call(_: &Mirror, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload> {
        let argument = body.take::<UInt64Value>()?.value;
        match METHODS[method].name {
            "Panic" => panic!("service"),
            "Sleep" => ctx.sleep(Duration::from_millis(argument)).await,
            _ => {}
        }
        Ok(Payload::of(number(argument + 1)))
    }
    async fn hook(_: &Mirror, _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}

/// A world with a Store behind it and time under control.
struct Bench {
    world: World,
    now: Time,
    records: std::collections::BTreeMap<EntityId, (u64, Vec<u8>)>,
    replies: VecDeque<(u64, Result<u64>)>,
    outputs: Vec<String>,
    next: u64,
    commits: u32,
    store_fails: u32,
    /// The Store does not answer commits; what it was asked is kept.
    store_hangs: Option<Vec<(OpId, StoreRequest)>>,
}

impl Bench {
    fn new() -> Self {
        let definitions = [
            Definition::entity::<Glue<0>>(),
            Definition::entity::<Glue<1>>(),
            Definition::entity::<Glue<2>>(),
            Definition::entity::<Glue<3>>(),
            Definition::entity::<Glue<4>>(),
            Definition::service::<MirrorGlue>(Mirror),
        ];
        let world = World::new(Config { solo: true, ..Config::default() }, &definitions);
        Self {
            world,
            now: Time::ZERO,
            records: Default::default(),
            replies: VecDeque::new(),
            outputs: Vec::new(),
            next: 0,
            commits: 0,
            store_fails: 0,
            store_hangs: None,
        }
    }

    fn input(&mut self, input: Input) {
        self.world.handle(self.now, input);
        while let Some(output) = self.world.poll() {
            match output {
                Output::Reply(ReplyTo::Remote(to), result) => {
                    let result = result.map(|body| body.take::<UInt64Value>().expect("a number").value);
                    self.replies.push_back((to, result));
                }
                Output::Store(op, request @ StoreRequest::Commit { .. }) if self.store_hangs.is_some() => {
                    self.store_hangs.get_or_insert_default().push((op, request));
                }
                Output::Store(op, request) => {
                    let reply = self.store(request);
                    self.world.handle(self.now, Input::Store(op, reply));
                }
                Output::Job(op, bbq_core::world::Job::Blocking(work)) => {
                    let value = work();
                    self.world.handle(self.now, Input::JobDone(op, Ok(value)));
                }
                other => self.outputs.push(format!("{other:?}")),
            }
        }
    }

    fn store(&mut self, request: StoreRequest) -> StoreReply {
        match request {
            StoreRequest::Claim { entity, .. } => match self.records.get(&entity) {
                Some((version, state)) => StoreReply::Claimed { version: *version, state: Some(state.clone().into()) },
                None => StoreReply::Claimed { version: 0, state: None },
            },
            StoreRequest::Commit { .. } if self.store_fails > 0 => {
                self.store_fails -= 1;
                StoreReply::Failed(Error::new(Code::UNAVAILABLE, "the store is away"))
            }
            StoreRequest::Commit { entity, version, state, .. } => {
                self.commits += 1;
                let record = self.records.entry(entity).or_default();
                assert_eq!(record.0, version, "versions form a chain");
                *record = (version + 1, state.to_vec());
                StoreReply::Committed { version: version + 1 }
            }
        }
    }

    fn send(&mut self, desc: &ServiceDesc, key: u64, name: &str, value: u64) -> u64 {
        self.next += 1;
        let target = match desc.kind {
            Kind::Service => Target::Service(desc.type_id()),
            _ => Target::Entity(EntityId::new(desc.type_id(), key)),
        };
        self.input(Input::Call(Incoming {
            target,
            method: METHODS.iter().find(|method| method.name == name).map_or(999, |method| method.id),
            body: Payload::of(number(value)),
            reply_to: ReplyTo::Remote(self.next),
            deadline: self.now + Duration::from_secs(5),
            meta: None,
        }));
        self.next
    }

    fn ask(&mut self, desc: &ServiceDesc, key: u64, name: &str, value: u64) -> Result<u64> {
        let id = self.send(desc, key, name, value);
        self.reply(id).unwrap_or_else(|| panic!("no answer to {name}"))
    }

    fn reply(&mut self, id: u64) -> Option<Result<u64>> {
        let at = self.replies.iter().position(|reply| reply.0 == id)?;
        self.replies.remove(at).map(|reply| reply.1)
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = self.world.deadline().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }
}

fn code(result: Result<u64>) -> Code {
    result.expect_err("an error").code
}

#[test]
fn an_entity_keeps_its_value_between_calls_and_each_key_is_another() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 5), Ok(5));
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 5), Ok(10));
    assert_eq!(bench.ask(&COUNTER, 2, "Add", 1), Ok(1));
}

#[test]
fn unknown_methods_types_and_bodies_get_errors_with_codes() {
    let mut bench = Bench::new();
    assert_eq!(code(bench.ask(&COUNTER, 1, "Nothing", 0)), Code::UNIMPLEMENTED);
    let unknown = ServiceDesc { name: "test.Unknown", ..COUNTER };
    assert_eq!(code(bench.ask(&unknown, 1, "Add", 0)), Code::UNIMPLEMENTED);
    bench.input(Input::Call(Incoming {
        target: Target::Entity(EntityId::new(COUNTER.type_id(), 1)),
        method: 1,
        body: Payload::from_bytes(bytes::Bytes::from_static(b"\xff\xff\xff")),
        reply_to: ReplyTo::Remote(77),
        deadline: Time::MAX,
        meta: None,
    }));
    assert_eq!(code(bench.reply(77).expect("answered")), Code::INVALID_ARGUMENT);
}

#[test]
fn a_panic_takes_one_entity_and_the_next_call_finds_it_fresh() {
    let mut bench = Bench::new();
    bench.ask(&COUNTER, 1, "Add", 5).expect("works");
    bench.ask(&COUNTER, 2, "Add", 5).expect("works");
    assert_eq!(code(bench.ask(&COUNTER, 1, "Panic", 0)), Code::PANICKED);
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1), "created again, without the old value");
    assert_eq!(bench.ask(&COUNTER, 2, "Add", 1), Ok(6), "nobody else noticed");
    assert_eq!(bench.world.stats().panics, 1);
}

#[test]
fn a_panicking_entity_comes_back_from_its_stored_state() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&SAVED, 1, "Add", 5), Ok(5));
    assert_eq!(code(bench.ask(&SAVED, 1, "Panic", 0)), Code::PANICKED);
    assert_eq!(bench.ask(&SAVED, 1, "Add", 1), Ok(6));
}

#[test]
fn the_restart_policy_stop_refuses_what_waited() {
    let mut bench = Bench::new();
    let sleeping = bench.send(&FRAGILE, 1, "Sleep", 10);
    let panicking = bench.send(&FRAGILE, 1, "Panic", 0);
    let waiting = bench.send(&FRAGILE, 1, "Add", 1);
    bench.pass(20);
    assert_eq!(bench.reply(sleeping), Some(Ok(0)));
    assert_eq!(code(bench.reply(panicking).expect("answered")), Code::PANICKED);
    assert_eq!(code(bench.reply(waiting).expect("answered")), Code::ENTITY_STOPPED);
    assert_eq!(bench.world.stats().entities, 0);
}

#[test]
fn an_entity_that_always_panics_is_not_created_for_ever() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        assert_eq!(code(bench.ask(&COUNTER, 1, "Panic", 0)), Code::PANICKED);
    }
    assert_eq!(bench.world.stats().entities, 0, "given up after five restarts in a minute");
}

#[test]
fn a_service_panic_fails_that_call_alone() {
    let mut bench = Bench::new();
    assert_eq!(code(bench.ask(&MIRROR, 0, "Panic", 0)), Code::PANICKED);
    assert_eq!(bench.ask(&MIRROR, 0, "Add", 1), Ok(2));
}

#[test]
fn calls_of_a_service_run_concurrently_up_to_its_limit() {
    let mut bench = Bench::new();
    let first = bench.send(&MIRROR, 0, "Sleep", 100);
    let second = bench.send(&MIRROR, 0, "Sleep", 50);
    assert_eq!(code(bench.ask(&MIRROR, 0, "Add", 1)), Code::BUSY);
    bench.pass(60);
    assert_eq!(bench.reply(second), Some(Ok(51)), "the later, shorter one is done first");
    assert_eq!(bench.reply(first), None);
    assert_eq!(bench.ask(&MIRROR, 0, "Add", 1), Ok(2));
}

#[test]
fn a_turn_keeps_the_entity_to_itself_and_the_mailbox_is_bounded() {
    let mut bench = Bench::new();
    let sleeping = bench.send(&COUNTER, 1, "Sleep", 100);
    let waiting: Vec<u64> = (0..4).map(|_| bench.send(&COUNTER, 1, "Add", 1)).collect();
    assert_eq!(code(bench.ask(&COUNTER, 1, "Add", 1)), Code::BUSY, "four wait, the fifth is refused");
    assert!(waiting.iter().all(|&id| bench.replies.iter().all(|reply| reply.0 != id)), "nothing runs beside a turn");
    bench.pass(101);
    assert_eq!(bench.reply(sleeping), Some(Ok(0)));
    let values: Vec<_> = waiting.into_iter().map(|id| bench.reply(id)).collect();
    assert_eq!(values, [1, 2, 3, 4].map(|value| Some(Ok(value))), "in order");
}

#[test]
fn a_call_that_comes_back_is_answered_with_deadlock_at_once() {
    let mut bench = Bench::new();
    let error = bench.ask(&COUNTER, 1, "AskOther", 2).expect_err("1 -> 2 -> 1");
    assert_eq!(error.code, Code::DEADLOCK);
    assert!(error.message.contains("test.Counter/AskOther"), "{error}");
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1), "both are free again");
}

#[test]
fn a_deadlock_through_another_world_is_found_by_the_chain() {
    let mut bench = Bench::new();
    let sleeping = bench.send(&COUNTER, 1, "Sleep", 100);
    bench.input(Input::Call(Incoming {
        target: Target::Entity(EntityId::new(COUNTER.type_id(), 1)),
        method: 1,
        body: Payload::EMPTY,
        reply_to: ReplyTo::Remote(77),
        deadline: Time::MAX,
        meta: Meta { chain: vec![EntityId::new(COUNTER.type_id(), 1)], ..Meta::default() }.shared(),
    }));
    assert_eq!(code(bench.reply(77).expect("at once")), Code::DEADLOCK);
    assert_eq!(bench.reply(sleeping), None);
}

#[test]
fn a_reentrant_method_runs_while_its_entity_lends_itself_and_only_then() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 1, "LendOther", 2), Ok(7), "1 lends itself to 2, which peeks into 1");
    let error = bench.ask(&COUNTER, 1, "PeekBack", 2).expect_err("does not lend");
    assert_eq!(error.code, Code::DEADLOCK);
    assert!(error.message.contains("lend"), "{error}");
}

#[test]
fn a_redirected_call_is_answered_by_the_other_entity() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 1, "Redirect", 2), Ok(5));
    assert_eq!(bench.ask(&COUNTER, 2, "Add", 1), Ok(6));
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1));
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline() {
    let mut bench = Bench::new();
    let asleep = bench.send(&COUNTER, 2, "Sleep", 60_000);
    let id = bench.send(&COUNTER, 1, "AskOther", 2);
    bench.pass(4_900);
    assert_eq!(bench.reply(id), None);
    bench.pass(200);
    assert_eq!(code(bench.reply(id).expect("ended")), Code::DEADLINE_EXCEEDED);
    bench.pass(60_000);
    assert_eq!(bench.reply(asleep), Some(Ok(0)));
}

#[test]
fn a_call_whose_deadline_passed_in_the_mailbox_is_not_processed() {
    let mut bench = Bench::new();
    bench.send(&COUNTER, 1, "Sleep", 6_000);
    let late = bench.send(&COUNTER, 1, "Add", 1);
    bench.pass(6_010);
    let error = bench.reply(late).expect("answered").expect_err("too late");
    assert_eq!(error.code, Code::DEADLINE_EXCEEDED);
    assert!(error.message.contains("not processed"));
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 0), Ok(0));
}

#[test]
fn a_foreign_future_is_refused_instead_of_hanging() {
    let mut bench = Bench::new();
    let error = bench.ask(&COUNTER, 1, "Foreign", 0).expect_err("refused");
    assert_eq!(error.code, Code::INTERNAL);
    assert!(error.message.contains("ctx.external"));
}

#[test]
fn blocking_work_runs_outside_and_comes_back() {
    assert_eq!(Bench::new().ask(&COUNTER, 1, "Work", 21), Ok(42));
}

#[test]
fn a_reply_of_a_durable_entity_leaves_after_its_commit_and_unchanged_state_is_not_written() {
    let mut bench = Bench::new();
    bench.ask(&SAVED, 1, "Add", 5).expect("works");
    assert_eq!(bench.commits, 1);
    bench.ask(&SAVED, 1, "Add", 0).expect("works");
    assert_eq!(bench.commits, 1);
    bench.store_fails = 2;
    let id = bench.send(&SAVED, 1, "Add", 1);
    assert_eq!(bench.reply(id), None, "not before it is stored");
    bench.pass(1000);
    assert_eq!(bench.reply(id), Some(Ok(6)));
    bench.store_fails = 100;
    let id = bench.send(&SAVED, 1, "Add", 1);
    bench.pass(10_000);
    assert_eq!(code(bench.reply(id).expect("answered")), Code::UNAVAILABLE);
}

#[test]
fn write_behind_saves_once_per_interval_and_at_the_end() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.ask(&LAZY, 1, "Add", 1).expect("works");
    }
    assert_eq!(bench.commits, 0);
    bench.pass(1_100);
    assert_eq!(bench.commits, 1);
    bench.ask(&LAZY, 1, "Add", 1).expect("works");
    bench.input(Input::Drain(Time::MAX));
    assert_eq!(bench.commits, 2);
    assert!(bench.outputs.iter().any(|output| output == "Drained([])"), "{:?}", bench.outputs);
    assert_eq!(code(bench.ask(&LAZY, 2, "Add", 1)), Code::ENTITY_STOPPED, "a draining world activates nothing");
}

#[test]
fn timers_fire_once_or_each_period_and_end_with_cancel() {
    let mut bench = Bench::new();
    bench.ask(&COUNTER, 1, "Timers", 0).expect("works");
    let before = bench.world.stats().turns;
    bench.pass(260);
    assert_eq!(bench.world.stats().turns - before, 1 + 5, "once at 100 ms, and five times every 50 ms");
}

#[test]
fn an_idle_entity_stops_and_the_next_call_brings_it_back() {
    let mut bench = Bench::new();
    bench.ask(&IDLER, 1, "Add", 1).expect("works");
    bench.pass(900);
    bench.ask(&IDLER, 1, "Add", 1).expect("works");
    bench.pass(900);
    assert_eq!(bench.world.stats().entities, 1, "it was used in between");
    bench.pass(1200);
    assert_eq!(bench.world.stats().entities, 0);
    assert_eq!(bench.ask(&IDLER, 1, "Add", 1), Ok(1));
}

#[test]
fn notes_reach_watchers_and_the_end_of_a_subject_is_told() {
    let mut bench = Bench::new();
    bench.ask(&COUNTER, 2, "Add", 0).expect("works");
    bench.ask(&COUNTER, 1, "Watch", 2).expect("works");
    bench.ask(&COUNTER, 2, "Notify", 40).expect("works");
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 0), Ok(40));
    bench.ask(&COUNTER, 2, "Stop", 0).expect("works");
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 0), Ok(1042), "Gone adds 1000 and the key");
}

#[test]
fn an_entity_whose_init_fails_answers_with_that_error() {
    let mut bench = Bench::new();
    assert_eq!(code(bench.ask(&COUNTER, 13, "Add", 1)), Code::FAILED_PRECONDITION);
    assert_eq!(bench.world.stats().entities, 0);
}

#[test]
fn combinators_with_wakers_of_their_own_work() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 100, "AskMany", 12), Ok(12));
}

#[test]
fn a_long_chain_of_calls_that_run_at_once_ends_on_the_stack_of_the_world() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 1300, "Down", 300), Ok(300));
    assert_eq!(bench.ask(&COUNTER, 1300, "Down", 300), Ok(300), "now that all of them live");
}

#[test]
fn a_turn_that_asks_again_and_again_does_not_keep_others_from_running() {
    let mut bench = Bench::new();
    (1..=4).for_each(|key| assert_eq!(bench.ask(&COUNTER, key, "Add", 0), Ok(0)));
    let spins = bench.ask(&COUNTER, 4, "SpinOn", 3).expect("2 comes to its turn and adds to 3");
    assert!((1..200).contains(&spins), "{spins} questions before 2 had its turn");
}

#[test]
fn a_call_that_runs_at_once_can_be_redirected_can_panic_and_can_wait() {
    let mut bench = Bench::new();
    (1..=4).for_each(|key| assert_eq!(bench.ask(&COUNTER, key, "Add", 0), Ok(0)));
    assert_eq!(bench.ask(&COUNTER, 1, "AskRedirect", 2), Ok(5), "3 answers for 2");
    assert_eq!(bench.ask(&COUNTER, 3, "Add", 0), Ok(5));
    assert_eq!(bench.ask(&COUNTER, 1, "AskPanic", 2), Ok(1));
    let waiting = bench.send(&COUNTER, 1, "AskSleep", 100);
    assert_eq!(bench.reply(waiting), None);
    bench.pass(101);
    assert_eq!(bench.reply(waiting), Some(Ok(1)));
    assert_eq!(bench.world.stats().operations, 0);
    assert_eq!(bench.world.stats().tasks, 0);
}

#[test]
fn a_redirect_to_an_entity_that_refuses_answers_with_its_error_at_once() {
    let mut bench = Bench::new();
    let sleeping = bench.send(&COUNTER, 3, "Sleep", 100);
    let filling: Vec<u64> = (0..4).map(|_| bench.send(&COUNTER, 3, "Add", 1)).collect();
    assert_eq!(code(bench.ask(&COUNTER, 1, "AskRedirect", 2)), Code::BUSY);
    assert_eq!(code(bench.ask(&COUNTER, 2, "Redirect", 3)), Code::BUSY);
    bench.pass(101);
    assert_eq!(bench.reply(sleeping), Some(Ok(0)));
    assert_eq!(filling.into_iter().filter_map(|id| bench.reply(id)).count(), 4);
}

#[test]
fn a_message_behind_one_that_panics_finds_the_entity_fresh() {
    let mut bench = Bench::new();
    let sent = ["Sleep", "Add", "Panic", "Add"].map(|name| bench.send(&COUNTER, 1, name, 7));
    bench.pass(10);
    let answers = sent.map(|id| bench.reply(id).expect("answered").map_err(|error| error.code));
    assert_eq!(answers, [Ok(0), Ok(7), Err(Code::PANICKED), Ok(7)]);
}

#[test]
fn all_sends_before_it_waits_and_keeps_the_order() {
    let mut bench = Bench::new();
    let sleeping = bench.send(&COUNTER, 2, "Sleep", 50);
    let asked = bench.send(&COUNTER, 100, "AskAll", 3);
    assert_eq!(bench.ask(&COUNTER, 3, "Add", 0), Ok(3), "not held up by 2");
    assert_eq!(bench.reply(asked), None);
    bench.pass(51);
    assert_eq!((bench.reply(sleeping), bench.reply(asked)), (Some(Ok(0)), Some(Ok(6))));
}

#[test]
fn a_world_that_ends_lets_go_of_what_ran_in_it() {
    let held = std::sync::Arc::new(());
    let mut bench = Bench::new();
    let inside = std::sync::Arc::clone(&held);
    bench.world.spawn(Time::ZERO, |ctx| async move {
        let counter = ctx.entity::<Ref<0>>(1);
        let _ = counter.call("Sleep", 1_000_000).await;
        drop(inside);
    });
    assert_eq!(std::sync::Arc::strong_count(&held), 2);
    drop(bench);
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}

#[test]
fn a_reply_that_comes_after_its_deadline_or_twice_or_never_asked_for_is_dropped() {
    let mut bench = Bench::new();
    bench.input(Input::Reply(CallId(12345), Ok(Payload::EMPTY)));
    bench.input(Input::Reply(CallId(u64::MAX), Ok(Payload::EMPTY)));
    bench.input(Input::Store(bbq_core::world::OpId(99), StoreReply::Committed { version: 1 }));
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1));
}

#[test]
fn what_a_service_asks_of_an_entity_type_as_service_is_refused() {
    let mut bench = Bench::new();
    bench.input(Input::Call(Incoming {
        target: Target::Service(COUNTER.type_id()),
        method: 1,
        body: Payload::EMPTY,
        reply_to: ReplyTo::Remote(77),
        deadline: Time::MAX,
        meta: None,
    }));
    assert_eq!(code(bench.reply(77).expect("answered")), Code::INVALID_ARGUMENT);
    let _ = MirrorRef::bind;
}

#[test]
fn a_handler_that_passes_on_entity_stopped_has_run_and_is_not_tried_again() {
    assert_eq!(code(Bench::new().ask(&COUNTER, 1, "FailAsStopped", 0)), Code::ABORTED);
}

#[test]
fn messages_of_a_durable_turn_do_not_leave_when_its_commit_fails() {
    let mut bench = Bench::new();
    bench.ask(&SAVED, 1, "TellAndAdd", 2).expect("works");
    assert_eq!(bench.ask(&SAVED, 2, "Add", 0), Ok(1));
    bench.store_fails = 100;
    let id = bench.send(&SAVED, 1, "TellAndAdd", 2);
    bench.pass(10_000);
    assert_eq!(code(bench.reply(id).expect("answered")), Code::UNAVAILABLE);
    bench.store_fails = 0;
    assert_eq!(bench.ask(&SAVED, 2, "Add", 0), Ok(1), "it heard nothing of the turn that failed");
}

#[test]
fn a_handle_kept_in_the_state_works_long_after_the_turn_that_made_it() {
    let mut bench = Bench::new();
    bench.ask(&COUNTER, 1, "Keep", 2).expect("works");
    bench.pass(60_000);
    assert_eq!(bench.ask(&COUNTER, 1, "AskKept", 3), Ok(3));
}

#[test]
fn a_call_that_comes_back_through_kept_handles_is_answered_with_deadlock_at_once() {
    let mut bench = Bench::new();
    bench.ask(&COUNTER, 1, "Keep", 2).expect("works");
    bench.ask(&COUNTER, 2, "Keep", 1).expect("works");
    bench.pass(60_000);
    assert_eq!(code(bench.ask(&COUNTER, 1, "AskKeptKept", 3)), Code::DEADLOCK, "1 -> 2 -> 1");
    assert_eq!(bench.ask(&COUNTER, 1, "AskKept", 3), Ok(3), "both are free again");
}

#[test]
fn what_a_reentrant_call_asks_for_is_part_of_the_chain() {
    let mut bench = Bench::new();
    // 1 lends itself to 2, which asks 1, which asks 3 without lending itself, which asks 1.
    assert_eq!(code(bench.ask(&COUNTER, 1, "LendTo", 21)), Code::DEADLOCK);
    // 3 lends itself to 2, which asks 3, which asks 3.
    assert_eq!(code(bench.ask(&COUNTER, 3, "LendTo", 21)), Code::DEADLOCK);
    assert_eq!(bench.ask(&COUNTER, 1, "LendTo", 20), Ok(0), "it can still lend itself");
    assert_eq!((bench.world.stats().tasks, bench.world.stats().operations), (0, 0));
}

#[test]
fn a_panic_within_a_reentrant_call_takes_the_turn_and_answers_everybody() {
    let mut bench = Bench::new();
    assert_eq!(code(bench.ask(&COUNTER, 1, "LendTo", 22)), Code::PANICKED);
    assert_eq!(bench.ask(&COUNTER, 2, "Add", 1), Ok(1), "2, which waited for the inner call, is free");
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1));
    assert_eq!((bench.world.stats().tasks, bench.world.stats().operations), (0, 0));
}

#[test]
fn the_answer_of_a_reentrant_call_leaves_after_what_it_shows_is_stored() {
    let mut bench = Bench::new();
    bench.store_fails = 1;
    let lending = bench.send(&SAVED, 1, "LendOther", 2);
    let behind = bench.send(&SAVED, 2, "Add", 0);
    assert_eq!((bench.commits, bench.reply(behind)), (0, None), "2 still waits for its answer");
    bench.pass(60);
    assert_eq!((bench.commits, bench.reply(behind)), (1, Some(Ok(0))));
    assert_eq!(bench.reply(lending), Some(Ok(7)));
}

#[test]
fn an_entity_that_stops_while_the_store_is_away_stays_until_its_state_is_stored() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&LAZY, 1, "Add", 5), Ok(5));
    bench.store_fails = 20;
    bench.ask(&LAZY, 1, "Stop", 0).expect("works");
    assert_eq!(code(bench.ask(&LAZY, 1, "Add", 1)), Code::ENTITY_STOPPED, "not processed, may be tried again");
    bench.pass(30_000);
    assert_eq!((bench.world.stats().entities, bench.commits), (1, 0));
    bench.pass(60_000);
    assert_eq!((bench.world.stats().entities, bench.commits), (0, 1));
    assert_eq!(bench.ask(&LAZY, 1, "Add", 1), Ok(6));
}

#[test]
fn a_drain_waits_for_the_store_and_says_in_the_end_what_is_lost() {
    for (failures, last) in [(8, "Drained([])".to_owned()), (1000, "DATA_LOSS".to_owned())] {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(&LAZY, 1, "Add", 5), Ok(5));
        assert_eq!(bench.ask(&COUNTER, 1, "Add", 5), Ok(5));
        bench.store_fails = failures;
        bench.input(Input::Drain(bench.now + Duration::from_secs(15)));
        bench.pass(5_000);
        assert!(!bench.outputs.iter().any(|output| output.starts_with("Drained")), "too early: {:?}", bench.outputs);
        bench.pass(11_000);
        let drained: Vec<_> = bench.outputs.iter().filter(|output| output.starts_with("Drained")).collect();
        assert!(drained.len() == 1 && drained[0].contains(&last), "{drained:?}");
        assert_eq!(bench.commits, u32::from(failures == 8));
    }
}

#[test]
fn a_drain_that_a_turn_holds_up_says_which_entity_is_lost() {
    let mut bench = Bench::new();
    bench.send(&COUNTER, 7, "Sleep", 60_000);
    bench.input(Input::Drain(bench.now + Duration::from_secs(1)));
    bench.pass(1_100);
    let drained = bench.outputs.iter().find(|output| output.starts_with("Drained")).expect("in time");
    assert!(drained.contains("7") && drained.contains("DEADLINE_EXCEEDED"), "{drained}");
}

#[test]
fn a_call_whose_commit_takes_too_long_is_told_so_before_its_deadline() {
    let mut bench = Bench::new();
    bench.store_hangs = Some(Vec::new());
    let id = bench.send(&SAVED, 1, "Add", 1);
    bench.pass(4_300);
    assert_eq!(bench.reply(id), None);
    bench.pass(100);
    assert_eq!(code(bench.reply(id).expect("answered")), Code::OUTCOME_UNKNOWN);
    for (op, request) in bench.store_hangs.take().expect("held") {
        let reply = bench.store(request);
        bench.input(Input::Store(op, reply));
    }
    assert_eq!(bench.reply(id), None, "one answer is enough");
    assert_eq!(bench.ask(&SAVED, 1, "Add", 1), Ok(2), "it was stored after all");
    assert_eq!(bench.commits, 2);
}

#[test]
fn a_superseded_entity_ends_and_stores_nothing() {
    let mut bench = Bench::new();
    for desc in [&COUNTER, &LAZY] {
        let id = EntityId::new(desc.type_id(), 1);
        assert_eq!(bench.ask(desc, 1, "Add", 5), Ok(5));
        bench.input(Input::Supersede(id.clone(), 0));
        assert!(bench.world.hosts(&id), "that was an older activation");
        bench.input(Input::Supersede(id.clone(), 1));
        assert!(!bench.world.hosts(&id));
        let told = bench.outputs.iter().any(|output| *output == format!("{:?}", Output::Deactivated(id.clone(), 1)));
        assert!(told, "{:?}", bench.outputs);
    }
    assert_eq!(bench.commits, 0);
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 1), Ok(1));
}

#[test]
fn an_answer_that_nobody_waits_for_is_not_made() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&COUNTER, 1, "Awaited", 0), Ok(1), "from outside");
    bench.ask(&COUNTER, 2, "TellAwaited", 1).expect("works");
    assert_eq!(bench.ask(&COUNTER, 1, "Add", 0), Ok(101), "one-way");
    bench.ask(&SAVED, 2, "TellAwaited", 1).expect("works");
    assert_eq!(bench.ask(&SAVED, 1, "Add", 0), Ok(100), "one-way, after a commit");
}
