//! The cluster as one picture that is always there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{ClusterView, ControlPlane, key};

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
        let (sender, views) = watch::channel(Arc::default());
        let task = tokio::spawn(follow(control, sender));
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

async fn follow(control: Arc<dyn ControlPlane>, views: watch::Sender<Arc<ClusterView>>) {
    let mut pause = BACKOFF.0;
    loop {
        match control.watch(key::CLUSTER.into(), None).await {
            Ok(mut events) => {
                while let Some(event) = events.next().await {
                    let mut view = (**views.borrow()).clone();
                    view.apply(event);
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
