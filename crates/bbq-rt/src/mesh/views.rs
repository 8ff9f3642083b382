//! The control plane's picture of the cluster, as the mesh wants it.

use std::sync::Arc;

use bbq_core::control::{ClusterView, NodeRecord, Roles};
use bbq_core::mesh::{NodeInfo, SlotOwner, View};
use bbq_wire::NodeUid;
use tokio::sync::watch;

/// Label with the socket that a proxy offers to the processes of its host, or behind which a process is: the same text
/// on both, and no other host's.
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
        roles: info.roles,
        address: info.address.clone(),
        sidecar: match info.labels.get(SIDECAR_LABEL) {
            Some(socket) if !info.roles.contains(Roles::PROXY) => Some(proxy_at(cluster, socket)),
            _ => None,
        },
        serves: info.services.iter().map(|service| service.kind).collect(),
        // Half the weight makes the same work twice the load.
        load: record.load.permille.saturating_mul(100) / record.load.weight.max(1),
        draining: record.load.weight == 0,
        labels: info.labels.clone(),
    }
}

/// The newest incarnation of the proxy at that socket. While there is none, its processes have no way in or out.
fn proxy_at(cluster: &ClusterView, socket: &str) -> NodeUid {
    let proxies = cluster.nodes.values().filter(|node| node.info.roles.contains(Roles::PROXY));
    let here = proxies.filter(|node| node.info.labels.get(SIDECAR_LABEL).is_some_and(|other| other == socket));
    here.map(|node| node.uid).max_by_key(|uid| uid.incarnation).unwrap_or_default()
}
