use bbq_core::codegen::*;
use bbq_core::world::*;
use bbq_wire::Time;
use buffa_types::google::protobuf::UInt64Value;
use std::time::{Duration, Instant};
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
const METHODS: &[MethodDesc] = &[
    MethodDesc { name: "Add", id: 1, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Drive", id: 2, timeout_ms: 600_000, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Tells", id: 3, ..MethodDesc::DEFAULT },
    MethodDesc { name: "Fan", id: 4, ..MethodDesc::DEFAULT },
];
static C: ServiceDesc =
    ServiceDesc { name: "t.C", kind: Kind::Entity, methods: METHODS, mailbox: 2_000_000, ..ServiceDesc::DEFAULT };
struct Counter(u64);
struct Glue;
struct Ref(EntityHandle);
impl EntityStub for Ref {
    const DESC: &'static ServiceDesc = &C;
    fn bind(h: EntityHandle) -> Self {
        Self(h)
    }
    fn handle(&self) -> &EntityHandle {
        &self.0
    }
}
impl Ref {
    fn call(&self, m: usize, v: u64) -> Call<UInt64Value> {
        self.0.call(&C, m, Payload::of(UInt64Value { value: v, ..Default::default() }), Payload::take)
    }
}
impl EntityGlue for Glue {
    type Entity = Counter;
    const DESC: &'static ServiceDesc = &C;
    fn create(_: &EntityId, _: Payload) -> Result<Counter> {
        Ok(Counter(0))
    }
    fn state(_: &Counter) -> Payload {
        Payload::EMPTY
    }
    async fn call(e: &mut Counter, _ctx: &Ctx, m: usize, body: Payload) -> Result<Payload> {
        let v = body.take::<UInt64Value>()?.value;
        let _ = m;
        e.0 += v;
        Ok(Payload::of(UInt64Value { value: e.0, ..Default::default() }))
    }
    async fn hook(_: &mut Counter, _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}
fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(5_000_000);
    let mut w = World::new(Config { solo: true, ..Config::default() }, &[Definition::entity::<Glue>()]);
    for round in 0..3 {
        let t = Instant::now();
        w.spawn(Time::from_millis(1), |ctx| async move {
            let r = ctx.entity::<Ref>(1);
            for _ in 0..n {
                r.call(0, 1).await.unwrap();
            }
        });
        println!("ask {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        w.spawn(Time::from_millis(1), |ctx| async move {
            let r = ctx.entity::<Ref>(1);
            for _ in 0..n / 1000 {
                for _ in 0..1000 {
                    r.call(0, 1).tell();
                }
                ctx.yield_now().await;
                ctx.yield_now().await;
            }
        });
        println!("tell {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        w.spawn(Time::from_millis(1), |ctx| async move {
            let refs: Vec<Ref> = (0..1000u64).map(|k| ctx.entity::<Ref>(k)).collect();
            for _ in 0..n / 1000 {
                futures_util::future::join_all(refs.iter().map(|r| r.call(0, 1))).await;
            }
        });
        println!("fan {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        println!("round {round} {:?}", w.stats());
    }
    let t = Instant::now();
    let m = 1_000_000u64;
    let rss = || {
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = rss();
    w.spawn(Time::from_millis(1), |ctx| async move {
        for k in 0..m {
            ctx.entity::<Ref>(k).call(0, 1).tell();
            if k % 1000 == 0 {
                ctx.yield_now().await;
            }
        }
    });
    println!("{:?} per entity {} B, {:?} each", w.stats(), (rss() - before) / m, t.elapsed() / m as u32);
    let _ = Duration::ZERO;
}
