//! The engine of `bbq-core` behind the port.

use std::sync::{Mutex, PoisonError};

use bbq_core::store::{self, Request, Response, StoreError};

use super::Store;
use crate::rpc::BoxFuture;

/// Forgets everything when it is dropped. For tests and clusters that keep nothing.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<store::MemoryStore>);

impl MemoryStore {
    /// An empty Store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, StoreError>> {
        // A panic inside leaves at worst an unfinished request behind: nothing was acknowledged.
        Box::pin(async move { self.0.lock().unwrap_or_else(PoisonError::into_inner).request(request) })
    }
}
