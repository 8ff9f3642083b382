//! Pushes, calls to clients, groups, sessions and watches between nodes.

use std::sync::Arc;

use bbq_wire::{Code, EntityId, Error, SessionId, Time};
use bytes::Bytes;

use super::net::{GAME, GATE, KIND, Net, PROXY, millis, uid};
use crate::mesh::{FromGate, Input, Roles, ToGate};
use crate::world::{self, CallId, ClientRef, GroupChange, GroupOp, Note, SessionEvent, ToClient};

const BOTH: Roles = Roles(GAME.0 | PROXY.0);

fn entity(n: u64) -> EntityId {
    EntityId::new(KIND, n)
}

fn client(gate: usize, session: u64) -> ClientRef {
    ClientRef { gate: uid(gate), session: SessionId(session), account: "ann".into() }
}

fn from_world(net: &mut Net, node: usize, output: world::Output) {
    net.input(node, Input::World { index: 0, output });
}

/// Node 0 hosts entity 0, node 1 hosts entity 1; 2 and 3 are gates.
fn net() -> Net {
    let mut net = Net::new(1, &[(BOTH, None), (GAME, None), (GATE, None), (GATE, None)]);
    net.run(millis(100));
    net.call(0, 0, &entity(0), millis(3000));
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    net
}

fn gate_got(net: &mut Net, gate: usize) -> Vec<ToGate> {
    net.run(millis(200));
    std::mem::take(&mut net.nodes[gate].to_gate)
}

fn push(gate: usize, call: Option<u64>) -> world::Output {
    world::Output::ToClient(ToClient {
        client: client(gate, 5),
        method: 3,
        from: Some(entity(0)),
        body: Bytes::from_static(b"hello"),
        call: call.map(CallId),
        deadline: Time::from_millis(60_000),
        unreliable: false,
    })
}

#[test]
fn a_push_reaches_the_gate_of_its_session() {
    let mut net = net();
    from_world(&mut net, 0, push(2, None));
    let got = gate_got(&mut net, 2);
    let [ToGate::ToClient { corr: None, message }] = &got[..] else { panic!("{got:?}") };
    assert_eq!((message.client.session, &message.body[..]), (SessionId(5), &b"hello"[..]));
    assert_eq!(gate_got(&mut net, 3), []);
}

#[test]
fn a_client_answers_the_world_that_called_it() {
    let mut net = net();
    // The verdict goes to the table of calls of the test: number 2 does not exist there yet.
    let call = net.call(0, 0, &entity(1), millis(100_000));
    net.run(millis(500));
    net.calls[call].verdict = None;
    from_world(&mut net, 0, push(3, Some(call as u64)));
    let got = gate_got(&mut net, 3);
    let [ToGate::ToClient { corr: Some(corr), .. }] = got[..] else { panic!("{got:?}") };
    let mut body = vec![0; 16];
    body.extend(77_u64.to_le_bytes());
    net.input(3, Input::Gate(FromGate::ClientReply { corr, result: Ok(body.into()) }));
    net.run(millis(500));
    assert_eq!(net.result(call), Ok(77));
}

#[test]
fn a_call_to_a_client_of_a_dead_gate_says_so() {
    let mut net = net();
    let call = net.call(0, 0, &entity(1), millis(100_000));
    net.run(millis(500));
    net.calls[call].verdict = None;
    net.kill(3);
    net.run(millis(1000));
    from_world(&mut net, 0, push(3, Some(call as u64)));
    net.run(millis(500));
    assert_eq!(net.code(call), Code::CLIENT_GONE);
}

#[test]
fn membership_goes_to_one_gate_and_pushes_go_to_all() {
    let mut net = net();
    let group: Arc<str> = "room".into();
    let op = |change| world::Output::Group(GroupOp { group: Arc::clone(&group), change });
    from_world(&mut net, 1, op(GroupChange::Join(client(2, 5))));
    let body = Bytes::from_static(b"hi");
    let push = GroupChange::Push { method: 4, from: None, body, except: vec![SessionId(9)], unreliable: true };
    from_world(&mut net, 1, op(push.clone()));
    let got = gate_got(&mut net, 2);
    let [ToGate::Group(GroupOp { change: GroupChange::Join(joined), .. }), ToGate::Group(pushed)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!((joined.session, &pushed.change), (SessionId(5), &push));
    assert_eq!(gate_got(&mut net, 3), [ToGate::Group(GroupOp { group, change: push })]);
}

#[test]
fn a_kick_reaches_the_gate() {
    let mut net = net();
    from_world(&mut net, 0, world::Output::Kick(client(3, 8), Error::new(Code::KICKED, "cheater")));
    let error = Error::new(Code::KICKED, "cheater");
    assert_eq!(gate_got(&mut net, 3), [ToGate::Kick { session: SessionId(8), error }]);
}

#[test]
fn a_watched_session_tells_its_entity_even_by_the_death_of_its_gate() {
    let mut net = net();
    from_world(&mut net, 1, world::Output::WatchClient(entity(1), client(2, 5), true));
    let got = gate_got(&mut net, 2);
    let [ToGate::WatchClient { watcher, client: watched, on: true }] = &got[..] else { panic!("{got:?}") };
    assert_eq!((watcher, watched.session), (&entity(1), SessionId(5)));
    let event = FromGate::Session { target: entity(1), client: client(2, 5), event: SessionEvent::Detached };
    net.input(2, Input::Gate(event));
    net.run(millis(200));
    let told = net.told(1);
    assert!(told.len() == 1 && told[0].contains("Detached"), "{told:?}");
    net.kill(2);
    net.run(millis(1000));
    let told = net.told(1);
    assert!(told.len() == 1 && told[0].contains("Left"), "{told:?}");
}

#[test]
fn watches_notes_and_ends_cross_nodes() {
    let mut net = net();
    from_world(&mut net, 0, world::Output::Watch(entity(0), entity(1), true));
    net.run(millis(500));
    assert!(net.told(1)[0].starts_with("Watch"));
    let note = Note { from: entity(1), name: "moved".into(), body: crate::Payload::EMPTY };
    from_world(&mut net, 1, world::Output::Note(entity(0), note));
    from_world(&mut net, 1, world::Output::Gone(entity(0), entity(1)));
    net.run(millis(500));
    let told = net.told(0);
    assert!(told.len() == 2 && told[0].contains("moved") && told[1].starts_with("Gone"), "{told:?}");
}

#[test]
fn watching_what_is_not_active_says_gone_and_activates_nothing() {
    let mut net = net();
    from_world(&mut net, 1, world::Output::Watch(entity(1), entity(5), true));
    net.run(millis(500));
    let told = net.told(1);
    assert!(told.len() == 1 && told[0].starts_with("Gone"), "{told:?}");
    assert_eq!(net.host_of(&entity(5)), None);
}

#[test]
fn the_death_of_a_node_is_the_end_of_all_that_was_watched_on_it() {
    let mut net = net();
    from_world(&mut net, 0, world::Output::Watch(entity(0), entity(1), true));
    net.run(millis(500));
    net.kill(1);
    net.run(millis(1000));
    let told = net.told(0);
    assert!(told.len() == 1 && told[0].starts_with("Gone"), "{told:?}");
}
