//! Rules about single files: their length, and tests that do not run or that wait by the clock.

use super::Finding;
use super::tree::{Tree, is_generated, is_test_file};
use crate::source::Source;

const LENGTH: &str = "length";
const IGNORED: &str = "ignored-test";
const SLEEP: &str = "sleep-in-test";

const WARN_LINES: usize = 1000;
const MOST_LINES: usize = 1500;

const SOURCES: &[&str] = &["rs", "ts", "tsx", "js", "mjs", "cs", "lua", "py", "proto", "h", "c", "css"];

/// Checks every file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter() {
        let Some((_, extension)) = path.rsplit_once('.') else { continue };
        if !SOURCES.contains(&extension) || is_generated(path, text) {
            continue;
        }
        findings.extend(length(path, text));
        match extension {
            "rs" => findings.extend(rust_tests(path, text)),
            "ts" | "tsx" | "js" | "mjs" => findings.extend(script_tests(path, text)),
            _ => {}
        }
    }
    findings
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let limit = if lines > MOST_LINES { MOST_LINES } else { WARN_LINES };
    let message = format!("{lines} lines, more than {limit}: one file, one idea");
    (lines > WARN_LINES).then(|| Finding { warning: lines <= MOST_LINES, ..Finding::new(path, 0, LENGTH, message) })
}

fn rust_tests(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::read(text, is_test_file(path));
    let mut findings = Vec::new();
    for three in source.tokens.windows(3) {
        if three[0].text == "#" && three[1].text == "[" && three[2].text == "ignore" {
            let message = "an ignored test is no test; fix it, or remove it";
            findings.push(Finding::new(path, three[0].line, IGNORED, message));
        }
    }
    for named in source.paths().iter().filter(|named| named.test) {
        let sleeps = match named.segments.as_slice() {
            [.., "thread" | "time", "sleep" | "sleep_until"] => true,
            [one] => *one == "sleep" && is_free_call(&source, named.at),
            _ => false,
        };
        if sleeps && !source.justified(named.line) {
            let message = "a test waits for a condition or in virtual time; if it must sleep, say `// tidy: why`";
            findings.push(Finding::new(path, named.line, SLEEP, message));
        }
    }
    findings
}

/// `sleep(..)`, but neither `x.sleep(..)` nor `fn sleep(..)`.
fn is_free_call(source: &Source<'_>, at: usize) -> bool {
    let called = source.tokens.get(at + 1).is_some_and(|token| token.text == "(");
    let before = at.checked_sub(1).map(|before| source.tokens[before].text);
    called && !matches!(before, Some("." | "fn"))
}

fn script_tests(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for caller in ["test", "it", "describe"] {
            for word in ["skip", "only", "todo"] {
                if line.trim_start().starts_with(&format!("{caller}.{word}(")) {
                    let message = format!("`{caller}.{word}` leaves tests out");
                    findings.push(Finding::new(path, at + 1, IGNORED, message));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<Finding> {
        check(&Tree::of_texts(&[(path, text)]))
    }

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        findings(path, text).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_long_file_warns_and_a_very_long_one_fails() {
        assert_eq!(findings("src/a.rs", &"\n".repeat(1000)), []);
        assert!(findings("src/a.rs", &"\n".repeat(1001))[0].warning);
        assert!(!findings("src/a.rs", &"\n".repeat(1501))[0].warning);
        assert_eq!(findings("src/generated/a.rs", &"\n".repeat(9000)), []);
        assert_eq!(findings("src/a.rs", &format!("// {}{}", concat!("@", "generated"), "\n".repeat(9000))), []);
        assert_eq!(findings("notes.txt", &"\n".repeat(9000)), []);
    }

    #[test]
    fn an_ignored_test_fails() {
        assert_eq!(rules("src/a.rs", "#[test] #[ignore] fn f() {}"), [IGNORED]);
        assert_eq!(rules("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [IGNORED]);
        assert_eq!(rules("src/a.rs", "// #[ignore]\nconst A: &str = \"#[ignore]\";"), [""; 0]);
        assert_eq!(rules("sdk/a.test.ts", "  it.skip('x', () => {})"), [IGNORED]);
        assert_eq!(rules("sdk/a.test.ts", "test.only('x', () => {})"), [IGNORED]);
    }

    #[test]
    fn a_test_that_sleeps_fails_and_a_program_may_sleep() {
        let asleep = [
            "use std::thread; fn f() { thread::sleep(d) }",
            "fn f() { std::thread::sleep(d) }",
            "async fn f() { tokio::time::sleep(d).await }",
            "async fn f() { tokio::time::sleep_until(d).await }",
            "async fn f() { sleep(d).await }",
        ];
        for text in asleep {
            assert_eq!(rules("tests/a.rs", text), [SLEEP], "{text}");
            assert_eq!(rules("src/a.rs", &format!("#[cfg(test)] mod tests {{ {text} }}")), [SLEEP], "{text}");
            assert_eq!(rules("src/a.rs", text), [""; 0], "{text}");
        }
        assert_eq!(rules("tests/a.rs", "fn f() { ctx.sleep(d); simulation::sleep(d) } fn sleep() {}"), [""; 0]);
    }

    #[test]
    fn a_sleep_can_be_justified() {
        assert_eq!(
            rules("tests/a.rs", "// tidy: the clock of this runtime is paused\nfn f() { thread::sleep(d) }"),
            [""; 0]
        );
        assert_eq!(rules("tests/a.rs", "fn f() { thread::sleep(d) } // tidy:"), [SLEEP]);
    }
}
