//! Who owns the slots of the directory, and how busy nodes are.

use super::*;

fn shared(view: &ClusterView, among: &[Session]) -> bool {
    among.iter().all(|session| view.slots.iter().any(|(_, slot)| slot.owner == Some(session.uid)))
        && view.slots.iter().all(|(_, slot)| among.iter().any(|session| slot.owner == Some(session.uid)))
}

pub async fn slots_follow_the_proxies_and_their_epochs_grow(ground: Ground) {
    let control = &ground.control;
    let membership = Membership::start(ground.other.clone());
    let mut sessions = Vec::new();
    for name in ["a", "b", "c"] {
        sessions.push(open(control, name, Roles::PROXY).await);
    }
    open(control, "d", Roles::GAME).await;
    let before = soon("the assignment", membership.wait_for(|view| shared(view, &sessions))).await;
    let dead = sessions[1].uid;
    control.certify_dead(dead, None, "test".into()).await.expect("a certificate");
    let moved = |view: &ClusterView| view.slots.iter().all(|(_, slot)| slot.owner != Some(dead));
    let after = soon("the move", membership.wait_for(moved)).await;
    for ((number, old), (_, new)) in before.slots.iter().zip(after.slots.iter()) {
        if old.owner == Some(dead) {
            assert!(new.epoch > old.epoch && new.owner.is_some(), "slot {number}");
        } else {
            assert_eq!(old, new, "slot {number} moved for nothing");
        }
    }
}

pub async fn a_single_proxy_owns_everything(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let session = open(&ground.control, "a", Roles::PROXY).await;
    soon("the assignment", membership.wait_for(|view| shared(view, std::slice::from_ref(&session)))).await;
}

pub async fn without_a_proxy_nobody_owns_anything(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    open(&ground.control, "a", Roles::GAME | Roles::GATE).await;
    let view = soon("the node", membership.wait_for(|view| view.nodes.len() == 1)).await;
    assert!(view.slots.iter().all(|(_, slot)| slot.owner.is_none()));
}

pub async fn when_the_last_proxy_dies_nobody_owns_anything(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let session = open(&ground.control, "a", Roles::PROXY).await;
    let before = soon("the assignment", membership.wait_for(|view| view.slots.slot(0).owner.is_some())).await;
    ground.control.certify_dead(session.uid, None, "test".into()).await.expect("a certificate");
    let after = soon("the end", membership.wait_for(|view| view.slots.slot(0).owner.is_none())).await;
    assert!(after.slots.slot(0).epoch > before.slots.slot(0).epoch);
}

pub async fn a_proxy_that_comes_back_under_its_name_gets_its_slots_back(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let mut sessions =
        vec![open(&ground.control, "a", Roles::PROXY).await, open(&ground.control, "b", Roles::PROXY).await];
    let before = soon("the assignment", membership.wait_for(|view| shared(view, &sessions))).await;
    let old = sessions[0].uid;
    sessions[0] = ground.control.open(info("a", Roles::PROXY, 2), NEVER).await.expect("a session");
    let after = soon("the return", membership.wait_for(|view| shared(view, &sessions))).await;
    for ((number, one), (_, two)) in before.slots.iter().zip(after.slots.iter()) {
        assert_eq!(one.owner == Some(old), two.owner == Some(sessions[0].uid), "slot {number}");
        assert!(one.owner != Some(old) || two.epoch > one.epoch, "slot {number}");
    }
}

pub async fn a_proxy_that_drains_gives_its_slots_away(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let (drained, other) =
        (open(&ground.control, "a", Roles::PROXY).await, open(&ground.control, "b", Roles::PROXY).await);
    let load = Load { weight: 0, permille: 700, entities: 12, sessions: 34 };
    ground.control.renew(&drained, load).await.expect("it lives");
    let empty = |view: &ClusterView| {
        view.nodes.get(&drained.uid).is_some_and(|node| node.load == load) && shared(view, std::slice::from_ref(&other))
    };
    soon("the drain", membership.wait_for(empty)).await;
}

pub async fn a_draining_proxy_is_better_than_none(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let session = open(&ground.control, "a", Roles::PROXY).await;
    ground.control.renew(&session, Load { weight: 0, permille: 0, ..Load::default() }).await.expect("it lives");
    let drains = |view: &ClusterView| view.nodes.get(&session.uid).is_some_and(|node| node.load.weight == 0);
    soon("the drain", membership.wait_for(|view| drains(view) && view.slots.slot(0).owner == Some(session.uid))).await;
}

pub async fn a_proxy_that_drains_no_more_gets_slots_again(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let sessions = [open(&ground.control, "a", Roles::PROXY).await, open(&ground.control, "b", Roles::PROXY).await];
    ground.control.renew(&sessions[0], Load { weight: 0, permille: 0, ..Load::default() }).await.expect("it lives");
    soon("the drain", membership.wait_for(|view| shared(view, &sessions[1..]))).await;
    ground.control.renew(&sessions[0], Load { weight: 100, permille: 0, ..Load::default() }).await.expect("it lives");
    soon("the return", membership.wait_for(|view| shared(view, &sessions))).await;
}

pub async fn the_load_reaches_every_view(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let session = open(&ground.control, "a", Roles::GAME).await;
    for permille in [1, 500, 999] {
        let load = Load { weight: 100, permille, ..Load::default() };
        ground.control.renew(&session, load).await.expect("it lives");
        let told = |view: &ClusterView| view.nodes.get(&session.uid).is_some_and(|node| node.load == load);
        soon("the load", membership.wait_for(told)).await;
    }
}

pub async fn epochs_grow_however_often_owners_change(ground: Ground) {
    let membership = Membership::start(ground.other.clone());
    let mut last = 0;
    for start in 1..5 {
        let session = ground.control.open(info("a", Roles::PROXY, start), NEVER).await.expect("a session");
        let owns = |view: &ClusterView| view.slots.slot(7).owner == Some(session.uid);
        let view = soon("the assignment", membership.wait_for(owns)).await;
        assert!(view.slots.slot(7).epoch > last);
        last = view.slots.slot(7).epoch;
    }
}
