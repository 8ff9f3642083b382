//! The Store of a center, over the network.

use super::{Request, Response, Store, StoreError, engine};
use crate::rpc::{Answer, BoxFuture, Call, CallError, Client, ClientConfig};

/// Asks the Store that a center serves. Connects by itself, again and again; clones share the connection.
///
/// A request whose answer got lost is sent again, which is safe for all of them.
#[derive(Clone, Debug)]
pub struct CenterStore {
    client: Client,
}

impl CenterStore {
    /// The Store of the center at `address` (`host:port`).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self::with(address, ClientConfig::default())
    }

    /// As [`CenterStore::new`], with other waiting times.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn with(address: impl Into<String>, config: ClientConfig) -> Self {
        Self { client: Client::new(address, config) }
    }
}

impl Store for CenterStore {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, StoreError>> {
        Box::pin(async move {
            let body = self.client.call(Call::Store(request).encode(), true).await.map_err(silent)?;
            match Answer::decode(&body) {
                Answer::Store(result) => result,
                other => Err(engine(format!("the center does not understand: {other:?}"), false)),
            }
        })
    }
}

fn silent(error: CallError) -> StoreError {
    match error {
        CallError::NotSent(why) | CallError::Unknown(why) => {
            engine(format!("the Store of the center is unreachable: {why}"), true)
        }
        // The operator may mend it.
        CallError::Refused(error) => engine(format!("the center does not let this process in: {error}"), true),
    }
}
