//! `explain`, `completion`, help, and what is the same for all commands.

use std::path::Path;
use std::process::Stdio;

use crate::harness::{bbq, command};

fn here() -> &'static Path {
    Path::new(".")
}

#[test]
fn codes_of_all_three_kinds_are_explained() {
    for (code, words) in [
        ("BBQ-0011", "BBQ-0011: Something is there already"),
        ("bbq-0101", "BBQ-0101: Two methods have the same id"),
        ("21", "21 DEADLOCK: The call came back"),
        ("deadlock", "21 DEADLOCK: The call came back"),
    ] {
        let ended = bbq(here(), &["explain", code]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.starts_with(words), "{ended:?}");
    }
    let json = bbq(here(), &["explain", "DEADLOCK", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(value["code"], "21");
    assert_eq!(value["name"], "DEADLOCK");
}

#[test]
fn an_unknown_code_is_an_error_with_a_code_and_a_fix() {
    let ended = bbq(here(), &["explain", "BBQ-9999"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.out, "");
    assert!(ended.err.starts_with("error[BBQ-0003]: there is no code `BBQ-9999`\n  fix: "), "{ended:?}");
}

#[test]
fn a_bad_command_line_ends_with_2_and_says_what_would_be_right() {
    let ended = bbq(here(), &["chek"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("error[BBQ-0001]: unrecognized subcommand 'chek'"), "{ended:?}");
    assert!(ended.err.contains("did you mean `check`?"), "{ended:?}");
    let ended = bbq(here(), &["run", "gamer"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("error[BBQ-0002]: --role: `gamer` is not a role"), "{ended:?}");
    let ended = bbq(here(), &["run", "gate"]);
    assert!(ended.err.contains("--center HOST:PORT"), "{ended:?}");
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = bbq(here(), &["help", "run"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("--center-listen") && help.out.contains("BBQ_CENTER_LISTEN"), "{help:?}");
    let version = bbq(here(), &["--version"]);
    assert_eq!(version.out.trim(), concat!("bbq ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = bbq(here(), &["completion", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("doctor") && ended.out.contains("explain"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(here())
        .args(["completion", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bbq runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_doctor_prints_a_verdict_for_each_line() {
    let ended = bbq(here(), &["doctor", "-o", "json"]);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&ended.out).expect("JSON");
    let rust = lines.iter().find(|line| line["name"] == "rust").expect("a line about rust");
    assert_eq!(rust["verdict"], "ok", "{rust}");
    assert!(lines.iter().all(|line| line["verdict"] == "ok" || !line["fix"].as_str().unwrap_or_default().is_empty()));
}
