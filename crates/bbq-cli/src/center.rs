//! What the center of a cluster says: one look, then goodbye.

use std::time::Duration;

use bbq_core::control::{ClusterView, ControlError, WatchEvent, key};
use bbq_rt::control::{CenterControl, ControlPlane};
use bbq_rt::rpc::{ClientConfig, Pass};
use bbq_rt::secret::Secret;
use gobbq::options::SECRET_VARIABLE;

use crate::args::Center;
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

/// What the center wants to see of us.
pub(crate) fn pass(at: &Center) -> Result<Option<Pass>> {
    let secret = match (&at.cluster_secret_file, std::env::var_os(SECRET_VARIABLE)) {
        (Some(path), _) => Secret::read(path).map_err(|why| (path.display().to_string(), why)),
        (None, Some(value)) => Secret::new(value.as_encoded_bytes()).map_err(|why| (SECRET_VARIABLE.to_owned(), why)),
        (None, None) => return Ok(None),
    };
    let secret = secret.map_err(|(place, why)| {
        Failure::new(Code::SETTING, format!("{place}: {why}")).fix("take the secret with which the cluster was started")
    })?;
    Ok(Some(Pass { cluster: at.cluster.clone(), secret }))
}

/// The cluster as it is now.
pub(crate) async fn look(at: &Center) -> Result<ClusterView> {
    let config = ClientConfig { patience: PATIENCE, pass: pass(at)?, ..ClientConfig::default() };
    let center = at.center.as_str();
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
        Ok(Err(why)) => Err(failed(center, &why)),
        Err(_) => Err(unreachable(center, &format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Why a center did not help.
pub(crate) fn failed(center: &str, why: &ControlError) -> Failure {
    match why {
        ControlError::Refused { why } => {
            Failure::new(Code::CENTER, format!("the center at {center} does not let us in")).because(why).fix(
                "say what the cluster was started with: --cluster, and --cluster-secret-file or BBQ_CLUSTER_SECRET",
            )
        }
        why => unreachable(center, &why.to_string()),
    }
}

fn unreachable(center: &str, why: &str) -> Failure {
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
        let at = Center { center: address.clone(), cluster: "dev".to_owned(), cluster_secret_file: None };
        let failure = block_on(look(&at)).expect_err("nobody is there");
        assert_eq!(failure.code, Code::CENTER);
        assert!(failure.what.contains(&address));
    }
}
