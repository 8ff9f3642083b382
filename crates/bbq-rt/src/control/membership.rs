//! The cluster as one picture that is always there.

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::NodeUid;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{ClusterView, ControlPlane, WatchEvent, key};

/// Pause before watching again: begins with the first and doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Keeps a [`ClusterView`] true. While the control plane is away, the last picture stays.
#[derive(Debug)]
pub struct Membership {
    views: watch::Receiver<Arc<ClusterView>>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Watches `control` until the value is dropped. The first picture is empty, with revision 0.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(control: Arc<dyn ControlPlane>) -> Self {
        Self::following(control, None)
    }

    /// As [`Membership::start`], for a node that takes part. A picture that knows neither its life nor its death is that
    /// of a control plane which lost its memory: the last one stays until the node is back in it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn of(control: Arc<dyn ControlPlane>, me: NodeUid) -> Self {
        Self::following(control, Some(me))
    }

    fn following(control: Arc<dyn ControlPlane>, me: Option<NodeUid>) -> Self {
        let (sender, views) = watch::channel(Arc::default());
        let task = tokio::spawn(follow(control, me, sender));
        Self { views, task }
    }

    /// The picture now.
    #[must_use]
    pub fn view(&self) -> Arc<ClusterView> {
        self.views.borrow().clone()
    }

    /// A receiver of all pictures to come; it may skip some.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.views.clone()
    }

    /// Returns the first picture for which `wanted` holds. It waits for ever if there is none.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&ClusterView) -> bool) -> Arc<ClusterView> {
        let mut views = self.views();
        let found = views.wait_for(|view| wanted(view)).await.map(|view| view.clone());
        // The sender lives in the task, and the task as long as `self`.
        found.unwrap_or_else(|_| self.view())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(control: Arc<dyn ControlPlane>, me: Option<NodeUid>, views: watch::Sender<Arc<ClusterView>>) {
    let mut pause = BACKOFF.0;
    loop {
        match control.watch(key::CLUSTER.into(), None).await {
            Ok(mut events) => {
                while let Some(event) = events.next().await {
                    let whole = matches!(event, WatchEvent::Snapshot { .. });
                    let mut view = (**views.borrow()).clone();
                    view.apply(event);
                    if whole && me.is_some_and(|me| !view.nodes.contains_key(&me) && !view.dead.contains_key(&me)) {
                        break;
                    }
                    // What has arrived together becomes one picture.
                    while let Some(event) = events.try_next() {
                        view.apply(event);
                    }
                    pause = BACKOFF.0;
                    views.send_if_modified(|before| {
                        let changed = **before != view;
                        *before = Arc::new(view);
                        changed
                    });
                }
            }
            Err(error) => tracing::debug!(%error, "cannot watch the cluster"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}
