use std::collections::BTreeMap;
use std::time::Duration;

use bbq_wire::{NodeUid, Time};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_millis(500);

/// An engine with its durable records, a clock and one watch of the cluster.
struct Bench {
    engine: Engine,
    disk: BTreeMap<String, Bytes>,
    now: Time,
    events: Vec<(WatchId, WatchEvent)>,
    next: u64,
}

fn config() -> Config {
    Config { ttl: TTL, grace: GRACE, ..Config::default() }
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { engine: Engine::new(config), disk: BTreeMap::new(), now: Time::ZERO, events: Vec::new(), next: 0 }
    }

    fn restarted(self, config: Config) -> Self {
        let engine = Engine::restore(config, self.now, self.disk.clone()).unwrap();
        Self { engine, events: Vec::new(), ..self }
    }

    fn ask(&mut self, request: Request) -> Result<Response, ControlError> {
        self.next += 1;
        let id = RequestId(self.next);
        self.engine.handle(self.now, Input::Request(id, request));
        let mut answer = None;
        let mut told = false;
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Persist(writes) => {
                    assert!(!told, "something was told before it was durable");
                    self.persist(writes);
                }
                Output::Reply(of, result) if of == id => (answer, told) = (Some(result), true),
                Output::Reply(of, _) => panic!("an answer to {of:?}"),
                Output::Event(watch, event) => {
                    told = true;
                    self.events.push((watch, event));
                }
            }
        }
        answer.expect("every request is answered at once")
    }

    fn persist(&mut self, writes: Vec<Write>) {
        for Write { key, value } in writes {
            match value {
                Some(value) => self.disk.insert(key, value),
                None => self.disk.remove(&key),
            };
        }
    }

    /// Lets time pass, ticking at every deadline on the way.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.tick();
        }
        self.now = end;
    }

    fn tick(&mut self) {
        self.engine.handle(self.now, Input::Tick);
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Persist(writes) => self.persist(writes),
                Output::Reply(..) => panic!("an answer to a tick"),
                Output::Event(watch, event) => self.events.push((watch, event)),
            }
        }
    }

    fn open(&mut self, name: &str, roles: Roles) -> NodeUid {
        self.next += 1;
        let info = NodeInfo { name: name.into(), start: self.next, roles, weight: 100, ..NodeInfo::default() };
        match self.ask(Request::Open { info, ttl_ms: 0 }) {
            Ok(Response::Session(session)) => session.uid,
            other => panic!("{other:?}"),
        }
    }

    fn renew(&mut self, uid: NodeUid) -> Result<Response, ControlError> {
        self.ask(Request::Renew { uid, load: Load::default() })
    }

    fn view(&mut self) -> ClusterView {
        self.next += 1;
        let id = WatchId(self.next);
        self.ask(Request::Watch { id, prefix: key::CLUSTER.into(), from: None }).unwrap();
        let (_, snapshot) = self.events.pop().unwrap();
        self.engine.handle(self.now, Input::Unwatch(id));
        let mut view = ClusterView::default();
        view.apply(snapshot);
        view
    }
}

fn lost(uid: NodeUid) -> Result<Response, ControlError> {
    Err(ControlError::Lost { uid, certificate: None })
}

#[test]
fn a_lease_ends_in_suspicion_and_only_the_grace_after_it_in_a_certificate() {
    let mut bench = Bench::new(config());
    let uid = bench.open("game-1", Roles::GAME);
    bench.pass(TTL - Duration::from_nanos(1));
    assert_eq!(bench.renew(uid), Ok(Response::Done));
    bench.pass(TTL);
    assert_eq!(bench.renew(uid), lost(uid));
    assert!(bench.view().dead.is_empty());
    bench.pass(GRACE - Duration::from_nanos(1));
    assert!(matches!(bench.ask(Request::Reattach { uid }), Ok(Response::Session(session)) if session.uid == uid));
    assert_eq!(bench.renew(uid), Ok(Response::Done));
    bench.pass(TTL + GRACE);
    let Err(ControlError::Lost { certificate: Some(certificate), .. }) = bench.ask(Request::Reattach { uid }) else {
        panic!("it came back from the dead")
    };
    assert_eq!(certificate.uid, uid);
    let view = bench.view();
    assert!(view.nodes.is_empty() && view.dead.contains_key(&uid));
    assert_eq!(bench.engine.deadline(), None);
}

#[test]
fn an_engine_that_overslept_gives_every_lease_anew() {
    let mut bench = Bench::new(config());
    let uid = bench.open("game-1", Roles::GAME);
    bench.now = bench.now + TTL * 10;
    bench.tick();
    assert_eq!(bench.renew(uid), Ok(Response::Done));
}

#[test]
fn an_accuser_must_have_seen_the_attachment_that_it_accuses() {
    let mut bench = Bench::new(config());
    let uid = bench.open("game-1", Roles::GAME);
    let seen = bench.view().node_revisions[&uid];
    let Ok(Response::Session(session)) = bench.ask(Request::Reattach { uid }) else { panic!("not reattached") };
    let accuse = |seen| Request::Certify { uid, seen: Some(seen), why: "silent".into() };
    assert_eq!(bench.ask(accuse(seen)), Err(ControlError::Conflict { revision: session.revision }));
    let certificate = DeathCert { uid, why: "silent".into() };
    assert_eq!(bench.ask(accuse(session.revision)), Ok(Response::Certificate(certificate.clone())));
    // Who comes second gets the certificate of the first.
    let late = Request::Certify { uid, seen: None, why: "other words".into() };
    assert_eq!(bench.ask(late), Ok(Response::Certificate(certificate)));
}

#[test]
fn nobody_can_be_certified_who_never_lived_and_everybody_who_is_forgotten() {
    let mut bench = Bench::new(config());
    let uid = bench.open("game-1", Roles::GAME);
    let certify = |node, incarnation| {
        let uid = NodeUid { node, incarnation };
        Request::Certify { uid, seen: None, why: String::new() }
    };
    assert!(matches!(bench.ask(certify(1, uid.incarnation + 1)), Err(ControlError::Invalid { .. })));
    assert!(matches!(bench.ask(certify(1, 0)), Err(ControlError::Invalid { .. })));
    for _ in 0..limit::CERTIFICATES + 10 {
        // The same name each time: the incarnation before dies.
        bench.open("game-1", Roles::GAME);
    }
    assert_eq!(bench.view().dead.len(), limit::CERTIFICATES);
    assert!(!bench.view().dead.contains_key(&uid));
    assert!(matches!(bench.ask(certify(uid.node, uid.incarnation)), Ok(Response::Certificate(_))));
}

#[test]
fn only_the_slots_of_a_proxy_that_came_or_went_move_and_their_epochs_grow() {
    let mut bench = Bench::new(config());
    let uids: Vec<NodeUid> = ["a", "b", "c", "d"].iter().map(|name| bench.open(name, Roles::PROXY)).collect();
    bench.open("e", Roles::GAME);
    let before = bench.view().slots;
    for uid in &uids {
        let share = before.iter().filter(|(_, slot)| slot.owner == Some(*uid)).count();
        assert!((800..1300).contains(&share), "{uid} owns {share}");
    }
    bench.ask(Request::Certify { uid: uids[1], seen: None, why: "test".into() }).unwrap();
    let after = bench.view().slots;
    for ((_, old), (number, new)) in before.iter().zip(after.iter()) {
        if old.owner == Some(uids[1]) {
            assert!(new.owner != old.owner && new.epoch == old.epoch + 1, "slot {number}");
        } else {
            assert_eq!(old, new, "slot {number}");
        }
    }
    // A draining proxy gives its slots away, and a restarted one gets back those it had.
    bench.ask(Request::Renew { uid: uids[0], load: Load { weight: 0, ..Load::default() } }).unwrap();
    assert!(bench.view().slots.iter().all(|(_, slot)| slot.owner != Some(uids[0])));
    let again = bench.open("b", Roles::PROXY);
    let last = bench.view().slots;
    assert!(before.iter().zip(last.iter()).all(|((_, old), (_, new))| {
        old.owner != Some(uids[1]) || (new.owner == Some(again) && new.epoch >= old.epoch + 2)
    }));
    assert_eq!(SlotTable::decode(&last.encode()).as_ref(), Some(&*last));
}

#[test]
fn a_restored_engine_knows_everything_and_counts_on() {
    let mut bench = Bench::new(config());
    let (dead, alive) = (bench.open("a", Roles::PROXY), bench.open("b", Roles::PROXY));
    bench.ask(Request::Certify { uid: dead, seen: None, why: "test".into() }).unwrap();
    let owned = Op::Put { key: "leader".into(), value: "b".into(), owner: Some(alive) };
    bench.ask(Request::Txn { guards: vec![], ops: vec![owned, Op::put("config", "1")] }).unwrap();
    bench.ask(Request::Txn { guards: vec![], ops: vec![Op::Delete { key: "config".into() }] }).unwrap();
    let before = bench.view();
    bench.now = bench.now + TTL * 100;
    let mut bench = bench.restarted(config());
    assert_eq!(bench.view(), before);
    assert_eq!(bench.renew(alive), Ok(Response::Done), "a session outlives a restart of the engine");
    let next = bench.open("c", Roles::PROXY);
    assert!(next.incarnation > alive.incarnation);
    let epochs = |view: &ClusterView| view.slots.iter().map(|(_, slot)| slot.epoch).collect::<Vec<_>>();
    let view = bench.view();
    assert!(view.revision > before.revision);
    assert!(epochs(&before).iter().zip(epochs(&view)).all(|(old, new)| *old <= new));
    bench.pass(TTL + GRACE);
    let leader = bench.ask(Request::Get { key: "leader".into() });
    assert_eq!(leader, Ok(Response::Value(None)), "what a node owned went with it");
}

#[test]
fn an_engine_without_memory_starts_above_everything_that_the_one_before_gave_out() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let old = first.open("a", Roles::PROXY);
    let mut second = Bench::new(Config { boot: 1001, ..config() });
    assert_eq!(second.renew(old), lost(old), "it may still come back");
    let new = second.open("a", Roles::PROXY);
    assert!(new.incarnation > old.incarnation);
    let (before, after) = (first.view(), second.view());
    assert!(after.revision > before.revision);
    assert!(after.slots.slot(7).epoch > before.slots.slot(7).epoch - 1);
}

/// A new engine that kept nothing, at its own time zero.
fn forgetful() -> Bench {
    Bench::new(Config { boot: 1001, ..config() })
}

fn memory(bench: &mut Bench, uid: NodeUid, start: u64) -> Memory {
    let view = bench.view();
    let info = NodeInfo { start, ..view.nodes[&uid].info.clone() };
    Memory::of(uid, info, 3000, &view)
}

fn is_over(answer: &Result<Response, ControlError>) -> bool {
    matches!(answer, Err(ControlError::Lost { certificate: Some(_), .. }))
}

#[test]
fn nodes_of_a_forgotten_engine_come_back_together_with_new_epochs_and_without_their_dead() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let uids: Vec<NodeUid> = ["a", "b", "dead"].iter().map(|name| first.open(name, Roles::PROXY)).collect();
    let memories: Vec<Memory> = uids.iter().map(|uid| memory(&mut first, *uid, uid.incarnation)).collect();
    first.ask(Request::Certify { uid: uids[2], seen: None, why: "silent".into() }).unwrap();
    let knowing = memory(&mut first, uids[0], uids[0].incarnation);
    let old = first.view();

    let mut second = forgetful();
    for known in [&memories[2], &memories[1], &knowing] {
        assert_eq!(second.ask(Request::Reattach { uid: known.uid }), lost(known.uid));
        let answer = second.ask(Request::Rejoin(Box::new(known.clone())));
        assert!(matches!(answer, Err(ControlError::Unreachable { .. })), "{answer:?}");
        assert!(second.view().nodes.is_empty(), "nobody is there before everybody is");
    }
    let open = Request::Open { info: NodeInfo { name: "c".into(), ..NodeInfo::default() }, ttl_ms: 0 };
    assert!(matches!(second.ask(open), Err(ControlError::Unreachable { .. })), "newcomers wait as well");
    second.pass(Config::default().recovery);
    let view = second.view();
    assert_eq!(view.nodes.keys().collect::<Vec<_>>(), [&uids[0], &uids[1]]);
    assert_eq!(view.dead[&uids[2]].why, "silent");
    assert!(view.revision > old.revision);
    let highest = old.slots.highest();
    assert!(view.slots.iter().all(|(_, slot)| slot.epoch > highest && slot.owner.is_some_and(|uid| uid != uids[2])));
    assert_eq!(second.renew(uids[0]), Ok(Response::Done));
    assert!(is_over(&second.renew(uids[2])) && is_over(&second.ask(Request::Rejoin(Box::new(memories[2].clone())))));
    // Sent twice, because the answer got lost.
    assert!(
        matches!(second.ask(Request::Rejoin(Box::new(knowing))), Ok(Response::Session(session)) if session.uid == uids[0])
    );
    // Too late: somebody else may have its entities already.
    let late = Memory {
        uid: NodeUid { node: 9, incarnation: 3 },
        info: NodeInfo { name: "d".into(), ..NodeInfo::default() },
        ..Memory::default()
    };
    assert!(is_over(&second.ask(Request::Rejoin(Box::new(late)))));
}

#[test]
fn a_clock_that_jumps_does_not_close_the_window_before_anybody_could_be_heard() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let uid = first.open("a", Roles::PROXY);
    let known = memory(&mut first, uid, 1);
    let mut second = forgetful();
    second.now = second.now + Config::default().recovery * 3;
    second.tick();
    assert_eq!(second.renew(uid), lost(uid));
    second.ask(Request::Rejoin(Box::new(known))).unwrap_err();
    second.pass(Config::default().recovery);
    assert_eq!(second.renew(uid), Ok(Response::Done));
}

#[test]
fn an_engine_that_dies_while_it_gets_its_nodes_back_begins_again() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let uid = first.open("a", Roles::PROXY);
    let known = memory(&mut first, uid, 1);
    let mut second = forgetful();
    second.open("b", Roles::PROXY);
    second.ask(Request::Rejoin(Box::new(known.clone()))).unwrap_err();
    second.now = Time::ZERO;
    let mut third = second.restarted(config());
    assert_eq!(third.renew(uid), lost(uid));
    third.ask(Request::Rejoin(Box::new(known))).unwrap_err();
    third.pass(Config::default().recovery);
    assert_eq!(third.renew(uid), Ok(Response::Done));
    third.now = Time::ZERO;
    let mut last = third.restarted(config());
    let stranger = NodeUid { node: 5, incarnation: 5 };
    assert!(last.renew(uid).is_ok() && is_over(&last.renew(stranger)), "the window stays closed");
}

#[test]
fn of_two_processes_with_one_name_only_the_younger_comes_back() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let older = first.open("a", Roles::PROXY);
    let old = memory(&mut first, older, 1);
    let younger = first.open("a", Roles::PROXY);
    let young = Memory { dead: Vec::new(), ..memory(&mut first, younger, 2) };
    let mut second = forgetful();
    for memory in [young, old] {
        second.ask(Request::Rejoin(Box::new(memory))).unwrap_err();
    }
    second.pass(Config::default().recovery);
    assert!(second.renew(younger).is_ok() && is_over(&second.renew(older)));
}

#[test]
fn who_misses_one_window_is_dead_in_the_next() {
    let mut first = Bench::new(Config { boot: 1000, ..config() });
    let uids: Vec<NodeUid> = ["a", "away"].iter().map(|name| first.open(name, Roles::PROXY)).collect();
    let memories: Vec<Memory> = uids.iter().map(|uid| memory(&mut first, *uid, uid.incarnation)).collect();
    let mut second = forgetful();
    second.ask(Request::Rejoin(Box::new(memories[0].clone()))).unwrap_err();
    second.pass(Config::default().recovery);
    assert!(second.view().dead.contains_key(&uids[1]), "the others have forgotten it");
    let known = memory(&mut second, uids[0], uids[0].incarnation);
    let mut third = Bench::new(Config { boot: 1002, ..config() });
    for memory in [memories[1].clone(), known] {
        third.ask(Request::Rejoin(Box::new(memory))).unwrap_err();
    }
    third.pass(Config::default().recovery);
    assert!(third.renew(uids[0]).is_ok() && is_over(&third.renew(uids[1])));
}

#[test]
fn a_clock_that_went_back_gives_no_number_twice() {
    let mut first = Bench::new(Config { boot: 2000, ..config() });
    let uid = first.open("a", Roles::PROXY);
    let known = memory(&mut first, uid, 7);
    let mut second = forgetful();
    second.ask(Request::Rejoin(Box::new(known))).unwrap_err();
    second.pass(Config::default().recovery);
    assert!(second.open("b", Roles::PROXY).incarnation > uid.incarnation);
    assert!(second.view().revision > first.view().revision);
    assert!(second.view().slots.slot(0).epoch > first.view().slots.slot(0).epoch);
}

#[test]
fn epochs_start_above_the_tokens_of_the_store_even_with_records_from_a_backup() {
    let mut bench = Bench::new(Config { epoch_floor: 70, ..config() });
    let uid = bench.open("a", Roles::PROXY);
    assert!(bench.view().slots.iter().all(|(_, slot)| slot.epoch == 71));
    let again = bench.restarted(Config { epoch_floor: 71, ..config() });
    let mut older = again.restarted(Config { epoch_floor: 90, ..config() });
    assert!(older.view().slots.iter().all(|(_, slot)| slot.owner == Some(uid) && slot.epoch == 91));
    older.tick();
    let mut last = older.restarted(config());
    assert_eq!(last.view().slots.slot(3).epoch, 91, "the new epochs were kept");
}

fn keeper() -> (Keeper, NodeUid) {
    let uid = NodeUid { node: 1, incarnation: 1 };
    let session = Session { uid, ttl_ms: 4000, revision: 1 };
    (Keeper::new(NodeInfo { name: "a".into(), weight: 100, ..NodeInfo::default() }, session, Time::ZERO), uid)
}

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

#[test]
fn a_keeper_renews_at_every_quarter_and_counts_the_lease_from_the_question() {
    let (mut keeper, uid) = keeper();
    assert_eq!(keeper.deadline(), Some(at(1000)));
    keeper.handle(at(1000), Note::Tick);
    assert!(matches!(keeper.poll(), Some(Task::Ask(Request::Renew { uid: asked, .. })) if asked == uid));
    keeper.handle(at(1500), Note::Answer(Ok(Response::Done)));
    assert_eq!(keeper.poll(), Some(Task::Standing(Standing::Held { until: at(5000) })));
    keeper.handle(at(1600), Note::Load(Load { weight: 100, permille: 9, ..Load::default() }));
    assert_eq!(keeper.poll(), None, "the load is reported with the next renewal");
    keeper.handle(at(1700), Note::Load(Load { weight: 0, permille: 9, ..Load::default() }));
    assert!(matches!(keeper.poll(), Some(Task::Ask(Request::Renew { load, .. })) if load.weight == 0));
    // No answer: the next question is asked when the lease would have ended, and the lease is in doubt.
    assert_eq!(keeper.deadline(), Some(at(5700)));
    keeper.handle(at(5700), Note::Tick);
    assert_eq!(keeper.poll(), Some(Task::Standing(Standing::Doubtful { until: at(5000) })));
    assert!(matches!(keeper.poll(), Some(Task::Ask(Request::Renew { .. }))));
}

#[test]
fn a_keeper_reattaches_then_rejoins_and_gives_up_only_with_a_certificate() {
    let (mut keeper, uid) = keeper();
    keeper.handle(at(1000), Note::Tick);
    keeper.poll();
    let lost = |certificate| Note::Answer(Err(ControlError::Lost { uid, certificate }));
    keeper.handle(at(1001), lost(None));
    assert_eq!(keeper.poll(), Some(Task::Ask(Request::Reattach { uid })));
    keeper.handle(at(1002), lost(None));
    assert_eq!(keeper.poll(), Some(Task::Rejoin));
    keeper.handle(at(1003), Note::Answer(Err(ControlError::Unreachable { why: String::new() })));
    assert_eq!(keeper.poll(), Some(Task::Standing(Standing::Held { until: at(4000) })));
    assert_eq!(keeper.deadline(), Some(at(2000)));
    keeper.handle(at(2000), Note::Tick);
    keeper.poll();
    let certificate = DeathCert { uid, why: "silent".into() };
    keeper.handle(at(2001), lost(Some(certificate.clone())));
    assert_eq!(keeper.poll(), Some(Task::Standing(Standing::Over(certificate))));
    assert_eq!(keeper.deadline(), None);
}

#[test]
fn damaged_records_are_named() {
    let mut bench = Bench::new(config());
    bench.open("a", Roles::PROXY);
    for path in bench.disk.keys().cloned().collect::<Vec<_>>() {
        let mut disk = bench.disk.clone();
        disk.insert(path.clone(), Bytes::from_static(b"\xc1"));
        let error = Engine::restore(config(), Time::ZERO, disk).unwrap_err();
        assert_eq!(error, RestoreError { key: path });
    }
}

#[test]
fn limits_are_refused_by_name_and_change_nothing() {
    let mut bench = Bench::new(config());
    let big = NodeInfo { name: "a".into(), schema: vec![0; limit::SCHEMA_BYTES + 1].into(), ..NodeInfo::default() };
    let put = |key: &str, size: usize| Op::put(key, vec![0; size]);
    let txn = |ops: Vec<Op>| Request::Txn { guards: vec![], ops };
    let refused = [
        Request::Open { info: big, ttl_ms: 0 },
        Request::Open { info: NodeInfo::default(), ttl_ms: 0 },
        txn(vec![put("k", 1); limit::TXN + 1]),
        txn(vec![put("k", 1), put("v", limit::VALUE_BYTES + 1)]),
        txn(vec![put("", 1)]),
        txn(vec![put(&"k".repeat(limit::KEY_BYTES + 1), 1)]),
        txn(vec![put("cluster/slots", 1)]),
        txn(vec![Op::Delete { key: key::node(NodeUid::default()) }]),
    ];
    for request in refused {
        let answer = bench.ask(request);
        assert!(matches!(answer, Err(ControlError::Invalid { .. })), "{answer:?}");
    }
    assert!(bench.disk.is_empty());
    let stranger = NodeUid { node: 1, incarnation: 1 };
    let owned = Op::Put { key: "k".into(), value: Bytes::new(), owner: Some(stranger) };
    assert!(matches!(bench.ask(txn(vec![owned])), Err(ControlError::Lost { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Open(u8),
    Renew(usize, u32),
    Reattach(usize),
    Certify(usize),
    Pass(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u8..6).prop_map(Step::Open),
        4 => (0_usize..30, prop_oneof![Just(0), Just(100)]).prop_map(|(node, weight)| Step::Renew(node, weight)),
        2 => (0_usize..30).prop_map(Step::Reattach),
        2 => (0_usize..30).prop_map(Step::Certify),
        3 => (0_u64..4000).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_a_watch_tells_the_truth_and_the_dead_stay_dead(steps in prop::collection::vec(step(), 1..40)) {
        let mut bench = Bench::new(config());
        let (mut all, mut followed, mut dead) = (Vec::new(), ClusterView::default(), Vec::new());
        let follow = |bench: &mut Bench| {
            bench.ask(Request::Watch { id: WatchId(0), prefix: key::CLUSTER.into(), from: None }).unwrap();
        };
        follow(&mut bench);
        for step in steps {
            let chosen = |node: usize| all.get(node % all.len().max(1)).copied();
            match step {
                Step::Open(name) => all.push(bench.open(&format!("n{name}"), Roles::PROXY | Roles::GAME)),
                Step::Renew(node, weight) => {
                    let Some(uid) = chosen(node) else { continue };
                    let alive = bench.ask(Request::Renew { uid, load: Load { weight, permille: 1, ..Load::default() } }).is_ok();
                    prop_assert!(!alive || !dead.contains(&uid));
                }
                Step::Reattach(node) => {
                    let Some(uid) = chosen(node) else { continue };
                    let alive = bench.ask(Request::Reattach { uid }).is_ok();
                    prop_assert_eq!(alive, !dead.contains(&uid), "reattachment and certificate exclude each other");
                }
                Step::Certify(node) => {
                    let Some(uid) = chosen(node) else { continue };
                    bench.ask(Request::Certify { uid, seen: None, why: "test".into() }).unwrap();
                }
                Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
                Step::Restart => {
                    bench = bench.restarted(config());
                    follow(&mut bench);
                }
            }
            for (_, event) in std::mem::take(&mut bench.events) {
                followed.apply(event);
            }
            let view = bench.view();
            prop_assert_eq!(&followed, &view);
            dead.extend(view.dead.keys().filter(|uid| !dead.contains(uid)).copied().collect::<Vec<_>>());
            prop_assert!(dead.iter().all(|uid| view.dead.contains_key(uid) && !view.nodes.contains_key(uid)));
            prop_assert!(all.iter().all(|uid| view.dead.contains_key(uid) != view.nodes.contains_key(uid)));
            let owners = view.slots.iter().filter_map(|(_, slot)| slot.owner);
            prop_assert!(owners.into_iter().all(|owner| view.nodes.contains_key(&owner)), "a dead node owns a slot");
        }
    }
}
