//! Generated code, compared with the committed one.

use std::path::{Path, PathBuf};
use std::{env, fs};

use bbq_gen::{Schema, compile, rust};

pub(crate) fn sample() -> Schema {
    compile(&["tests/proto/chat/chat.proto"], &["tests/proto"]).expect("the sample is valid")
}

/// Compares `actual` with a file of `tests/golden`, or writes it when `BLESS` is set.
pub(crate) fn expect(name: &str, actual: &str) {
    let path = PathBuf::from("tests/golden").join(name);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, actual).expect("the golden file is writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == actual {
        return;
    }
    let line = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    let line = line.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    panic!(
        "{}:{}: is not what is generated now:\n- {}\n+ {}\nIf that is meant: BLESS=1 cargo test -p bbq-gen",
        path.display(),
        line + 1,
        expected.lines().nth(line).unwrap_or("(end)"),
        actual.lines().nth(line).unwrap_or("(end)"),
    );
}

#[test]
fn rust_code_of_the_sample() {
    let code = rust(&sample(), "crate::codegen").expect("the sample has no errors");
    syn::parse_file(&code).expect("it is Rust");
    expect("chat.rs", &code);
}

#[test]
fn the_same_files_give_the_same_text() {
    let of = |schema: &Schema| rust(schema, bbq_gen::RUNTIME).expect("the sample has no errors");
    assert_eq!(of(&sample()), of(&sample()));
    let schema = sample();
    assert_eq!(of(&schema), of(&schema));
}

#[test]
fn nothing_but_the_runtime_is_named() {
    let code = rust(&sample(), bbq_gen::RUNTIME).expect("the sample has no errors");
    let is_start = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>');
    for (at, _) in code.match_indices("::").filter(|(at, _)| is_start(*at)) {
        let path = &code[at..];
        let known = ["::gobbq::codegen", "::core::"].iter().any(|root| path.starts_with(root));
        assert!(known, "{}", path.lines().next().unwrap_or_default());
    }
}

#[test]
fn the_schema_knows_comments_and_places() {
    let schema = sample();
    let room = schema.services.iter().find(|service| service.full_name == "chat.Room").expect("there is a room");
    assert_eq!(room.at.to_string(), "tests/proto/chat/chat.proto:18:9");
    assert!(room.doc.starts_with("A chat room.\n\nRooms are"), "{}", room.doc);
    let say = &room.methods[1];
    assert_eq!((say.name.as_str(), say.doc.as_str()), ("Say", "Says something to all."));
    assert_eq!(say.at.to_string(), "tests/proto/chat/chat.proto:34:7");
    let members = schema.message("chat.RoomState").expect("there is a state");
    let kinds: Vec<&str> = members.fields.iter().map(|field| field.kind.as_str()).collect();
    assert_eq!(
        kinds[..4],
        ["map<uint64, chat.RoomState.Member>", "map<string, bytes>", "map<int32, chat.common.Mood>", "repeated int64"]
    );
    assert!(schema.read.iter().all(|path| Path::new(path).is_file()));
    assert_eq!(schema.read.len(), 2);
}
