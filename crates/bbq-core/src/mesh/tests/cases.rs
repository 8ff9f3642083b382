//! Calls, one situation each.

use bbq_wire::{Code, EntityId};

use super::net::{GAME, GATE, KIND, Net, PROXY, Random, millis};
use crate::mesh::{Input, Roles};

const BOTH: Roles = Roles(GAME.0 | PROXY.0);

fn entity(n: u64) -> EntityId {
    EntityId::new(KIND, n)
}

#[test]
fn a_call_activates_its_entity_on_the_asking_node_and_the_next_one_finds_it_there() {
    let mut net = Net::new(1, &[(BOTH, None)]);
    let first = net.call(0, 0, &entity(1), millis(1000));
    net.run(millis(500));
    let second = net.call(0, 1, &entity(1), millis(1000));
    net.run(millis(500));
    assert_eq!((net.result(first), net.result(second)), (Ok(first as u64), Ok(second as u64)));
    assert_eq!(net.host_of(&entity(1)), Some(0));
    net.check_history();
}

#[test]
fn two_nodes_agree_on_one_copy() {
    let mut net = Net::new(2, &[(BOTH, None), (GAME, None)]);
    net.run(millis(100));
    let calls: Vec<usize> = (0..20).map(|n| net.call(n % 2, 0, &entity(n as u64 % 3), millis(3000))).collect();
    net.run(millis(3000));
    calls.into_iter().for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    net.check_history();
}

#[test]
fn a_gate_without_worlds_places_entities_on_the_least_loaded_node() {
    let mut net = Net::new(3, &[(GATE, None), (BOTH, None), (GAME, None)]);
    net.run(millis(100));
    for n in 0..20 {
        net.call_from_gate(0, &entity(n), millis(3000));
    }
    net.run(millis(3000));
    net.check_history();
    assert_eq!([1, 2].map(|node| net.nodes[node].entities.len()), [10, 10]);
}

#[test]
fn a_stopped_entity_is_activated_again_by_the_calls_that_missed_it() {
    let mut net = Net::new(4, &[(BOTH, None), (GAME, None), (GAME, None)]);
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    for _ in 0..20 {
        net.call(2, 0, &entity(1), millis(3000));
        net.stop(&entity(1));
        net.call(2, 0, &entity(1), millis(3000));
        net.call(0, 0, &entity(1), millis(3000));
        net.run(millis(15));
    }
    net.run(millis(4000));
    assert!(net.calls.iter().all(|made| made.runs == 1), "nothing is lost");
    net.check_history();
}

#[test]
fn one_way_calls_find_an_entity_that_has_moved() {
    let mut net = Net::new(5, &[(BOTH, None), (GAME, None), (GAME, None)]);
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    net.tell(2, &entity(1));
    net.run(millis(100));
    net.stop(&entity(1));
    net.run(millis(50));
    net.tell(2, &entity(1));
    net.run(millis(1000));
    assert_eq!(net.calls.iter().map(|made| made.runs).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn calls_beyond_the_limit_of_an_entity_that_is_not_found_are_busy() {
    let mut net = Net::new(6, &[(GAME, None), (GAME, None)]);
    net.run(millis(100));
    let calls: Vec<usize> = (0..260).map(|_| net.call(0, 0, &entity(1), millis(1000))).collect();
    assert_eq!(calls.iter().filter(|call| net.calls[**call].verdict.is_some()).count(), 4);
    assert_eq!(net.code(calls[256]), Code::BUSY);
    net.run(millis(1100));
    assert_eq!(net.code(calls[0]), Code::DEADLINE_EXCEEDED);
    assert!(net.result(calls[0]).unwrap_err().message.contains("not processed"));
    assert_eq!(net.nodes[0].mesh.stats().calls, 0);
    assert_eq!(net.nodes[0].mesh.stats().waiting, 0);
}

#[test]
fn a_late_answer_is_dropped_and_the_caller_knows_that_the_call_was_sent() {
    let mut net = Net::new(7, &[(BOTH, None), (GAME, None)]);
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    net.work = millis(100_000);
    let call = net.call(0, 0, &entity(1), millis(50));
    net.run(millis(200_000));
    assert_eq!(net.code(call), Code::DEADLINE_EXCEEDED);
    assert!(net.result(call).unwrap_err().message.contains("may be processed"));
    net.check_history();
}

#[test]
fn a_service_is_called_here_if_it_is_here_and_in_turns_elsewhere() {
    let mut net = Net::new(8, &[(BOTH, None), (GAME, None), (GAME, None), (PROXY, None)]);
    net.run(millis(100));
    net.call_service(0, None);
    let far: Vec<usize> = (0..30).map(|_| net.call_service(3, None)).collect();
    net.run(millis(2000));
    net.check_history();
    let ran_at = |call: usize| net.ran.iter().find(|row| row.3 == call).map(|row| row.4);
    assert_eq!(ran_at(0), Some(0));
    let nodes: Vec<_> = far.iter().map(|call| ran_at(*call)).collect();
    (0..3).for_each(|node| assert_eq!(nodes.iter().filter(|at| **at == Some(node)).count(), 10));
}

#[test]
fn calls_with_the_same_affinity_go_to_the_same_instance_whoever_calls() {
    let mut net = Net::new(9, &[(BOTH, None), (GAME, None), (GAME, None)]);
    net.run(millis(100));
    for hash in 1..40 {
        (0..3).for_each(|node| {
            net.call_service(node, Some(hash));
        });
    }
    net.run(millis(2000));
    net.check_history();
    let nodes: std::collections::BTreeSet<usize> = net.ran.iter().map(|row| row.4).collect();
    let mut by_hash = vec![std::collections::BTreeSet::new(); 40];
    for row in &net.ran {
        by_hash[row.3 / 3].insert(row.4);
    }
    assert!(by_hash.iter().all(|nodes| nodes.len() <= 1));
    assert_eq!(nodes.len(), 3, "and different ones to different instances");
}

#[test]
fn a_service_that_nobody_serves_is_unavailable_at_once() {
    let mut net = Net::new(10, &[(PROXY, None)]);
    net.run(millis(100));
    let call = net.call_service(0, None);
    assert_eq!(net.code(call), Code::UNAVAILABLE);
    assert!(net.result(call).unwrap_err().message.contains("test.Service"));
}

#[test]
fn an_entity_type_that_nobody_serves_is_unavailable() {
    let mut net = Net::new(11, &[(BOTH, None), (GAME, None)]);
    net.run(millis(100));
    let call = net.call(1, 0, &EntityId::new(1234, 5), millis(5000));
    net.run(millis(1000));
    assert_eq!(net.code(call), Code::UNAVAILABLE);
}

#[test]
fn frames_of_all_kinds_with_unknown_numbers_harm_nothing() {
    use bbq_wire::mesh::{Mesh as Message, MeshFrame};
    let mut net = Net::new(12, &[(BOTH, None), (GAME, None)]);
    net.call(1, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    let mut random = Random(99);
    for _ in 0..200 {
        let (corr, id) = (random.below(50), entity(random.below(3)));
        let error = bbq_wire::Error::new(Code::UNKNOWN, "made up");
        let place = bbq_wire::mesh::Place { node: super::net::uid(1), epoch: corr };
        let message = match random.below(9) {
            0 => Message::Reply { corr, result: Ok(bytes::Bytes::new()) },
            1 => Message::Bounced { corr, error },
            2 => Message::Located { corr, entity: id, result: Ok(place) },
            3 => Message::Activated { corr, entity: id, epoch: corr, result: Err(error) },
            4 => Message::ClientReply { corr, result: Err(error) },
            5 => Message::Deactivated { entity: id, epoch: corr },
            6 => Message::Report { corr, more: corr as u32, entries: Vec::new() },
            7 => Message::Pong { nonce: corr },
            _ => Message::Gone { subject: id.clone(), watchers: vec![id] },
        };
        let frame = MeshFrame::new(super::net::uid(1), super::net::uid(0), message);
        for link in 0..6 {
            net.input(0, Input::Frame { link: crate::mesh::LinkId(link), frame: Box::new(frame.clone()) });
        }
    }
    let call = net.call(0, 0, &entity(1), millis(3000));
    net.run(millis(2000));
    assert_eq!(net.result(call), Ok(call as u64));
}
