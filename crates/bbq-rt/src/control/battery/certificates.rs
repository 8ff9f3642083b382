//! The decision that somebody is dead.

use super::*;

pub async fn a_certificate_and_a_reattachment_never_both_succeed(ground: Ground) {
    let (mut died, mut lived) = (0, 0);
    for round in 0..30 {
        let session = open(&ground.control, &format!("game-{round}"), Roles::GAME).await;
        let (accuser, accused) = (ground.other.clone(), ground.control.clone());
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
    assert_eq!(died + lived, 30);
}

pub async fn a_certificate_for_whatever_the_record_is_wins_against_reattachments(ground: Ground) {
    for round in 0..10 {
        let session = open(&ground.control, &format!("game-{round}"), Roles::GAME).await;
        let (certified, _) = tokio::join!(
            ground.other.certify_dead(session.uid, None, "told".into()),
            ground.control.reattach(&session),
        );
        certified.expect("a certificate");
        let answer = ground.control.reattach(&session).await;
        assert!(matches!(answer, Err(ControlError::Lost { certificate: Some(_), .. })), "{answer:?}");
    }
}

pub async fn the_first_certificate_stays(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let first = ground.control.certify_dead(session.uid, None, "first".into()).await.expect("a certificate");
    let second = ground.other.certify_dead(session.uid, Some(1), "second".into()).await.expect("a certificate");
    assert_eq!((first.why.as_str(), second), ("first", first.clone()));
}

pub async fn accusers_at_once_get_one_certificate(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let mut accusers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let control = if number % 2 == 0 { ground.control.clone() } else { ground.other.clone() };
        let uid = session.uid;
        accusers.spawn(async move { control.certify_dead(uid, None, format!("accuser {number}")).await });
    }
    let whys: BTreeSet<String> =
        accusers.join_all().await.into_iter().map(|answer| answer.expect("a certificate").why).collect();
    assert_eq!(whys.len(), 1, "{whys:?}");
}

pub async fn an_accuser_who_saw_an_older_record_is_refused_and_nothing_is_written(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let answer = ground.other.certify_dead(session.uid, Some(session.revision - 1), "stale".into()).await;
    assert_eq!(answer, Err(ControlError::Conflict { revision: session.revision }));
    assert_eq!(certificate(&ground.control, session.uid).await, None);
    assert_eq!(ground.control.renew(&session, Load::default()).await, Ok(()));
}

pub async fn an_accuser_who_saw_the_record_is_believed(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    ground.other.certify_dead(session.uid, Some(session.revision), "silent".into()).await.expect("a certificate");
    assert_eq!(certificate(&ground.control, session.uid).await.expect("one").why, "silent");
}

pub async fn a_reason_that_is_too_long_is_cut_between_letters(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let why = format!("x{}", "ä".repeat(200));
    let certificate = ground.control.certify_dead(session.uid, None, why.clone()).await.expect("a certificate");
    assert_eq!(certificate.why.len(), limit::WHY_BYTES - 1);
    assert!(why.starts_with(&certificate.why));
}

pub async fn a_reason_may_be_empty(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    ground.control.certify_dead(session.uid, None, String::new()).await.expect("a certificate");
    assert_eq!(certificate(&ground.other, session.uid).await.expect("one").why, "");
}

pub async fn record_and_load_go_with_the_certificate(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    ground.control.renew(&session, Load { weight: 10, permille: 10, ..Load::default() }).await.expect("it lives");
    assert!(read(&ground.other, &key::load(session.uid)).await.is_some());
    ground.control.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    assert_eq!(read(&ground.other, &key::node(session.uid)).await, None);
    assert_eq!(read(&ground.other, &key::load(session.uid)).await, None);
}

pub async fn the_dead_neither_renew_nor_reattach(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    ground.other.certify_dead(session.uid, None, "told".into()).await.expect("a certificate");
    let control = &ground.control;
    for answer in [control.renew(&session, Load::default()).await, control.reattach(&session).await.map(drop)] {
        let Err(ControlError::Lost { certificate: Some(certificate), .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(certificate.why, "told");
    }
}

pub async fn nobody_is_certified_who_never_lived(ground: Ground) {
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    let unborn = NodeUid { incarnation: u64::MAX, ..session.uid };
    let zero = NodeUid { incarnation: 0, ..session.uid };
    for uid in [unborn, zero] {
        invalid(ground.control.certify_dead(uid, None, "never lived".into()).await);
        assert_eq!(certificate(&ground.control, uid).await, None);
    }
}

pub async fn a_certificate_does_not_touch_others(ground: Ground) {
    let one = open(&ground.control, "game-1", Roles::GAME).await;
    let two = open(&ground.control, "game-2", Roles::GAME).await;
    ground.control.certify_dead(one.uid, None, "test".into()).await.expect("a certificate");
    assert_eq!(ground.control.renew(&two, Load::default()).await, Ok(()));
    assert!(read(&ground.control, &key::node(two.uid)).await.is_some());
}

pub async fn a_certificate_reaches_every_view(ground: Ground) {
    let (one, two) = (Membership::start(ground.control.clone()), Membership::start(ground.other.clone()));
    let session = open(&ground.control, "game-1", Roles::GAME).await;
    for membership in [&one, &two] {
        soon("the node", membership.wait_for(|view| view.nodes.contains_key(&session.uid))).await;
    }
    ground.control.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    for membership in [&one, &two] {
        let dead = |view: &ClusterView| view.dead.contains_key(&session.uid) && view.nodes.is_empty();
        soon("the death", membership.wait_for(dead)).await;
    }
}

pub async fn an_incarnation_that_is_dead_stays_so_when_its_name_lives_again(ground: Ground) {
    let first = open(&ground.control, "game-1", Roles::GAME).await;
    ground.control.certify_dead(first.uid, None, "first".into()).await.expect("a certificate");
    let second = ground.control.open(info("game-1", Roles::GAME, 2), NEVER).await.expect("a session");
    assert_eq!(certificate(&ground.control, first.uid).await.expect("one").why, "first");
    assert_eq!(certificate(&ground.control, second.uid).await, None);
    assert_eq!(ground.control.renew(&second, Load::default()).await, Ok(()));
}
