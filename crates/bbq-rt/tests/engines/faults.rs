//! Servers that are killed, frozen, started again, compacted, or not there at all. Every test has servers of its own.

use std::future::Future;
use std::time::{Duration, Instant};

use bbq_rt::control::{
    Attendance, ControlError, Guard, Load, Membership, NodeInfo, Op, Roles, Session, Standing, TxnOutcome, WatchEvent,
    key,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

/// Every wait for something that must happen.
const SOON: Duration = Duration::from_secs(60);
/// Of a lease that outlives every test.
const LONG: Duration = Duration::from_secs(100);
/// How long an engine may be silent in these tests.
const PATIENCE: Duration = Duration::from_secs(2);

/// A test for each engine.
macro_rules! for_each_engine {
    ($($name:ident)*) => {
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::Etcd).await; })*
        }
        mod consul {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::Consul).await; })*
        }
        mod zookeeper {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::ZooKeeper).await; })*
        }
    };
}

for_each_engine! {
    a_frozen_engine_is_unreachable_and_nothing_is_lost
    an_engine_that_starts_again_has_kept_everything
    a_watch_ends_with_a_gap_when_its_engine_dies_and_a_view_recovers
    who_keeps_its_lease_outlives_an_engine_that_was_away_for_longer
    an_engine_that_is_not_there_is_unreachable_within_its_patience
    two_roots_do_not_see_each_other
    slot_epochs_are_above_those_of_the_store
    what_a_process_leaves_that_dies_while_it_cleans_up_is_removed_by_others
}

fn patient(server: &Server, root: &str, review: Duration) -> Arc<dyn ControlPlane> {
    let address: ControlAddress = server.url(root).parse().expect("an address");
    let grace = Duration::from_secs(3);
    let ttl = Duration::from_secs(2);
    address.connect(SharedConfig { ttl, grace, patience: PATIENCE, review, ..SharedConfig::default() })
}

fn control(server: &Server) -> Arc<dyn ControlPlane> {
    patient(server, "test", Duration::from_secs(30))
}

fn info(name: &str) -> NodeInfo {
    NodeInfo { name: name.into(), start: 1, roles: Roles::GAME, weight: 100, ..NodeInfo::default() }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Until the engine answers again.
async fn answered<T, F: Future<Output = Result<T, ControlError>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                // tidy: polls a condition, bounded by SOON
                Err(ControlError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon("an answer", asking).await
}

async fn write(control: &Arc<dyn ControlPlane>, key: &str, value: &'static str) -> u64 {
    match control.txn(vec![], vec![Op::put(key, value)]).await {
        Ok(TxnOutcome::Committed { revision }) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

fn is_unreachable<T>(answer: &Result<T, ControlError>) -> bool {
    matches!(answer, Err(ControlError::Unreachable { .. }))
}

async fn a_frozen_engine_is_unreachable_and_nothing_is_lost(kind: Kind) {
    let server = Server::start(kind);
    let control = control(&server);
    let session = control.open(info("game-1"), LONG).await.expect("a session");
    let revision = write(&control, "x", "before").await;
    server.freeze();
    let (renewal, reattachment, read) =
        tokio::join!(control.renew(&session, Load::default()), control.reattach(&session), control.get("x".into()));
    let write = control.txn(vec![Guard::Revision("x".into(), revision)], vec![Op::put("x", "maybe")]).await;
    let accusation = control.certify_dead(session.uid, None, "frozen".into()).await;
    let watch = control.watch("x".into(), None).await.map(drop);
    server.thaw();
    assert!(is_unreachable(&renewal), "{renewal:?}");
    assert!(is_unreachable(&reattachment), "{reattachment:?}");
    assert!(is_unreachable(&read), "{read:?}");
    assert!(is_unreachable(&write), "{write:?}");
    assert!(is_unreachable(&accusation), "{accusation:?}");
    assert!(is_unreachable(&watch), "{watch:?}");
    let value = answered(|| control.get("x".into())).await.expect("a value").value;
    assert!(value == "before" || value == "maybe", "{value:?}");
    answered(|| control.renew(&session, Load::default())).await;
}

async fn an_engine_that_starts_again_has_kept_everything(kind: Kind) {
    let mut server = Server::start(kind);
    let control = control(&server);
    let first = control.open(info("game-1"), LONG).await.expect("a session");
    let dead = control.open(info("game-2"), LONG).await.expect("a session");
    control.certify_dead(dead.uid, None, "before".into()).await.expect("a certificate");
    let before = write(&control, "x", "kept").await;
    server.kill();
    assert!(is_unreachable(&control.get("x".into()).await));
    server.run();
    let value = answered(|| control.get("x".into())).await.expect("a value");
    assert_eq!((value.value.as_ref(), value.revision), (&b"kept"[..], before));
    let again = answered(|| control.reattach(&first)).await;
    assert_eq!(again.uid, first.uid);
    answered(|| control.renew(&again, Load::default())).await;
    let certificate = answered(|| control.certify_dead(dead.uid, None, "after".into())).await;
    assert_eq!(certificate.why, "before");
    assert!(write(&control, "x", "new").await > before);
    let next = answered(|| control.open(info("game-3"), LONG)).await;
    assert!(next.uid.incarnation > dead.uid.incarnation);
}

async fn a_watch_ends_with_a_gap_when_its_engine_dies_and_a_view_recovers(kind: Kind) {
    let mut server = Server::start(kind);
    let control = control(&server);
    let membership = Membership::start(control.clone());
    let session = control.open(info("game-1"), LONG).await.expect("a session");
    soon("the node", membership.wait_for(|view| view.nodes.contains_key(&session.uid))).await;
    let mut watch = control.watch("x".into(), None).await.expect("a watch");
    assert!(matches!(watch.next().await, Some(WatchEvent::Snapshot { .. })));
    server.kill();
    assert_eq!(soon("the end", watch.next()).await, Some(WatchEvent::Gap));
    assert!(membership.view().nodes.contains_key(&session.uid), "the last picture stays");
    server.run();
    let second = answered(|| control.open(info("game-2"), LONG)).await;
    let both = soon("both nodes", membership.wait_for(|view| view.nodes.contains_key(&second.uid))).await;
    assert!(both.nodes.contains_key(&session.uid) && both.dead.is_empty());
}

async fn who_keeps_its_lease_outlives_an_engine_that_was_away_for_longer(kind: Kind) {
    let mut server = Server::start(kind);
    let control = control(&server);
    let attendance =
        Attendance::open(control.clone(), info("game-1"), Duration::from_secs(2)).await.expect("a session");
    let uid = attendance.session().uid;
    let mut standing = attendance.standing();
    server.kill();
    soon("doubt", standing.wait_for(|standing| matches!(standing, Standing::Doubtful { .. })))
        .await
        .expect("it attends");
    server.run();
    let held = standing.wait_for(|standing| !matches!(standing, Standing::Doubtful { .. }));
    let held = soon("certainty", held).await.expect("it attends").clone();
    assert!(matches!(held, Standing::Held { .. }), "{held:?}");
    assert!(answered(|| control.get(key::node(uid))).await.is_some());
    assert!(answered(|| control.get(key::dead(uid))).await.is_none());
}

async fn an_engine_that_is_not_there_is_unreachable_within_its_patience(kind: Kind) {
    let mut server = Server::start(kind);
    server.kill();
    let control = control(&server);
    let begin = Instant::now();
    let answer = control.open(info("game-1"), LONG).await;
    assert!(is_unreachable(&answer), "{answer:?}");
    assert!(begin.elapsed() < PATIENCE * 4, "{:?}", begin.elapsed());
}

async fn two_roots_do_not_see_each_other(kind: Kind) {
    let server = Server::start(kind);
    let (one, two) = (patient(&server, "one", LONG), patient(&server, "one/two", LONG));
    write(&one, "x", "1").await;
    let session: Session = one.open(info("game-1"), LONG).await.expect("a session");
    assert_eq!(two.get("x".into()).await, Ok(None));
    assert_eq!(two.get(key::node(session.uid)).await, Ok(None));
    write(&two, "x", "2").await;
    assert_eq!(one.get("x".into()).await.expect("an answer").expect("a value").value, "1");
}

async fn slot_epochs_are_above_those_of_the_store(kind: Kind) {
    let server = Server::start(kind);
    let game = control(&server);
    let membership = Membership::start(game.clone());
    let proxy = NodeInfo { roles: Roles::PROXY, ..info("proxy-1") };
    let uid = game.open(proxy, LONG).await.expect("a session").uid;
    soon("the slots", membership.wait_for(|view| view.slots.slot(0).owner == Some(uid))).await;
    let address: ControlAddress = server.url("test").parse().expect("an address");
    let _center = address.connect(SharedConfig { epoch_floor: 5000, ..SharedConfig::default() });
    let raised =
        membership.wait_for(|view| view.slots.iter().all(|(_, slot)| slot.owner == Some(uid) && slot.epoch > 5000));
    soon("higher epochs", raised).await;
}

async fn what_a_process_leaves_that_dies_while_it_cleans_up_is_removed_by_others(kind: Kind) {
    let server = Server::start(kind);
    let control = patient(&server, "test", Duration::from_secs(1));
    let session = control.open(info("game-1"), LONG).await.expect("a session");
    let lock = Op::Put { key: "lock".into(), value: "v".into(), owner: Some(session.uid) };
    control.txn(vec![], vec![lock]).await.expect("an answer");
    let stored = |path: String| {
        let control = control.clone();
        async move { control.get(path).await.expect("an answer") }
    };
    let raw = stored("lock".into()).await.expect("a value");
    control.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    assert_eq!(stored("lock".into()).await, None, "{raw:?}");
    // The load of a dead node, as a renewal that was under way leaves it.
    let _ = control.renew(&session, Load { weight: 1, permille: 1, ..Load::default() }).await;
    let gone = async {
        while stored(key::load(session.uid)).await.is_some() {
            // tidy: polls a condition, bounded by SOON
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the review", gone).await;
}

/// One request to a server, as its own tools send it.
async fn post(address: &str, path: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(address).await.expect("a server");
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("a server");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn after_a_compaction_etcd_says_gap_and_goes_on() {
    let server = Server::start(Kind::Etcd);
    let control = control(&server);
    let first = write(&control, "x", "1").await;
    let mut live = control.watch("x".into(), None).await.expect("a watch");
    assert!(matches!(live.next().await, Some(WatchEvent::Snapshot { .. })));
    let last = write(&control, "x", "2").await;
    let answer =
        post(&server.address(), "/v3/kv/compaction", &format!(r#"{{"revision":"{last}","physical":true}}"#)).await;
    assert!(answer.contains("200 OK"), "{answer}");
    let mut late = control.watch("x".into(), Some(first - 1)).await.expect("a watch");
    assert_eq!(soon("the end", late.next()).await, Some(WatchEvent::Gap));
    assert!(matches!(soon("the change", live.next()).await, Some(WatchEvent::Put { .. })));
    write(&control, "x", "3").await;
    assert!(matches!(soon("the change", live.next()).await, Some(WatchEvent::Put { .. })));
}

#[tokio::test]
async fn an_etcd_lease_that_is_revoked_early_is_suspicion_and_the_node_attends_on() {
    let server = Server::start(Kind::Etcd);
    let control = control(&server);
    let attendance =
        Attendance::open(control.clone(), info("game-1"), Duration::from_secs(2)).await.expect("a session");
    let uid = attendance.session().uid;
    let session = || async { control.get(key::session(uid)).await.expect("an answer") };
    let lease = session().await.expect("a session").value;
    let body = format!(r#"{{"ID":"{}"}}"#, String::from_utf8_lossy(&lease));
    let answer = post(&server.address(), "/v3/lease/revoke", &body).await;
    assert!(answer.contains("200 OK"), "{answer}");
    let again = async {
        loop {
            match session().await {
                Some(now) if now.value != lease => return,
                // tidy: polls a condition, bounded by SOON
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    soon("a new lease", again).await;
    assert_eq!(control.get(key::dead(uid)).await, Ok(None));
}
