//! Entities that watch sessions.

use super::*;
use crate::world::SessionEvent::{Detached, Left, Resumed};

fn told(harness: &mut Harness) -> Vec<(u64, SessionEvent)> {
    let event = |message| match message {
        FromGate::Session { target: EntityId { key: bbq_wire::Key::Number(watcher), .. }, client, event } => {
            assert_eq!(client.gate, NODE);
            (watcher, event)
        }
        other => panic!("no event but {other:?}"),
    };
    std::mem::take(&mut harness.mesh).into_iter().map(event).collect()
}

#[test]
fn a_watcher_learns_that_a_session_goes_and_then_that_it_came_back_or_left() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.handle(watch(1, ann.welcome.sid, true));
    harness.handle(watch(2, ann.welcome.sid, true));
    harness.handle(watch(2, ann.welcome.sid, false));
    assert_eq!(told(&mut harness), []);
    harness.close(ann.conn);
    assert_eq!(told(&mut harness), [(1, Detached)]);
    let conn = harness.resume(&ann, 0);
    assert_eq!(told(&mut harness), [(1, Resumed)]);
    harness.close(conn);
    harness.pass(Duration::from_secs(61));
    assert_eq!(told(&mut harness), [(1, Detached), (1, Left)]);
}

#[test]
fn a_resume_over_a_connection_that_was_not_known_to_be_dead_is_a_detach_too() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.handle(watch(1, ann.welcome.sid, true));
    harness.resume(&ann, 0);
    assert_eq!(told(&mut harness), [(1, Detached), (1, Resumed)]);
    harness.close(ann.conn);
    assert_eq!(told(&mut harness), [], "the end of the old connection is no news");
}

#[test]
fn a_session_that_is_kicked_has_left() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.handle(watch(1, ann.welcome.sid, true));
    harness.handle(kick(ann.welcome.sid));
    harness.close(ann.conn);
    assert_eq!(told(&mut harness), [(1, Left)]);
    assert!(matches!(harness.received(ann.conn)[..], [Frame::Kick { reason: Code::KICKED, .. }]));
}

#[test]
fn who_watches_a_detached_or_unknown_session_is_told_at_once() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.close(ann.conn);
    harness.handle(watch(1, ann.welcome.sid, true));
    harness.handle(watch(2, SessionId(1), true));
    harness.handle(watch(3, SessionId(1), false));
    assert_eq!(told(&mut harness), [(1, Detached), (2, Left)]);
    harness.resume(&ann, 0);
    assert_eq!(told(&mut harness), [(1, Resumed)]);
}
