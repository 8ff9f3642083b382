//! What a simulated process keeps of the control plane: its session, and its picture of the cluster.

use bbq_core::control::{ClusterView, Keeper, Load, NodeInfo, NodeRecord, ServiceRecord, Session, WatchId};
use bbq_core::mesh::{self, Roles, SlotOwner, View};
use bbq_core::world::Definition;
use bbq_wire::Time;

/// What every node does.
pub(crate) fn roles() -> Roles {
    Roles::GAME | Roles::PROXY | Roles::GATE
}

pub(crate) struct Member {
    pub(crate) keeper: Keeper,
    pub(crate) cluster: ClusterView,
    pub(crate) watch: Option<WatchId>,
    /// Answers to earlier questions are not wanted.
    pub(crate) question: u64,
    pub(crate) wake: Option<Time>,
    /// No way to the center and back before this.
    pub(crate) cut_until: Time,
    /// Nothing that the center sends later arrives before this.
    pub(crate) last_down: Time,
}

impl Member {
    pub(crate) fn new(info: NodeInfo, session: Session, now: Time) -> Self {
        Self {
            keeper: Keeper::new(info, session, now),
            cluster: ClusterView::default(),
            watch: None,
            question: 0,
            wake: None,
            cut_until: now,
            last_down: now,
        }
    }

    pub(crate) fn is_cut(&self, now: Time) -> bool {
        now < self.cut_until
    }
}

/// What a process says when it opens its session.
pub(crate) fn info(index: usize, start: u64, definitions: &[Definition]) -> NodeInfo {
    let service = |one: &Definition| {
        let desc = one.desc();
        ServiceRecord { kind: desc.type_id(), name: desc.name.to_owned(), ..ServiceRecord::default() }
    };
    NodeInfo {
        name: format!("node-{index}"),
        start: start | 1,
        roles: roles(),
        address: format!("sim:{index}"),
        services: definitions.iter().map(service).collect(),
        weight: Load::default().weight,
        ..NodeInfo::default()
    }
}

/// The picture as the mesh wants it; there are no sidecars here.
pub(crate) fn view(cluster: &ClusterView) -> View {
    let node = |record: &NodeRecord| mesh::NodeInfo {
        name: record.info.name.clone(),
        roles: record.info.roles,
        address: record.info.address.clone(),
        serves: record.info.services.iter().map(|service| service.kind).collect(),
        draining: record.load.weight == 0,
        ..mesh::NodeInfo::default()
    };
    View {
        nodes: cluster.nodes.iter().map(|(uid, record)| (*uid, node(record))).collect(),
        slots: cluster
            .slots
            .iter()
            .map(|(_, slot)| SlotOwner { owner: slot.owner.unwrap_or_default(), epoch: slot.epoch })
            .collect(),
        revision: cluster.revision,
    }
}
