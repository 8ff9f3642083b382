//! Pushes and groups.

use super::*;

#[test]
fn a_group_is_told_in_one_go_and_the_bytes_are_shared() {
    let mut harness = Harness::new(config());
    let players: Vec<Player> = (0..10).map(|n| harness.login(&format!("p{n}"))).collect();
    for player in &players {
        harness.join("room", player.welcome.sid);
    }
    let body = Bytes::from(vec![7; 1000]);
    let push = GroupChange::Push {
        method: SAID,
        from: Some(EntityId::new(1, 42)),
        body,
        except: vec![players[3].welcome.sid, SessionId(1)],
        unreliable: false,
    };
    let op = GroupOp { group: "room".into(), epoch: 0, change: push };
    harness.gate.handle(harness.now, Input::Mesh(ToGate::Group(NodeUid::default(), op)));
    let mut tails = BTreeSet::new();
    let mut told = 0;
    while let Some(output) = harness.gate.poll() {
        let Output::Send { frames, .. } = output else { panic!("{output:?}") };
        assert_eq!(frames.len(), 1);
        tails.insert(frames[0].tail.as_ptr() as usize);
        assert!(matches!(&decode(&frames[0])[..], [Frame::Push(note)] if note.key == Some(42.into())));
        told += 1;
    }
    assert_eq!((told, tails.len()), (9, 1));
}

#[test]
fn members_leave_by_name_by_their_end_and_when_the_group_is_dropped() {
    let mut harness = Harness::new(config());
    let [a, b, c] = ["a", "b", "c"].map(|name| harness.login(name));
    for player in [&a, &b, &c] {
        harness.join("x", player.welcome.sid);
        harness.join("y", player.welcome.sid);
    }
    harness.join("x", SessionId(1));
    harness.group("x", GroupChange::Leave(client(a.welcome.sid)));
    harness.group("x", GroupChange::Leave(client(a.welcome.sid)));
    harness.handle(kick(b.welcome.sid));
    harness.received(b.conn);
    assert_eq!((harness.gate.stats().groups, harness.gate.stats().members), (2, 3));
    harness.broadcast("x", b"1", vec![]);
    harness.group("y", GroupChange::Drop);
    harness.broadcast("y", b"2", vec![]);
    harness.broadcast("never", b"3", vec![]);
    let got = [&a, &b, &c].map(|player| bodies(&harness.received(player.conn)).len());
    assert_eq!((got, harness.gate.stats().groups), ([0, 0, 1], 1));
    harness.group("x", GroupChange::Leave(client(c.welcome.sid)));
    assert_eq!((harness.gate.stats().groups, harness.gate.stats().members), (0, 0));
    harness.join("x", a.welcome.sid);
    harness.broadcast("x", b"4", vec![]);
    assert_eq!(bodies(&harness.received(a.conn)), [b"4".as_slice()]);
}

fn said(body: &'static [u8]) -> GroupChange {
    let body = Bytes::from_static(body);
    GroupChange::Push { method: SAID, from: None, body, except: vec![], unreliable: false }
}

#[test]
fn a_newer_life_of_an_entity_begins_with_an_empty_group_and_an_older_one_is_not_heard() {
    let mut harness = Harness::new(config());
    let [a, b] = ["a", "b"].map(|name| harness.login(name));
    let [old, new] = [1, 2].map(|node| NodeUid { node, incarnation: 1 });
    harness.group_of(old, 7, "x", GroupChange::Join(client(a.welcome.sid)));
    harness.group_of(new, 8, "x", GroupChange::Join(client(b.welcome.sid)));
    // What the old life said last comes late.
    harness.group_of(old, 7, "x", said(b"old"));
    harness.group_of(old, 7, "x", GroupChange::Join(client(a.welcome.sid)));
    harness.group_of(old, 7, "x", GroupChange::Leave(client(b.welcome.sid)));
    harness.group_of(old, 7, "x", GroupChange::Drop);
    harness.group_of(new, 8, "x", said(b"new"));
    let heard = [&a, &b].map(|player| bodies(&harness.received(player.conn)));
    assert_eq!(heard, [vec![], vec![Bytes::from_static(b"new")]]);
    // A life without members of its own does not speak to those of the one before.
    harness.group_of(new, 9, "x", said(b"alone"));
    assert_eq!(harness.received(b.conn), []);
    assert_eq!((harness.gate.stats().groups, harness.gate.stats().members), (0, 0));
}

#[test]
fn groups_of_entities_end_with_their_node_unless_they_live_on_elsewhere() {
    let mut harness = Harness::new(config());
    let a = harness.login("a");
    let [dead, alive] = [1, 2].map(|node| NodeUid { node, incarnation: 1 });
    let join = || GroupChange::Join(client(a.welcome.sid));
    for (node, epoch, group) in [(dead, 7, "x"), (dead, 7, "y"), (alive, 8, "y"), (dead, 0, "of services")] {
        harness.group_of(node, epoch, group, join());
    }
    harness.handle(Input::Mesh(ToGate::Dead(vec![dead])));
    assert_eq!((harness.gate.stats().groups, harness.gate.stats().members), (2, 2));
    harness.group_of(dead, 7, "x", said(b"x"));
    harness.group_of(alive, 8, "y", said(b"y"));
    harness.group_of(alive, 0, "of services", said(b"s"));
    assert_eq!(bodies(&harness.received(a.conn)), [b"y".as_slice(), b"s"]);
    // The session knows as well: it can join again.
    harness.group_of(alive, 9, "x", join());
    harness.group_of(alive, 9, "x", said(b"again"));
    assert_eq!(bodies(&harness.received(a.conn)), [b"again".as_slice()]);
}

#[test]
fn a_detached_member_hears_later_what_was_said_reliably() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.join("x", ann.welcome.sid);
    harness.close(ann.conn);
    harness.broadcast("x", b"1", vec![]);
    harness.group(
        "x",
        GroupChange::Push { method: SAID, from: None, body: Bytes::new(), except: vec![], unreliable: true },
    );
    let conn = harness.resume(&ann, 0);
    assert_eq!(bodies(&harness.received(conn)[1..]), [b"1".as_slice()]);
    harness.broadcast("x", b"2", vec![]);
    assert_eq!(bodies(&harness.received(conn)), [b"2".as_slice()]);
}

#[test]
fn pushes_of_one_interval_share_a_write_and_replies_do_not_wait() {
    let mut harness = Harness::new(Config { flush: Duration::from_millis(10), ..config() });
    let mut ann = harness.login("ann");
    harness.join("x", ann.welcome.sid);
    harness.writes = 0;
    for body in [b"1", b"2", b"3"] {
        harness.broadcast("x", body, vec![]);
        harness.pass(Duration::from_millis(2));
    }
    assert_eq!(harness.writes, 0);
    harness.pass(Duration::from_millis(5));
    assert_eq!((harness.writes, bodies(&harness.received(ann.conn)).len()), (1, 3));
    assert!(harness.gate.deadline().is_some_and(|at| at.since(harness.now) > Duration::from_secs(1)));

    harness.push(ann.welcome.sid, b"4", false);
    harness.request(&mut ann, echo(b""));
    let call = harness.call();
    harness.reply(&call, Ok(b"5"));
    let frames = harness.received(ann.conn);
    assert!(matches!(&frames[..], [Frame::Push(push), Frame::Rsp(rsp)] if push.seq + 1 == rsp.seq), "{frames:?}");
}

#[test]
fn without_an_interval_a_batch_of_inputs_shares_a_write() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.writes = 0;
    for body in [b"1", b"2", b"3"] {
        let message = message(ann.welcome.sid, body, false);
        harness.gate.handle(harness.now, Input::Mesh(ToGate::ToClient { corr: None, message }));
    }
    harness.drain_outputs();
    assert_eq!((harness.writes, bodies(&harness.received(ann.conn)).len()), (1, 3));
}

#[test]
fn a_slow_client_loses_the_unreliable_first_then_its_connection_and_nobody_else_notices() {
    let mut config = config();
    config.session.max_unflushed = 10_000;
    let mut harness = Harness::new(config);
    let (slow, quick) = (harness.login("slow"), harness.login("quick"));
    harness.join("x", slow.welcome.sid);
    harness.join("x", quick.welcome.sid);
    let flush = |harness: &mut Harness| {
        let frames = harness.received(quick.conn);
        harness.handle(Input::Flushed { conn: quick.conn, bytes: 100_000 });
        frames.len()
    };
    flush(&mut harness);
    for _ in 0..6 {
        harness.broadcast("x", &[0; 1000], vec![]);
    }
    assert_eq!(flush(&mut harness), 6);
    let body = Bytes::from(vec![0; 1000]);
    harness.group("x", GroupChange::Push { method: SAID, from: None, body, except: vec![], unreliable: true });
    assert_eq!((flush(&mut harness), harness.received(slow.conn).len()), (1, 6), "shed for the slow one only");
    for _ in 0..20 {
        harness.broadcast("x", &[0; 1000], vec![]);
        assert_eq!(flush(&mut harness), 1);
    }
    let frames = harness.received(slow.conn);
    assert!(frames.len() < 6 && matches!(frames.last(), Some(Frame::Err(error)) if error.code == Code::SLOW_CONSUMER));
    assert!(harness.closed.contains(&slow.conn) && !harness.closed.contains(&quick.conn));
    let stats = harness.gate.stats();
    assert_eq!((stats.cut.get(&Code::SLOW_CONSUMER), stats.attached, stats.detached), (Some(&1), 1, 1));
    let conn = harness.resume(&slow, 3);
    assert_eq!(harness.received(conn).len(), 1 + 23, "it may resume and misses nothing");
}

#[test]
fn what_is_said_to_unknown_sessions_or_is_too_long_is_lost_and_counted() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.push(SessionId(1), b"1", false);
    harness.push(ann.welcome.sid, &vec![0; 2 << 20], false);
    assert_eq!((harness.received(ann.conn), harness.gate.stats().lost_pushes), (vec![], 2));
}
