//! `bbq status`: the nodes of a cluster and what they serve.

use bbq_core::control::{ClusterView, NodeRecord};
use serde::Serialize;

use crate::args::Status;
use crate::center;
use crate::failure::Result;
use crate::print::{self, Colour, Style};

/// What `-o json` prints.
#[derive(Serialize, Debug)]
struct Report {
    center: String,
    /// Grows with every change of the cluster.
    revision: u64,
    nodes: Vec<Node>,
    services: Vec<Service>,
    /// Share of the entity directory that has an owner, in percent.
    directory_percent: u32,
}

#[derive(Serialize, Debug)]
struct Node {
    uid: String,
    name: String,
    roles: Vec<String>,
    address: String,
    /// 0 while it drains.
    weight: u32,
    /// How much of its capacity is in use, in percent.
    load_percent: f64,
    /// Entities that live on it.
    entities: u64,
    /// Sessions of its gate, those without a connection included.
    sessions: u64,
    labels: std::collections::BTreeMap<String, String>,
    services: Vec<String>,
}

#[derive(Serialize, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    name: String,
    /// `entity` or `service`.
    kind: &'static str,
    /// Has methods that clients may call.
    client: bool,
    /// How many nodes serve it.
    nodes: usize,
    /// More than one during a rolling update.
    versions: usize,
}

pub(crate) fn run(args: &Status) -> Result<()> {
    let view = center::block_on(center::look(&args.at))?;
    let report = report(&args.at.center, &view);
    if args.format.is_json() {
        return print::json(&report);
    }
    print::line(text(&report, Style::of_stdout()))
}

fn report(center: &str, view: &ClusterView) -> Report {
    let mut services: Vec<Service> = Vec::new();
    for record in view.nodes.values().flat_map(|node| &node.info.services) {
        if services.iter().all(|known| known.name != record.name) {
            let offering =
                view.nodes.values().filter_map(|node| node.info.services.iter().find(|s| s.kind == record.kind));
            let mut versions: Vec<u64> = offering.map(|service| service.version).collect();
            let nodes = versions.len();
            versions.sort_unstable();
            versions.dedup();
            services.push(Service {
                name: record.name.clone(),
                kind: if record.entity { "entity" } else { "service" },
                client: record.client,
                nodes,
                versions: versions.len(),
            });
        }
    }
    services.sort();
    Report {
        center: center.to_owned(),
        revision: view.revision,
        nodes: view.nodes.values().map(|node| of(node)).collect(),
        services,
        directory_percent: owned_percent(view),
    }
}

fn owned_percent(view: &ClusterView) -> u32 {
    let owned = (0..bbq_wire::id::SLOTS).filter(|slot| view.slots.slot(*slot).owner.is_some()).count();
    u32::try_from(owned * 100 / usize::from(bbq_wire::id::SLOTS)).unwrap_or(100)
}

fn of(node: &NodeRecord) -> Node {
    let roles = format!("{:?}", node.info.roles);
    Node {
        uid: node.uid.to_string(),
        name: node.info.name.clone(),
        roles: roles.split('+').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        address: node.info.address.clone(),
        weight: node.load.weight,
        load_percent: f64::from(node.load.permille) / 10.0,
        entities: node.load.entities,
        sessions: node.load.sessions,
        labels: node.info.labels.clone(),
        services: node.info.services.iter().map(|service| service.name.clone()).collect(),
    }
}

fn text(report: &Report, style: Style) -> String {
    let mut rows = vec![["NODE", "UID", "ROLES", "MESH", "LOAD", "ENTITIES", "SESSIONS"].map(str::to_owned).to_vec()];
    for node in &report.nodes {
        let load = if node.weight == 0 { "draining".to_owned() } else { format!("{:.1} %", node.load_percent) };
        let address = if node.address.is_empty() { "-".to_owned() } else { node.address.clone() };
        let of_role = |role: &str, count: u64| {
            if node.roles.iter().any(|own| own == role) { count.to_string() } else { "-".to_owned() }
        };
        let (entities, sessions) = (of_role("game", node.entities), of_role("gate", node.sessions));
        rows.push(vec![node.name.clone(), node.uid.clone(), node.roles.join(","), address, load, entities, sessions]);
    }
    let nodes = print::table(&rows);
    let mut rows = vec![["SERVES", "KIND", "CLIENTS", "NODES"].map(str::to_owned).to_vec()];
    for service in &report.services {
        let clients = if service.client { "yes" } else { "no" };
        let nodes = match service.versions {
            0 | 1 => service.nodes.to_string(),
            versions => format!("{} ({versions} versions)", service.nodes),
        };
        rows.push(vec![service.name.clone(), service.kind.to_owned(), clients.to_owned(), nodes]);
    }
    let services = print::table(&rows);
    let head = style.paint(Colour::Bold, format_args!("cluster at {}", report.center));
    let count = report.nodes.len();
    let mut out = format!("{head}: {count} nodes, revision {}\n\n{nodes}\n\n{services}", report.revision);
    if report.directory_percent < 100 {
        let owned = report.directory_percent;
        out += &format!("\n\n{} % of the entity directory has an owner: a proxy is missing", owned);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bbq_core::control::{Load, NodeInfo, Roles, ServiceRecord};
    use bbq_wire::NodeUid;

    use super::*;

    fn node(number: u32, version: u64) -> NodeRecord {
        let uid = NodeUid { node: number, incarnation: u64::from(number) };
        let room = ServiceRecord {
            kind: 7,
            name: "chat.Room".into(),
            entity: true,
            client: true,
            version,
            ..Default::default()
        };
        let info = NodeInfo {
            name: format!("game-{number}"),
            roles: Roles::GAME,
            services: vec![room],
            ..NodeInfo::default()
        };
        let load = Load { entities: 17, sessions: 5, ..Load::default() };
        NodeRecord { uid, info, load, ..NodeRecord::default() }
    }

    #[test]
    fn nodes_and_what_they_serve_are_listed() {
        let nodes = [node(1, 1), node(2, 2)].map(|node| (node.uid, Arc::new(node)));
        let view = ClusterView { nodes: nodes.into(), ..ClusterView::default() };
        let report = report("here:1", &view);
        assert_eq!(report.nodes.len(), 2);
        assert_eq!(report.nodes[0].roles, ["game"]);
        assert_eq!((report.nodes[0].entities, report.nodes[0].sessions), (17, 5));
        assert_eq!((report.services[0].nodes, report.services[0].versions), (2, 2));
        let text = text(&report, Style::PLAIN);
        assert!(text.contains("game-2"), "{text}");
        assert!(text.contains("  0.0 %  17        -"), "it has no gate: {text}");
        assert!(text.contains("chat.Room  entity  yes      2 (2 versions)"), "{text}");
        assert!(text.contains("0 % of the entity directory"), "{text}");
    }
}
