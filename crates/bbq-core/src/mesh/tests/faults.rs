//! Dying nodes, cut links, moving slots.

use bbq_wire::mesh::{Call, Mesh as Message, MeshFrame, Target};
use bbq_wire::{Code, EntityId, Time};
use bytes::Bytes;

use super::net::{GAME, KIND, Net, PROXY, millis, uid};
use crate::mesh::{Config, Input, LinkId, Mesh, Output, Roles};

const BOTH: Roles = Roles(GAME.0 | PROXY.0);

fn entity(n: u64) -> EntityId {
    EntityId::new(KIND, n)
}

/// The entity is active on node 1.
fn with_entity_on_node_1(seed: u64, nodes: &[(Roles, Option<usize>)]) -> Net {
    let mut net = Net::new(seed, nodes);
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    assert_eq!(net.host_of(&entity(1)), Some(1));
    net
}

#[test]
fn a_call_whose_node_dies_has_an_unknown_outcome_that_names_the_node() {
    let mut net = with_entity_on_node_1(1, &[(BOTH, None), (GAME, None)]);
    net.work = millis(100_000);
    let call = net.call(0, 0, &entity(1), millis(60_000));
    net.run(millis(100));
    net.kill(1);
    net.run(millis(1000));
    assert_eq!(net.code(call), Code::OUTCOME_UNKNOWN);
    assert!(net.result(call).unwrap_err().message.contains(&uid(1).to_string()));
}

#[test]
fn a_call_that_had_not_left_when_its_node_died_is_served_elsewhere() {
    let mut net = with_entity_on_node_1(2, &[(BOTH, None), (GAME, None), (GAME, None)]);
    net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(100));
    net.kill(1);
    let calls: Vec<usize> = (0..5).map(|n| net.call(n % 3 / 2 * 2, 0, &entity(1), millis(8000))).collect();
    net.run(millis(8000));
    calls.into_iter().for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    net.check_history();
}

#[test]
fn after_the_death_of_its_node_an_entity_comes_back_under_a_higher_epoch() {
    let mut net = with_entity_on_node_1(3, &[(BOTH, None), (GAME, None)]);
    let before = net.nodes[1].entities[&entity(1)].0;
    net.kill(1);
    net.run(millis(1000));
    let call = net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(1000));
    assert_eq!(net.result(call), Ok(call as u64));
    assert!(net.nodes[0].entities[&entity(1)].0 > before);
}

#[test]
fn a_new_slot_owner_learns_what_runs_before_it_activates_anything() {
    let mut net = with_entity_on_node_1(4, &[(BOTH, None), (GAME, None), (PROXY, None)]);
    let epoch = net.nodes[1].entities[&entity(1)].0;
    net.move_slots(2);
    let calls: Vec<usize> = (0..6).map(|n| net.call(n % 2, 0, &entity(1 + n as u64 / 4), millis(5000))).collect();
    net.run(millis(4000));
    calls.into_iter().for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    assert_eq!(net.nodes[1].entities[&entity(1)].0, epoch, "it was not moved");
    net.check_history();
}

#[test]
fn the_death_of_a_slot_owner_loses_no_call_to_others() {
    let mut net = with_entity_on_node_1(5, &[(BOTH, None), (GAME, None), (PROXY, None), (PROXY, None)]);
    for n in 0..40 {
        net.call(n % 2, 0, &entity(n as u64), millis(8000));
    }
    net.kill(2);
    for n in 0..40 {
        net.call(n % 2, 0, &entity(n as u64), millis(8000));
    }
    net.run(millis(9000));
    (0..net.calls.len()).for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    net.check_history();
}

#[test]
fn a_lost_end_of_an_entity_is_noticed_by_the_next_caller() {
    let mut net = with_entity_on_node_1(6, &[(PROXY, None), (GAME, None), (GAME, None)]);
    net.stop(&entity(1));
    for _ in 0..30 {
        net.cut(0, 1);
        net.run(millis(1));
    }
    let call = net.call(2, 0, &entity(1), millis(5000));
    net.run(millis(5000));
    assert_eq!(net.result(call), Ok(call as u64));
}

#[test]
fn a_cut_link_is_made_again_and_what_waited_goes_over_it() {
    let mut net = with_entity_on_node_1(7, &[(BOTH, None), (GAME, None)]);
    net.cut(0, 1);
    let call = net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(1000));
    assert_eq!(net.result(call), Ok(call as u64));
}

#[test]
fn a_frame_with_a_foreign_source_closes_the_link() {
    let mut net = with_entity_on_node_1(8, &[(BOTH, None), (GAME, None), (GAME, None)]);
    let links = net.nodes[0].mesh.stats().links;
    let frame = MeshFrame::new(uid(2), uid(0), Message::Ping { nonce: 1 });
    for link in 0..4 {
        net.input(0, Input::Frame { link: LinkId(link), frame: Box::new(frame.clone()) });
    }
    assert!(net.nodes[0].mesh.stats().links < links);
}

#[test]
fn a_silent_link_is_closed_after_three_missed_pings_and_a_quiet_one_is_not() {
    let mut net = with_entity_on_node_1(9, &[(BOTH, None), (GAME, None)]);
    net.run(millis(20_000));
    assert_eq!(net.nodes[0].mesh.stats().links, 1, "pings keep it open");
    let config = crate::mesh::Config { me: uid(0), ..crate::mesh::Config::default() };
    let mut alone = crate::mesh::Mesh::new(config);
    let now = net.now;
    alone.handle(now, Input::LinkUp { link: LinkId(1), peer: uid(1), roles: GAME });
    let mut closed = None;
    while let (Some(next), None) = (alone.deadline(), closed) {
        alone.handle(next, Input::Tick);
        while let Some(output) = alone.poll() {
            if matches!(output, crate::mesh::Output::Disconnect { link: LinkId(1) }) {
                closed = Some(next.since(now));
            }
        }
    }
    assert_eq!(closed, Some(millis(4000)));
}

#[test]
fn of_two_copies_of_an_entity_the_older_one_is_ended() {
    let mut net = with_entity_on_node_1(8, &[(BOTH, None), (GAME, None), (GAME, None)]);
    let epoch = net.nodes[1].entities[&entity(1)].0;
    for (reported, ends) in [(epoch - 1, false), (epoch + 1, true)] {
        net.arrive(2, 0, Message::Report { corr: 0, more: 0, entries: vec![(entity(1), reported)] });
        net.run(millis(1000));
        assert_eq!(net.nodes[1].entities.contains_key(&entity(1)), !ends);
    }
    let call = net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(1000));
    assert_ne!(net.host_of(&entity(1)), Some(1), "calls {call} go to the newer one");
}

#[test]
fn calls_that_a_leaving_node_has_not_accepted_are_made_elsewhere() {
    let mut net = with_entity_on_node_1(10, &[(BOTH, None), (GAME, None), (GAME, None)]);
    net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(100));
    // On their way when it leaves: what it says arrives before they do.
    net.input(1, Input::Leave);
    let calls: Vec<usize> = (0..5).map(|n| net.call(n % 2 * 2, 0, &entity(1), millis(8000))).collect();
    net.run(millis(50));
    net.kill(1);
    net.run(millis(8000));
    calls.into_iter().for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    net.check_history();
}

#[test]
fn no_numbers_that_a_peer_invents_do_harm() {
    let mut net = with_entity_on_node_1(12, &[(BOTH, None), (GAME, None)]);
    let mut random = super::net::Random(99);
    for _ in 0..2000 {
        let (seq, ack) = (random.below(u64::MAX), random.below(u64::MAX));
        let (seq, ack) = (seq >> random.below(64), ack >> random.below(64));
        let message = match random.below(4) {
            0 => Message::Ack { seen: ack, want: bbq_wire::mesh::Want::Rest },
            1 => Message::Ack { seen: seq, want: bbq_wire::mesh::Want::Answer },
            _ => Message::Pong { nonce: 1 },
        };
        let frame = MeshFrame { seq, ack, ..MeshFrame::new(uid(1), uid(0), message) };
        for link in 0..4 {
            net.input(0, Input::Frame { link: LinkId(link), frame: Box::new(frame.clone()) });
        }
    }
    net.run(millis(1000));
}

#[test]
fn a_leaving_node_says_what_it_took_behind_a_frame_that_it_gave_back() {
    let mut mesh = Mesh::new(Config { me: uid(0), ..Config::default() });
    let now = Time::from_millis(1);
    mesh.handle(now, Input::LinkUp { link: LinkId(1), peer: uid(1), roles: GAME });
    for (seq, target) in [(1, Target::Entity(entity(1))), (2, Target::Service { kind: 5 })] {
        let call = Call {
            corr: seq,
            target,
            method: 1,
            deadline_ms: 5000,
            oneway: false,
            epoch: 0,
            chain: Vec::new(),
            caller: None,
            session: None,
            trace: None,
            body: Bytes::new(),
        };
        let frame = MeshFrame { seq, ..MeshFrame::new(uid(1), uid(0), Message::Call(call)) };
        mesh.handle(now, Input::Frame { link: LinkId(1), frame: frame.into() });
    }
    mesh.handle(now, Input::Leave);
    let mut said = Vec::new();
    while let Some(output) = mesh.poll() {
        if let Output::Send { frame, .. } = output {
            said.push(MeshFrame::decode(&frame).unwrap());
        }
    }
    let [bounced, leave] = &said[..] else { panic!("{said:?}") };
    assert!(matches!(bounced.message, Message::Bounced { corr: 1, .. }) && bounced.ack == 0, "{bounced:?}");
    assert_eq!(leave.message, Message::Leave { seen: 2 }, "the second was processed");
}
