//! `demo`, `run`, `status` and `call`, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Directory, Running, bbq};

const ANY: [&str; 4] = ["--listen", "127.0.0.1:0", "--center-listen", "127.0.0.1:0"];

#[test]
fn the_demo_serves_games_pages_and_calls() {
    let directory = Directory::new();
    let demo = Running::start(&directory, &[&["demo", "--bots", "4", "--for", "60s"], &ANY[..]].concat());
    let center = demo.ready["center"].as_str().expect("an address");
    let gate = demo.ready["gate"].as_str().expect("an address");
    assert_eq!((&demo.ready["nodes"], &demo.ready["bots"]), (&5.into(), &4.into()));

    let status = bbq(directory.path(), &["status", "--center", center, "-o", "json"]);
    assert_eq!(status.code, 0, "{status:?}");
    let status: Value = serde_json::from_str(&status.out).expect("JSON");
    let names: Vec<&str> =
        status["services"].as_array().expect("a list").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["arena.Arena", "chat.Directory", "chat.Room"]);
    let games = status["nodes"].as_array().expect("a list").iter().filter(|node| node["roles"][0] == "game");
    assert_eq!(games.count(), 2);

    let rooms = bbq(directory.path(), &["call", "Directory/all", "List", "--center", center]);
    assert_eq!(rooms.code, 0, "{rooms:?}");
    let rooms: Value = serde_json::from_str(&rooms.out).expect("JSON");
    assert!(rooms["rooms"].is_array(), "{rooms}");

    let refused =
        bbq(directory.path(), &["call", "Room/lobby", "Say", r#"{"text":"x"}"#, "--center", center, "-o", "json"]);
    assert_eq!(refused.code, 1);
    let value: Value = serde_json::from_str(&refused.out).expect("JSON");
    assert_eq!(value["error"]["name"], "FAILED_PRECONDITION");
    let failure: Value = serde_json::from_str(&refused.err).expect("JSON");
    assert_eq!(failure["code"], "BBQ-0054");
    for (arguments, code) in [
        (["call", "Rom/x", "Say"], "error[BBQ-0050]"),
        (["call", "Room/x", "Fly"], "error[BBQ-0051]"),
        (["call", "Room", "Say"], "error[BBQ-0053]"),
    ] {
        let ended = bbq(directory.path(), &[&arguments[..], &["--center", center]].concat());
        assert!(ended.err.starts_with(code), "{ended:?}");
    }

    let page = get(gate, "/");
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("text/html"), "{page}");
    assert!(get(gate, "/no-such-page").starts_with("HTTP/1.1 404"));

    let second = bbq(directory.path(), &["demo", "--listen", gate, "--center-listen", "127.0.0.1:0", "--for", "1s"]);
    assert!(second.err.starts_with("error[BBQ-0040]: ") && second.err.contains("--listen"), "{second:?}");
    assert_eq!(demo.terminate(), 0);
}

#[test]
fn roles_run_in_processes_of_their_own() {
    let directory = Directory::new();
    let center = Running::start(&directory, &[&["run", "center,proxy"], &ANY[..]].concat());
    let address = center.ready["center"].as_str().expect("an address");
    let game = Running::start(&directory, &["run", "game", "--app", "demo", "--center", address, "--name", "alone"]);
    let rooms = bbq(directory.path(), &["call", "chat.Directory/all", "List", "--center", address]);
    assert_eq!(rooms.code, 0, "{rooms:?}");
    assert_eq!(game.terminate(), 0);
    let nobody = bbq(directory.path(), &["call", "chat.Directory/all", "List", "--center", address]);
    assert!(nobody.err.starts_with("error[BBQ-0042]: "), "{nobody:?}");
    assert_eq!(center.terminate(), 0);
}

#[test]
fn a_time_limit_ends_what_would_stay() {
    let directory = Directory::new();
    let ended = bbq(directory.path(), &["run", "center", "--center-listen", "127.0.0.1:0", "--for", "300ms"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = bbq(directory.path(), &["run", "game", "--center", "127.0.0.1:1"]);
    assert!(ended.err.starts_with("error[BBQ-0014]: ") && ended.err.contains("--app demo"), "{ended:?}");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the gate listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
