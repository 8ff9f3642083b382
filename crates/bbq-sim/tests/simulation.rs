//! The simulator itself: same seed, same trace; and the load of `examples/sim` holds its invariants.

use std::time::Duration;

use bbq_core::codegen::{Code, Definition, EntityId, Key};
use bbq_sim::{PlayerId, Settings, Sim};
use bbq_wire::client;
use buffa::Message;
use buffa_types::google::protobuf::UInt64Value;

#[path = "simulation/crowd.rs"]
mod crowd;

#[path = "../examples/sim/ledger.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the example, which uses all of it")]
mod ledger;
#[path = "../examples/sim/load.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the example, which uses all of it")]
mod load;

#[path = "../examples/sim/herald.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the example, which uses all of it")]
mod herald;
#[path = "../examples/sim/players.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the example, which uses all of it")]
mod players;

use ledger::{ADD, LEDGER, LedgerGlue, LedgerRef};

fn cluster(seed: u64, nodes: usize) -> Sim {
    let settings = Settings { seed, nodes, scatter: true, ..Settings::default() };
    let mut sim = Sim::new(settings, &[Definition::entity::<LedgerGlue>()]);
    sim.advance(Duration::from_millis(200));
    sim
}

fn add(sim: &mut Sim, key: u64) -> u64 {
    sim.run(move |ctx| async move { ctx.entity::<LedgerRef>(key).call(ADD, 1).await })
        .expect("ends")
        .expect("is answered")
        .value
}

#[test]
fn the_same_seed_leaves_the_same_trace_and_another_one_does_not() {
    let traces: Vec<u64> = [7, 7, 8].into_iter().map(|seed| load::run(seed).trace).collect();
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[test]
fn an_entity_is_found_from_everywhere_and_lives_once() {
    let mut sim = cluster(1, 4);
    for key in 0..50 {
        assert_eq!(add(&mut sim, key), 1);
    }
    let mut homes = std::collections::BTreeSet::new();
    for key in 0..50 {
        let copies = sim.copies(&EntityId::new(LEDGER.type_id(), key));
        assert_eq!(copies.len(), 1, "entity {key}: {copies:?}");
        homes.insert(copies[0].0);
    }
    assert_eq!(homes.len(), 4, "scattered over all nodes");
}

#[test]
fn entities_of_a_dead_node_come_back_elsewhere_with_what_was_acknowledged() {
    let mut sim = cluster(2, 3);
    for key in 0..20 {
        add(&mut sim, key);
    }
    sim.kill(2);
    sim.advance(Duration::from_secs(10));
    for key in 0..20 {
        assert_eq!(add(&mut sim, key), 2, "entity {key}");
    }
}

#[test]
fn a_drained_node_loses_nothing() {
    let mut sim = cluster(3, 3);
    for key in 0..20 {
        add(&mut sim, key);
    }
    sim.drain(1);
    sim.advance(Duration::from_secs(10));
    for key in 0..20 {
        assert_eq!(add(&mut sim, key), 2, "entity {key}");
    }
}

#[test]
fn an_entity_that_stops_while_the_store_is_away_loses_nothing_unless_it_stays_away() {
    for (seed, outage, loses) in [(4, 30, false), (5, 600, true)] {
        let mut sim = cluster(seed, 3);
        let id = EntityId::new(LEDGER.type_id(), 7);
        assert_eq!(add(&mut sim, 7), 1);
        sim.store_outage(Duration::from_secs(outage));
        let failed = sim.run(|ctx| async move { ctx.entity::<LedgerRef>(7).call(ADD, 1).await }).expect("ends");
        let code = failed.expect_err("it cannot be stored").code;
        assert!([Code::UNAVAILABLE, Code::OUTCOME_UNKNOWN].contains(&code), "{code}");
        let lost = sim.drain(sim.copies(&id)[0].0);
        let lost: Vec<_> = lost.into_iter().map(|(id, error)| (id, error.code)).collect();
        assert_eq!(lost, if loses { vec![(id, Code::DATA_LOSS)] } else { Vec::new() });
        sim.advance(Duration::from_secs(outage));
        assert_eq!(add(&mut sim, 7), if loses { 2 } else { 3 }, "what could not be stored at once was stored later");
    }
}

#[test]
fn fifty_seeds_of_faults_break_no_invariant() {
    let broken: Vec<String> = (100..150)
        .flat_map(|seed| load::run(seed).broken.into_iter().map(move |what| format!("seed {seed}: {what}")))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn players_whose_connections_are_cut_lose_nothing_and_hear_nothing_twice() {
    let (mut resumed, mut broken) = (0, Vec::new());
    for seed in 200..230 {
        let report = players::run(seed);
        resumed += report.resumed;
        broken.extend(report.broken.into_iter().map(|what| format!("seed {seed}: {what}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(resumed > 200, "only {resumed} sessions were resumed: the cuts did not happen");
}

/// What a player has heard from the crowd since the last look, and which of its calls were answered.
fn heard(sim: &mut Sim, player: PlayerId) -> (Vec<u64>, Vec<u64>) {
    let (mut heard, mut answered) = (Vec::new(), Vec::new());
    for told in sim.told(player) {
        match told {
            client::Output::Push { method: crowd::HEARD, body, .. } => {
                heard.push(UInt64Value::decode_from_slice(&body).expect("a number").value);
            }
            client::Output::Reply { call, result: Ok(_) } => answered.push(call),
            _ => {}
        }
    }
    (heard, answered)
}

fn say(sim: &mut Sim, player: PlayerId, method: u32, key: u64, number: u64) {
    let body = UInt64Value { value: number, ..Default::default() }.encode_to_bytes();
    let deadline_ms = Some(60_000);
    let call = client::Call { call: number, method, key: Some(Key::from(key)), deadline_ms, body };
    sim.tell_player(player, client::Input::Call(call));
}

#[test]
fn members_of_a_group_whose_node_died_hear_nothing_until_they_join_its_next_life() {
    for seed in 0..20 {
        let settings = Settings { seed, nodes: 3, scatter: true, ..Settings::default() };
        let mut sim = Sim::new(settings, &[Definition::entity::<crowd::CrowdGlue>()]);
        sim.advance(Duration::from_millis(200));
        // Their gates are on nodes 0 and 1.
        let [ann, bob] = ["ann", "bob"].map(|name| sim.connect(name));
        let id = |key: u64| EntityId::new(crowd::CROWD.type_id(), key);
        let key = (0..100)
            .find(|&key| {
                say(&mut sim, ann, crowd::JOIN, key, 1);
                sim.advance(Duration::from_secs(1));
                sim.copies(&id(key)).first().is_some_and(|copy| copy.0 == 2)
            })
            .expect("one of them lives on node 2");
        say(&mut sim, bob, crowd::JOIN, key, 2);
        sim.advance(Duration::from_secs(1));
        say(&mut sim, bob, crowd::SHOUT, key, 3);
        sim.advance(Duration::from_secs(1));
        assert_eq!([ann, bob].map(|player| heard(&mut sim, player).0), [[3], [3]], "seed {seed}");

        sim.kill(2);
        // As soon as it lives again, bob is in and shouts; ann has not come back yet.
        sim.advance(Duration::from_millis(seed * 100));
        say(&mut sim, bob, crowd::JOIN, key, 4);
        sim.advance(Duration::from_secs(15));
        say(&mut sim, bob, crowd::SHOUT, key, 5);
        sim.advance(Duration::from_secs(1));
        let (bobs, answered) = heard(&mut sim, bob);
        assert!(answered.ends_with(&[5]), "seed {seed}: {answered:?}");
        // A call that was under way when the node died may have no outcome: then he is not in.
        assert_eq!(bobs, if answered.contains(&4) { vec![5] } else { vec![] }, "seed {seed}");
        assert_eq!(heard(&mut sim, ann).0, [], "seed {seed}");
        say(&mut sim, ann, crowd::JOIN, key, 6);
        sim.advance(Duration::from_secs(1));
        say(&mut sim, ann, crowd::SHOUT, key, 7);
        sim.advance(Duration::from_secs(1));
        assert_eq!(heard(&mut sim, ann).0, [7], "seed {seed}");
    }
}
