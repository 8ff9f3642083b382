//! Every finding about one version of the files, with its place.

use bbq_gen::{CODES, Kind, Severity, check, compile_texts, explain, rust};

/// Checks a file that starts with seven lines: syntax, package, two imports, and `message M`.
fn findings(body: &str) -> Vec<String> {
    let text = format!(
        "syntax = \"proto3\";\npackage p;\nimport \"gobbq/options.proto\";\nimport \"google/protobuf/empty.proto\";\n\
         message M {{ int32 a = 1; }}\nmessage N {{ int32 a = 1; }}\n\n{body}"
    );
    let schema = compile_texts(&[("p.proto", &text)]).expect("it is valid protobuf");
    let findings = check(&schema, None);
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(rust(&schema, bbq_gen::RUNTIME).is_err(), has_errors, "errors stop the generator, warnings do not");
    for finding in &findings {
        assert!(explain(finding.code).is_some(), "{} is not explained", finding.code);
        assert!(finding.to_string().ends_with(&format!("\n    fix: {}", finding.fix)), "{finding} says what to do");
    }
    findings.iter().map(|finding| finding.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

/// The same, for the methods of an entity; they start in line 10.
fn of_methods(methods: &str) -> Vec<String> {
    findings(&format!("service S {{\n  option (gobbq.service).kind = ENTITY;\n{methods}\n}}"))
}

#[test]
fn nothing_is_wrong_with_the_sample() {
    assert_eq!(check(&crate::golden::sample(), None), []);
}

#[test]
fn bbq_0101_two_methods_with_one_id() {
    assert_eq!(
        of_methods(
            "  rpc A(M) returns (M) { option (gobbq.method).id = 7; }\n  rpc B(M) returns (M) { option (gobbq.method).id = 7; }"
        ),
        ["p.proto:11:7: error[BBQ-0101]: p.S/B has the id 7, and so has p.S/A (p.proto:10:7)"]
    );
    let across_services = "service S {\n  rpc A(M) returns (M) { option (gobbq.method).id = 7; }\n}\nservice T {\n  rpc A(M) returns (M) { option (gobbq.method).id = 7; }\n}";
    assert_eq!(
        findings(across_services),
        ["p.proto:12:7: error[BBQ-0101]: p.T/A has the id 7, and so has p.S/A (p.proto:9:7)"]
    );
}

#[test]
fn bbq_0101_two_methods_with_one_hash() {
    // Found by search; the ids are those of `spec/wire.md`.
    let (first, second) = hash_twins(|name| bbq_gen::method_id(&format!("p.S/{name}")));
    let [finding] = of_methods(&format!("  rpc {first}(M) returns (M);\n  rpc {second}(M) returns (M);"))
        .try_into()
        .expect("one finding");
    assert!(finding.starts_with(&format!("p.proto:11:7: error[BBQ-0101]: p.S/{second} has the id ")), "{finding}");
}

#[test]
fn bbq_0102_two_types_with_one_hash() {
    let (first, second) = hash_twins(|name| bbq_gen::fnv1a_32(&format!("p.{name}")));
    let [finding] = findings(&format!("service {first} {{}}\nservice {second} {{}}")).try_into().expect("one finding");
    assert_eq!(
        finding,
        format!("p.proto:9:9: error[BBQ-0102]: the type ids of p.{second} and p.{first} are the same hash")
    );
}

/// Two names with the same hash.
fn hash_twins(hash: impl Fn(&str) -> u32) -> (String, String) {
    let mut seen = std::collections::HashMap::new();
    for number in 0_u32.. {
        let name = format!("X{}", number.wrapping_mul(0x9e37_79b1));
        if let Some(earlier) = seen.insert(hash(&name), name.clone()) {
            return (earlier, name);
        }
    }
    unreachable!("there are fewer hashes than names")
}

#[test]
fn bbq_0103_an_id_out_of_range() {
    assert_eq!(
        of_methods("  rpc A(M) returns (M) {\n    option (gobbq.method).id = 1024;\n  }"),
        ["p.proto:11:5: error[BBQ-0103]: the id 1024 of p.S/A is above 1023"]
    );
}

#[test]
fn bbq_0104_durations_and_rates() {
    assert_eq!(
        of_methods(
            "  rpc A(M) returns (M) { option (gobbq.method) = { client: true, rate: \"fast\", timeout: \"3\" }; }"
        ),
        [
            "p.proto:10:26: error[BBQ-0104]: `rate` of p.S/A: `fast` is not a rate such as `5/s`, `300/m` or `300/m burst 20`",
            "p.proto:10:26: error[BBQ-0104]: `timeout` of p.S/A: `3` is not a duration such as `250ms`, `3s`, `10m`, `1h` or `7d`",
        ]
    );
    assert_eq!(
        findings("service S {\n  option (gobbq.service) = { kind: ENTITY, idle: \"0s\" };\n}"),
        ["p.proto:9:3: error[BBQ-0104]: `idle` of p.S: `0s` is no time at all"]
    );
}

#[test]
fn bbq_0105_a_state_that_is_no_message() {
    assert_eq!(
        findings("service S {\n  option (gobbq.service) = { kind: ENTITY, state: \"Nothing\" };\n}"),
        ["p.proto:9:3: error[BBQ-0105]: the state `Nothing` of p.S is no message"]
    );
    for good in ["M", "p.M", ".p.M"] {
        let service = format!("service S {{\n  option (gobbq.service) = {{ kind: ENTITY, state: \"{good}\" }};\n}}");
        assert_eq!(findings(&service), [""; 0], "{good}");
    }
}

#[test]
fn bbq_0106_options_of_entities() {
    assert_eq!(
        findings("service S {\n  option (gobbq.service) = { state: \"M\", idle: \"1m\", restart: STOP };\n}"),
        [
            "p.proto:9:3: error[BBQ-0106]: `idle` says something of an entity, and p.S is none",
            "p.proto:9:3: error[BBQ-0106]: `restart` says something of an entity, and p.S is none",
            "p.proto:9:3: error[BBQ-0106]: `state` says something of an entity, and p.S is none",
        ]
    );
    assert_eq!(
        findings("service S {\n  option (gobbq.service) = { kind: CLIENT, mailbox: 5 };\n}"),
        ["p.proto:9:3: error[BBQ-0106]: `mailbox` says something of an entity, and p.S is none"]
    );
    assert_eq!(
        findings("service S {\n  rpc A(M) returns (M) {\n    option (gobbq.method).reentrant = true;\n  }\n}"),
        ["p.proto:10:5: error[BBQ-0106]: p.S/A is reentrant, and only entities wait"]
    );
}

#[test]
fn bbq_0107_clients_do_not_call_clients() {
    let service = "service S {\n  option (gobbq.service).kind = CLIENT;\n  rpc A(M) returns (M) {\n    option (gobbq.method).client = true;\n  }\n}";
    assert_eq!(
        findings(service),
        ["p.proto:11:5: error[BBQ-0107]: p.S/A is implemented by clients, so no client calls it"]
    );
}

#[test]
fn bbq_0108_a_oneway_method_with_a_reply() {
    assert_eq!(
        of_methods("  rpc A(M) returns (M) {\n    option (gobbq.method).oneway = true;\n  }"),
        ["p.proto:11:5: error[BBQ-0108]: p.S/A is oneway, so nobody gets its p.M"]
    );
}

#[test]
fn bbq_0109_client_methods_without_limits() {
    assert_eq!(
        of_methods("  rpc A(M) returns (M) {\n    option (gobbq.method).client = true;\n  }"),
        ["p.proto:11:5: warning[BBQ-0109]: a client may call p.S/A as often as it likes"]
    );
    assert_eq!(
        of_methods("  rpc A(M) returns (M) { option (gobbq.method) = { client: true, unlimited: true }; }"),
        [""; 0]
    );
}

#[test]
fn bbq_0110_streams() {
    assert_eq!(
        of_methods("  rpc A(stream M) returns (M);\n  rpc B(M) returns (stream M);"),
        [
            "p.proto:10:7: error[BBQ-0110]: p.S/A streams, and calls do not",
            "p.proto:11:7: error[BBQ-0110]: p.S/B streams, and calls do not",
        ]
    );
}

#[test]
fn bbq_0111_names_that_are_taken() {
    assert_eq!(
        of_methods("  rpc OnInit(M) returns (M);\n  rpc GetIt(M) returns (M);\n  rpc get_it(M) returns (M);"),
        [
            "p.proto:10:7: error[BBQ-0111]: p.S/OnInit needs the name `on_init` in generated code, and it is taken",
            "p.proto:12:7: error[BBQ-0111]: p.S/get_it needs the name `get_it` in generated code, and it is taken",
        ]
    );
    assert_eq!(
        findings("service S {}\nmessage SRef {}"),
        ["p.proto:8:9: error[BBQ-0111]: p.S needs the name `SRef` in generated code, and it is taken"]
    );
    assert_eq!(
        findings("service Lobby {}\nservice LobbyService {}"),
        [
            "p.proto:9:9: error[BBQ-0111]: p.LobbyService needs the name `LobbyService` in generated code, and it is taken"
        ]
    );
}

#[test]
fn bbq_0112_saving() {
    for (options, problem) in [
        ("kind: ENTITY, save: MANUAL", "p.S has `save` but no `state`"),
        ("kind: ENTITY, state: \"M\", save: INTERVAL", "p.S has `save: INTERVAL` without an interval"),
        ("kind: ENTITY, state: \"M\", interval: \"5s\"", "p.S has an `interval` without `save: INTERVAL`"),
    ] {
        assert_eq!(
            findings(&format!("service S {{\n  option (gobbq.service) = {{ {options} }};\n}}")),
            [format!("p.proto:9:3: error[BBQ-0112]: {problem}")]
        );
    }
}

#[test]
fn bbq_0113_limits_that_make_no_sense() {
    assert_eq!(
        of_methods(
            "  rpc A(M) returns (M) { option (gobbq.method) = { client: true, rate: \"5/s\", unlimited: true }; }\n  \
             rpc B(M) returns (M) { option (gobbq.method).rate = \"5/s\"; }"
        ),
        [
            "p.proto:10:26: error[BBQ-0113]: p.S/A has a rate and is unlimited",
            "p.proto:11:26: warning[BBQ-0113]: p.S/B has limits for clients, and none may call it",
        ]
    );
}

#[test]
fn codes_are_in_order_and_in_the_guide() {
    let guide = include_str!("../../../../docs/idl.md");
    for pair in CODES.windows(2) {
        assert!(pair[0].code < pair[1].code, "{} is not in order", pair[1].code);
    }
    for code in CODES {
        assert!(guide.contains(&format!("| {} | {} |", code.code, code.title)), "{} is not in docs/idl.md", code.code);
        assert!(!code.title.ends_with('.') && code.text.ends_with('.'), "{}", code.code);
    }
}

#[test]
fn options_of_the_first_gobbq_are_understood() {
    let text = "syntax = \"proto3\";\npackage exam;\nimport \"bbq.proto\";\nmessage M {}\n\
                service A { option (bbq.service_type) = Service; rpc Do(M) returns (M) {} }\n\
                service B { option (bbq.service_type) = Entity; rpc Do(M) returns (M) {} }\n\
                service C { rpc Do(M) returns (M) {} }\n";
    let schema = compile_texts(&[("exam.proto", text)]).expect("it is valid");
    let kinds: Vec<Kind> = schema.services.iter().map(|service| service.kind).collect();
    assert_eq!(kinds, [Kind::Service, Kind::Entity, Kind::Entity]);
    let code = rust(&schema, bbq_gen::RUNTIME).expect("no errors");
    assert!(!code.contains("pub mod bbq "), "the options are no code");
}

#[test]
fn an_own_bbq_proto_goes_first() {
    let bbq = "syntax = \"proto3\";\npackage bbq;\nimport \"google/protobuf/descriptor.proto\";\n\
               enum ServiceType { Entity = 0; Service = 1; }\nmessage EntityID { string ID = 1; }\n\
               extend google.protobuf.ServiceOptions { ServiceType service_type = 50100; }\n";
    let exam = "syntax = \"proto3\";\npackage exam;\nimport \"bbq.proto\";\nmessage M { bbq.EntityID id = 1; }\n\
                service A { option (bbq.service_type) = Service; rpc Do(M) returns (bbq.EntityID) {} }\n";
    let schema = compile_texts(&[("bbq.proto", bbq), ("exam.proto", exam)]).expect("it is valid");
    assert_eq!(schema.services[0].kind, Kind::Service);
    let code = rust(&schema, bbq_gen::RUNTIME).expect("no errors");
    syn::parse_file(&code).expect("it is Rust");
    assert!(code.contains("pub struct EntityID {") && code.contains("-> __gobbq::Result<super::bbq::EntityID>;"));
}

#[test]
fn building_is_for_build_scripts() {
    let error = bbq_gen::build(&["tests/proto/chat/chat.proto"], &["tests/proto"]).expect_err("this is a test");
    assert_eq!(error.to_string(), "OUT_DIR is not set; `bbq_gen::build` is for build scripts");
}

#[test]
fn a_file_without_options_has_services() {
    let text = "syntax = \"proto3\";\nmessage M {}\nservice A { rpc Do(M) returns (M); }\n";
    let schema = compile_texts(&[("a.proto", text)]).expect("it is valid");
    assert_eq!(schema.services[0].kind, Kind::Service);
    let code = rust(&schema, bbq_gen::RUNTIME).expect("no errors");
    syn::parse_file(&code).expect("code without a package is Rust too");
}

#[test]
fn bbq_0111_messages_whose_names_differ_in_case_alone() {
    assert_eq!(
        findings("message HTTPInfo {}\nmessage HttpInfo {}\nmessage Other { message A {} message a {} }"),
        [
            "p.proto:9:9: error[BBQ-0111]: p.HttpInfo needs the module `http_info` in generated code, and the message HTTPInfo has it",
            "p.proto:10:38: error[BBQ-0111]: p.Other.a needs the module `a` in generated code, and the message A has it",
        ]
    );
}
