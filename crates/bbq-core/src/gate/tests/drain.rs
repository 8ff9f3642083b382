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
fn a_gate_without_sessions_is_drained_at_once() {
    let mut harness = Harness::new(config());
    harness.handle(Input::Drain { grace: Duration::from_secs(4) });
    assert!(harness.drained);
    harness.drained = false;
    harness.handle(Input::Drain { grace: Duration::from_secs(4) });
    harness.pass(Duration::from_secs(5));
    assert!(!harness.drained);
}
