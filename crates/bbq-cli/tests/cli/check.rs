//! `gen` and `check`.

use crate::harness::{Directory, bbq};

const FINE: &str = r#"syntax = "proto3";
package shop;
import "gobbq/options.proto";
service Till {
  option (gobbq.service) = { kind: ENTITY };
  rpc Pay(Coins) returns (Coins) { option (gobbq.method) = { client: true rate: "1/s" }; }
}
message Coins { uint64 count = 1; }
"#;

fn project(proto: &str) -> Directory {
    Directory::new().with("Cargo.toml", "[package]\nname = \"shop\"\n").with("proto/shop.proto", proto)
}

#[test]
fn fine_files_are_fine_and_the_first_release_is_written_down() {
    let project = project(FINE);
    let ended = bbq(project.path(), &["check"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.out,
        "fine: 1 services, 1 messages; no gobbq.lock yet: `bbq check --update` writes it when you release\n"
    );
    let ended = bbq(project.path(), &["check", "--update"]);
    assert!(ended.out.contains("wrote gobbq.lock"), "{ended:?}");
    assert!(project.read("gobbq.lock").contains("entity shop.Till"));
    assert!(bbq(project.path(), &["check", "--update"]).out.contains("says the same"));
}

#[test]
fn findings_have_a_place_a_code_and_a_fix() {
    let project = project(&FINE.replace("rate: \"1/s\"", "").replace("kind: ENTITY", "kind: SERVICE idle: \"1m\""));
    let ended = bbq(project.path(), &["check"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("error[BBQ-0106]: "), "{ended:?}");
    assert!(ended.out.contains("--> proto/shop.proto:5:3"), "{ended:?}");
    assert!(ended.out.contains("5 |   option (gobbq.service)"), "{ended:?}");
    assert!(ended.out.contains("warning[BBQ-0109]: "), "{ended:?}");
    assert!(ended.out.contains("1 error, 1 warning"), "{ended:?}");

    let json = bbq(project.path(), &["check", "-o", "json"]);
    assert_eq!(json.code, 1);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&value["errors"], &value["warnings"]), (&1.into(), &1.into()));
    let first = &value["findings"][0];
    assert_eq!((&first["code"], &first["line"]), (&"BBQ-0106".into(), &5.into()), "{first}");
}

#[test]
fn what_breaks_a_release_is_found_and_can_be_accepted() {
    let project = project(FINE);
    bbq(project.path(), &["check", "--update"]);
    let project = project.with("proto/shop.proto", &FINE.replace("uint64 count = 1", "string count = 1"));
    let ended = bbq(project.path(), &["check"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("error[BBQ-0206]"), "{ended:?}");
    assert_eq!(bbq(project.path(), &["check", "--update"]).code, 0);
    assert_eq!(bbq(project.path(), &["check"]).code, 0);
}

#[test]
fn files_that_are_no_protobuf_are_findings_too() {
    let project = project("syntax = \"proto3\";\nmessage {\n");
    let ended = bbq(project.path(), &["check"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("error[BBQ-0100]: "), "{ended:?}");
    let ended = bbq(project.path(), &["gen", "--rust", "out"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("error[BBQ-0100]: ") && ended.err.contains("error[BBQ-0020]: "), "{ended:?}");
}

#[test]
fn a_damaged_lock_and_a_missing_project_say_so() {
    let project = project(FINE).with("gobbq.lock", "nonsense\n");
    assert!(bbq(project.path(), &["check"]).err.starts_with("error[BBQ-0021]: "));
    let nowhere = Directory::new();
    assert!(bbq(nowhere.path(), &["check"]).err.starts_with("error[BBQ-0014]: "));
    assert!(bbq(nowhere.path(), &["check", "--proto", "x"]).err.starts_with("error[BBQ-0015]: "));
}

#[test]
fn rust_is_written_once() {
    let project = project(FINE);
    let ended = bbq(project.path(), &["gen", "--rust", "out"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "wrote out/gobbq.rs\n"), "{ended:?}");
    assert!(project.read("out/gobbq.rs").contains("pub trait TillEntity"));
    assert_eq!(bbq(project.path(), &["gen", "--rust", "out"]).out, "same  out/gobbq.rs\n");
}

#[test]
fn typescript_is_written_for_each_file() {
    let project = project(FINE);
    let ended = bbq(project.path(), &["gen", "--ts", "web/gen"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out, "wrote web/gen/shop_pb.ts\nwrote web/gen/shop_gobbq.ts\n");
    assert!(project.read("web/gen/shop_gobbq.ts").contains("Till"));
}
