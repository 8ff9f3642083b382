//! What every engine behind the [`ControlPlane`] port must do. `control_battery!` turns each function into a test.
//!
//! Each test gets an empty cluster of its own, with leases of [`TTL`] by default and the wanted grace.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::NodeUid;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{
    Attendance, Config, ControlError, ControlPlane, Guard, Load, Membership, NodeInfo, NodeRecord, Op, Roles,
    ServiceRecord, Session, Standing, TxnOutcome, WatchEvent, WatchStream, key,
};

/// Makes a test of each function of the battery. The argument is an async closure that makes an engine with the given
/// settings, and whatever must live as long: `async |config| (Arc<dyn ControlPlane>, guard)`.
#[macro_export]
macro_rules! control_battery {
    ($make:expr) => {
        $crate::control_battery!(@each $make;
            who_opens_is_seen_with_everything_it_said,
            who_opens_again_is_another_incarnation_and_the_one_before_is_dead,
            an_opening_that_is_sent_twice_is_one_session,
            a_renewed_lease_outlives_its_length,
            expiry_is_only_suspicion_and_the_node_can_reattach,
            after_the_grace_the_node_is_dead_for_certain,
            a_certificate_and_a_reattachment_never_both_succeed,
            an_incarnation_that_is_unknown_is_lost_and_not_unreachable,
            a_transaction_writes_all_or_nothing,
            a_value_may_be_half_a_megabyte_and_membership_is_out_of_reach,
            what_a_node_owns_goes_with_it,
            a_watch_tells_a_snapshot_and_then_every_change_in_order,
            a_watch_resumes_where_another_ended,
            a_watch_from_a_forgotten_revision_is_a_gap,
            a_reader_that_is_too_slow_finds_a_gap,
            a_large_snapshot_arrives_whole,
            slots_follow_the_proxies_and_their_epochs_grow,
            load_and_draining_reach_the_view,
            an_attendance_renews_reattaches_and_ends_with_a_certificate,
        );
    };
    (@each $make:expr; $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let config = $crate::control::battery::config(stringify!($name));
            let (control, _guard) = ($make)(config).await;
            $crate::control::battery::$name(control).await;
        }
    )*};
}

/// Lease length of engines under test.
pub const TTL: Duration = Duration::from_millis(300);

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

/// Every wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Settings for the test with this name.
#[must_use]
pub fn config(test: &str) -> Config {
    let grace = match test {
        "after_the_grace_the_node_is_dead_for_certain" | "what_a_node_owns_goes_with_it" => Duration::from_millis(100),
        _ => NEVER,
    };
    let history = if test == "a_watch_from_a_forgotten_revision_is_a_gap" { 4 } else { 4096 };
    Config { ttl: TTL, grace, history, ..Config::default() }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

fn info(name: &str, roles: Roles) -> NodeInfo {
    NodeInfo { name: name.into(), start: 1, roles, weight: 100, ..NodeInfo::default() }
}

async fn open(control: &Arc<dyn ControlPlane>, name: &str, roles: Roles) -> Session {
    control.open(info(name, roles), NEVER).await.expect("a session")
}

/// Renews until the lease is lost. Renewals are far enough apart for it to end.
async fn wait_until_lost(control: &Arc<dyn ControlPlane>, session: &Session) -> ControlError {
    let mut end = Instant::now() + TTL * 2;
    for _ in 0..50 {
        tokio::time::sleep_until(end).await;
        match control.renew(session, Load::default()).await {
            Ok(()) => end = Instant::now() + TTL * 2,
            Err(error) => return error,
        }
    }
    panic!("the lease never ends")
}

/// See the name.
pub async fn who_opens_is_seen_with_everything_it_said(control: Arc<dyn ControlPlane>) {
    let membership = Membership::start(control.clone());
    let service = ServiceRecord {
        kind: 7,
        name: "chat.Room".into(),
        entity: true,
        client: true,
        version: 3,
        methods: Vec::new(),
    };
    let info = NodeInfo {
        name: "game-1".into(),
        start: 99,
        roles: Roles::GAME | Roles::PROXY,
        address: "127.0.0.1:4000".into(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        services: vec![service],
        schema: Bytes::from(vec![7; 1 << 20]),
        weight: 50,
    };
    let session = control.open(info.clone(), Duration::from_secs(60)).await.expect("a session");
    assert_eq!(session.ttl_ms, 60_000);
    let view = soon("the node", membership.wait_for(|view| view.nodes.contains_key(&session.uid))).await;
    let load = Load { weight: 50, permille: 0 };
    assert_eq!(*view.nodes[&session.uid], NodeRecord { uid: session.uid, info, ttl_ms: 60_000, load });
    assert_eq!(view.node_revisions[&session.uid], session.revision);
    assert_eq!(view.offering(7).count(), 1);
    assert_eq!(view.offering(8).count(), 0);
    let stored = control.get(key::node(session.uid)).await.expect("an answer").expect("a record");
    assert_eq!(stored.revision, session.revision);
    let default = control.open(NodeInfo { name: "game-2".into(), ..NodeInfo::default() }, Duration::ZERO).await;
    assert_eq!(default.expect("a session").ttl(), TTL);
}

/// See the name.
pub async fn who_opens_again_is_another_incarnation_and_the_one_before_is_dead(control: Arc<dyn ControlPlane>) {
    let membership = Membership::start(control.clone());
    let first = open(&control, "game-1", Roles::GAME).await;
    let again = NodeInfo { start: 2, ..info("game-1", Roles::GAME) };
    let second = control.open(again, NEVER).await.expect("a session");
    assert_eq!(first.uid.node, second.uid.node);
    assert!(second.uid.incarnation > first.uid.incarnation);
    let Err(ControlError::Lost { certificate: Some(certificate), .. }) = control.reattach(&first).await else {
        panic!("both incarnations live")
    };
    assert_eq!(certificate.uid, first.uid);
    let both = |view: &super::ClusterView| view.dead.contains_key(&first.uid) && view.nodes.contains_key(&second.uid);
    let view = soon("the change", membership.wait_for(both)).await;
    assert_eq!(view.nodes.len(), 1);
}

/// See the name.
pub async fn an_opening_that_is_sent_twice_is_one_session(control: Arc<dyn ControlPlane>) {
    let first = open(&control, "game-1", Roles::GAME).await;
    let second = open(&control, "game-1", Roles::GAME).await;
    assert_eq!(first.uid, second.uid);
    assert_eq!(control.renew(&first, Load::default()).await, Ok(()));
}

/// See the name.
pub async fn a_renewed_lease_outlives_its_length(control: Arc<dyn ControlPlane>) {
    let session = control.open(info("game-1", Roles::GAME), Duration::from_secs(2)).await.expect("a session");
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(control.renew(&session, Load::default()).await, Ok(()));
        tokio::time::sleep(Duration::from_millis(200)).await; // tidy: renews at a pace, waits for nothing
    }
}

/// See the name.
pub async fn expiry_is_only_suspicion_and_the_node_can_reattach(control: Arc<dyn ControlPlane>) {
    let session = control.open(info("game-1", Roles::GAME), TTL).await.expect("a session");
    let lost = wait_until_lost(&control, &session).await;
    assert_eq!(lost, ControlError::Lost { uid: session.uid, certificate: None });
    assert!(control.get(key::node(session.uid)).await.expect("an answer").is_some(), "a suspect is still a member");
    let again = control.reattach(&session).await.expect("nothing is decided yet");
    assert_eq!(again.uid, session.uid);
    assert!(again.revision > session.revision);
    let stale = control.certify_dead(session.uid, Some(session.revision), "silent".into()).await;
    assert_eq!(stale, Err(ControlError::Conflict { revision: again.revision }));
}

/// See the name.
pub async fn after_the_grace_the_node_is_dead_for_certain(control: Arc<dyn ControlPlane>) {
    let membership = Membership::start(control.clone());
    let session = control.open(info("proxy-1", Roles::PROXY), TTL).await.expect("a session");
    let view = soon("the death", membership.wait_for(|view| view.dead.contains_key(&session.uid))).await;
    assert_eq!(view.dead[&session.uid].uid, session.uid);
    let view = soon("the funeral", membership.wait_for(|view| view.slots.slot(0).owner.is_none())).await;
    assert!(!view.nodes.contains_key(&session.uid));
    for answer in [control.reattach(&session).await.map(drop), control.renew(&session, Load::default()).await] {
        assert!(matches!(answer, Err(ControlError::Lost { certificate: Some(_), .. })), "{answer:?}");
    }
}

/// See the name.
pub async fn a_certificate_and_a_reattachment_never_both_succeed(control: Arc<dyn ControlPlane>) {
    let (mut died, mut lived) = (0, 0);
    for round in 0..40 {
        let session = open(&control, &format!("game-{round}"), Roles::GAME).await;
        let (accuser, accused) = (control.clone(), control.clone());
        let (accusation, defence) = (session.clone(), session.clone());
        let certify = tokio::spawn(async move {
            accuser.certify_dead(accusation.uid, Some(accusation.revision), "silent".into()).await
        });
        let reattach = tokio::spawn(async move { accused.reattach(&defence).await });
        match (certify.await.expect("no panic"), reattach.await.expect("no panic")) {
            (Ok(_), Err(ControlError::Lost { certificate: Some(_), .. })) => died += 1,
            (Err(ControlError::Conflict { .. }), Ok(_)) => lived += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(died + lived, 40);
}

/// See the name.
pub async fn an_incarnation_that_is_unknown_is_lost_and_not_unreachable(control: Arc<dyn ControlPlane>) {
    let session = Session { uid: NodeUid { node: 7, incarnation: 3 }, ttl_ms: 1000, revision: 9 };
    for answer in [control.renew(&session, Load::default()).await, control.reattach(&session).await.map(drop)] {
        // An engine that kept nothing leaves open for a while who was forgotten.
        assert!(matches!(answer, Err(ControlError::Lost { .. })), "{answer:?}");
    }
    let uid = NodeUid { node: 7, incarnation: u64::MAX };
    let answer = control.certify_dead(uid, None, "never lived".into()).await;
    assert!(matches!(answer, Err(ControlError::Invalid { .. })), "{answer:?}");
}

fn committed(outcome: Result<TxnOutcome, ControlError>) -> u64 {
    match outcome {
        Ok(TxnOutcome::Committed { revision }) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

/// See the name.
pub async fn a_transaction_writes_all_or_nothing(control: Arc<dyn ControlPlane>) {
    let absent = |key: &str| Guard::Absent(key.into());
    let both = vec![Op::put("a", "1"), Op::put("b", "1")];
    let first = committed(control.txn(vec![absent("a"), absent("b")], both.clone()).await);
    let conflict = control.txn(vec![absent("c"), absent("b")], vec![Op::put("c", "1")]).await;
    assert_eq!(conflict, Ok(TxnOutcome::Conflict { guard: 1 }));
    assert_eq!(control.get("c".into()).await, Ok(None));
    let a = control.get("a".into()).await.expect("an answer").expect("a value");
    let b = control.get("b".into()).await.expect("an answer").expect("a value");
    assert_eq!((a.revision, b.revision), (first - 1, first), "each write has its own revision");
    let at = |revision| vec![Guard::Revision("a".into(), revision)];
    let second = committed(control.txn(at(a.revision), vec![Op::put("a", "2")]).await);
    assert!(second > first);
    let stale = control.txn(at(a.revision), vec![Op::Delete { key: "a".into() }]).await;
    assert_eq!(stale, Ok(TxnOutcome::Conflict { guard: 0 }));
    committed(control.txn(at(second), vec![Op::Delete { key: "a".into() }]).await);
    assert_eq!(control.get("a".into()).await, Ok(None));
    let gone = control.txn(at(second), vec![]).await;
    assert_eq!(gone, Ok(TxnOutcome::Conflict { guard: 0 }), "a key that is gone has no revision");
    let many = vec![Op::put("k", "v"); 33];
    assert!(matches!(control.txn(vec![], many).await, Err(ControlError::Invalid { .. })));
}

/// See the name.
pub async fn a_value_may_be_half_a_megabyte_and_membership_is_out_of_reach(control: Arc<dyn ControlPlane>) {
    let value = Bytes::from(vec![1; 512 << 10]);
    committed(control.txn(vec![], vec![Op::put("big", value.clone())]).await);
    assert_eq!(control.get("big".into()).await.expect("an answer").expect("a value").value, value);
    for op in [Op::put("big", vec![1; (512 << 10) + 1]), Op::put(key::SLOTS, ""), Op::put("", "")] {
        let answer = control.txn(vec![], vec![op]).await;
        assert!(matches!(answer, Err(ControlError::Invalid { .. })), "{answer:?}");
    }
}

/// See the name.
pub async fn what_a_node_owns_goes_with_it(control: Arc<dyn ControlPlane>) {
    let owned = |owner| Op::Put { key: "leader".into(), value: "game-1".into(), owner: Some(owner) };
    let session = control.open(info("game-1", Roles::GAME), TTL).await.expect("a session");
    committed(control.txn(vec![Guard::Absent("leader".into())], vec![owned(session.uid)]).await);
    let mut watch = control.watch("leader".into(), None).await.expect("a watch");
    soon("the end of leadership", async {
        loop {
            match watch.next().await {
                Some(WatchEvent::Del { .. }) => break,
                Some(WatchEvent::Gap) | None => panic!("the watch ended"),
                Some(_) => {}
            }
        }
    })
    .await;
    assert_eq!(control.get("leader".into()).await, Ok(None));
    let answer = control.txn(vec![], vec![owned(session.uid)]).await;
    assert!(matches!(answer, Err(ControlError::Lost { .. })), "the dead own nothing: {answer:?}");
}

async fn next(watch: &mut WatchStream) -> WatchEvent {
    soon("an event", watch.next()).await.expect("a stream ends with a gap")
}

async fn snapshot(watch: &mut WatchStream) -> (Vec<(String, Bytes)>, u64) {
    match next(watch).await {
        WatchEvent::Snapshot { entries, revision } => {
            (entries.into_iter().map(|(key, versioned)| (key, versioned.value)).collect(), revision)
        }
        other => panic!("no snapshot: {other:?}"),
    }
}

/// See the name.
pub async fn a_watch_tells_a_snapshot_and_then_every_change_in_order(control: Arc<dyn ControlPlane>) {
    let before = vec![Op::put("x/b", "2"), Op::put("x/a", "1"), Op::put("y", "0"), Op::put("x", "0")];
    let revision = committed(control.txn(vec![], before).await);
    let mut watch = control.watch("x/".into(), None).await.expect("a watch");
    let expected = vec![("x/a".to_owned(), Bytes::from("1")), ("x/b".to_owned(), Bytes::from("2"))];
    assert_eq!(snapshot(&mut watch).await, (expected, revision));
    let mut last = revision;
    for round in 0..20 {
        let changes = vec![Op::put("y", "-"), Op::put("x/a", format!("{round}")), Op::Delete { key: "x/none".into() }];
        committed(control.txn(vec![], changes).await);
        let WatchEvent::Put { key, value } = next(&mut watch).await else { panic!("no put") };
        assert_eq!((key.as_str(), value.value), ("x/a", Bytes::from(format!("{round}"))));
        assert!(value.revision > last);
        last = value.revision;
    }
    let end = committed(control.txn(vec![], vec![Op::Delete { key: "x/b".into() }]).await);
    assert_eq!(next(&mut watch).await, WatchEvent::Del { key: "x/b".into(), revision: end });
}

/// See the name.
pub async fn a_watch_resumes_where_another_ended(control: Arc<dyn ControlPlane>) {
    let mut first = control.watch("x/".into(), None).await.expect("a watch");
    let (entries, revision) = snapshot(&mut first).await;
    assert!(entries.is_empty());
    drop(first);
    for number in 0..5 {
        committed(control.txn(vec![], vec![Op::put(format!("x/{number}"), "v"), Op::put("y", "v")]).await);
    }
    let mut second = control.watch("x/".into(), Some(revision)).await.expect("a watch");
    for number in 0..5 {
        let WatchEvent::Put { key, .. } = next(&mut second).await else { panic!("no put") };
        assert_eq!(key, format!("x/{number}"));
    }
    committed(control.txn(vec![], vec![Op::put("x/last", "v")]).await);
    assert!(matches!(next(&mut second).await, WatchEvent::Put { key, .. } if key == "x/last"));
}

/// See the name.
pub async fn a_watch_from_a_forgotten_revision_is_a_gap(control: Arc<dyn ControlPlane>) {
    let first = committed(control.txn(vec![], vec![Op::put("x", "v")]).await);
    for _ in 0..10 {
        committed(control.txn(vec![], vec![Op::put("y", "v")]).await);
    }
    // A revision that was never given out belongs to an engine whose past was lost.
    for from in [first, u64::MAX] {
        let mut watch = control.watch("x".into(), Some(from)).await.expect("a watch");
        assert_eq!(next(&mut watch).await, WatchEvent::Gap);
        assert_eq!(watch.next().await, None);
    }
}

/// See the name.
pub async fn a_reader_that_is_too_slow_finds_a_gap(control: Arc<dyn ControlPlane>) {
    let mut watch = control.watch("x/".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    for number in 0..300 {
        let changes = (0..32).map(|at| Op::put(format!("x/{at}"), vec![1; 4096])).collect();
        let outcome = soon("a write", control.txn(vec![], changes)).await;
        assert!(committed(outcome) > 0, "round {number}");
    }
    let mut seen = 0;
    while next(&mut watch).await != WatchEvent::Gap {
        seen += 1;
    }
    assert!(seen < 300 * 32, "everything was buffered");
    assert_eq!(watch.next().await, None);
    let mut again = control.watch("x/".into(), None).await.expect("a watch");
    assert_eq!(snapshot(&mut again).await.0.len(), 32);
}

/// See the name.
pub async fn a_large_snapshot_arrives_whole(control: Arc<dyn ControlPlane>) {
    for number in 0..30 {
        committed(control.txn(vec![], vec![Op::put(format!("x/{number:02}"), vec![number; 400 << 10])]).await);
    }
    let mut watch = control.watch("x/".into(), None).await.expect("a watch");
    let (entries, _) = snapshot(&mut watch).await;
    assert_eq!(entries.len(), 30);
    for (number, (key, value)) in (0_u8..).zip(entries) {
        assert_eq!((key, value), (format!("x/{number:02}"), Bytes::from(vec![number; 400 << 10])));
    }
}

/// See the name.
pub async fn slots_follow_the_proxies_and_their_epochs_grow(control: Arc<dyn ControlPlane>) {
    let membership = Membership::start(control.clone());
    let mut sessions = Vec::new();
    for name in ["a", "b", "c"] {
        sessions.push(open(&control, name, Roles::PROXY).await);
    }
    open(&control, "d", Roles::GAME).await;
    let shared = |view: &super::ClusterView| {
        sessions.iter().all(|session| view.slots.iter().any(|(_, slot)| slot.owner == Some(session.uid)))
    };
    let before = soon("the assignment", membership.wait_for(shared)).await;
    let dead = sessions[1].uid;
    control.certify_dead(dead, None, "test".into()).await.expect("a certificate");
    let moved = |view: &super::ClusterView| view.slots.iter().all(|(_, slot)| slot.owner != Some(dead));
    let after = soon("the move", membership.wait_for(moved)).await;
    for ((number, old), (_, new)) in before.slots.iter().zip(after.slots.iter()) {
        if old.owner == Some(dead) {
            assert!(new.epoch > old.epoch && new.owner.is_some(), "slot {number}");
        } else {
            assert_eq!(old, new, "slot {number} moved for nothing");
        }
    }
}

/// See the name.
pub async fn load_and_draining_reach_the_view(control: Arc<dyn ControlPlane>) {
    let membership = Membership::start(control.clone());
    let (drained, other) = (open(&control, "a", Roles::PROXY).await, open(&control, "b", Roles::PROXY).await);
    let load = Load { weight: 0, permille: 700 };
    control.renew(&drained, load).await.expect("it lives");
    let empty = |view: &super::ClusterView| {
        view.nodes.get(&drained.uid).is_some_and(|node| node.load == load)
            && view.slots.iter().all(|(_, slot)| slot.owner == Some(other.uid))
    };
    soon("the drain", membership.wait_for(empty)).await;
}

/// See the name.
pub async fn an_attendance_renews_reattaches_and_ends_with_a_certificate(control: Arc<dyn ControlPlane>) {
    let attendance = Attendance::open(control.clone(), info("game-1", Roles::GAME), TTL).await.expect("a session");
    let uid = attendance.session().uid;
    let mut standing = attendance.standing();
    let first = standing.borrow_and_update().clone();
    for _ in 0..10 {
        soon("a renewal", standing.changed()).await.expect("the keeper lives");
    }
    let later = standing.borrow_and_update().clone();
    let (Standing::Held { until: first }, Standing::Held { until: later }) = (&first, &later) else {
        panic!("{first:?}, {later:?}")
    };
    assert!(later > first);
    control.certify_dead(uid, None, "an operator said so".into()).await.expect("a certificate");
    let over = standing.wait_for(|standing| matches!(standing, Standing::Over(_)));
    let over = soon("the end", over).await.expect("the keeper says so before it ends").clone();
    assert!(matches!(over, Standing::Over(certificate) if certificate.why == "an operator said so"));

    let second = Attendance::open(control.clone(), info("game-2", Roles::GAME), TTL).await.expect("a session");
    let uid = second.session().uid;
    second.leave("shut down").await.expect("a certificate");
    assert!(control.get(key::dead(uid)).await.expect("an answer").is_some());
}
