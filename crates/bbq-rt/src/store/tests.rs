use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bbq_wire::EntityId;
use bytes::Bytes;

use super::*;

/// A directory that goes when the test ends.
struct TempDirectory(PathBuf);

impl TempDirectory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("bbq-store-{}-{number}", std::process::id())))
    }

    fn file(&self) -> PathBuf {
        self.0.join("deep").join("store.redb")
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

mod memory {
    use super::*;

    crate::store_battery!(async || (Arc::new(MemoryStore::new()) as Arc<dyn Store>, ()));
}

mod file {
    use super::*;

    crate::store_battery!(async || {
        let directory = TempDirectory::new();
        (Arc::new(RedbStore::open(&directory.file()).unwrap()) as Arc<dyn Store>, directory)
    });
}

#[tokio::test]
async fn a_closed_file_can_be_opened_again_and_has_everything() {
    let directory = TempDirectory::new();
    let store = RedbStore::open(&directory.file()).unwrap();
    let room = EntityId::new(1, "lobby");
    store.claim(room.clone(), 4).await.unwrap();
    store.commit(room.clone(), 4, 0, "state".into()).await.unwrap();
    store.put_meta("m".into(), Some("v".into())).await.unwrap();
    let error = RedbStore::open(&directory.file()).unwrap_err().to_string();
    assert!(error.contains("store.redb") && error.contains("has it open"), "{error}");
    store.close().await;
    assert!(matches!(store.load(room.clone()).await, Err(StoreError::Engine { retryable: false, .. })));
    let store = RedbStore::open(&directory.file()).unwrap();
    assert_eq!(store.claim(room, 5).await, Ok(Claimed { version: 1, state: Some("state".into()) }));
    assert_eq!(store.get_meta("m".into()).await, Ok(Some("v".into())));
}

#[tokio::test]
async fn a_flipped_bit_is_data_loss_of_one_named_entity() {
    let directory = TempDirectory::new();
    let store = RedbStore::open(&directory.file()).unwrap();
    let (healthy, damaged) = (EntityId::new(1, 1), EntityId::new(1, 2));
    for room in [&healthy, &damaged] {
        store.claim(room.clone(), 1).await.unwrap();
        store.commit(room.clone(), 1, 0, "state".into()).await.unwrap();
    }
    store.close().await;
    redb::flip_a_bit(&directory.file(), &damaged);
    let store = RedbStore::open(&directory.file()).unwrap();
    let loss = StoreError::DataLoss { entity: damaged.clone() };
    assert_eq!(store.load(damaged.clone()).await, Err(loss.clone()));
    assert_eq!(store.claim(damaged.clone(), 2).await, Err(loss.clone()));
    assert_eq!(store.scan(1, None, 10).await, Err(loss.clone()));
    assert!(loss.to_string().contains("00000001/2"), "{loss}");
    assert_eq!(store.commit(healthy, 1, 1, "more".into()).await, Ok(2));
}

#[tokio::test]
async fn a_file_from_before_slot_epochs_were_kept_is_read_once_to_find_the_largest() {
    let directory = TempDirectory::new();
    let store = RedbStore::open(&directory.file()).unwrap();
    assert!(store.is_new());
    for (number, token) in [(1, 5 << 32), (2, 9 << 32 | 7), (3, 6 << 32)] {
        store.claim(EntityId::new(1, number), token).await.unwrap();
    }
    store.close().await;
    redb::forget_slot_epoch(&directory.file());
    let store = RedbStore::open(&directory.file()).unwrap();
    assert!(!store.is_new());
    assert_eq!(store.slot_epoch().await, Ok(9));
    store.close().await;
}

#[tokio::test]
async fn a_store_that_lost_its_memory_gets_the_living_copy_again_unless_a_newer_one_lives() {
    use bbq_core::world::{StoreReply, StoreRequest};
    let (room, state) = (EntityId::new(1, "lobby"), Bytes::from("state"));
    let commit = |token, version| StoreRequest::Commit { entity: room.clone(), token, version, state: state.clone() };
    let store = MemoryStore::new();
    assert_eq!(serve(&store, commit(3, 17)).await, StoreReply::Committed { version: 1 });
    assert_eq!(serve(&store, commit(3, 1)).await, StoreReply::Committed { version: 2 });
    let claim = StoreRequest::Claim { entity: room.clone(), token: 4 };
    assert_eq!(serve(&store, claim).await, StoreReply::Claimed { version: 2, state: Some(state.clone()) });
    let StoreReply::Failed(error) = serve(&store, commit(3, 2)).await else { panic!("an old copy wrote") };
    assert_eq!(error.code, bbq_wire::Code::FENCED);
}

/// Where the child of the next test writes.
const CHILD_FILE: &str = "BBQ_TEST_STORE_FILE";

#[test]
fn whatever_was_acknowledged_before_kill_9_is_there_afterwards() {
    if let Some(path) = std::env::var_os(CHILD_FILE) {
        return write_until_killed(Path::new(&path));
    }
    let directory = TempDirectory::new();
    let mut acknowledged = [0_u64; WRITERS as usize];
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::whatever_was_acknowledged_before_kill_9_is_there_afterwards"])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD_FILE, directory.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut count = 0;
        for line in lines {
            let line = line.unwrap();
            let Some((writer, version)) = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            acknowledged[writer.parse::<usize>().unwrap()] = version.parse().unwrap();
            count += 1;
            if count == 200 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(count >= 200 * round, "the child died by itself");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = RedbStore::open(&directory.file()).unwrap();
            for (writer, version) in (0_u64..).zip(acknowledged) {
                let record = store.load(EntityId::new(1, writer)).await.unwrap().unwrap();
                assert!(record.version >= version, "writer {writer}: {} is older than {version}", record.version);
                assert_eq!(record.state, Some(state(writer, record.version)));
            }
            store.close().await;
        });
    }
}

const WRITERS: u64 = 8;

fn state(writer: u64, version: u64) -> Bytes {
    format!("{writer} {version} ").repeat(200).into()
}

fn write_until_killed(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = RedbStore::open(path).unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let entity = EntityId::new(1, writer);
                let token = u64::from(std::process::id());
                let before = store.load(entity.clone()).await.unwrap().map_or(0, |record| record.token);
                let token = before.max(token) + 1;
                let mut version = store.claim(entity.clone(), token).await.unwrap().version;
                while version < u64::MAX {
                    let next = state(writer, version + 1);
                    version = store.commit(entity.clone(), token, version, next).await.unwrap();
                    let mut out = std::io::stdout();
                    writeln!(out, "ack {writer} {version}").unwrap();
                    out.flush().unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}
