//! Crates that decide and never act: what their sources may not name.
//!
//! Tests, benches and examples of these crates are free. Only map types can be justified with `// tidy: reason`
//! (the reason being that nothing depends on their order); for everything else there is no excuse.

use super::Finding;
use super::tree::{Package, Tree, is_test_file};
use crate::source::{NamedPath, Source};

const RULE: &str = "pure";

/// The pure crates.
pub(crate) const CRATES: &[&str] = &["bbq-wire", "bbq-core", "bbq-sim"];

/// Crates that they may not depend on, nor name.
const FORBIDDEN_CRATES: &[&str] = &["tokio", "mio", "socket2", "rand", "getrandom", "fastrand"];

/// Parts of `std` that they may not name.
const FORBIDDEN_PATHS: &[&[&str]] = &[
    &["std", "net"],
    &["std", "thread"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["std", "time", "*"],
    &["std", "hash", "RandomState"],
    &["std", "collections", "hash_map", "RandomState"],
];

/// Words that are forbidden wherever they stand in a path.
const FORBIDDEN_WORDS: &[&str] = &["thread_rng", "getrandom", "fastrand", "RandomState"];

/// Maps without an order; allowed where a comment says why the order cannot matter.
const UNORDERED: &[&[&str]] = &[
    &["std", "collections", "HashMap"],
    &["std", "collections", "HashSet"],
    &["std", "collections", "hash_map"],
    &["std", "collections", "hash_set"],
    &["std", "collections", "*"],
    &["hashbrown"],
];

/// Checks the given crates.
pub(crate) fn check(tree: &Tree, crates: &[&str]) -> Vec<Finding> {
    let packages = tree.packages().into_iter().filter(|package| crates.contains(&package.name.as_str()));
    packages.flat_map(|package| [dependencies(&package), sources(tree, &package)].concat()).collect()
}

fn dependencies(package: &Package) -> Vec<Finding> {
    let path = format!("{}/Cargo.toml", package.directory);
    let dependencies = package.manifest.get("dependencies").and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(|dependencies| dependencies.keys());
    let forbidden = names.filter(|name| FORBIDDEN_CRATES.contains(&name.as_str()));
    forbidden.map(|name| Finding::new(&path, 0, RULE, format!("a pure crate may not depend on `{name}`"))).collect()
}

fn sources(tree: &Tree, package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    let directory = format!("{}/src", package.directory);
    for (path, text) in tree.below(&directory) {
        if !path.ends_with(".rs") || is_test_file(path) {
            continue;
        }
        let source = Source::read(text, false);
        for named in source.paths().iter().filter(|named| !named.test) {
            if let Some(message) = verdict(&source, named) {
                findings.push(Finding::new(path, named.line, RULE, message));
            }
        }
    }
    findings
}

fn verdict(source: &Source<'_>, named: &NamedPath<'_>) -> Option<String> {
    let segments = named.segments.as_slice();
    let shown = segments.join("::");
    let imported = named.at > 0 && source.tokens[named.at - 1].text == "use";
    let (first, qualified) = (segments.first()?, segments.len() > 1 || imported);
    let by_crate = qualified && FORBIDDEN_CRATES.contains(first);
    let by_path = FORBIDDEN_PATHS.iter().any(|path| names(segments, path));
    let by_word = segments.iter().any(|segment| FORBIDDEN_WORDS.contains(segment)) && qualified;
    let by_call = segments == ["thread_rng"];
    if by_crate || by_path || by_word || by_call {
        return Some(format!("`{shown}` in a pure crate; time, randomness and effects come in as arguments"));
    }
    let unordered = UNORDERED.iter().any(|path| names(segments, path) && (qualified || path.len() > 1));
    (unordered && !source.justified(named.line)).then(|| {
        format!("`{shown}` has no fixed order; use BTreeMap, or say `// tidy: ..` why the order cannot matter")
    })
}

/// Whether a path begins with `wanted`, or with its last two parts after the first was imported (`time::Instant`).
fn names(segments: &[&str], wanted: &[&str]) -> bool {
    let short = if wanted.len() > 2 { &wanted[1..] } else { wanted };
    segments.starts_with(wanted) || segments.starts_with(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(manifest: &str, source: &str) -> Vec<Finding> {
        let manifest = format!("[package]\nname = \"calm\"\n{manifest}");
        let files = [
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"),
            ("crates/calm/Cargo.toml", manifest.as_str()),
            ("crates/calm/src/lib.rs", source),
            ("crates/calm/tests/all.rs", "use std::net::TcpStream;"),
            ("crates/wild/Cargo.toml", "[package]\nname = \"wild\""),
            ("crates/wild/src/lib.rs", "use std::net::TcpStream;"),
        ];
        check(&Tree::of_texts(&files), &["calm"])
    }

    #[test]
    fn every_forbidden_name_fails() {
        let forbidden = [
            "use tokio::sync::mpsc;",
            "use mio;",
            "fn f() { socket2::Socket::new() }",
            "use std::net::SocketAddr;",
            "use std::{fmt, net::{IpAddr}};",
            "use ::std::fs;",
            "fn f() { std::thread::spawn(|| ()) }",
            "fn f() { std::env::var(\"X\") }",
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "use std::time; fn f() { time::Instant::now() }",
            "use std::time::*;",
            "fn f() { rand::rng() }",
            "fn f() { rand::thread_rng() }",
            "fn f() { fastrand::u64(..) }",
            "fn f() { getrandom::fill(&mut x) }",
            "use std::hash::RandomState;",
            "use std::collections::HashMap;",
            "fn f(x: std::collections::HashSet<u8>) {}",
            "use std::collections::{BTreeMap, HashMap};",
            "use hashbrown::HashMap;",
        ];
        for source in forbidden {
            assert_eq!(findings("", source).len(), 1, "{source}");
        }
    }

    #[test]
    fn what_is_harmless_or_only_in_tests_is_silent() {
        let source = "
            use std::time::Duration;
            use std::collections::{BTreeMap, VecDeque};
            // tidy: looked up by key, never iterated
            use hashbrown::HashMap;
            //! std::net in a comment
            fn f(tokio: u8) -> Duration { x.thread(tokio); \"std::net\" }
            #[cfg(test)]
            mod tests { use std::collections::HashMap; use std::time::Instant; }";
        assert_eq!(findings("[dev-dependencies]\nrand = \"1\"", source), []);
    }

    #[test]
    fn a_clock_cannot_be_justified() {
        assert_eq!(findings("", "use std::time::Instant; // tidy: please").len(), 1);
    }

    #[test]
    fn a_dependency_on_a_runtime_fails() {
        assert_eq!(findings("[dependencies]\ntokio = \"1\"", "").len(), 1);
    }
}
