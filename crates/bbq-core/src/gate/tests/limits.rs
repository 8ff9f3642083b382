//! Every limit, and what happens at it.

use super::*;

fn limited(limits: Limits) -> Harness {
    Harness::new(Config { limits, ..config() })
}

#[test]
fn refused_connections_may_read_why_but_not_too_many_at_a_time() {
    let mut harness = limited(Limits { connections: 2, refusals: 1, ..Limits::default() });
    let (first, _second) = (harness.open(), harness.open());
    let (third, fourth) = (harness.open(), harness.open());
    assert_eq!(harness.error(third), Code::TOO_MANY_CONNECTIONS);
    assert!(harness.closed.contains(&third) && harness.aborted.contains(&fourth));
    harness.close(third);
    let fifth = harness.open();
    assert_eq!(harness.error(fifth), Code::TOO_MANY_CONNECTIONS);
    harness.close(first);
    let sixth = harness.open();
    assert_eq!(harness.received(sixth), [], "there is room again");
    assert_eq!(harness.refused(Code::TOO_MANY_CONNECTIONS), 3);
}

#[test]
fn one_address_does_not_take_the_place_of_others() {
    let mut harness = limited(Limits { connections_per_address: 1, ..Limits::default() });
    let _first = harness.open();
    let second = harness.open();
    assert_eq!(harness.error(second), Code::TOO_MANY_CONNECTIONS);
    let other = harness.open_from([10, 0, 0, 2]);
    assert_eq!(harness.received(other), []);
}

#[test]
fn handshakes_in_progress_are_limited_and_sessions_do_not_count() {
    let mut harness = limited(Limits { handshakes: 1, ..Limits::default() });
    let _ann = harness.login("ann");
    let waiting = harness.open();
    let refused = harness.open();
    let [Frame::Err(error)] = &harness.received(refused)[..] else { panic!("not refused") };
    assert_eq!((error.code, error.retry_after_ms), (Code::UNAVAILABLE, 2000));
    harness.close(waiting);
    harness.login("bob");
}

#[test]
fn a_full_gate_says_when_to_come_back() {
    let mut harness = limited(Limits { sessions: 1, ..Limits::default() });
    let ann = harness.login("ann");
    harness.close(ann.conn);
    let conn = harness.open();
    harness.login_over(conn, "bob", "");
    assert_eq!(harness.error(conn), Code::UNAVAILABLE);
    harness.handle(kick(ann.welcome.sid));
    harness.login("bob");
}

#[test]
fn a_method_is_limited_per_session_with_a_time_to_come_back() {
    let mut harness = Harness::new(config());
    let (mut ann, mut bob) = (harness.login("ann"), harness.login("bob"));
    let rare = || Req { method: RARE, ..Req::default() };
    harness.request(&mut ann, rare());
    harness.request(&mut ann, rare());
    assert_eq!(harness.mesh.len(), 2);
    harness.request(&mut ann, rare());
    let error = harness.response(&ann).unwrap_err();
    assert_eq!((error.code, error.retry_after_ms), (Code::RESOURCE_EXHAUSTED, 1000));
    harness.request(&mut bob, rare());
    harness.request(&mut ann, echo(b""));
    assert_eq!(harness.mesh.len(), 4, "other sessions and other methods are not concerned");
    harness.pass(Duration::from_secs(1));
    harness.request(&mut ann, rare());
    assert_eq!(harness.mesh.len(), 5);
}

#[test]
fn a_session_is_limited_whatever_it_calls() {
    let rate = Some(Rate { per_second: 10.0, burst: 3 });
    let mut harness = limited(Limits { session_rate: rate, ..Limits::default() });
    let mut ann = harness.login("ann");
    for method in [ECHO, SAY, 4711] {
        harness.request(&mut ann, Req { method, ..Req::default() });
    }
    harness.received(ann.conn);
    harness.request(&mut ann, Req { method: 4711, ..Req::default() });
    assert_eq!(harness.response(&ann).unwrap_err().code, Code::RESOURCE_EXHAUSTED);
}

#[test]
fn calls_in_flight_are_limited_per_session_and_in_all() {
    let mut harness = limited(Limits { calls: 100, ..Limits::default() });
    let mut ann = harness.login("ann");
    for _ in 0..64 {
        harness.request(&mut ann, echo(b""));
    }
    assert_eq!((harness.mesh.len(), harness.received(ann.conn).len()), (64, 2), "two acknowledgements");
    harness.request(&mut ann, echo(b""));
    assert_eq!(harness.response(&ann).unwrap_err().code, Code::BUSY);
    let mut bob = harness.login("bob");
    for _ in 64..100 {
        harness.request(&mut bob, echo(b""));
    }
    harness.received(bob.conn);
    harness.request(&mut bob, echo(b""));
    assert_eq!(harness.response(&bob).unwrap_err().code, Code::BUSY);
    let call = harness.call();
    harness.reply(&call, Ok(b""));
    harness.received(ann.conn);
    harness.request(&mut ann, echo(b""));
    assert_eq!(harness.received(ann.conn), []);
    assert_eq!(harness.gate.stats().calls, 100);
}

#[test]
fn groups_members_and_watchers_are_limited_and_more_is_ignored() {
    let limits = Limits { groups: 3, groups_per_session: 2, members: 4, watchers_per_session: 1, ..Limits::default() };
    let mut harness = limited(limits);
    let players: Vec<Player> = ["a", "b", "c"].iter().map(|name| harness.login(name)).collect();
    let sids: Vec<SessionId> = players.iter().map(|player| player.welcome.sid).collect();
    let mut join = |group, player: usize| {
        harness.join(group, sids[player]);
        let stats = harness.gate.stats();
        (stats.groups, stats.members, stats.ignored)
    };
    assert_eq!([join("x", 0), join("x", 0), join("y", 0)], [(1, 1, 0), (1, 1, 0), (2, 2, 0)]);
    assert_eq!(join("x2", 0), (2, 2, 1), "groups per session");
    assert_eq!([join("z", 1), join("w", 1)], [(3, 3, 1), (3, 3, 2)], "groups");
    assert_eq!([join("x", 1), join("x", 2)], [(3, 4, 2), (3, 4, 3)], "members");
    harness.handle(watch(1, sids[0], true));
    harness.handle(watch(1, sids[0], true));
    harness.handle(watch(2, sids[0], true));
    assert_eq!(harness.gate.stats().ignored, 4);
}
