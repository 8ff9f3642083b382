//! The control plane of a center, over the network.

use super::{ControlError, ControlPlane, Request, Response, WatchId, WatchStream, unreachable};
use crate::rpc::{Answer, BoxFuture, Call, CallError, Client, ClientConfig, Item};

/// Asks the control plane that a center serves. Connects by itself, again and again; clones share the connection.
///
/// While the center is away, requests fail with `Unreachable` after the patience of the client, watches end in a gap, and
/// nobody dies: the center gives all leases anew when it comes back.
#[derive(Clone, Debug)]
pub struct CenterControl {
    client: Client,
}

impl CenterControl {
    /// The control plane of the center at `address` (`host:port`).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self::with(address, ClientConfig::default())
    }

    /// As [`CenterControl::new`], with other waiting times.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn with(address: impl Into<String>, config: ClientConfig) -> Self {
        Self { client: Client::new(address, config) }
    }
}

impl ControlPlane for CenterControl {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, ControlError>> {
        Box::pin(async move {
            // A transaction that was carried out would fail its own guards the second time.
            let again = !matches!(request, Request::Txn { .. });
            let body = self.client.call(Call::Control(request).encode(), again).await.map_err(silent)?;
            answer(&body)
        })
    }

    fn watch(&self, prefix: String, from: Option<u64>) -> BoxFuture<'_, Result<WatchStream, ControlError>> {
        Box::pin(async move {
            let call = Call::Control(Request::Watch { id: WatchId(0), prefix, from });
            let mut bodies = self.client.watch(call.encode()).await.map_err(silent)?;
            let Some(first) = bodies.recv().await else {
                let away = unreachable("the center is away");
                return Err(self.client.refusal().map_or(away, |error| silent(CallError::Refused(error))));
            };
            answer(&first)?;
            let (events, stream) = WatchStream::channel();
            tokio::spawn(Item::decode_all(bodies, events));
            Ok(stream)
        })
    }
}

fn answer(body: &[u8]) -> Result<Response, ControlError> {
    match Answer::decode(body) {
        Answer::Control(result) => result,
        other => Err(ControlError::Invalid { why: format!("the center does not understand: {other:?}") }),
    }
}

fn silent(error: CallError) -> ControlError {
    match error {
        CallError::NotSent(why) | CallError::Unknown(why) => unreachable(why),
        CallError::Refused(error) => ControlError::Refused { why: error.to_string() },
    }
}
