//! What the proto compiler refuses, with file, line and column.

use bbq_gen::{Error, compile, compile_texts};

fn first_line(result: Result<bbq_gen::Schema, Error>) -> String {
    let error = result.expect_err("it is wrong");
    assert_eq!(format!("{error:?}"), error.to_string(), "a build script shows Debug");
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn syntax_errors_have_a_place() {
    let error = first_line(compile_texts(&[("a.proto", "syntax = \"proto3\";\nmessage A {\n  int32 = 1;\n}\n")]));
    assert_eq!(error, "a.proto:3:9: error[BBQ-0100]: expected an identifier, but found '='");
}

#[test]
fn unknown_names_have_a_place() {
    let error = first_line(compile_texts(&[("a.proto", "syntax = \"proto3\";\nmessage A {\n  Bee b = 1;\n}\n")]));
    assert_eq!(error, "a.proto:3:3: error[BBQ-0100]: name 'Bee' is not defined");
}

#[test]
fn missing_imports_have_a_place() {
    let error = first_line(compile_texts(&[("a.proto", "syntax = \"proto3\";\n\nimport \"b.proto\";\n")]));
    assert_eq!(error, "a.proto:3:1: error[BBQ-0100]: import 'b.proto' not found");
}

#[test]
fn wrong_options_have_a_place() {
    let text = "syntax = \"proto3\";\nimport \"gobbq/options.proto\";\nservice A {\n  option (gobbq.service) = { kid: ENTITY };\n}\n";
    let error = first_line(compile_texts(&[("a.proto", text)]));
    assert!(error.starts_with("a.proto:4:"), "{error}");
    assert!(error.contains("kid"), "{error}");
}

#[test]
fn import_cycles_have_a_place() {
    let a = ("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n");
    let b = ("b.proto", "syntax = \"proto3\";\n\nimport \"a.proto\";\n");
    let error = first_line(compile_texts(&[a, b]));
    assert_eq!(error, "b.proto:3:1: error[BBQ-0100]: import cycle detected: a.proto -> b.proto -> a.proto");
}

#[test]
fn a_missing_file_is_named() {
    let error = first_line(compile(&["tests/proto/nothing.proto"], &["tests/proto"]));
    assert!(error.starts_with("tests/proto/nothing.proto: error[BBQ-0100]: "), "{error}");
}

#[test]
fn paths_are_those_that_an_editor_can_open() {
    let error = first_line(compile(&["tests/proto/bad/bad.proto"], &["tests/proto"]));
    assert!(error.starts_with("tests/proto/bad/bad.proto:4:3: error[BBQ-0100]: "), "{error}");
}
