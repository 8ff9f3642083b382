//! Random histories with faults: whatever happens, every call has one verdict, order holds, no entity runs twice.

use bbq_wire::EntityId;

use super::net::{GAME, GATE, KIND, Net, PROXY, millis};
use crate::mesh::Roles;

const BOTH: Roles = Roles(GAME.0 | PROXY.0);

/// Which faults a storm has.
#[derive(Clone, Copy)]
struct Weather {
    cuts: bool,
    deaths: bool,
    moves: bool,
    stops: bool,
}

fn storm(seed: u64, nodes: &[(Roles, Option<usize>)], weather: Weather) {
    let mut net = Net::new(seed, nodes);
    net.run(millis(net.random.0 % 200));
    let count = nodes.len() as u64;
    let callers: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].0.contains(GAME)).collect();
    let gates: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].0.contains(GATE)).collect();
    let proxies: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].0.contains(PROXY)).collect();
    for _ in 0..300 {
        let entity = EntityId::new(KIND, net.random.below(8));
        let deadline = millis(500 + net.random.below(5000));
        match net.random.below(24) {
            0 if weather.stops => net.stop(&entity),
            1 if weather.cuts => {
                let (a, b) = (net.random.below(count) as usize, net.random.below(count) as usize);
                net.cut(a, b);
            }
            2 if weather.moves => {
                let proxy = proxies[net.random.below(proxies.len() as u64) as usize];
                if net.nodes[proxy].alive {
                    net.move_slots(proxy);
                }
            }
            3 if weather.deaths && net.random.below(4) == 0 => {
                let node = net.random.below(count) as usize;
                let alive = |role: Roles| {
                    let ok = |node: &usize| nodes[*node].0.contains(role) && net.nodes[*node].alive;
                    (0..nodes.len()).filter(ok).count()
                };
                if alive(GAME) > 1 && alive(PROXY) > 1 {
                    net.kill(node);
                }
            }
            4 => {
                let node = callers[net.random.below(callers.len() as u64) as usize];
                net.call_service(node, None);
            }
            5..8 if !gates.is_empty() => {
                let node = gates[net.random.below(gates.len() as u64) as usize];
                net.call_from_gate(node, &entity, deadline);
            }
            8..12 => {
                let time = millis(net.random.below(60));
                net.run(time);
            }
            12 => {
                let node = callers[net.random.below(callers.len() as u64) as usize];
                net.tell(node, &entity);
            }
            _ => {
                let node = callers[net.random.below(callers.len() as u64) as usize];
                let world = net.random.below(2) as u16;
                net.call(node, world, &entity, deadline);
            }
        }
    }
    net.run(millis(12_000));
    net.check_history();
    for (index, node) in net.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
        let stats = node.mesh.stats();
        assert_eq!((stats.calls, stats.waiting), (0, 0), "node {index} of seed {seed} is not quiet: {stats:?}");
    }
    // The storm is over: everything works again.
    let after: Vec<usize> = callers.into_iter().filter(|node| net.nodes[*node].alive).collect();
    let calls: Vec<usize> = (0..8)
        .flat_map(|n| after.iter().map(move |node| (n, *node)))
        .map(|(n, node)| net.call(node, 0, &EntityId::new(KIND, n), millis(3000)))
        .collect();
    net.run(millis(4000));
    for call in calls {
        assert_eq!(net.result(call), Ok(call as u64), "seed {seed}");
    }
}

const CALM: Weather = Weather { cuts: false, deaths: false, moves: false, stops: false };

fn embedded(seed: u64, weather: Weather) {
    storm(seed, &[(BOTH, None), (BOTH, None), (GAME, None), (GATE, None)], weather);
}

#[test]
fn calm() {
    (0..5).for_each(|seed| embedded(seed, CALM));
}

#[test]
fn entities_stop() {
    (0..10).for_each(|seed| embedded(seed, Weather { stops: true, ..CALM }));
}

#[test]
fn links_are_cut_and_entities_stop() {
    (0..10).for_each(|seed| embedded(seed, Weather { cuts: true, stops: true, ..CALM }));
}

/// Without deaths, cuts lose nothing: every call is answered, every one-way call runs, each once, in order.
fn only_cuts(seed: u64, nodes: &[(Roles, Option<usize>)]) {
    let mut net = Net::new(seed, nodes);
    let count = nodes.len() as u64;
    let callers: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].0.contains(GAME)).collect();
    net.run(millis(net.random.0 % 200));
    for _ in 0..400 {
        let entity = EntityId::new(KIND, net.random.below(8));
        let node = callers[net.random.below(callers.len() as u64) as usize];
        match net.random.below(10) {
            0 => {
                let (a, b) = (net.random.below(count) as usize, net.random.below(count) as usize);
                net.cut(a, b);
            }
            1 | 2 => {
                let time = millis(net.random.below(60));
                net.run(time);
            }
            3..6 => net.tell(node, &entity),
            _ => {
                net.call(node, 0, &entity, millis(60_000));
            }
        }
    }
    net.run(millis(20_000));
    net.check_history();
    for (number, made) in net.calls.iter().enumerate() {
        assert_eq!(made.runs, 1, "call {number} of seed {seed}");
        assert!(made.oneway || made.verdict == Some(Ok(number as u64)), "call {number} of seed {seed}");
    }
    let mut last = std::collections::BTreeMap::new();
    for (node, world, entity, number, _) in &net.ran {
        let before = last.insert((node, world, entity), number);
        assert!(before.is_none_or(|before| before < number), "seed {seed}: {number} ran after {before:?}");
    }
}

#[test]
fn cuts_alone_lose_double_and_reorder_nothing() {
    (0..30).for_each(|seed| only_cuts(seed, &[(BOTH, None), (BOTH, None), (GAME, None), (GAME, None)]));
}

#[test]
fn cuts_on_either_side_of_a_proxy_lose_double_and_reorder_nothing() {
    let nodes = [(PROXY, None), (PROXY, None), (GAME, Some(0)), (GAME, Some(1)), (GAME, None)];
    (0..30).for_each(|seed| only_cuts(seed, &nodes));
}

#[test]
fn slots_move_and_entities_stop() {
    (0..10).for_each(|seed| embedded(seed, Weather { moves: true, stops: true, ..CALM }));
}

#[test]
fn nodes_die_and_entities_stop() {
    (0..10).for_each(|seed| embedded(seed, Weather { deaths: true, stops: true, ..CALM }));
}

#[test]
fn everything_goes_wrong() {
    (0..20).for_each(|seed| embedded(seed, Weather { cuts: true, deaths: true, moves: true, stops: true }));
}

#[test]
fn everything_goes_wrong_behind_proxies() {
    let nodes = [
        (PROXY, None),
        (PROXY, None),
        (GAME, Some(0)),
        (GAME, Some(0)),
        (GAME, Some(1)),
        (GATE, Some(1)),
        (GAME, None),
    ];
    (0..8).for_each(|seed| {
        storm(seed, &nodes, Weather { cuts: true, deaths: false, moves: true, stops: true });
    });
}
