//! What the center of a cluster says: one look, then goodbye.

use std::time::Duration;

use bbq_core::control::{ClusterView, ControlError, WatchEvent, key};
use bbq_rt::control::{CenterControl, ControlPlane};
use bbq_rt::rpc::ClientConfig;

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// How long a center may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a command that waits. Nodes of this process use every core; the command itself stays on this thread.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Failure::new(Code::START, "the system gives no runtime").because(why))?;
    runtime.block_on(command)
}

/// The cluster as it is now.
pub(crate) async fn look(center: &str) -> Result<ClusterView> {
    let config = ClientConfig { patience: PATIENCE, ..ClientConfig::default() };
    let control = CenterControl::with(center, config);
    let mut view = ClusterView::default();
    let heard = tokio::time::timeout(PATIENCE, async {
        let mut events = control.watch(key::CLUSTER.into(), None).await?;
        match events.next().await {
            Some(event @ WatchEvent::Snapshot { .. }) => view.apply(event),
            _ => return Err(ControlError::Unreachable { why: "it went away".to_owned() }),
        }
        Ok(())
    });
    match heard.await {
        Ok(Ok(())) => Ok(view),
        Ok(Err(why)) => Err(unreachable(center, &why.to_string())),
        Err(_) => Err(unreachable(center, &format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

pub(crate) fn unreachable(center: &str, why: &str) -> Failure {
    Failure::new(Code::CENTER, format!("the center at {center} cannot be reached"))
        .because(why)
        .fix("start it (bbq dev, bbq demo, bbq run center), or say where it is: --center HOST:PORT or BBQ_CENTER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_center_that_is_not_there_is_a_failure_with_a_way_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let failure = block_on(look(&address)).expect_err("nobody is there");
        assert_eq!(failure.code, Code::CENTER);
        assert!(failure.what.contains(&address));
    }
}
