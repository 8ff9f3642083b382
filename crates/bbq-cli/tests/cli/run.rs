//! A new project in four terminals: `run center`, `run proxy`, `run game`, `run gate`.

use std::time::Duration;

use bbq_client::{Client, Options};
use serde_json::Value;

use crate::harness::{Directory, Running, bbq, cargo_settings, command, new_project, wait};

const ANY_MESH: [&str; 2] = ["--mesh-listen", "127.0.0.1:0"];

#[test]
fn a_new_project_runs_in_four_processes() {
    let directory = Directory::new();
    let project = new_project(&directory, "orchard");
    let center = Running::start(&directory, &["run", "center", "--center-listen", "127.0.0.1:0"]);
    let at = center.ready["center"].as_str().expect("an address").to_owned();
    let join = |role: &str| {
        let mut bbq = command(&project);
        cargo_settings(&mut bbq);
        bbq.args(["run", role, "--name", role, "--center", &at, "--listen", "127.0.0.1:0"]).args(ANY_MESH);
        // Longer than this test: only a client that says goodbye ends its session.
        bbq.args(["--resume-window", "1h"]);
        Running::of(&directory, bbq)
    };
    let proxy = join("proxy");
    let game = join("game");
    let gate = join("gate");
    let said = bbq(&project, &["call", "Room/lobby", "Say", r#"{"text": "hello"}"#, "--center", &at]);
    assert_eq!(said.code, 0, "{said:?}");
    let state = bbq(&project, &["call", "Room/lobby", "Join", "--center", &at]);
    assert!(state.out.contains("hello"), "{state:?}");

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = gate.ready["gate"].as_str().expect("an address");
    let player = runtime.block_on(Client::connect(Options::new(format!("tcp://{address}")).guest("ann")));
    let player = player.expect("a session");
    // Counts are reported with the next renewals of the nodes' leases.
    let counts = || {
        let status = bbq(&project, &["status", "--center", &at, "-o", "json"]);
        let status: Value = serde_json::from_str(&status.out).ok()?;
        let of = |name: &str, what: &str| {
            let nodes = status["nodes"].as_array()?;
            nodes.iter().find(|node| node["name"] == name)?[what].as_u64()
        };
        Some((of("game", "entities")?, of("gate", "sessions")?))
    };
    wait("one room, one player", || (counts()? == (1, 1)).then_some(()));
    let table = bbq(&project, &["status", "--center", &at]).out;
    assert!(table.contains("ENTITIES") && table.contains("SESSIONS"), "{table}");
    assert_eq!(player.max_calls(), Some(64), "the gate says how many");
    player.close();
    wait("end of the session", || (counts()? == (1, 0)).then_some(()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    for process in [gate, game, proxy, center] {
        assert_eq!(process.terminate(), 0);
    }
}
