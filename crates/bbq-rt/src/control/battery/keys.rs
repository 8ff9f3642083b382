//! Reading and writing.

use super::*;

pub async fn a_transaction_writes_all_or_nothing(ground: Ground) {
    let control = &ground.control;
    let both = vec![Op::put("a", "1"), Op::put("b", "1")];
    let first = committed(control.txn(vec![absent("a"), absent("b")], both).await);
    let conflict = control.txn(vec![absent("c"), absent("b")], vec![Op::put("c", "1")]).await;
    assert_eq!(conflict, Ok(TxnOutcome::Conflict { guard: 1 }));
    assert_eq!(read(control, "c").await, None);
    let a = read(control, "a").await.expect("a value");
    let b = read(control, "b").await.expect("a value");
    assert!(a.revision <= b.revision && b.revision == first);
    let second = committed(control.txn(at("a", a.revision), vec![Op::put("a", "2")]).await);
    assert!(second > first);
    let stale = control.txn(at("a", a.revision), vec![delete("a")]).await;
    assert_eq!(stale, Ok(TxnOutcome::Conflict { guard: 0 }));
    committed(control.txn(at("a", second), vec![delete("a")]).await);
    assert_eq!(read(control, "a").await, None);
    let gone = control.txn(at("a", second), vec![]).await;
    assert_eq!(gone, Ok(TxnOutcome::Conflict { guard: 0 }), "a key that is gone has no revision");
}

pub async fn a_key_that_was_never_written_is_not_there(ground: Ground) {
    assert_eq!(read(&ground.control, "nothing").await, None);
}

pub async fn a_read_sees_what_another_just_wrote(ground: Ground) {
    for round in 0..50 {
        let value = format!("{round}");
        let revision = put(&ground.control, "x", value.clone()).await;
        let seen = read(&ground.other, "x").await.expect("a value");
        assert_eq!((seen.value, seen.revision), (Bytes::from(value), revision));
    }
}

pub async fn a_value_may_be_empty(ground: Ground) {
    put(&ground.control, "x", "").await;
    assert_eq!(read(&ground.other, "x").await.expect("a value").value, Bytes::new());
}

pub async fn a_value_may_be_any_bytes(ground: Ground) {
    let value: Vec<u8> = (0..=255).chain([0, 1, 13, 255]).collect();
    put(&ground.control, "x", value.clone()).await;
    assert_eq!(read(&ground.other, "x").await.expect("a value").value, value);
}

pub async fn a_value_may_have_the_largest_size(ground: Ground) {
    let value = Bytes::from(vec![1; limit::VALUE_BYTES]);
    put(&ground.control, "big", value.clone()).await;
    assert_eq!(read(&ground.control, "big").await.expect("a value").value, value);
}

pub async fn a_value_one_byte_larger_is_refused(ground: Ground) {
    let op = Op::put("big", vec![1; limit::VALUE_BYTES + 1]);
    invalid(ground.control.txn(vec![], vec![op]).await);
    assert_eq!(read(&ground.control, "big").await, None);
}

pub async fn a_transaction_that_is_too_large_is_refused(ground: Ground) {
    let value = vec![1; limit::TXN_BYTES / 2];
    let ops = vec![Op::put("a", value.clone()), Op::put("b", value)];
    invalid(ground.control.txn(vec![], ops).await);
    assert_eq!(read(&ground.control, "a").await, None);
}

pub async fn a_transaction_may_have_the_largest_size(ground: Ground) {
    let ops = (0..32).map(|at| Op::put(format!("x{at:02}"), vec![at; limit::TXN_BYTES / 32 - 8])).collect();
    committed(ground.control.txn(vec![], ops).await);
    assert_eq!(read(&ground.other, "x31").await.expect("a value").value[0], 31);
}

pub async fn membership_cannot_be_written(ground: Ground) {
    for op in [Op::put(key::SLOTS, ""), delete(key::SLOTS), Op::put("cluster/new", "")] {
        invalid(ground.control.txn(vec![], vec![op]).await);
    }
}

pub async fn a_key_has_letters(ground: Ground) {
    invalid(ground.control.txn(vec![], vec![Op::put("", "")]).await);
    invalid(ground.control.txn(vec![], vec![delete("")]).await);
    invalid(ground.control.txn(vec![absent("")], vec![]).await);
}

pub async fn a_key_that_is_too_long_is_refused(ground: Ground) {
    let long = "x".repeat(limit::KEY_BYTES + 1);
    invalid(ground.control.txn(vec![], vec![Op::put(long.clone(), "")]).await);
    assert_eq!(ground.control.get(long).await, Ok(None));
}

pub async fn a_key_may_have_the_largest_length(ground: Ground) {
    for key in ["x".repeat(limit::KEY_BYTES), "/".repeat(limit::KEY_BYTES)] {
        put(&ground.control, &key, "v").await;
        assert!(read(&ground.other, &key).await.is_some());
    }
}

pub async fn thirty_two_operations_are_fine(ground: Ground) {
    let ops = (0..32).map(|at| Op::put(format!("x{at}"), "v")).collect();
    committed(ground.control.txn(vec![], ops).await);
    let guards = (0..32).map(|at| absent(&format!("y{at}"))).collect();
    committed(ground.control.txn(guards, vec![]).await);
}

pub async fn thirty_three_guards_and_operations_are_refused(ground: Ground) {
    let guards: Vec<Guard> = (0..17).map(|at| absent(&format!("y{at}"))).collect();
    let ops = (0..16).map(|at| Op::put(format!("x{at}"), "v")).collect();
    invalid(ground.control.txn(guards, ops).await);
    invalid(ground.control.txn(vec![], vec![Op::put("k", "v"); 33]).await);
    assert_eq!(read(&ground.control, "x0").await, None);
}

pub async fn a_transaction_of_nothing_succeeds(ground: Ground) {
    committed(ground.control.txn(vec![], vec![]).await);
}

pub async fn of_several_guards_that_fail_the_first_is_named(ground: Ground) {
    let revision = put(&ground.control, "a", "v").await;
    let guards = vec![absent("z"), Guard::Revision("a".into(), revision), absent("a"), Guard::Revision("z".into(), 1)];
    assert_eq!(ground.control.txn(guards, vec![]).await, Ok(TxnOutcome::Conflict { guard: 2 }));
}

pub async fn a_key_that_is_there_is_not_absent(ground: Ground) {
    put(&ground.control, "a", "").await;
    let outcome = ground.control.txn(vec![absent("a")], vec![delete("a")]).await;
    assert_eq!(outcome, Ok(TxnOutcome::Conflict { guard: 0 }));
    assert!(read(&ground.control, "a").await.is_some());
}

pub async fn a_key_that_was_written_again_has_another_revision(ground: Ground) {
    let first = put(&ground.control, "a", "same").await;
    let second = put(&ground.control, "a", "same").await;
    assert!(second > first);
    let outcome = ground.control.txn(at("a", first), vec![Op::put("a", "other")]).await;
    assert_eq!(outcome, Ok(TxnOutcome::Conflict { guard: 0 }));
}

pub async fn a_key_that_was_deleted_and_written_again_is_another_one(ground: Ground) {
    let first = put(&ground.control, "a", "same").await;
    committed(ground.control.txn(vec![], vec![delete("a")]).await);
    let second = put(&ground.control, "a", "same").await;
    assert!(second > first);
    let outcome = ground.control.txn(at("a", first), vec![Op::put("a", "other")]).await;
    assert_eq!(outcome, Ok(TxnOutcome::Conflict { guard: 0 }));
    committed(ground.control.txn(at("a", second), vec![delete("a")]).await);
}

pub async fn deleting_what_is_not_there_is_fine(ground: Ground) {
    committed(ground.control.txn(vec![absent("a")], vec![delete("a"), Op::put("b", "v")]).await);
    assert!(read(&ground.control, "b").await.is_some());
}

pub async fn of_two_writes_of_a_key_in_one_transaction_the_last_stays(ground: Ground) {
    committed(ground.control.txn(vec![], vec![Op::put("a", "1"), Op::put("a", "2")]).await);
    assert_eq!(read(&ground.control, "a").await.expect("a value").value, "2");
    committed(ground.control.txn(vec![], vec![Op::put("a", "3"), delete("a")]).await);
    assert_eq!(read(&ground.control, "a").await, None);
    committed(ground.control.txn(vec![], vec![delete("a"), Op::put("a", "4")]).await);
    assert_eq!(read(&ground.control, "a").await.expect("a value").value, "4");
}

pub async fn revisions_grow_over_all_keys(ground: Ground) {
    let mut last = 0;
    for round in 0..20 {
        let revision =
            put(if round % 2 == 0 { &ground.control } else { &ground.other }, &format!("k{round}"), "v").await;
        assert!(revision > last);
        last = revision;
    }
}

pub async fn membership_can_be_a_guard(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let alive = vec![Guard::Revision(key::node(session.uid), session.revision)];
    committed(ground.control.txn(alive.clone(), vec![Op::put("a", "v")]).await);
    ground.other.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    let outcome = ground.control.txn(alive, vec![Op::put("a", "w")]).await;
    assert_eq!(outcome, Ok(TxnOutcome::Conflict { guard: 0 }));
}

pub async fn of_many_who_create_a_key_one_succeeds(ground: Ground) {
    let mut creators = tokio::task::JoinSet::new();
    for number in 0..10 {
        let control = if number % 2 == 0 { ground.control.clone() } else { ground.other.clone() };
        creators.spawn(async move {
            control.txn(vec![absent("leader")], vec![Op::put("leader", format!("{number}"))]).await
        });
    }
    let won =
        creators.join_all().await.into_iter().filter(|outcome| matches!(outcome, Ok(TxnOutcome::Committed { .. })));
    assert_eq!(won.count(), 1);
}

pub async fn counting_at_once_loses_nothing(ground: Ground) {
    put(&ground.control, "count", "0").await;
    let mut counters = tokio::task::JoinSet::new();
    for number in 0..4 {
        let control = if number % 2 == 0 { ground.control.clone() } else { ground.other.clone() };
        counters.spawn(async move {
            let mut done = 0;
            while done < 8 {
                let before = read(&control, "count").await.expect("a value");
                let count: u32 = std::str::from_utf8(&before.value).expect("text").parse().expect("a number");
                let next = vec![Op::put("count", format!("{}", count + 1))];
                if let TxnOutcome::Committed { .. } =
                    control.txn(at("count", before.revision), next).await.expect("an answer")
                {
                    done += 1;
                }
            }
        });
    }
    counters.join_all().await;
    assert_eq!(read(&ground.control, "count").await.expect("a value").value, "32");
}

pub async fn what_moves_between_keys_is_never_lost_or_doubled(ground: Ground) {
    for name in ["one", "two"] {
        put(&ground.control, name, "50").await;
    }
    let amount =
        |value: &Versioned| -> i64 { std::str::from_utf8(&value.value).expect("text").parse().expect("a number") };
    let mut movers = tokio::task::JoinSet::new();
    for (number, (from, to)) in [("one", "two"), ("two", "one"), ("one", "two")].into_iter().enumerate() {
        let control = if number % 2 == 0 { ground.control.clone() } else { ground.other.clone() };
        movers.spawn(async move {
            for _ in 0..10 {
                let (source, target) = (read(&control, from).await, read(&control, to).await);
                let (source, target) = (source.expect("a value"), target.expect("a value"));
                let guards = [at(from, source.revision), at(to, target.revision)].concat();
                let (less, more) = (amount(&source) - 1, amount(&target) + 1);
                let ops = vec![Op::put(from, format!("{less}")), Op::put(to, format!("{more}"))];
                control.txn(guards, ops).await.expect("an answer");
            }
        });
    }
    movers.join_all().await;
    let (one, two) = (read(&ground.control, "one").await, read(&ground.control, "two").await);
    assert_eq!(amount(&one.expect("a value")) + amount(&two.expect("a value")), 100);
}

pub async fn what_a_node_owns_goes_with_its_lease(ground: Ground) {
    let control = &ground.control;
    let session = brief(&ground, "game-1", Roles::GAME).await;
    committed(control.txn(vec![absent("leader")], vec![owned("leader", "game-1", session.uid)]).await);
    let mut watch = ground.other.watch("leader".into(), None).await.expect("a watch");
    until_deleted(&mut watch, "leader").await;
    assert_eq!(read(control, "leader").await, None);
    let answer = control.txn(vec![], vec![owned("leader", "game-1", session.uid)]).await;
    assert!(matches!(answer, Err(ControlError::Lost { .. })), "the dead own nothing: {answer:?}");
}

pub async fn what_a_node_owns_goes_with_its_certificate(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let ops = (0..10).map(|at| owned(&format!("lock/{at}"), "v", session.uid)).collect();
    committed(ground.control.txn(vec![], ops).await);
    put(&ground.control, "lock/free", "v").await;
    let mut watch = ground.other.watch("lock/".into(), None).await.expect("a watch");
    ground.other.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    let mut left: BTreeSet<String> = snapshot(&mut watch).await.0.into_iter().map(|(key, _)| key).collect();
    while left.len() > 1 {
        match next(&mut watch).await {
            WatchEvent::Del { key, .. } => drop(left.remove(&key)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(left, ["lock/free".to_owned()].into());
}

pub async fn an_owned_value_reads_as_it_was_written(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    for value in ["", "v", "\u{1}0123456789abcdef"] {
        committed(ground.control.txn(vec![], vec![owned("lock", value, session.uid)]).await);
        assert_eq!(read(&ground.other, "lock").await.expect("a value").value, value);
    }
}

pub async fn the_dead_own_nothing(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    ground.other.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    let answer = ground.control.txn(vec![], vec![owned("lock", "v", session.uid)]).await;
    assert!(matches!(answer, Err(ControlError::Lost { certificate: Some(_), .. })), "{answer:?}");
    assert_eq!(read(&ground.control, "lock").await, None);
}

pub async fn what_another_took_over_stays_when_the_first_owner_dies(ground: Ground) {
    let one = open(&ground.control, "game-1", Roles::GAME).await;
    let two = open(&ground.control, "game-2", Roles::GAME).await;
    for key in ["a", "b", "c"] {
        committed(ground.control.txn(vec![], vec![owned(key, "one", one.uid)]).await);
    }
    committed(ground.control.txn(vec![], vec![owned("a", "two", two.uid), Op::put("b", "nobody")]).await);
    let mut watch = ground.other.watch("c".into(), None).await.expect("a watch");
    ground.other.certify_dead(one.uid, None, "test".into()).await.expect("a certificate");
    until_deleted(&mut watch, "c").await;
    assert_eq!(read(&ground.control, "a").await.expect("a value").value, "two");
    assert_eq!(read(&ground.control, "b").await.expect("a value").value, "nobody");
}

pub async fn who_reattaches_keeps_what_it_owns(ground: Ground) {
    let session = brief(&ground, "game-1", Roles::GAME).await;
    committed(ground.control.txn(vec![], vec![owned("leader", "v", session.uid)]).await);
    wait_until_lost(&ground.control, &session).await;
    ground.control.reattach(&session).await.expect("nothing is decided yet");
    assert!(read(&ground.other, "leader").await.is_some());
}

/// The key is written, read, watched, guarded and deleted like any other, and is not mixed up with its like.
async fn a_key_like_any_other(ground: Ground, name: &str) {
    let mut watch = ground.other.watch(name.into(), None).await.expect("a watch");
    assert_eq!(snapshot(&mut watch).await.0, []);
    let revision = committed(ground.control.txn(vec![absent(name)], vec![Op::put(name, "v")]).await);
    let versioned = Versioned { value: "v".into(), revision };
    assert_eq!(read(&ground.other, name).await, Some(versioned.clone()));
    assert_eq!(next(&mut watch).await, WatchEvent::Put { key: name.into(), value: versioned });
    let (entries, _) = snapshot(&mut ground.control.watch(String::new(), None).await.expect("a watch")).await;
    assert!(entries.contains(&(name.to_owned(), "v".into())), "{entries:?}");
    for other in [format!("{name}x"), format!("x{name}"), name.to_uppercase() + "Y"] {
        assert_eq!(read(&ground.control, &other).await, None);
    }
    committed(ground.control.txn(at(name, revision), vec![delete(name)]).await);
    assert!(matches!(next(&mut watch).await, WatchEvent::Del { key, .. } if key == name));
    assert_eq!(read(&ground.other, name).await, None);
}

pub async fn a_key_with_slashes_in_a_row(ground: Ground) {
    a_key_like_any_other(ground, "a//b///c").await;
}

pub async fn a_key_that_begins_with_a_slash(ground: Ground) {
    a_key_like_any_other(ground, "/a").await;
}

pub async fn a_key_that_ends_with_a_slash(ground: Ground) {
    a_key_like_any_other(ground, "a/").await;
}

pub async fn a_key_with_dots(ground: Ground) {
    a_key_like_any_other(ground, "../a/./b/..").await;
}

pub async fn a_key_that_is_a_dot(ground: Ground) {
    a_key_like_any_other(ground, ".").await;
}

pub async fn a_key_with_the_signs_of_a_query(ground: Ground) {
    a_key_like_any_other(ground, "a?recurse&x=%2F#z+").await;
}

pub async fn a_key_with_spaces_and_quotes(ground: Ground) {
    a_key_like_any_other(ground, " a \"b\" 'c' \\d ").await;
}

pub async fn a_key_of_all_languages(ground: Ground) {
    a_key_like_any_other(ground, "烤肉/ñandú/🔥").await;
}

pub async fn a_key_with_control_characters(ground: Ground) {
    a_key_like_any_other(ground, "a\0b\r\nc\u{7f}").await;
}
