//! What is said to who got a setting wrong: the cause, and what helps.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::{Directory, Running, bbq};

const ANY: [&str; 4] = ["--listen", "127.0.0.1:0", "--center-listen", "127.0.0.1:0"];

fn refused(directory: &Directory, arguments: &[&str]) -> (i32, String) {
    let ended = bbq(directory.path(), &[arguments, &["--for", "30s"]].concat());
    (ended.code, ended.err)
}

fn says(said: &(i32, String), words: &[&str]) {
    assert!(said.0 != 0 && words.iter().all(|word| said.1.contains(word)), "{words:?} is not in {said:?}");
}

#[test]
fn certificates_that_do_not_work_are_named() {
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let directory = Directory::new().with("empty.pem", "").with("cert.pem", garbage);
    let gate = |cert: &str, key: &str| {
        let tls = ["run", "center,proxy,gate", "--tls-cert", cert, "--tls-key", key];
        refused(&directory, &[&tls[..], &ANY].concat())
    };
    says(&gate("none.pem", "none.pem"), &["error[BBQ-0040]", "cannot read none.pem", "fix: --tls-cert takes"]);
    says(&gate("empty.pem", "empty.pem"), &["cannot read empty.pem", "fix: --tls-cert takes"]);
    says(&gate("cert.pem", "cert.pem"), &["cannot read cert.pem", "fix: --tls-cert takes"]);
    let only = refused(&directory, &[&["run", "center,gate", "--only-tls", "yes"], &ANY[..]].concat());
    says(&only, &["error[BBQ-0002]: --only-tls", "--tls-cert"]);
    assert_eq!(only.0, 2);
}

#[test]
fn addresses_that_cannot_be_had_say_which_option_chooses_another() {
    let directory = Directory::new();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let center = ["run", "center,proxy,gate", "--listen", "127.0.0.1:0", "--center-listen", &taken];
    says(&refused(&directory, &center), &["cannot listen on", "stop the process", "with --center-listen"]);
    let gate = ["run", "center,proxy,gate", "--listen", &taken, "--center-listen", "127.0.0.1:0"];
    says(&refused(&directory, &gate), &["cannot listen on", "stop the process", "with --listen"]);
    let mesh = [&["run", "center,proxy", "--mesh-listen", &taken], &ANY[..]].concat();
    says(&refused(&directory, &mesh), &["cannot listen on", "stop the process", "with --mesh-listen"]);
    // 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
    let strange = ["run", "center,gate", "--listen", "192.0.2.1:4000", "--center-listen", "127.0.0.1:0"];
    says(&refused(&directory, &strange), &["this machine has no such address", "--listen"]);
}

#[test]
fn a_center_that_is_not_there_is_named_with_its_address() {
    let directory = Directory::new();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let said = refused(&directory, &["run", "gate", "--center", &nobody.to_string(), "--listen", "127.0.0.1:0"]);
    says(
        &said,
        &["error[BBQ-0040]", &nobody.to_string(), "cannot be reached within 10 s", "refused", "bbq run center"],
    );
    let said = refused(&directory, &["run", "gate", "--center", "10.0.0.1"]);
    says(&said, &["error[BBQ-0002]: --center: `10.0.0.1` is not HOST:PORT"]);
    says(&refused(&directory, &["run", "gamer"]), &["`gamer` is not a role", "fix: name roles: bbq run center"]);
}

#[test]
fn failures_are_json_where_json_was_asked_for() {
    let directory = Directory::new();
    for (arguments, code, exit) in [
        (&["status", "--center", "127.0.0.1:1", "-o", "json"][..], "BBQ-0041", 1),
        (&["explain", "BBQ-9999", "--output=json"], "BBQ-0003", 1),
        (&["statis", "-o", "json"], "BBQ-0001", 2),
    ] {
        let ended = bbq(directory.path(), arguments);
        assert_eq!((ended.code, ended.out.as_str()), (exit, ""), "{ended:?}");
        let value: Value = serde_json::from_str(&ended.err).expect("JSON on stderr");
        assert_eq!(value["code"], code);
        let filled = |name: &str| value[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(filled("error") && filled("fix") && value["cause"].is_string(), "{value}");
    }
}

#[test]
fn a_ready_file_that_is_no_file_is_written_to() {
    let directory = Directory::new();
    let arguments =
        ["run", "center", "--center-listen", "127.0.0.1:0", "--for", "100ms", "--ready-file", "/dev/stdout"];
    let ended = bbq(directory.path(), &arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let value: Value = serde_json::from_str(&ended.out).expect("JSON on stdout");
    assert!(value["center"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{value}");
}

#[test]
fn a_second_process_with_the_name_of_a_node_ends_the_demo_with_the_reason() {
    let directory = Directory::new();
    let mut demo = Running::start(&directory, &[&["demo", "--bots", "0", "--for", "300s"], &ANY[..]].concat());
    let center = demo.ready["center"].as_str().expect("an address").to_owned();
    let rival = ["run", "proxy", "--name", "game-2", "--center", &center];
    let _rival = Running::start(&directory, &rival);
    assert_eq!(demo.ended(), 1);
    let said = demo.said();
    assert!(said.contains("error[BBQ-0043]: game-2: this node was declared dead"), "{said}");
}
