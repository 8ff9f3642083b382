//! The control plane's picture of the cluster, as the mesh wants it.

use std::sync::Arc;

use bbq_core::control::{ClusterView, NodeRecord, Roles as ControlRoles};
use bbq_core::mesh::{NodeInfo, Roles, SlotOwner, View};
use bbq_wire::NodeUid;
use tokio::sync::watch;

/// Label with the name of the proxy behind which a node is.
pub const SIDECAR_LABEL: &str = "gobbq.sidecar";

/// Follows the cluster. Ends with the last receiver, or with `clusters`.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn views(mut clusters: watch::Receiver<Arc<ClusterView>>) -> watch::Receiver<Arc<View>> {
    let first = view(&clusters.borrow_and_update());
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = clusters.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            let next = view(&clusters.borrow_and_update());
            // Fails only without receivers.
            sender.send(Arc::new(next)).unwrap_or_default();
        }
    });
    receiver
}

/// One picture.
#[must_use]
pub fn view(cluster: &ClusterView) -> View {
    let slots = cluster.slots.iter();
    View {
        nodes: cluster.nodes.iter().map(|(uid, record)| (*uid, node(cluster, record))).collect(),
        slots: slots.map(|(_, slot)| SlotOwner { owner: slot.owner.unwrap_or_default(), epoch: slot.epoch }).collect(),
        revision: cluster.revision,
    }
}

fn node(cluster: &ClusterView, record: &NodeRecord) -> NodeInfo {
    let info = &record.info;
    NodeInfo {
        name: info.name.clone(),
        roles: Roles(info.roles.0),
        address: info.address.clone(),
        sidecar: info.labels.get(SIDECAR_LABEL).and_then(|name| proxy_named(cluster, name)),
        serves: info.services.iter().map(|service| service.kind).collect(),
        // Half the weight makes the same work twice the load.
        load: record.load.permille.saturating_mul(100) / record.load.weight.max(1),
        draining: record.load.weight == 0,
        labels: info.labels.clone(),
    }
}

/// The newest incarnation of the proxy with that name. While there is none, its processes have no way in or out.
fn proxy_named(cluster: &ClusterView, name: &str) -> Option<NodeUid> {
    let proxies = cluster.nodes.values().filter(|node| node.info.roles.contains(ControlRoles::PROXY));
    let uid = proxies.filter(|node| node.info.name == name).map(|node| node.uid).max_by_key(|uid| uid.incarnation);
    Some(uid.unwrap_or_default())
}
