//! Pushes, calls to clients, groups, sessions and watches between nodes.

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

fn in_group(net: &mut Net, epoch: u64, change: GroupChange) {
    from_world(net, 1, world::Output::Group(GroupOp { group: "room".into(), epoch, change }));
}

fn pushed() -> GroupChange {
    let body = Bytes::from_static(b"hi");
    GroupChange::Push { method: 4, from: None, body, except: vec![SessionId(9)], unreliable: true }
}

/// What gates 2 and 3 were told of the group of node 1.
fn heard(net: &mut Net) -> [Vec<(u64, GroupChange)>; 2] {
    net.run(millis(200));
    [2, 3].map(|gate| {
        let told = gate_got(net, gate).into_iter().map(|told| match told {
            ToGate::Group(from, GroupOp { group, epoch, change }) => {
                assert_eq!((from, &*group), (uid(1), "room"));
                (epoch, change)
            }
            other => panic!("{other:?}"),
        });
        told.collect()
    })
}

#[test]
fn what_an_entity_says_to_its_group_goes_to_the_gates_of_members_and_to_no_other() {
    let mut net = net();
    in_group(&mut net, 7, pushed());
    in_group(&mut net, 7, GroupChange::Join(client(2, 5)));
    in_group(&mut net, 7, pushed());
    let [member, other] = heard(&mut net);
    let [(7, GroupChange::Join(joined)), push] = &member[..] else { panic!("{member:?}") };
    assert_eq!((joined.session, push), (SessionId(5), &(7, pushed())));
    assert_eq!(other, []);
    in_group(&mut net, 7, GroupChange::Join(client(3, 6)));
    in_group(&mut net, 7, pushed());
    in_group(&mut net, 7, GroupChange::Drop);
    in_group(&mut net, 7, pushed());
    let [member, other] = heard(&mut net);
    assert_eq!(member, [(7, pushed()), (7, GroupChange::Drop)]);
    assert_eq!(other[1..], [(7, pushed()), (7, GroupChange::Drop)]);
}

#[test]
fn what_is_said_to_a_group_that_services_share_goes_to_every_gate() {
    let mut net = net();
    in_group(&mut net, 0, GroupChange::Join(client(2, 5)));
    in_group(&mut net, 0, pushed());
    let [member, other] = heard(&mut net);
    assert_eq!((member.len(), &other[..]), (2, &[(0, pushed())][..]));
}

#[test]
fn gates_hear_of_dead_nodes_and_dead_gates_are_told_nothing() {
    let mut net = net();
    in_group(&mut net, 7, GroupChange::Join(client(2, 5)));
    in_group(&mut net, 7, GroupChange::Join(client(3, 6)));
    heard(&mut net);
    net.kill(3);
    net.run(millis(1000));
    assert_eq!(gate_got(&mut net, 2), [ToGate::Dead(vec![uid(3)])]);
    let dropped = net.nodes[1].mesh.stats().dropped;
    in_group(&mut net, 7, pushed());
    in_group(&mut net, 7, GroupChange::Join(client(3, 7)));
    in_group(&mut net, 7, pushed());
    assert_eq!(heard(&mut net)[0].len(), 2);
    // The join went nowhere, and no push tried to.
    assert_eq!(net.nodes[1].mesh.stats().dropped, dropped + 1);
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
