//! Players that are not written in Rust, on real clusters.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::player::url;
use crate::runner::{Cluster, soon};

/// Where the tests of other languages are, seen from the root of the repository.
const SDK: &str = "sdk/typescript";
const COMPAT: &str = "tests/compat";
const SESSION: &str = "tests/cluster/node";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Says that a test cannot run here. In CI that is a failure.
#[expect(clippy::print_stdout, reason = "people are told what they miss")]
fn skip(why: &str, install: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{why}; {install}");
    println!("SKIPPED {why}; {install}");
}

/// Whether node and these packages of an npm directory are there.
fn is_installed(directory: &str, packages: &[&str]) -> bool {
    let has_node = std::process::Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if !has_node.is_ok_and(|status| status.success()) {
        skip("node is not installed", "sudo apt-get install nodejs npm");
        return false;
    }
    let missing = |package: &&&str| !root().join(directory).join("node_modules").join(package).is_dir();
    if let Some(package) = packages.iter().find(missing) {
        skip(&format!("{directory} lacks the npm package {package}"), "cargo xtask install");
        return false;
    }
    true
}

/// Runs a command to its end and returns what it printed.
async fn printed(command: &mut Command) -> String {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let output = child.unwrap_or_else(|error| panic!("{command:?}: {error}")).wait_with_output();
    let output = soon("a program of another language ends", output).await.expect("its output");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// Compiles the SDK, the stubs that the generator makes now, and the script, all of them checked for types.
async fn build_session(cluster: &Cluster) -> PathBuf {
    let (place, sdk) = (cluster.path("session"), root().join(SDK));
    let installed = sdk.join("node_modules").canonicalize().expect("a real path");
    let gobbq = place.join("node_modules/gobbq");
    std::fs::create_dir_all(&gobbq).expect("a directory");
    for name in ["@bufbuild", "@types", "undici-types", "ws"] {
        std::os::unix::fs::symlink(installed.join(name), place.join("node_modules").join(name)).expect("a link");
    }
    for name in ["package.json", "tsconfig.json", "session.ts"] {
        std::fs::copy(root().join(SESSION).join(name), place.join(name)).expect("a copy");
    }
    std::fs::copy(sdk.join("package.json"), gobbq.join("package.json")).expect("a copy");
    let protos =
        ["examples/chat/proto/chat.proto", "examples/echo/proto/echo.proto", "tests/cluster/proto/probe.proto"]
            .map(|path| root().join(path));
    let includes: Vec<&Path> = protos.iter().filter_map(|path| path.parent()).collect();
    let schema = bbq_gen::compile(&protos, &includes).expect("protos that compile");
    for file in bbq_gen::typescript(&schema).expect("stubs") {
        let path = place.join(file.path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, file.text).expect("a file");
    }
    let dist = gobbq.join("dist");
    for config in ["tsconfig.json", "tsconfig.node.json"] {
        let mut compiler = Command::new(installed.join(".bin/tsc"));
        printed(compiler.arg("-p").arg(sdk.join(config)).arg("--outDir").arg(&dist)).await;
    }
    printed(Command::new(installed.join(".bin/tsc")).arg("-p").arg(place.join("tsconfig.json"))).await;
    place.join("out/session.js")
}

#[tokio::test]
async fn a_player_in_typescript_talks_hears_answers_and_survives_cuts_over_websocket_and_tcp() {
    if !is_installed(SDK, &["typescript", "ws", "@types/ws", "@bufbuild/protobuf"]) {
        return;
    }
    let (cluster, [_center, _proxy, _game, gate]) = Cluster::usual().await;
    let session = build_session(&cluster).await;
    for scheme in ["ws", "tcp"] {
        let result = printed(Command::new("node").arg(&session).arg(url(scheme, &gate))).await;
        assert!(result.contains("\"cuts\":40,\"resumed\":40"), "{result}");
    }
}

#[tokio::test]
async fn the_client_of_the_original_plays_on_a_cluster_over_websocket_tcp_and_kcp() {
    if !is_installed(COMPAT, &["gobbq-ts"]) {
        return;
    }
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let compat = ["--compat-listen", "127.0.0.1:0", "--compat-kcp", "127.0.0.1:0"];
    let (_proxy, _game, gate) = tokio::join!(
        cluster.start("proxy", "proxy", &[]),
        cluster.start("game", "game", &[]),
        cluster.start("gate", "gate", &compat)
    );
    // The script calls at once: wait until the gate has heard of the game.
    let player = crate::player::Player::at(&gate, "first").await;
    crate::player::answered("the game is known", || player.instance()).await;
    for (scheme, listener, key) in [("ws", "compat", "5"), ("tcp", "compat", "6"), ("kcp", "compat_kcp", "7")] {
        let address = format!("{scheme}://{}", gate.address(listener));
        let mut node = Command::new("node");
        let result = printed(node.arg("run.mjs").args([&*address, key]).current_dir(root().join(COMPAT))).await;
        assert!(result.contains("\"push\":\"push:one\""), "{result}");
    }
}
