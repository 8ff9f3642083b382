//! Sending everybody away.

use super::*;

#[test]
fn a_drain_asks_clients_to_go_refuses_new_ones_and_ends_what_is_left() {
    let mut harness = Harness::new(config());
    let [mut goes, stays, away] = ["goes", "stays", "away"].map(|name| harness.login(name));
    harness.close(away.conn);
    harness.handle(watch(1, stays.welcome.sid, true));
    let opening = harness.open();
    harness.handle(Input::Drain { grace: Duration::from_secs(4) });
    let mut waits = Vec::new();
    for player in [&goes, &stays] {
        let [Frame::GoAway(message)] = &harness.received(player.conn)[..] else { panic!("not told to go") };
        waits.push(message.after_ms);
    }
    assert!(waits.iter().all(|ms| (1000..=2000).contains(ms)) && waits[0] != waits[1], "{waits:?}");
    assert_eq!(harness.gate.stats().detached, 0, "who is detached cannot come back here");
    let refused = harness.open();
    assert_eq!(harness.error(refused), Code::GOING_AWAY);
    let _ = opening;

    harness.request(&mut goes, echo(b"still served"));
    let call = harness.call();
    harness.reply(&call, Ok(b"yes"));
    assert_eq!(harness.response(&goes), Ok(Bytes::from_static(b"yes")));
    harness.close(goes.conn);
    assert!(!harness.drained);
    harness.pass(Duration::from_millis(4100));
    assert_eq!(harness.error(stays.conn), Code::GOING_AWAY);
    assert!(harness.closed.contains(&stays.conn) && harness.drained);
    let events: Vec<_> = harness.mesh.iter().filter(|message| matches!(message, FromGate::Session { .. })).collect();
    assert_eq!(events.len(), 2, "detached, then left");
}

#[test]
fn many_clients_get_more_time_to_go_but_not_without_end() {
    for (departures_per_second, millis) in [(1000, 500), (10, 8000), (1, 10_000)] {
        let mut config = config();
        config.limits.departures_per_second = departures_per_second;
        let mut harness = Harness::new(config);
        let players: Vec<Player> = (0..40).map(|n| harness.login(&format!("p{n}"))).collect();
        harness.handle(Input::Drain { grace: Duration::from_millis(500) });
        for player in &players {
            let [Frame::GoAway(away)] = &harness.received(player.conn)[..] else { panic!("not told to go") };
            assert!((millis / 4..=millis / 2).contains(&u64::from(away.after_ms)), "{} of {millis}", away.after_ms);
        }
        harness.pass(Duration::from_millis(millis - 100));
        assert!(!harness.drained, "whoever stays is cut off at the end, not before");
        harness.pass(Duration::from_millis(200));
        assert!(harness.drained);
        for player in &players {
            let frames = harness.received(player.conn);
            let last = frames.last();
            assert!(matches!(last, Some(Frame::Err(error)) if error.code == Code::GOING_AWAY), "{frames:?}");
        }
    }
}

#[test]
fn a_gate_without_sessions_is_drained_at_once() {
    let mut harness = Harness::new(config());
    harness.handle(Input::Drain { grace: Duration::from_secs(4) });
    assert!(harness.drained);
    harness.drained = false;
    harness.handle(Input::Drain { grace: Duration::from_secs(4) });
    harness.pass(Duration::from_secs(5));
    assert!(!harness.drained);
}
