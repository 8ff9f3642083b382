//! Opening, renewing, losing and reattaching.

use super::*;

pub async fn who_opens_is_seen_with_everything_it_said(ground: Ground) {
    let control = &ground.control;
    let membership = Membership::start(ground.other.clone());
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
        schema: (0..1 << 20).map(|at: u32| (at >> 8) as u8).collect::<Vec<u8>>().into(),
        weight: 50,
    };
    let session = control.open(info.clone(), Duration::from_secs(60)).await.expect("a session");
    assert_eq!(session.ttl_ms, 60_000);
    let view = soon("the node", membership.wait_for(|view| view.nodes.contains_key(&session.uid))).await;
    let load = Load { weight: 50, permille: 0, ..Load::default() };
    assert_eq!(*view.nodes[&session.uid], NodeRecord { uid: session.uid, info, ttl_ms: 60_000, load });
    assert_eq!(view.node_revisions[&session.uid], session.revision);
    assert_eq!(view.offering(7).count(), 1);
    assert_eq!(view.offering(8).count(), 0);
}

pub async fn the_record_of_a_node_has_the_revision_of_its_session(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let stored = read(&ground.control, &key::node(session.uid)).await.expect("a record");
    assert_eq!(stored.revision, session.revision);
    assert_eq!(NodeRecord::decode(&stored.value).expect("a record").uid, session.uid);
}

pub async fn who_opens_again_is_another_incarnation_and_the_one_before_is_dead(ground: Ground) {
    let control = &ground.control;
    let membership = Membership::start(ground.other.clone());
    let first = open(control, "game-1", Roles::GAME).await;
    let second = control.open(info("game-1", Roles::GAME, 2), NEVER).await.expect("a session");
    assert_eq!(first.uid.node, second.uid.node);
    assert!(second.uid.incarnation > first.uid.incarnation);
    let Err(ControlError::Lost { certificate: Some(certificate), .. }) = control.reattach(&first).await else {
        panic!("both incarnations live")
    };
    assert_eq!(certificate.uid, first.uid);
    let both = |view: &ClusterView| view.dead.contains_key(&first.uid) && view.nodes.contains_key(&second.uid);
    let view = soon("the change", membership.wait_for(both)).await;
    assert_eq!(view.nodes.len(), 1);
}

pub async fn an_opening_that_is_sent_twice_is_one_session(ground: Ground) {
    let first = open(&ground.control, "game-1", Roles::GAME).await;
    let second = open(&ground.control, "game-1", Roles::GAME).await;
    assert_eq!(first.uid, second.uid);
    assert_eq!(ground.control.renew(&first, Load::default()).await, Ok(()));
}

pub async fn an_opening_that_is_sent_twice_at_once_is_one_session(ground: Ground) {
    let (one, two) = tokio::join!(
        ground.control.open(info("game-1", Roles::GAME, 1), NEVER),
        ground.other.open(info("game-1", Roles::GAME, 1), NEVER),
    );
    assert_eq!(one.expect("a session").uid, two.expect("a session").uid);
}

pub async fn an_opening_without_a_start_is_never_the_same(ground: Ground) {
    let first = ground.control.open(info("game-1", Roles::GAME, 0), NEVER).await.expect("a session");
    let second = ground.control.open(info("game-1", Roles::GAME, 0), NEVER).await.expect("a session");
    assert!(second.uid.incarnation > first.uid.incarnation);
}

pub async fn names_that_open_at_once_are_different_incarnations(ground: Ground) {
    let mut opening = tokio::task::JoinSet::new();
    for number in 0..20 {
        let control = if number % 2 == 0 { ground.control.clone() } else { ground.other.clone() };
        opening.spawn(async move { open(&control, &format!("game-{number}"), Roles::GAME).await.uid.incarnation });
    }
    let incarnations: BTreeSet<u64> = opening.join_all().await.into_iter().collect();
    assert_eq!(incarnations.len(), 20);
}

pub async fn of_two_processes_that_fight_for_a_name_one_lives(ground: Ground) {
    for round in 0..5 {
        let name = format!("game-{round}");
        let (one, two) = tokio::join!(
            ground.control.open(info(&name, Roles::GAME, 1), NEVER),
            ground.other.open(info(&name, Roles::GAME, 2), NEVER),
        );
        let sessions = [one.expect("a session"), two.expect("a session")];
        assert_ne!(sessions[0].uid, sessions[1].uid);
        let mut alive = Vec::new();
        for session in &sessions {
            if ground.control.get(key::node(session.uid)).await.expect("an answer").is_some() {
                alive.push(session.uid.incarnation);
            }
        }
        let latest = sessions.iter().map(|session| session.uid.incarnation).max().expect("two");
        assert_eq!(alive, [latest], "the later incarnation");
    }
}

pub async fn a_name_can_be_used_again_after_a_death(ground: Ground) {
    let mut last = 0;
    for start in 1..6 {
        let session = ground.control.open(info("game-1", Roles::GAME, start), NEVER).await.expect("a session");
        assert!(session.uid.incarnation > last);
        last = session.uid.incarnation;
        ground.other.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    }
}

pub async fn the_same_opening_after_its_death_is_another_incarnation(ground: Ground) {
    let first = open(&ground.control, "game-1", Roles::GAME).await;
    ground.control.certify_dead(first.uid, None, "test".into()).await.expect("a certificate");
    let second = open(&ground.control, "game-1", Roles::GAME).await;
    assert!(second.uid.incarnation > first.uid.incarnation);
}

pub async fn the_number_of_a_node_depends_on_its_name_alone(ground: Ground) {
    let one = open(&ground.control, "game-1", Roles::GAME).await;
    let two = open(&ground.control, "game-2", Roles::GAME).await;
    assert_eq!(one.uid.node, bbq_core::control::number("game-1"));
    assert_eq!(two.uid.node, bbq_core::control::number("game-2"));
}

pub async fn a_name_without_letters_is_refused(ground: Ground) {
    invalid(ground.control.open(info("", Roles::GAME, 1), NEVER).await);
}

pub async fn a_name_that_is_too_long_is_refused(ground: Ground) {
    invalid(ground.control.open(info(&"x".repeat(513), Roles::GAME, 1), NEVER).await);
}

pub async fn a_name_may_have_anything_in_it(ground: Ground) {
    for name in ["../a//b/.", "ä ö/ü?x=1#&%", "\u{1}\n", &"x".repeat(400)] {
        let session = ground.control.open(info(name, Roles::GAME, 1), NEVER).await.expect(name);
        let stored = read(&ground.other, &key::node(session.uid)).await.expect("a record");
        assert_eq!(NodeRecord::decode(&stored.value).expect("a record").info.name, name);
        let again = ground.control.open(info(name, Roles::GAME, 1), NEVER).await.expect(name);
        assert_eq!(again.uid, session.uid, "{name}");
    }
}

pub async fn a_schema_that_is_too_large_is_refused(ground: Ground) {
    let schema = vec![0; limit::SCHEMA_BYTES + 1].into();
    invalid(ground.control.open(NodeInfo { schema, ..info("game-1", Roles::GAME, 1) }, NEVER).await);
}

pub async fn a_description_that_is_too_large_is_refused(ground: Ground) {
    let labels = [("a".to_owned(), "b".repeat(limit::INFO_BYTES))].into();
    invalid(ground.control.open(NodeInfo { labels, ..info("game-1", Roles::GAME, 1) }, NEVER).await);
}

pub async fn a_description_may_be_large(ground: Ground) {
    let labels = [("a".to_owned(), "b".repeat(200 << 10))].into();
    let info = NodeInfo { labels, ..info("game-1", Roles::GAME, 1) };
    let session = ground.control.open(info.clone(), NEVER).await.expect("a session");
    let stored = read(&ground.other, &key::node(session.uid)).await.expect("a record");
    assert_eq!(NodeRecord::decode(&stored.value).expect("a record").info, info);
}

pub async fn a_lease_that_is_too_short_is_lengthened(ground: Ground) {
    let session = ground.control.open(info("game-1", Roles::GAME, 1), Duration::from_millis(1)).await;
    assert!(session.expect("a session").ttl() >= Duration::from_millis(100));
}

pub async fn a_lease_that_is_too_long_is_shortened(ground: Ground) {
    let session = ground.control.open(info("game-1", Roles::GAME, 1), Duration::from_secs(1_000_000)).await;
    assert_eq!(session.expect("a session").ttl(), Duration::from_secs(120));
}

pub async fn who_wishes_no_lease_gets_the_usual_one(ground: Ground) {
    let session = ground.control.open(info("game-1", Roles::GAME, 1), Duration::ZERO).await.expect("a session");
    assert!(session.ttl() >= TTL && session.ttl() <= Duration::from_secs(10), "{session:?}");
}

pub async fn forty_nodes_are_seen(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    for number in 0..40 {
        open(&ground.control, &format!("node-{number}"), Roles::GATE).await;
    }
    soon("all nodes", membership.wait_for(|view| view.nodes.len() == 40)).await;
}

pub async fn a_renewed_lease_outlives_its_length(ground: Ground) {
    let session = brief(&ground, "game-1", Roles::GAME).await;
    let end = Instant::now() + session.ttl() * 4;
    while Instant::now() < end {
        assert_eq!(ground.control.renew(&session, Load::default()).await, Ok(()));
        tokio::time::sleep(session.ttl() / 6).await; // tidy: renews at a pace, waits for nothing
    }
}

pub async fn renewals_at_once_are_fine(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let mut renewals = tokio::task::JoinSet::new();
    for permille in 0..20 {
        let (control, session) = (ground.control.clone(), session.clone());
        renewals.spawn(async move { control.renew(&session, Load { weight: 100, permille, ..Load::default() }).await });
    }
    assert!(renewals.join_all().await.iter().all(Result::is_ok));
}

pub async fn expiry_is_only_suspicion_and_the_node_can_reattach(ground: Ground) {
    let control = &ground.control;
    let session = brief(&ground, "game-1", Roles::GAME).await;
    let lost = wait_until_lost(control, &session).await;
    assert_eq!(lost, ControlError::Lost { uid: session.uid, certificate: None });
    assert!(read(control, &key::node(session.uid)).await.is_some(), "a suspect is still a member");
    let again = control.reattach(&session).await.expect("nothing is decided yet");
    assert_eq!(again.uid, session.uid);
    assert!(again.revision > session.revision);
    let stale = control.certify_dead(session.uid, Some(session.revision), "silent".into()).await;
    assert_eq!(stale, Err(ControlError::Conflict { revision: again.revision }));
}

pub async fn renewing_does_not_revive_a_lease_that_ran_out(ground: Ground) {
    let session = brief(&ground, "game-1", Roles::GAME).await;
    wait_until_lost(&ground.control, &session).await;
    for _ in 0..3 {
        let answer = ground.control.renew(&session, Load::default()).await;
        assert_eq!(answer, Err(ControlError::Lost { uid: session.uid, certificate: None }));
    }
}

pub async fn who_reattached_renews_as_before(ground: Ground) {
    let session = brief(&ground, "game-1", Roles::GAME).await;
    wait_until_lost(&ground.control, &session).await;
    let again = ground.control.reattach(&session).await.expect("nothing is decided yet");
    assert_eq!(again.ttl_ms, session.ttl_ms, "the lease keeps its length");
    let end = Instant::now() + session.ttl() * 3;
    while Instant::now() < end {
        assert_eq!(ground.control.renew(&again, Load::default()).await, Ok(()));
        tokio::time::sleep(session.ttl() / 6).await; // tidy: renews at a pace, waits for nothing
    }
}

pub async fn a_lease_can_be_lost_and_taken_up_twice(ground: Ground) {
    let mut session = brief(&ground, "game-1", Roles::GAME).await;
    for _ in 0..2 {
        wait_until_lost(&ground.control, &session).await;
        let again = ground.control.reattach(&session).await.expect("nothing is decided yet");
        assert!(again.revision > session.revision);
        session = again;
    }
}

pub async fn who_lost_nothing_may_reattach(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let mut last = session.revision;
    for _ in 0..3 {
        let again = ground.control.reattach(&session).await.expect("it lives");
        assert_eq!(again.uid, session.uid);
        assert!(again.revision > last);
        last = again.revision;
        assert_eq!(ground.control.renew(&again, Load::default()).await, Ok(()));
    }
}

pub async fn a_lease_of_before_a_reattachment_ends_without_harm(ground: Ground) {
    let session = brief(&ground, "game-1", Roles::GAME).await;
    let again = ground.control.reattach(&session).await.expect("it lives");
    let end = Instant::now() + session.ttl() * 4;
    while Instant::now() < end {
        assert_eq!(ground.control.renew(&again, Load::default()).await, Ok(()));
        tokio::time::sleep(session.ttl() / 6).await; // tidy: renews at a pace, waits for nothing
    }
}

pub async fn after_the_grace_the_node_is_dead_for_certain(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let session = brief(&ground, "proxy-1", Roles::PROXY).await;
    let view = soon("the death", membership.wait_for(|view| view.dead.contains_key(&session.uid))).await;
    assert_eq!(view.dead[&session.uid].uid, session.uid);
    let view = soon("the funeral", membership.wait_for(|view| view.slots.slot(0).owner.is_none())).await;
    assert!(!view.nodes.contains_key(&session.uid));
    let control = &ground.control;
    for answer in [control.reattach(&session).await.map(drop), control.renew(&session, Load::default()).await] {
        assert!(matches!(answer, Err(ControlError::Lost { certificate: Some(_), .. })), "{answer:?}");
    }
}

pub async fn an_incarnation_that_is_unknown_is_lost_and_not_unreachable(ground: Ground) {
    let session = Session { uid: NodeUid { node: 7, incarnation: 3 }, ttl_ms: 1000, revision: 9 };
    let control = &ground.control;
    for answer in [control.renew(&session, Load::default()).await, control.reattach(&session).await.map(drop)] {
        // An engine that kept nothing leaves open for a while who was forgotten.
        assert!(matches!(answer, Err(ControlError::Lost { .. })), "{answer:?}");
    }
}

pub async fn an_attendance_renews_and_ends_with_a_certificate(ground: Ground) {
    let wish = ground.control.clone();
    let attendance = Attendance::open(wish, info("game-1", Roles::GAME, 1), TTL).await.expect("a session");
    let uid = attendance.session().uid;
    let mut standing = attendance.standing();
    let first = standing.borrow_and_update().clone();
    for _ in 0..6 {
        soon("a renewal", standing.changed()).await.expect("the keeper lives");
    }
    let later = standing.borrow_and_update().clone();
    let (Standing::Held { until: first }, Standing::Held { until: later }) = (&first, &later) else {
        panic!("{first:?}, {later:?}")
    };
    assert!(later > first);
    ground.other.certify_dead(uid, None, "an operator said so".into()).await.expect("a certificate");
    let over = standing.wait_for(|standing| matches!(standing, Standing::Over(_)));
    let over = soon("the end", over).await.expect("the keeper says so before it ends").clone();
    assert!(matches!(over, Standing::Over(certificate) if certificate.why == "an operator said so"));
}

pub async fn who_leaves_has_a_certificate_at_once(ground: Ground) {
    let control = ground.control.clone();
    let attendance = Attendance::open(control, info("game-1", Roles::GAME, 1), NEVER).await.expect("a session");
    let uid = attendance.session().uid;
    attendance.leave("shut down").await.expect("a certificate");
    assert_eq!(certificate(&ground.other, uid).await.expect("one").why, "shut down");
    assert_eq!(read(&ground.other, &key::node(uid)).await, None);
}
