//! From a connection to a session, and back to it.

use super::*;

#[test]
fn a_credential_is_verified_once_and_opens_a_session_with_the_verifiers_account() {
    let mut harness = Harness::new(config());
    let conn = harness.open();
    harness.send(conn, [hello(), auth("a token", "phone")]);
    let (asked, request) = harness.verify.pop().unwrap();
    assert_eq!((asked, &*request.scheme, &*request.device), (conn, "test", "phone"));
    assert_eq!(harness.reading.get(&conn), None, "nothing is read while it is verified");
    let properties = vec![("region".to_owned(), "eu".to_owned())];
    harness.verified(conn, Ok(Verified { account: "ann".into(), properties: properties.clone() }));
    let [Frame::Welcome(welcome)] = &harness.received(conn)[..] else { panic!("no welcome") };
    assert_eq!((&*welcome.account, welcome.resumed, welcome.ticket.len()), ("ann", false, 16));
    assert!(welcome.sid.0 > 0 && welcome.sid.0 < 1 << 53);
    assert_eq!(harness.reading.get(&conn), Some(&Reading::Session(64 * 1024)));
    let views = harness.gate.sessions_of("ann");
    assert_eq!((views.len(), &views[0].properties, &*views[0].device), (1, &properties, "phone"));
    harness.verified(conn, Ok(Verified::account("eve")));
    assert!(harness.gate.sessions_of("eve").is_empty(), "a second verdict means nothing");
}

#[test]
fn a_refused_credential_closes_and_nothing_is_kept() {
    let mut harness = Harness::new(config());
    let refusals = [
        Err(Error::new(Code::UNAUTHENTICATED, "no")),
        Ok(Verified::account("")),
        Ok(Verified::account("x".repeat(65))),
        Ok(Verified { account: "x".into(), properties: vec![("a".into(), "b".repeat(5000))] }),
    ];
    for result in refusals {
        let conn = harness.open();
        harness.send(conn, [hello(), auth("t", "")]);
        harness.verified(conn, result);
        assert_eq!(harness.error(conn), Code::UNAUTHENTICATED);
        assert!(harness.closed.contains(&conn));
        harness.send(conn, [auth("t", "")]);
        assert!(harness.verify.len() <= 1, "a closing connection is not listened to");
        harness.close(conn);
        harness.verify.clear();
    }
    let stats = harness.gate.stats();
    assert_eq!((stats.connections, stats.handshakes, stats.opened), (0, 0, 0));
}

#[test]
fn a_frame_out_of_place_or_malformed_ends_the_opening() {
    let mut harness = Harness::new(config());
    for frame in [Frame::Ping { nonce: 1 }, auth("t", ""), Frame::Req(echo(b""))] {
        let conn = harness.open();
        harness.send(conn, [frame]);
        assert_eq!(harness.error(conn), Code::BAD_FRAME);
    }
    let conn = harness.open();
    harness.handle(Input::BadFrame { conn, error: FrameError::TooLarge { len: 5000, limit: 4096 } });
    assert_eq!(harness.error(conn), Code::FRAME_TOO_LARGE);
    let conn = harness.open();
    harness.send(conn, [hello(), auth("t", &"d".repeat(65))]);
    assert_eq!(harness.error(conn), Code::INVALID_ARGUMENT);
    assert_eq!(harness.mesh, []);
}

#[test]
fn the_handshake_has_a_deadline_and_a_verdict_after_it_means_nothing() {
    let mut harness = Harness::new(config());
    let (silent, verifying) = (harness.open(), harness.open());
    harness.send(verifying, [hello(), auth("ann", "")]);
    harness.pass(Duration::from_millis(9990));
    assert!(harness.closed.is_empty());
    harness.pass(Duration::from_millis(20));
    assert_eq!([harness.error(silent), harness.error(verifying)], [Code::HANDSHAKE_TIMEOUT; 2]);
    harness.verified(verifying, Ok(Verified::account("ann")));
    assert!(harness.gate.sessions_of("ann").is_empty());
    assert_eq!(harness.gate.stats().handshakes, 0);
}

#[test]
fn a_connection_that_goes_while_it_is_verified_leaves_nothing() {
    let mut harness = Harness::new(config());
    let conn = harness.open();
    harness.send(conn, [hello(), auth("ann", "")]);
    harness.close(conn);
    harness.verified(conn, Ok(Verified::account("ann")));
    assert_eq!((harness.gate.stats().opened, harness.gate.deadline()), (0, None));
}

#[test]
fn a_resume_replays_what_was_missed_and_needs_the_ticket() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.push(ann.welcome.sid, b"1", false);
    harness.close(ann.conn);
    harness.push(ann.welcome.sid, b"2", false);
    harness.push(ann.welcome.sid, b"lost", true);
    let mut thief = harness.login("thief");
    thief.welcome.sid = ann.welcome.sid;
    let conn = harness.resume(&thief, 0);
    assert_eq!(harness.error(conn), Code::RESUME_FAILED);
    assert!(!harness.closed.contains(&conn) && harness.reading.get(&conn) == Some(&Reading::Opening));
    harness.send(conn, [auth("eve", "")]);
    harness.verified(conn, Ok(Verified::account("eve")));
    assert!(matches!(&harness.received(conn)[..], [Frame::Welcome(welcome)] if welcome.account == "eve"));

    let conn = harness.resume(&ann, 1);
    let frames = harness.received(conn);
    assert!(matches!(&frames[0], Frame::Welcome(welcome) if welcome.resumed && welcome.account == "ann"));
    assert_eq!(bodies(&frames[1..]), [b"2".as_slice()]);
    let conn = harness.resume(&ann, 9);
    assert_eq!(harness.error(conn), Code::RESUME_FAILED, "it cannot have seen what was never sent");
}

#[test]
fn a_resume_takes_over_from_a_connection_that_nobody_knew_to_be_dead() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.push(ann.welcome.sid, b"1", false);
    let conn = harness.resume(&ann, 0);
    assert!(harness.closed.contains(&ann.conn));
    harness.close(ann.conn);
    assert_eq!(harness.received(conn).len(), 2);
    let stats = harness.gate.stats();
    assert_eq!((stats.attached, stats.detached, stats.resumed), (1, 0, 1));
}

#[test]
fn a_detached_session_expires() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.close(ann.conn);
    harness.pass(Duration::from_secs(59));
    assert_eq!(harness.gate.stats().detached, 1);
    harness.pass(Duration::from_millis(1100));
    assert_eq!(harness.gate.stats().detached, 0);
    let conn = harness.resume(&ann, 0);
    assert_eq!(harness.error(conn), Code::RESUME_FAILED);
}

#[test]
fn a_silent_client_is_pinged_and_then_dropped() {
    let mut harness = Harness::new(config());
    let ann = harness.login("ann");
    harness.pass(Duration::from_secs(11));
    assert!(matches!(harness.received(ann.conn)[..], [Frame::Ping { .. }]));
    harness.send(ann.conn, [Frame::Pong { nonce: 0, time_ms: 0 }]);
    harness.pass(Duration::from_secs(24));
    assert!(!harness.closed.contains(&ann.conn));
    harness.pass(Duration::from_secs(2));
    assert!(harness.closed.contains(&ann.conn));
    assert_eq!(harness.gate.stats().cut.get(&Code::HEARTBEAT_TIMEOUT), Some(&1));
}

#[test]
fn a_second_login_does_what_the_policy_says() {
    let kicked = |harness: &mut Harness, player: &Player| {
        matches!(harness.received(player.conn)[..], [Frame::Kick { reason: Code::REPLACED, .. }])
            && harness.closed.contains(&player.conn)
    };
    let mut harness = Harness::new(config());
    let (first, other) = (harness.login_on("ann", "phone"), harness.login("bob"));
    harness.login_on("ann", "desk");
    assert!(kicked(&mut harness, &first) && !kicked(&mut harness, &other));

    let mut harness = Harness::new(Config { duplicate_login: DuplicateLogin::ReplaceDevice, ..config() });
    let (phone, desk) = (harness.login_on("ann", "phone"), harness.login_on("ann", "desk"));
    harness.login_on("ann", "desk");
    assert!(!kicked(&mut harness, &phone) && kicked(&mut harness, &desk));

    let limits = Limits { sessions_per_account: 2, ..Limits::default() };
    let mut harness = Harness::new(Config { duplicate_login: DuplicateLogin::Allow, limits, ..config() });
    let (oldest, older) = (harness.login("ann"), harness.login("ann"));
    harness.login("ann");
    assert!(kicked(&mut harness, &oldest) && !kicked(&mut harness, &older));
    assert_eq!(harness.gate.sessions_of("ann").len(), 2);
}

#[test]
fn ids_of_sessions_are_unique_even_if_the_entropy_repeats() {
    let mut harness = Harness::new(config());
    let mut sids = BTreeSet::new();
    for number in 0..3 {
        let conn = ConnId(100 + number);
        harness.handle(Input::Opened { conn, ip: [1, 1, 1, 1].into(), entropy: Entropy([0; 24]) });
        harness.login_over(conn, &format!("p{number}"), "");
        let [Frame::Welcome(welcome)] = &harness.received(conn)[..] else { panic!("no welcome") };
        assert!(sids.insert(welcome.sid) && welcome.sid.0 != 0);
    }
}
