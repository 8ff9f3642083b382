//! Processes behind the proxy of their host.

use bbq_wire::EntityId;
use bbq_wire::mesh::{Mesh as Message, MeshFrame};
use bytes::Bytes;

use super::net::{GAME, GATE, KIND, Net, PROXY, millis, uid};
use crate::mesh::{Config, Input, LinkId, Mesh};

fn entity(n: u64) -> EntityId {
    EntityId::new(KIND, n)
}

#[test]
fn processes_of_two_hosts_reach_each_other_through_their_proxies() {
    let nodes = [(PROXY, None), (PROXY, None), (GAME, Some(0)), (GAME, Some(1)), (GATE, Some(0)), (GAME, None)];
    let mut net = Net::new(1, &nodes);
    net.run(millis(100));
    for n in 0..40 {
        let node = [2, 3, 5][n % 3];
        net.call(node, 0, &entity(n as u64 / 4), millis(5000));
        net.call_from_gate(4, &entity(n as u64 / 4), millis(5000));
    }
    net.run(millis(5000));
    (0..net.calls.len()).for_each(|call| assert_eq!(net.result(call), Ok(call as u64)));
    net.check_history();
    assert!([2, 3, 4].iter().all(|child| net.nodes[*child].mesh.stats().links == 1));
    assert!([2, 3, 4].iter().all(|child| net.nodes[*child].dials == 0), "a process behind a sidecar dials nobody");
}

#[test]
fn a_proxy_drops_what_is_for_a_node_that_does_not_exist() {
    let mut proxy = Mesh::new(Config { me: uid(0), roles: PROXY, worlds: 0, ..Config::default() });
    let now = bbq_wire::Time::from_millis(5);
    proxy.handle(now, Input::LinkUp { link: LinkId(1), peer: uid(1), roles: GAME });
    let frame =
        MeshFrame { seq: 1, ..MeshFrame::new(uid(1), uid(9), Message::Reply { corr: 1, result: Ok(Bytes::new()) }) };
    let frame = frame.to_bytes().unwrap();
    let route = MeshFrame::route(&frame).unwrap();
    proxy.handle(now, Input::Transit { link: LinkId(1), route, frame });
    assert_eq!((proxy.poll().map(|_| ()), proxy.stats().dropped), (None, 1));
}
