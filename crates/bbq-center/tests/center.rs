//! The center over real sockets: the batteries of both ports, restarts, and lost answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bbq_center::{Center, CenterConfig, StartError, serve};
use bbq_rt::control::{
    Attendance, CenterControl, Config, ControlError, ControlPlane, Guard, Load, Membership, NodeInfo, Op, Roles,
    TxnOutcome, WatchEvent,
};
use bbq_rt::rpc::ClientConfig;
use bbq_rt::store::{CenterStore, Claimed, Store};
use bbq_wire::EntityId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that goes when the test ends.
struct TempDirectory(PathBuf);

impl TempDirectory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("bbq-center-{}-{number}", std::process::id())))
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn center(data: Option<&TempDirectory>) -> Center {
    serve(CenterConfig { data: data.map(|directory| directory.0.clone()), ..CenterConfig::default() }).await.unwrap()
}

/// Takes over the address of a center that was shut down.
async fn again(address: &str, data: Option<&TempDirectory>) -> Center {
    let data = data.map(|directory| directory.0.clone());
    serve(CenterConfig { listen: address.into(), data, ..CenterConfig::default() }).await.unwrap()
}

fn address(center: &Center) -> String {
    center.local_addr().to_string()
}

fn patient() -> ClientConfig {
    ClientConfig { patience: PATIENCE, ..ClientConfig::default() }
}

mod store_in_memory {
    use super::*;

    bbq_rt::store_battery!(async || {
        let center = center(None).await;
        (Arc::new(CenterStore::with(address(&center), patient())) as Arc<dyn Store>, center)
    });
}

mod store_in_a_file {
    use super::*;

    bbq_rt::store_battery!(async || {
        let directory = TempDirectory::new();
        let center = center(Some(&directory)).await;
        (Arc::new(CenterStore::with(address(&center), patient())) as Arc<dyn Store>, (center, directory))
    });
}

mod control {
    use super::*;

    bbq_rt::control_battery!(async |config: Config| {
        let Config { ttl, grace, history, .. } = config;
        let center = serve(CenterConfig { ttl, grace, history, ..CenterConfig::default() }).await.unwrap();
        (Arc::new(CenterControl::with(address(&center), patient())) as Arc<dyn ControlPlane>, center)
    });
}

fn info(name: &str) -> NodeInfo {
    NodeInfo { name: name.into(), roles: Roles::PROXY | Roles::GAME, weight: 100, ..NodeInfo::default() }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = center(None).await;
    let error = serve(CenterConfig { listen: address(&first), ..CenterConfig::default() }).await.unwrap_err();
    assert!(matches!(error, StartError::Bind { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("cannot listen on {}", address(&first))), "{text}");
    let error = serve(CenterConfig { listen: "no address".into(), ..CenterConfig::default() }).await.unwrap_err();
    assert!(error.to_string().contains("no address"), "{error}");
}

#[tokio::test]
async fn a_data_directory_in_use_is_named() {
    let directory = TempDirectory::new();
    let _first = center(Some(&directory)).await;
    let config = CenterConfig { data: Some(directory.0.clone()), ..CenterConfig::default() };
    let error = serve(config).await.unwrap_err();
    assert!(matches!(error, StartError::Store(_)) && error.fix().contains("stop the process"));
    assert!(error.to_string().contains("has it open"), "{error}");
}

#[tokio::test]
async fn nodes_live_through_a_restart_of_the_center_and_nothing_is_lost() {
    let directory = TempDirectory::new();
    let first = center(Some(&directory)).await;
    let address = address(&first);
    let control: Arc<dyn ControlPlane> = Arc::new(CenterControl::with(address.as_str(), patient()));
    let store = CenterStore::with(address.as_str(), patient());
    let node = Attendance::open(control.clone(), info("game-1"), Duration::from_secs(2)).await.unwrap();
    let uid = node.session().uid;
    let membership = Membership::start(control.clone());
    let owned = membership.wait_for(|view| view.slots.slot(0).owner == Some(uid));
    let before = timeout(PATIENCE, owned).await.unwrap();
    let room = EntityId::new(1, "lobby");
    store.claim(room.clone(), 7).await.unwrap();
    store.commit(room.clone(), 7, 0, "state".into()).await.unwrap();
    let mut standing = node.standing();

    first.shutdown().await;
    // The view stays; what is asked now waits for the center to come back.
    assert_eq!(membership.view(), before);
    let waiting = tokio::spawn({
        let (store, room) = (store.clone(), room.clone());
        async move { store.commit(room, 7, 1, "more".into()).await }
    });
    let second = again(&address, Some(&directory)).await;
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().unwrap(), Ok(2));
    for _ in 0..3 {
        timeout(PATIENCE, standing.changed()).await.unwrap().unwrap();
    }
    let newcomer = control.open(info("game-2"), Duration::ZERO).await.unwrap();
    assert!(newcomer.uid.incarnation > uid.incarnation);
    let joined = membership.wait_for(|view| view.nodes.contains_key(&newcomer.uid));
    let after = timeout(PATIENCE, joined).await.unwrap();
    assert!(after.nodes.contains_key(&uid), "the same incarnation lives on");
    assert!(after.revision > before.revision);
    for ((number, old), (_, new)) in before.slots.iter().zip(after.slots.iter()) {
        assert!(new.epoch >= old.epoch, "the epoch of slot {number} went back");
        assert!(new.owner == old.owner || new.epoch > old.epoch, "slot {number} changed its owner in silence");
    }
    assert_eq!(store.claim(room, 8).await, Ok(Claimed { version: 2, state: Some("more".into()) }));
    second.shutdown().await;
}

#[tokio::test]
async fn after_a_restart_without_data_nodes_take_part_again_and_see_no_moment_without_themselves() {
    let first = center(None).await;
    let address = address(&first);
    let mut nodes = Vec::new();
    for name in ["game-1", "game-2", "late"] {
        let control: Arc<dyn ControlPlane> = Arc::new(CenterControl::with(address.as_str(), patient()));
        let node = Attendance::open(control.clone(), info(name), Duration::from_secs(2)).await.unwrap();
        let membership = Membership::of(control.clone(), node.session().uid);
        node.remember(membership.views());
        nodes.push((control, node, membership));
    }
    let dead = nodes.pop().unwrap();
    nodes[0].0.certify_dead(dead.1.session().uid, None, "silent".into()).await.unwrap();
    let buried = nodes[0].2.wait_for(|view| view.dead.len() == 1 && view.nodes.len() == 2);
    let before = timeout(PATIENCE, buried).await.unwrap();
    let mut views = nodes[0].2.views();
    views.mark_unchanged();
    first.shutdown().await;
    let _second = again(&address, None).await;
    timeout(PATIENCE, views.changed()).await.unwrap().unwrap();
    let after = views.borrow().clone();
    assert_eq!(after.nodes.keys().collect::<Vec<_>>(), before.nodes.keys().collect::<Vec<_>>(), "at one moment");
    assert!(after.dead.contains_key(&dead.1.session().uid), "the dead stay dead");
    let highest = before.slots.highest();
    assert!(after.slots.iter().all(|(_, slot)| slot.owner.is_some() && slot.epoch > highest));
    for (control, node, _) in &nodes {
        let mut standing = node.standing();
        standing.mark_unchanged();
        let held = standing.wait_for(|standing| matches!(standing, bbq_rt::control::Standing::Held { .. }));
        timeout(PATIENCE, held).await.unwrap().unwrap();
        control.renew(node.session(), Load::default()).await.unwrap();
    }
}

#[tokio::test]
async fn without_its_control_file_a_center_gives_tokens_that_its_store_accepts() {
    let directory = TempDirectory::new();
    let room = EntityId::new(1, "lobby");
    let token = (u64::from(u32::MAX) - 9) << 32 | 3;
    let first = center(Some(&directory)).await;
    first.store().claim(room.clone(), token).await.unwrap();
    first.shutdown().await;
    std::fs::remove_file(directory.0.join("control.redb")).unwrap();
    let second = center(Some(&directory)).await;
    second.control().open(info("game-1"), Duration::ZERO).await.unwrap();
    let membership = Membership::start(second.control());
    let view = timeout(PATIENCE, membership.wait_for(|view| view.slots.slot(0).owner.is_some())).await.unwrap();
    let slot = view.slot_of(&room);
    assert!(u64::from(slot.epoch) << 32 > token, "an activation under {slot:?} would be fenced for ever");
    second.store().claim(room, u64::from(slot.epoch) << 32).await.unwrap();
    second.shutdown().await;
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_keep_and_what_to_move_away() {
    for (file, kept) in [("control.redb", "keep store.redb"), ("store.redb", "keep control.redb")] {
        let directory = TempDirectory::new();
        center(Some(&directory)).await.shutdown().await;
        let path = directory.0.join(file);
        for damage in ["cut off", "overwritten", "no database"] {
            let whole = std::fs::read(&path).unwrap();
            let broken = match damage {
                "cut off" => whole[..whole.len() / 3].to_vec(),
                "overwritten" => {
                    whole.iter().enumerate().map(|(at, byte)| if at > 64 { 0xa5 } else { *byte }).collect()
                }
                _ => b"this is no database".repeat(2000),
            };
            std::fs::write(&path, broken).unwrap();
            let config = CenterConfig { data: Some(directory.0.clone()), ..CenterConfig::default() };
            let error = serve(config).await.unwrap_err();
            assert!(error.to_string().contains(file), "{damage}: {error}");
            assert!(error.fix().contains(kept), "{file} {damage}: {error}: {}", error.fix());
            std::fs::write(&path, whole).unwrap();
        }
        center(Some(&directory)).await.shutdown().await;
    }
}

#[tokio::test]
async fn a_center_that_is_away_is_unreachable_which_is_not_lost() {
    let first = center(None).await;
    let config = ClientConfig { patience: Duration::from_millis(300), ..ClientConfig::default() };
    let control = CenterControl::with(address(&first), config.clone());
    let store = CenterStore::with(address(&first), config);
    let session = control.open(info("game-1"), Duration::ZERO).await.unwrap();
    let mut watch = control.watch(String::new(), None).await.unwrap();
    let snapshot = timeout(PATIENCE, watch.next()).await.unwrap();
    assert!(matches!(snapshot, Some(WatchEvent::Snapshot { .. })));
    first.shutdown().await;
    let renewal = control.renew(&session, Load::default()).await;
    assert!(matches!(renewal, Err(ControlError::Unreachable { .. })), "{renewal:?}");
    assert_eq!(timeout(PATIENCE, watch.next()).await.unwrap(), Some(WatchEvent::Gap));
    let watch = timeout(PATIENCE, control.watch(String::new(), None)).await.unwrap();
    assert!(matches!(watch, Err(ControlError::Unreachable { .. })));
    let load = bbq_wire::Error::from(store.load(EntityId::new(1, 1)).await.unwrap_err());
    assert_eq!(load.code, bbq_wire::Code::UNAVAILABLE);
}

/// A proxy in front of a center. While it is deaf, requests arrive and their answers do not: after the first answer that
/// it swallows, it cuts the connection.
struct LossyProxy {
    address: String,
    deaf: Arc<AtomicBool>,
    swallowed: Arc<AtomicU64>,
}

impl LossyProxy {
    async fn start(center: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (deaf, swallowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { address, deaf: deaf.clone(), swallowed: swallowed.clone() };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&center).await.unwrap();
                tokio::spawn(pump(client, server, deaf.clone(), swallowed.clone()));
            }
        });
        proxy
    }
}

async fn pump(client: TcpStream, server: TcpStream, deaf: Arc<AtomicBool>, swallowed: Arc<AtomicU64>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if deaf.swap(false, Ordering::SeqCst) {
                swallowed.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}

#[tokio::test]
async fn a_transaction_whose_answer_got_lost_is_unreachable_and_reading_tells_what_happened() {
    let center = center(None).await;
    let proxy = LossyProxy::start(address(&center)).await;
    let control = CenterControl::with(proxy.address.as_str(), patient());
    let absent = || vec![Guard::Absent("leader".into())];
    assert_eq!(control.get("leader".into()).await, Ok(None));
    proxy.deaf.store(true, Ordering::SeqCst);
    let outcome = control.txn(absent(), vec![Op::put("leader", "me")]).await;
    assert!(matches!(outcome, Err(ControlError::Unreachable { .. })), "{outcome:?}");
    assert_eq!(proxy.swallowed.load(Ordering::SeqCst), 1);
    let value = control.get("leader".into()).await.unwrap().unwrap();
    assert_eq!(value.value, "me", "it had been carried out, and only once");
    assert_eq!(control.txn(absent(), vec![]).await, Ok(TxnOutcome::Conflict { guard: 0 }));
}

#[tokio::test]
async fn everything_else_is_sent_again_when_its_answer_got_lost_and_happens_once() {
    let center = center(None).await;
    let proxy = LossyProxy::start(address(&center)).await;
    let control = CenterControl::with(proxy.address.as_str(), patient());
    let store = CenterStore::with(proxy.address.as_str(), patient());
    let lose = || proxy.deaf.store(true, Ordering::SeqCst);
    let (room, mut version) = (EntityId::new(1, 1), 0);
    assert_eq!(store.load(room.clone()).await, Ok(None));
    assert_eq!(control.get("warm".into()).await, Ok(None));
    lose();
    assert_eq!(store.claim(room.clone(), 3).await, Ok(Claimed { version: 0, state: None }));
    for state in ["a", "b", "c"] {
        lose();
        version = store.commit(room.clone(), 3, version, state.into()).await.unwrap();
    }
    assert_eq!(version, 3);
    lose();
    let session = control.open(info("game-1"), Duration::ZERO).await.unwrap();
    lose();
    assert_eq!(control.renew(&session, Load::default()).await, Ok(()));
    lose();
    let certificate = control.certify_dead(session.uid, Some(session.revision), "first".into()).await.unwrap();
    assert_eq!(certificate.why, "first");
    let next = control.open(info("game-2"), Duration::ZERO).await.unwrap();
    assert_eq!(next.uid.incarnation, session.uid.incarnation + 1, "the opening that was repeated was one");
    assert_eq!(proxy.swallowed.load(Ordering::SeqCst), 7);
}
