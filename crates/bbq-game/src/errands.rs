//! What a world wants from outside, done on tokio: Store requests, futures of the outside, blocking work.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bbq_core::world::{Input, Job, OpId, StoreReply, StoreRequest};
use bbq_wire::{Code, Error};
use tokio::runtime::Handle;

use crate::Inbox;

/// Carries a request to the Store and brings the answer.
#[derive(Clone)]
pub struct StoreDriver(Arc<dyn Fn(StoreRequest) -> StoreFuture + Send + Sync>);

type StoreFuture = Pin<Box<dyn Future<Output = StoreReply> + Send>>;

impl StoreDriver {
    /// A driver that calls `serve` for each request.
    pub fn new<F>(serve: impl Fn(StoreRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = StoreReply> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(serve(request))))
    }
}

impl fmt::Debug for StoreDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreDriver")
    }
}

/// Runs the errands of one world. How many there are at once is bounded by the operations of the world.
pub(crate) struct Errands {
    store: StoreDriver,
    runtime: Handle,
    inbox: Inbox,
}

impl Errands {
    pub(crate) fn new(store: StoreDriver, runtime: Handle, inbox: Inbox) -> Self {
        Self { store, runtime, inbox }
    }

    pub(crate) fn store(&self, op: OpId, request: StoreRequest) {
        let (future, inbox) = ((self.store.0)(request), self.inbox.clone());
        self.runtime.spawn(async move { bring(&inbox, Input::Store(op, future.await)).await });
    }

    /// The answer comes from a second task that waits for the first: it arrives even when the job panics.
    pub(crate) fn job(&self, op: OpId, job: Job) {
        let running = match job {
            Job::External(_, future) => self.runtime.spawn(future),
            Job::Blocking(work) => self.runtime.spawn_blocking(work),
        };
        let inbox = self.inbox.clone();
        self.runtime.spawn(async move {
            let failed = |_| Error::new(Code::INTERNAL, "the job panicked");
            bring(&inbox, Input::JobDone(op, running.await.map_err(failed))).await;
        });
    }
}

async fn bring(inbox: &Inbox, input: Input) {
    if inbox.send(input).await.is_err() {
        tracing::debug!("an errand came back to a world that has ended");
    }
}
