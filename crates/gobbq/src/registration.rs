//! What a node tells the control plane of what it serves, and what a gate reads back from there.

use bbq_core::control::{ClusterView, MethodRecord, ServiceRecord};
use bbq_core::desc::{Kind, MethodDesc, Rate};
use bbq_core::gate::{Method, MethodTable};
use bbq_core::world::Definition;

const NANOS: f64 = 1e9;

/// The records of these definitions.
pub(crate) fn records(definitions: &[Definition]) -> Vec<ServiceRecord> {
    definitions
        .iter()
        .map(Definition::desc)
        .map(|desc| ServiceRecord {
            kind: desc.type_id(),
            name: desc.name.to_owned(),
            entity: desc.kind == Kind::Entity,
            client: desc.methods.iter().any(|method| method.client),
            version: 0,
            methods: desc.methods.iter().map(record).collect(),
        })
        .collect()
}

fn record(desc: &MethodDesc) -> MethodRecord {
    let MethodDesc { name, id, client, oneway, timeout_ms, rate, max_bytes, .. } = *desc;
    let (interval_ns, burst) = rate.map_or((0, 0), |rate| ((NANOS / rate.per_second) as u64, rate.burst));
    MethodRecord { name: name.to_owned(), id, client, oneway, timeout_ms, max_bytes, interval_ns, burst }
}

/// What clients may call in this cluster. Methods that collide are left out, and logged.
pub(crate) fn methods(view: &ClusterView) -> MethodTable {
    let services = view.nodes.values().flat_map(|node| &node.info.services);
    let methods = services.flat_map(|service| {
        let kind = if service.entity { Kind::Entity } else { Kind::Service };
        service.methods.iter().map(move |record| method(service.kind, kind, record))
    });
    let (table, conflicts) = MethodTable::new(methods);
    for conflict in conflicts {
        tracing::error!(id = conflict.0, "two methods have the same id; give one of them an `id` option");
    }
    table
}

fn method(type_id: u32, kind: Kind, record: &MethodRecord) -> Method {
    let desc = MethodDesc {
        id: record.id,
        client: record.client,
        oneway: record.oneway,
        timeout_ms: record.timeout_ms,
        max_bytes: record.max_bytes,
        ..MethodDesc::DEFAULT
    };
    let rate = Rate { per_second: NANOS / record.interval_ns.max(1) as f64, burst: record.burst };
    Method::new(type_id, kind, &desc).with_rate((record.interval_ns > 0).then_some(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_game_declares_arrives_at_the_gate() {
        let rate = Some(Rate { per_second: 0.5, burst: 3 });
        let desc =
            MethodDesc { name: "Say", id: 9, client: true, rate, timeout_ms: 7, max_bytes: 8, ..MethodDesc::DEFAULT };
        let there = method(1, Kind::Entity, &record(&desc));
        assert_eq!(there, Method::new(1, Kind::Entity, &desc));
    }
}
