//! npm `gobbq-ts` 1.0.18, unmodified.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::cluster::Cluster;
use crate::soon;

/// Runs `tests/compat/run.mjs`; false: it cannot run here.
async fn plays(address: &str) -> bool {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/compat");
    if !directory.join("node_modules/gobbq-ts").is_dir() {
        let why = "gobbq-ts is not installed: cargo xtask install";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("SKIPPED {why}");
        return false;
    }
    let mut node = Command::new("node");
    node.arg("run.mjs").arg(address).current_dir(directory).stdout(Stdio::piped()).kill_on_drop(true);
    let output = soon(node.spawn().unwrap().wait_with_output()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{address}: {printed}");
    assert!(printed.contains("\"push\":\"push:one\""), "{printed}");
    true
}

#[tokio::test]
async fn the_original_works_unmodified_over_websocket_and_tcp() {
    let cluster = Cluster::start().await;
    for scheme in ["ws", "tcp"] {
        plays(&format!("{scheme}://{}", cluster.listen())).await;
    }
}

#[tokio::test]
async fn the_original_works_unmodified_over_kcp() {
    let cluster = Cluster::start().await;
    plays(&format!("kcp://{}", cluster.kcp())).await;
}
