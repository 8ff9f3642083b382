//! Every finding about two versions of the files, with its place.

use bbq_gen::{Schema, Snapshot, check, compile_texts, explain, snapshot};

const BEFORE: &str = "\
syntax = \"proto3\";
package p;
import \"gobbq/options.proto\";
service S {
  option (gobbq.service) = { kind: ENTITY, state: \"State\" };
  rpc A(M) returns (M) { option (gobbq.method) = { client: true, unlimited: true, id: 5 }; }
  rpc B(M) returns (N);
}
message M {
  int32 a = 1;
  string b = 2;
  reserved 8, 9;
}
message N { Mood mood = 1; }
message State { N n = 1; map<string, N> more = 2; }
message Unused { int32 a = 1; }
enum Mood {
  MOOD_NONE = 0;
  MOOD_GOOD = 1;
}
";

fn compiled(text: &str) -> Schema {
    compile_texts(&[("p.proto", text)]).expect("it is valid protobuf")
}

fn released() -> Snapshot {
    let text = snapshot(&compiled(BEFORE), None).to_string();
    text.parse().expect("what is written can be read")
}

/// What is found after replacing parts of the file.
fn after(changes: &[(&str, &str)]) -> Vec<String> {
    let mut text = BEFORE.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "`{old}` is in the file");
        text = text.replace(old, new);
    }
    let findings = check(&compiled(&text), Some(&released()));
    assert!(findings.iter().all(|finding| explain(finding.code).is_some() && !finding.fix.is_empty()));
    findings.iter().map(|finding| finding.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_change_is_fine_and_so_are_additions() {
    assert_eq!(after(&[]), [""; 0]);
    let additions = [
        ("  rpc B(M)", "  rpc C(M) returns (M);\n  rpc B(M)"),
        ("  int32 a = 1;\n", "  int32 a = 1;\n  int32 c = 3;\n"),
        ("MOOD_GOOD = 1;", "MOOD_GOOD = 1;\n  MOOD_BAD = 2;"),
        ("message Unused { int32 a = 1; }", ""),
    ];
    assert_eq!(after(&additions), [""; 0]);
}

#[test]
fn bbq_0201_a_method_is_gone() {
    assert_eq!(
        after(&[("  rpc B(M) returns (N);\n", "")]),
        ["p.proto:4:9: error[BBQ-0201]: the released method p.S/B is gone, or has another name"]
    );
    assert_eq!(
        after(&[("rpc A(M)", "rpc Renamed(M)")]),
        ["p.proto:6:7: warning[BBQ-0201]: p.S/A is called Renamed now; its id is the same"]
    );
    assert_eq!(
        after(&[("rpc B(M)", "rpc Renamed(M)")]),
        ["p.proto:4:9: error[BBQ-0201]: the released method p.S/B is gone, or has another name"]
    );
}

#[test]
fn bbq_0202_a_service_is_gone() {
    assert_eq!(
        after(&[("service S {", "service T {"), ("id: 5", "id: 6")]),
        ["gobbq.lock:5:1: error[BBQ-0202]: the released service p.S is gone, or has another name"]
    );
}

#[test]
fn bbq_0203_another_request_or_reply() {
    assert_eq!(
        after(&[("rpc B(M) returns (N)", "rpc B(N) returns (M)")]),
        [
            "p.proto:7:7: error[BBQ-0203]: the reply of p.S/B was released as p.N and is p.M now",
            "p.proto:7:7: error[BBQ-0203]: the request of p.S/B was released as p.M and is p.N now",
        ]
    );
}

#[test]
fn bbq_0204_another_id() {
    assert_eq!(
        after(&[("id: 5", "id: 6")]),
        ["p.proto:6:7: error[BBQ-0204]: p.S/A was released with the id 5 and has 6 now"]
    );
}

#[test]
fn bbq_0205_an_id_used_again() {
    let swapped = [
        ("  rpc A(M) returns (M) { option (gobbq.method) = { client: true, unlimited: true, id: 5 }; }\n", ""),
        ("rpc B(M) returns (N);", "rpc B(M) returns (N);\n  rpc C(N) returns (N) { option (gobbq.method).id = 5; }"),
    ];
    assert_eq!(
        after(&swapped),
        [
            "p.proto:4:9: error[BBQ-0201]: the released method p.S/A is gone, or has another name",
            "p.proto:7:7: error[BBQ-0205]: p.S/C has the id 5, which belonged to p.S/A",
        ]
    );
}

#[test]
fn bbq_0205_an_id_stays_retired_when_the_removal_was_accepted() {
    let without = BEFORE
        .replace("  rpc A(M) returns (M) { option (gobbq.method) = { client: true, unlimited: true, id: 5 }; }\n", "");
    let second = snapshot(&compiled(&without), Some(&released()));
    assert!(second.to_string().ends_with("\nretired\n  5 p.S/A\n"), "{second}");
    assert_eq!(check(&compiled(&without), Some(&second)), []);
    let third = snapshot(&compiled(&without), Some(&second.to_string().parse().expect("it can be read")));
    assert_eq!(third.to_string(), second.to_string());

    let again = without.replace("rpc B(M)", "rpc C(N) returns (N) { option (gobbq.method).id = 5; }\n  rpc B(M)");
    let findings = check(&compiled(&again), Some(&third));
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0]
            .to_string()
            .starts_with("p.proto:6:7: error[BBQ-0205]: p.S/C has the id 5, which belonged to p.S/A"),
        "{}",
        findings[0]
    );
    assert_eq!(check(&compiled(BEFORE), Some(&third)), [], "the method itself may come back");
}

#[test]
fn bbq_0206_another_type_for_a_number() {
    assert_eq!(
        after(&[("int32 a = 1;\n  string", "int64 a = 1;\n  string")]),
        ["p.proto:10:9: error[BBQ-0206]: number 1 of p.M was `int32 a` and is `int64 a` now"]
    );
    assert_eq!(
        after(&[("map<string, N> more", "map<string, M> more")]),
        [
            "p.proto:15:41: error[BBQ-0206]: number 2 of p.State was `map<string, p.N> more` and is `map<string, p.M> more` now"
        ]
    );
    assert_eq!(
        after(&[("reserved 8, 9;", "reserved 9;\n  int32 c = 8;")]),
        ["p.proto:13:9: error[BBQ-0206]: `c` of p.M uses the reserved number 8"]
    );
}

#[test]
fn bbq_0207_a_field_is_gone() {
    assert_eq!(after(&[("  string b = 2;\n", "")]), ["p.proto:9:9: error[BBQ-0207]: the field `b = 2` of p.M is gone"]);
    assert_eq!(after(&[("  string b = 2;\n", "  reserved 2;\n")]), [""; 0]);
    assert_eq!(
        after(&[("  reserved 8, 9;\n", "  reserved 9;\n")]),
        ["p.proto:9:9: error[BBQ-0207]: the number 8 of p.M is no longer reserved"]
    );
    assert_eq!(after(&[("reserved 8, 9;", "reserved 8 to 9;")]), [""; 0]);
}

#[test]
fn bbq_0208_another_name() {
    assert_eq!(
        after(&[("string b = 2;", "string text = 2;"), ("MOOD_GOOD", "MOOD_FINE")]),
        [
            "p.proto:11:10: warning[BBQ-0208]: number 2 of p.M was called `b` and is `text` now",
            "p.proto:17:6: warning[BBQ-0208]: the value 1 of p.Mood was called `MOOD_GOOD` and is `MOOD_FINE` now",
        ]
    );
}

#[test]
fn bbq_0209_another_kind() {
    assert_eq!(
        after(&[("kind: ENTITY, state: \"State\"", "kind: SERVICE")]),
        [
            "p.proto:4:9: error[BBQ-0209]: p.S was released as Entity and is Service now",
            "p.proto:4:9: error[BBQ-0210]: the state of p.S was released as p.State",
        ]
    );
}

#[test]
fn bbq_0210_another_state() {
    assert_eq!(
        after(&[("state: \"State\"", "state: \"N\"")]),
        ["p.proto:4:9: error[BBQ-0210]: the state of p.S was released as p.State"]
    );
}

#[test]
fn bbq_0211_an_enum_value_is_gone() {
    assert_eq!(
        after(&[("  MOOD_GOOD = 1;\n", "")]),
        ["p.proto:17:6: error[BBQ-0211]: the value `MOOD_GOOD = 1` of p.Mood is gone"]
    );
    assert_eq!(after(&[("  MOOD_GOOD = 1;\n", "  reserved 1;\n")]), [""; 0]);
}

#[test]
fn bbq_0212_clients_may_no_longer_call() {
    assert_eq!(
        after(&[("client: true, unlimited: true, ", "")]),
        ["p.proto:6:7: error[BBQ-0212]: clients could call p.S/A when it was released"]
    );
}

#[test]
fn the_snapshot_of_the_sample() {
    let text = snapshot(&crate::golden::sample(), None).to_string();
    crate::golden::expect("gobbq.lock", &text);
    assert_eq!(text.parse::<Snapshot>().expect("it can be read").to_string(), text);
}

#[test]
fn a_broken_snapshot_is_refused_with_its_line() {
    for (text, error) in [
        ("", "gobbq.lock:1: the file is empty"),
        ("# comment\nsomething", "gobbq.lock:2: the first line is not `gobbq.lock 1`; is it from a newer gobbq?"),
        ("gobbq.lock 1\n\nentity\n", "gobbq.lock:3: `entity` makes no sense here"),
        ("gobbq.lock 1\n  5 A p.M p.M\n", "gobbq.lock:2: `5 A p.M p.M` makes no sense here"),
        ("gobbq.lock 1\nentity p.S\n  x A p.M p.M\n", "gobbq.lock:3: `x A p.M p.M` makes no sense here"),
        ("gobbq.lock 1\nmessage p.M\n  1 a\n", "gobbq.lock:3: `1 a` makes no sense here"),
        ("gobbq.lock 1\n<<<<<<< ours\n", "gobbq.lock:2: `<<<<<<< ours` makes no sense here"),
    ] {
        assert_eq!(text.parse::<Snapshot>().expect_err("it is broken").to_string(), error);
    }
}
