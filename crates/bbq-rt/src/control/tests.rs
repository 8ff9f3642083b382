use std::sync::Arc;

use super::*;

mod volatile {
    use super::*;

    crate::control_battery!(async |config| (Arc::new(LocalControl::volatile(config)) as Arc<dyn ControlPlane>, ()));
}

/// A directory that goes when the test ends.
struct TempDirectory(std::path::PathBuf);

impl TempDirectory {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("bbq-control-{}-{name}", std::process::id())))
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("control.redb")
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

mod kept {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(0);

    crate::control_battery!(async |config| {
        let directory = TempDirectory::new(&NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        (Arc::new(LocalControl::open(config, &directory.file()).unwrap()) as Arc<dyn ControlPlane>, directory)
    });
}

#[tokio::test]
async fn a_kept_engine_continues_where_it_was_closed() {
    let directory = TempDirectory::new("reopen");
    let control = LocalControl::open(Config::default(), &directory.file()).unwrap();
    let info = NodeInfo { name: "proxy-1".into(), roles: Roles::PROXY, weight: 100, ..NodeInfo::default() };
    let session = control.open(info, Duration::from_secs(60)).await.unwrap();
    control.txn(vec![], vec![Op::put("config", "1")]).await.unwrap();
    let before = control.get("config".into()).await.unwrap();
    control.close().await;
    assert!(matches!(control.get("config".into()).await, Err(ControlError::Unreachable { .. })));
    let control = LocalControl::open(Config::default(), &directory.file()).unwrap();
    assert_eq!(control.get("config".into()).await.unwrap(), before);
    assert_eq!(control.renew(&session, Load::default()).await, Ok(()));
    let second = control.open(NodeInfo { name: "b".into(), ..NodeInfo::default() }, Duration::ZERO).await.unwrap();
    assert!(second.uid.incarnation > session.uid.incarnation);
}

#[tokio::test]
async fn a_watch_is_not_a_request() {
    let control = LocalControl::volatile(Config::default());
    let watch = Request::Watch { id: WatchId(1), prefix: String::new(), from: None };
    assert!(matches!(control.request(watch).await, Err(ControlError::Invalid { .. })));
}
