//! Hearing of changes.

use super::*;

pub async fn a_watch_tells_a_snapshot_and_then_every_change_in_order(ground: Ground) {
    let control = &ground.control;
    let before = vec![Op::put("x/b", "2"), Op::put("x/a", "1"), Op::put("y", "0"), Op::put("x", "0")];
    let revision = committed(control.txn(vec![], before).await);
    let mut watch = control.watch("x/".into(), None).await.expect("a watch");
    let (entries, seen) = snapshot(&mut watch).await;
    assert_eq!(entries, [("x/a".to_owned(), Bytes::from("1")), ("x/b".to_owned(), Bytes::from("2"))]);
    assert!(seen >= revision);
    let mut last = revision;
    for round in 0..20 {
        let changes = vec![Op::put("y", "-"), Op::put("x/a", format!("{round}")), delete("x/none")];
        committed(control.txn(vec![], changes).await);
        let WatchEvent::Put { key, value } = next(&mut watch).await else { panic!("no put") };
        assert_eq!((key.as_str(), value.value), ("x/a", Bytes::from(format!("{round}"))));
        assert!(value.revision > last);
        last = value.revision;
    }
    let end = committed(control.txn(vec![], vec![delete("x/b")]).await);
    assert_eq!(next(&mut watch).await, WatchEvent::Del { key: "x/b".into(), revision: end });
}

pub async fn a_snapshot_is_in_the_order_of_keys(ground: Ground) {
    let names = ["a", "a/b", "a.b", "a-", "A", "ä", "a~", "a b", "~"];
    let ops = names.iter().map(|name| Op::put(format!("x{name}"), "v")).collect();
    committed(ground.control.txn(vec![], ops).await);
    let (entries, _) = snapshot(&mut ground.other.watch("x".into(), None).await.expect("a watch")).await;
    let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
    let mut sorted: Vec<String> = names.iter().map(|name| format!("x{name}")).collect();
    sorted.sort();
    assert_eq!(keys, sorted);
}

pub async fn a_prefix_need_not_end_at_a_slash(ground: Ground) {
    for name in ["game", "games", "game/1", "gam", "other"] {
        put(&ground.control, name, "v").await;
    }
    let (entries, _) = snapshot(&mut ground.other.watch("game".into(), None).await.expect("a watch")).await;
    let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["game", "game/1", "games"]);
}

pub async fn a_watch_of_nothing_begins_with_an_empty_snapshot(ground: Ground) {
    let mut watch = ground.control.watch("nothing/".into(), None).await.expect("a watch");
    assert_eq!(snapshot(&mut watch).await.0, []);
    let revision = put(&ground.other, "nothing/yet", "v").await;
    let value = Versioned { value: "v".into(), revision };
    assert_eq!(next(&mut watch).await, WatchEvent::Put { key: "nothing/yet".into(), value });
}

pub async fn a_watch_of_everything_sees_members_and_keys(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    put(&ground.control, "x", "v").await;
    let (entries, _) = snapshot(&mut ground.other.watch(String::new(), None).await.expect("a watch")).await;
    let keys: BTreeSet<String> = entries.into_iter().map(|(key, _)| key).collect();
    assert!(keys.contains("x") && keys.contains(&key::node(session.uid)), "{keys:?}");
}

pub async fn a_prefix_that_is_too_long_is_refused(ground: Ground) {
    let answer = ground.control.watch("x".repeat(limit::KEY_BYTES + 1), None).await;
    assert!(matches!(answer, Err(ControlError::Invalid { .. })));
}

pub async fn a_watch_resumes_where_another_ended_or_says_that_it_cannot(ground: Ground) {
    let mut first = ground.control.watch("x/".into(), None).await.expect("a watch");
    let (entries, revision) = snapshot(&mut first).await;
    assert!(entries.is_empty());
    drop(first);
    for number in 0..5 {
        committed(ground.control.txn(vec![], vec![Op::put(format!("x/{number}"), "v"), Op::put("y", "v")]).await);
    }
    let mut second = ground.control.watch("x/".into(), Some(revision)).await.expect("a watch");
    if !ground.remembers {
        return over(&mut second).await;
    }
    for number in 0..5 {
        let WatchEvent::Put { key, .. } = next(&mut second).await else { panic!("no put") };
        assert_eq!(key, format!("x/{number}"));
    }
    put(&ground.control, "x/last", "v").await;
    assert!(matches!(next(&mut second).await, WatchEvent::Put { key, .. } if key == "x/last"));
}

pub async fn a_watch_from_now_tells_only_what_comes(ground: Ground) {
    let revision = put(&ground.control, "x", "before").await;
    let mut watch = ground.control.watch("x".into(), Some(revision)).await.expect("a watch");
    if !ground.remembers {
        return over(&mut watch).await;
    }
    let revision = put(&ground.control, "x", "after").await;
    let value = Versioned { value: "after".into(), revision };
    assert_eq!(next(&mut watch).await, WatchEvent::Put { key: "x".into(), value });
}

pub async fn a_watch_from_a_revision_that_never_was_is_a_gap(ground: Ground) {
    put(&ground.control, "x", "v").await;
    let mut watch = ground.control.watch("x".into(), Some(u64::MAX >> 2)).await.expect("a watch");
    over(&mut watch).await;
}

pub async fn a_watch_from_a_forgotten_revision_is_a_gap_or_complete(ground: Ground) {
    let first = put(&ground.control, "x", "v").await;
    for _ in 0..10 {
        put(&ground.control, "y", "v").await;
    }
    let last = put(&ground.control, "x", "w").await;
    let mut watch = ground.control.watch("x".into(), Some(first)).await.expect("a watch");
    match next(&mut watch).await {
        WatchEvent::Gap => assert_eq!(watch.next().await, None),
        WatchEvent::Put { value, .. } => assert_eq!(value.revision, last),
        other => panic!("{other:?}"),
    }
}

pub async fn a_reader_that_is_too_slow_finds_a_gap_or_the_latest(ground: Ground) {
    let mut watch = ground.control.watch("x/".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let mut last = 0;
    for _ in 0..100 {
        let changes = (0..32).map(|at| Op::put(format!("x/{at}"), vec![1; 1024])).collect();
        last = committed(soon("a write", ground.control.txn(vec![], changes)).await);
    }
    let mut seen = 0;
    loop {
        match next(&mut watch).await {
            WatchEvent::Put { value, .. } if value.revision == last => break,
            WatchEvent::Gap => break,
            _ => seen += 1,
        }
    }
    assert!(seen < 100 * 32, "everything was buffered");
    let mut again = ground.control.watch("x/".into(), None).await.expect("a watch");
    assert_eq!(snapshot(&mut again).await.0.len(), 32);
}

pub async fn a_large_snapshot_arrives_whole(ground: Ground) {
    for number in 0..60 {
        put(&ground.control, &format!("x/{number:02}"), vec![number; 200 << 10]).await;
    }
    let mut watch = ground.other.watch("x/".into(), None).await.expect("a watch");
    let (entries, _) = snapshot(&mut watch).await;
    assert_eq!(entries.len(), 60);
    for (number, (key, value)) in (0_u8..).zip(entries) {
        assert_eq!((key, value), (format!("x/{number:02}"), Bytes::from(vec![number; 200 << 10])));
    }
}

pub async fn a_snapshot_of_many_keys_arrives_whole(ground: Ground) {
    for some in 0..20 {
        let ops = (0..32).map(|at| Op::put(format!("x/{:04}", some * 32 + at), "v")).collect();
        committed(ground.control.txn(vec![], ops).await);
    }
    let (entries, _) = snapshot(&mut ground.other.watch("x/".into(), None).await.expect("a watch")).await;
    let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, (0..640).map(|at| format!("x/{at:04}")).collect::<Vec<_>>());
}

pub async fn fifty_watches_hear_the_same(ground: Ground) {
    let mut watches = Vec::new();
    for number in 0..50 {
        let control = if number % 2 == 0 { &ground.control } else { &ground.other };
        let mut watch = control.watch("x".into(), None).await.expect("a watch");
        snapshot(&mut watch).await;
        watches.push(watch);
    }
    let revision = put(&ground.control, "x", "v").await;
    for watch in &mut watches {
        let WatchEvent::Put { value, .. } = next(watch).await else { panic!("no put") };
        assert_eq!(value.revision, revision);
    }
}

pub async fn a_watch_that_is_dropped_does_not_hinder_the_others(ground: Ground) {
    let mut kept = ground.control.watch("x".into(), None).await.expect("a watch");
    snapshot(&mut kept).await;
    for _ in 0..10 {
        drop(ground.control.watch("x".into(), None).await.expect("a watch"));
        put(&ground.control, "x", "v").await;
        assert!(matches!(next(&mut kept).await, WatchEvent::Put { .. }));
    }
}

pub async fn the_last_value_of_a_key_that_changes_quickly_is_always_told(ground: Ground) {
    let mut watch = ground.other.watch("x".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let mut last = 0;
    for round in 0..100 {
        last = put(&ground.control, "x", format!("{round}")).await;
    }
    let mut before = 0;
    while before < last {
        let WatchEvent::Put { value, .. } = next(&mut watch).await else { panic!("no put") };
        assert!(value.revision > before, "in order, and once");
        before = value.revision;
    }
}

pub async fn a_key_that_goes_and_comes_is_there_in_the_end(ground: Ground) {
    let mut watch = ground.other.watch("x".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let mut last = 0;
    for _ in 0..20 {
        put(&ground.control, "x", "v").await;
        committed(ground.control.txn(vec![], vec![delete("x")]).await);
        last = put(&ground.control, "x", "w").await;
    }
    loop {
        match next(&mut watch).await {
            WatchEvent::Put { value, .. } if value.revision == last => break,
            WatchEvent::Put { .. } | WatchEvent::Del { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub async fn a_key_that_comes_and_goes_is_gone_in_the_end(ground: Ground) {
    let mut watch = ground.other.watch("x/".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let mut there = false;
    for _ in 0..20 {
        put(&ground.control, "x/a", "v").await;
        committed(ground.control.txn(vec![], vec![delete("x/a")]).await);
    }
    put(&ground.control, "x/end", "v").await;
    loop {
        match next(&mut watch).await {
            WatchEvent::Put { key, .. } if key == "x/end" => break,
            WatchEvent::Put { .. } => there = true,
            WatchEvent::Del { .. } => there = false,
            other => panic!("{other:?}"),
        }
    }
    // Engines that compare listings tell the deletion after what was written.
    if there {
        until_deleted(&mut watch, "x/a").await;
    }
}

pub async fn all_writes_of_a_transaction_are_told(ground: Ground) {
    let mut watch = ground.other.watch("x/".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let ops = (0..32).map(|at| Op::put(format!("x/{at}"), "v")).collect();
    committed(ground.control.txn(vec![], ops).await);
    let mut keys = BTreeSet::new();
    while keys.len() < 32 {
        let WatchEvent::Put { key, .. } = next(&mut watch).await else { panic!("no put") };
        assert!(keys.insert(key), "once");
    }
}

pub async fn a_watch_of_nodes_tells_their_schema(ground: Ground) {
    let mut watch = ground.other.watch(key::NODE_PREFIX.into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    let info = NodeInfo { schema: vec![7; 600 << 10].into(), ..info("game-1", Roles::GAME, 1) };
    let session = ground.control.open(info.clone(), NEVER).await.expect("a session");
    let WatchEvent::Put { value, .. } = next(&mut watch).await else { panic!("no put") };
    assert_eq!(NodeRecord::decode(&value.value).expect("a record").info, info);
    ground.control.reattach(&session).await.expect("it lives");
    let WatchEvent::Put { value, .. } = next(&mut watch).await else { panic!("no put") };
    assert_eq!(NodeRecord::decode(&value.value).expect("a record").info, info);
}

pub async fn nothing_is_told_of_other_keys(ground: Ground) {
    let mut watch = ground.other.watch("x/".into(), None).await.expect("a watch");
    snapshot(&mut watch).await;
    for name in ["x", "y/1", "xx/1", "w"] {
        put(&ground.control, name, "v").await;
    }
    put(&ground.control, "x/1", "v").await;
    assert!(matches!(next(&mut watch).await, WatchEvent::Put { key, .. } if key == "x/1"));
}
