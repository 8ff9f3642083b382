//! What every engine behind the [`Store`] port must do. `store_battery!` turns each function into a test.

use std::sync::Arc;

use bbq_core::store::{MAX_PAGE_BYTES, MAX_STATE_BYTES};
use bbq_wire::{EntityId, Key};
use bytes::Bytes;

use super::{Claimed, Commit, Record, Request, Store, StoreError};

/// Makes a test of each function of the battery. The argument is an async closure that makes an empty Store, and
/// whatever must live as long: `async || (Arc<dyn Store>, guard)`.
#[macro_export]
macro_rules! store_battery {
    ($make:expr) => {
        $crate::store_battery!(@each $make;
            the_first_claim_of_an_entity_finds_nothing_and_lets_it_write,
            after_a_claim_every_smaller_token_is_fenced,
            the_same_token_may_claim_again_and_sees_what_it_wrote,
            a_commit_with_another_version_changes_nothing,
            a_commit_whose_answer_got_lost_can_be_sent_again,
            who_never_claimed_cannot_write,
            many_commits_are_written_together_or_not_at_all,
            a_deleted_entity_still_knows_its_token,
            a_scan_returns_every_state_of_a_kind_once_and_in_order,
            a_page_never_outgrows_its_limit_of_bytes,
            a_state_may_have_4_mib_and_not_a_byte_more,
            small_values_of_the_engine_are_kept_and_removed,
            commits_that_are_sent_together_all_arrive,
            racing_activations_write_one_chain,
            random_requests_are_answered_as_by_the_reference,
        );
    };
    (@each $make:expr; $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (store, _guard) = ($make)().await;
            $crate::store::battery::$name(store).await;
        }
    )*};
}

const KIND: u32 = 7;

fn room(key: impl Into<Key>) -> EntityId {
    EntityId::new(KIND, key)
}

fn commit(entity: &EntityId, token: u64, version: u64, state: &'static str) -> Commit {
    Commit { entity: entity.clone(), token, version, state: state.into() }
}

async fn put(store: &Arc<dyn Store>, commit: Commit) -> Result<u64, StoreError> {
    store.commit(commit.entity, commit.token, commit.version, commit.state).await
}

/// See the name.
pub async fn the_first_claim_of_an_entity_finds_nothing_and_lets_it_write(store: Arc<dyn Store>) {
    for entity in [room(1), room("one"), EntityId::new(8, 1), room("")] {
        assert_eq!(store.load(entity.clone()).await, Ok(None));
        assert_eq!(store.claim(entity.clone(), 3).await, Ok(Claimed { version: 0, state: None }));
        assert_eq!(put(&store, commit(&entity, 3, 0, "hello")).await, Ok(1));
        assert_eq!(put(&store, commit(&entity, 3, 1, "")).await, Ok(2));
        let record = Record { token: 3, version: 2, state: Some(Bytes::new()) };
        assert_eq!(store.load(entity).await, Ok(Some(record)));
    }
}

/// See the name.
pub async fn after_a_claim_every_smaller_token_is_fenced(store: Arc<dyn Store>) {
    let entity = room(1);
    let mut state = None;
    for token in 1..20_u64 {
        let version = token - 1;
        assert_eq!(store.claim(entity.clone(), token * 10).await, Ok(Claimed { version, state: state.clone() }));
        for old in [token * 10 - 10, token * 10 - 1] {
            let fenced = StoreError::Fenced { token: token * 10 };
            assert_eq!(store.claim(entity.clone(), old).await, Err(fenced.clone()));
            assert_eq!(put(&store, commit(&entity, old, version, "late")).await, Err(fenced.clone()));
            assert_eq!(store.delete(entity.clone(), old, version).await, Err(fenced));
        }
        // A token that never claimed is no better.
        assert!(put(&store, commit(&entity, token * 10 + 1, version, "early")).await.is_err());
        let new = Bytes::from(format!("state {token}"));
        assert_eq!(store.commit(entity.clone(), token * 10, version, new.clone()).await, Ok(token));
        state = Some(new);
    }
}

/// See the name.
pub async fn the_same_token_may_claim_again_and_sees_what_it_wrote(store: Arc<dyn Store>) {
    let entity = room(1);
    store.claim(entity.clone(), 5).await.expect("it is new");
    put(&store, commit(&entity, 5, 0, "a")).await.expect("it is ours");
    let claimed = Claimed { version: 1, state: Some("a".into()) };
    assert_eq!(store.claim(entity.clone(), 5).await, Ok(claimed));
    assert_eq!(put(&store, commit(&entity, 5, 1, "b")).await, Ok(2));
}

/// See the name.
pub async fn a_commit_with_another_version_changes_nothing(store: Arc<dyn Store>) {
    let entity = room(1);
    store.claim(entity.clone(), 1).await.expect("it is new");
    put(&store, commit(&entity, 1, 0, "a")).await.expect("it is ours");
    put(&store, commit(&entity, 1, 1, "b")).await.expect("it is ours");
    for version in [0, 1, 3, u64::MAX] {
        let conflict = StoreError::VersionConflict { version: 2 };
        assert_eq!(put(&store, commit(&entity, 1, version, "c")).await, Err(conflict.clone()));
        assert_eq!(store.delete(entity.clone(), 1, version).await, Err(conflict));
    }
    let record = Record { token: 1, version: 2, state: Some("b".into()) };
    assert_eq!(store.load(entity).await, Ok(Some(record)));
}

/// See the name.
pub async fn a_commit_whose_answer_got_lost_can_be_sent_again(store: Arc<dyn Store>) {
    let entity = room(1);
    store.claim(entity.clone(), 1).await.expect("it is new");
    for _ in 0..3 {
        assert_eq!(put(&store, commit(&entity, 1, 0, "a")).await, Ok(1));
    }
    let conflict = Err(StoreError::VersionConflict { version: 1 });
    assert_eq!(put(&store, commit(&entity, 1, 0, "b")).await, conflict, "other bytes are another commit");
    for _ in 0..2 {
        assert_eq!(store.delete(entity.clone(), 1, 1).await, Ok(2));
    }
    let conflict = Err(StoreError::VersionConflict { version: 2 });
    assert_eq!(put(&store, commit(&entity, 1, 0, "a")).await, conflict, "only the last write can be repeated");
}

/// See the name.
pub async fn who_never_claimed_cannot_write(store: Arc<dyn Store>) {
    let entity = room(1);
    assert_eq!(put(&store, commit(&entity, 1, 0, "a")).await, Err(StoreError::NotFound));
    assert_eq!(store.delete(entity.clone(), 1, 0).await, Err(StoreError::NotFound));
    assert_eq!(store.load(entity).await, Ok(None));
}

/// See the name.
pub async fn many_commits_are_written_together_or_not_at_all(store: Arc<dyn Store>) {
    let rooms: Vec<EntityId> = (0..4_u64).map(room).collect();
    for entity in &rooms {
        store.claim(entity.clone(), 2).await.expect("it is new");
    }
    let all = |last: u64| -> Vec<Commit> {
        let tokens = [2, 2, 2, last];
        rooms.iter().zip(tokens).map(|(entity, token)| commit(entity, token, 0, "x")).collect()
    };
    assert_eq!(store.commit_many(all(1)).await, Err(StoreError::Fenced { token: 2 }));
    for entity in &rooms {
        let record = Record { token: 2, version: 0, state: None };
        assert_eq!(store.load(entity.clone()).await, Ok(Some(record)));
    }
    assert_eq!(store.commit_many(all(2)).await, Ok(vec![1; 4]));
    assert_eq!(store.commit_many(all(2)).await, Ok(vec![1; 4]), "sent again");
    let twice = vec![commit(&rooms[0], 2, 1, "y"), commit(&rooms[0], 2, 2, "z")];
    assert_eq!(store.commit_many(twice).await, Ok(vec![2, 3]), "one after the other");
    let too_many = vec![commit(&rooms[0], 2, 3, "y"); 33];
    assert_eq!(store.commit_many(too_many).await, Err(StoreError::TooLarge { size: 33, limit: 32 }));
    assert_eq!(store.commit_many(Vec::new()).await, Ok(Vec::new()));
}

/// See the name.
pub async fn a_deleted_entity_still_knows_its_token(store: Arc<dyn Store>) {
    let entity = room(1);
    store.claim(entity.clone(), 9).await.expect("it is new");
    put(&store, commit(&entity, 9, 0, "a")).await.expect("it is ours");
    assert_eq!(store.delete(entity.clone(), 9, 1).await, Ok(2));
    assert_eq!(store.claim(entity.clone(), 8).await, Err(StoreError::Fenced { token: 9 }));
    assert_eq!(store.claim(entity.clone(), 10).await, Ok(Claimed { version: 2, state: None }));
    assert_eq!(put(&store, commit(&entity, 10, 2, "b")).await, Ok(3));
}

/// See the name.
pub async fn a_scan_returns_every_state_of_a_kind_once_and_in_order(store: Arc<dyn Store>) {
    let mut keys: Vec<Key> = [0, 1, 2, 255, 256, 70_000, u64::MAX].into_iter().map(Key::from).collect();
    keys.extend(["", "a", "aa", "b", "é"].into_iter().map(Key::from));
    for key in keys.iter().rev() {
        for kind in [KIND - 1, KIND, KIND + 1] {
            let entity = EntityId::new(kind, key);
            store.claim(entity.clone(), 1).await.expect("it is new");
            put(&store, commit(&entity, 1, 0, "x")).await.expect("it is ours");
        }
    }
    // Claimed only, or deleted: no state, no row.
    store.claim(room(3), 1).await.expect("it is new");
    store.delete(room(2), 1, 1).await.expect("it is ours");
    keys.retain(|key| *key != Key::from(2));
    for limit in [1, 2, 5, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.scan(KIND, after, limit).await.expect("a page");
            assert!(page.rows.len() <= limit as usize);
            found.extend(page.rows.into_iter().map(|row| {
                assert_eq!(row.record, Record { token: 1, version: 1, state: Some("x".into()) });
                row.key
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, keys, "limit {limit}");
    }
    let behind = store.scan(KIND, Some(Key::from("aa")), 10).await.expect("a page");
    assert_eq!(behind.rows.into_iter().map(|row| row.key).collect::<Vec<_>>(), [Key::from("b"), Key::from("é")]);
}

/// See the name.
pub async fn a_page_never_outgrows_its_limit_of_bytes(store: Arc<dyn Store>) {
    let sizes = [MAX_STATE_BYTES, MAX_PAGE_BYTES / 2, MAX_PAGE_BYTES / 2, 1];
    for (number, size) in (0_u64..).zip(sizes) {
        store.claim(room(number), 1).await.expect("it is new");
        store.commit(room(number), 1, 0, vec![7; size].into()).await.expect("it is ours");
    }
    let mut after = None;
    for rows in [1, 2, 1] {
        let page = store.scan(KIND, after, 100).await.expect("a page");
        assert_eq!(page.rows.len(), rows);
        after = page.next;
    }
    assert_eq!(after, None);
}

/// See the name.
pub async fn a_state_may_have_4_mib_and_not_a_byte_more(store: Arc<dyn Store>) {
    let entity = room(1);
    store.claim(entity.clone(), 1).await.expect("it is new");
    let state = Bytes::from(vec![42; MAX_STATE_BYTES + 1]);
    let error = StoreError::TooLarge { size: MAX_STATE_BYTES + 1, limit: MAX_STATE_BYTES };
    assert_eq!(store.commit(entity.clone(), 1, 0, state.clone()).await, Err(error));
    let state = state.slice(..MAX_STATE_BYTES);
    assert_eq!(store.commit(entity.clone(), 1, 0, state.clone()).await, Ok(1));
    assert_eq!(store.claim(entity, 2).await, Ok(Claimed { version: 1, state: Some(state) }));
}

/// See the name.
pub async fn small_values_of_the_engine_are_kept_and_removed(store: Arc<dyn Store>) {
    assert_eq!(store.get_meta("schema".into()).await, Ok(None));
    for value in ["1", "", "2"] {
        assert_eq!(store.put_meta("schema".into(), Some(value.into())).await, Ok(()));
        assert_eq!(store.get_meta("schema".into()).await, Ok(Some(value.into())));
    }
    assert_eq!(store.put_meta("schema".into(), None).await, Ok(()));
    assert_eq!(store.get_meta("schema".into()).await, Ok(None));
    let large = store.put_meta("k".repeat(257), None).await;
    assert_eq!(large, Err(StoreError::TooLarge { size: 257, limit: 256 }));
}

/// See the name.
pub async fn commits_that_are_sent_together_all_arrive(store: Arc<dyn Store>) {
    let writers: Vec<_> = (0..64_u64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store.claim(room(number), 1).await?;
                for version in 0..10 {
                    let state = Bytes::from(format!("{number}.{version}"));
                    assert_eq!(store.commit(room(number), 1, version, state).await?, version + 1);
                }
                Ok::<_, StoreError>(())
            })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.expect("no panic"), Ok(()));
    }
    let page = store.scan(KIND, None, 100).await.expect("a page");
    assert_eq!(page.rows.len(), 64);
    assert!(page.rows.iter().all(|row| row.record.version == 10));
}

/// See the name.
pub async fn racing_activations_write_one_chain(store: Arc<dyn Store>) {
    let entity = room(1);
    let racers: Vec<_> = (1..=8_u64)
        .map(|racer| {
            let (store, entity) = (store.clone(), entity.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..10 {
                    let token = round * 8 + racer;
                    let Ok(mut claimed) = store.claim(entity.clone(), token).await else { continue };
                    for _ in 0..3 {
                        let state = Bytes::from(format!("{token}@{}", claimed.version));
                        match store.commit(entity.clone(), token, claimed.version, state).await {
                            Ok(version) => {
                                assert_eq!(version, claimed.version + 1);
                                claimed.version = version;
                                acknowledged.push((version, token));
                            }
                            Err(StoreError::Fenced { token: newer }) => {
                                assert!(newer > token);
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut chain = Vec::new();
    for racer in racers {
        chain.extend(racer.await.expect("no panic"));
    }
    chain.sort_unstable();
    let versions: Vec<u64> = chain.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=chain.len() as u64).collect::<Vec<_>>(), "no version was acknowledged twice or lost");
    assert!(chain.is_sorted_by_key(|(_, token)| *token), "tokens grow along the chain");
    let record = store.load(entity).await.expect("an answer").expect("a record");
    assert_eq!(record.version, chain.len() as u64);
}

/// See the name. The requests are the same at every run.
pub async fn random_requests_are_answered_as_by_the_reference(store: Arc<dyn Store>) {
    let mut reference = bbq_core::store::MemoryStore::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..600 {
        let request = dice.request();
        let expected = reference.request(request.clone());
        assert_eq!(store.request(request.clone()).await, expected, "round {round}: {request:?}");
    }
}

/// Random numbers without a crate and without a clock (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn entity(&mut self) -> EntityId {
        let kind = 6 + u32::try_from(self.below(2)).unwrap_or(0);
        match self.below(4) {
            0 => EntityId::new(kind, "text"),
            number => EntityId::new(kind, number),
        }
    }

    fn commit(&mut self) -> Commit {
        let state = Bytes::from(vec![b'x'; usize::try_from(self.below(3)).unwrap_or(0)]);
        Commit { entity: self.entity(), token: self.below(6), version: self.below(5), state }
    }

    fn request(&mut self) -> Request {
        match self.below(10) {
            0..=2 => Request::Claim { entity: self.entity(), token: self.below(6) },
            3..=5 => Request::Commit(self.commit()),
            6 => Request::CommitMany((0..self.below(3)).map(|_| self.commit()).collect()),
            7 => Request::Delete { entity: self.entity(), token: self.below(6), version: self.below(5) },
            8 => Request::Load { entity: self.entity() },
            _ => Request::Scan { kind: 7, after: Some(Key::from(self.below(3))), limit: 2 },
        }
    }
}
