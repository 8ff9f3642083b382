//! Steps: each is announced, timed, and ends in one outcome; the table at the end shows them all.
//!
//! A step that fails does not stop the others, and prints the command that repeats it.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::print;
use crate::project::shown;

/// How a step ended when nothing went wrong.
pub(crate) enum Outcome {
    /// It ran; the note goes into the table.
    Passed(String),
    /// It needs something that is not installed. Locally the table shows how to install it; in CI this is a failure.
    Skipped { why: String, install: String },
    /// There is nothing to run yet, because nobody has written it.
    Absent(String),
}

impl Outcome {
    /// It ran, and there is nothing to add.
    pub(crate) const fn passed() -> Self {
        Self::Passed(String::new())
    }
}

/// Tests that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// Adds what a test runner says in its summary line, if this line is one.
    ///
    /// Understood: libtest (`test result: ok. 3 passed; 0 failed; ..`), node's runner in both its forms
    /// (`# pass 3`, `ℹ fail 0`) and vitest (`Tests  1 failed | 3 passed (4)`).
    pub(crate) fn read_line(&mut self, line: &str) {
        let plain = without_colour(line);
        let words: Vec<&str> = plain.split([' ', ';', '|', '.']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["test", "result:", ..] | ["Tests", ..] => {
                for pair in words.windows(2) {
                    let Ok(count) = pair[0].parse::<u64>() else { continue };
                    match pair[1] {
                        "passed" => self.passed += count,
                        "failed" => self.failed += count,
                        _ => {}
                    }
                }
            }
            ["#" | "ℹ", "pass", count] => self.passed += count.parse().unwrap_or(0),
            ["#" | "ℹ", "fail", count] => self.failed += count.parse().unwrap_or(0),
            _ => {}
        }
    }
}

enum Ended {
    Passed,
    Failed,
    Skipped,
    Absent,
}

struct Step {
    name: String,
    ended: Ended,
    took: Duration,
    note: String,
    repeat: String,
}

/// All steps of one `cargo xtask` run.
pub(crate) struct Report {
    strict: bool,
    started: Instant,
    steps: Vec<Step>,
    counts: Counts,
    counts_shown: bool,
}

impl Report {
    /// `strict`: a skipped step is a failed one (CI).
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, started: Instant::now(), steps: Vec::new(), counts: Counts::default(), counts_shown: false }
    }

    /// Runs one step. `repeat` is the command that runs this step alone.
    pub(crate) fn step(&mut self, name: &str, repeat: &str, body: impl FnOnce(&mut Counts) -> Result<Outcome>) {
        print::line(format_args!("\n== {name}"));
        let started = Instant::now();
        let before = self.counts;
        let result = body(&mut self.counts);
        let took = started.elapsed();
        let (ended, note) = match result {
            Ok(Outcome::Passed(note)) => (Ended::Passed, note),
            Ok(Outcome::Absent(why)) => (Ended::Absent, why),
            Ok(Outcome::Skipped { why, install }) if self.strict => {
                (Ended::Failed, format!("{why}; install: {install}"))
            }
            Ok(Outcome::Skipped { why, install }) => (Ended::Skipped, format!("{why}; install: {install}")),
            Err(error) => (Ended::Failed, format!("{error:#}")),
        };
        let step = Step { name: name.to_owned(), ended, took, note, repeat: repeat.to_owned() };
        match step.ended {
            Ended::Failed => {
                print::line(format_args!(
                    "-- {name}: FAILED after {}: {}\n   repeat: {repeat}",
                    Seconds(took),
                    step.note
                ));
            }
            Ended::Skipped => print::line(format_args!("-- {name}: SKIPPED: {}", step.note)),
            Ended::Absent => print::line(format_args!("-- {name}: {}", step.note)),
            Ended::Passed => print::line(format_args!("-- {name}: ok in {}", Seconds(took))),
        }
        if self.counts != before {
            let (passed, failed) = (self.counts.passed - before.passed, self.counts.failed - before.failed);
            print::line(format_args!("   {passed} tests passed and {failed} failed"));
        }
        self.steps.push(step);
    }

    /// Makes `N passed, N failed` the last line of the output.
    pub(crate) const fn show_counts(&mut self) {
        self.counts_shown = true;
    }

    /// Prints the table and says whether all is well.
    pub(crate) fn finish(self) -> bool {
        let wide = self.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        print::line(format_args!("\n== summary"));
        for step in &self.steps {
            let ended = match step.ended {
                Ended::Passed => "ok",
                Ended::Failed => "FAILED",
                Ended::Skipped => "SKIPPED",
                Ended::Absent => "absent",
            };
            let note = step.note.lines().next().unwrap_or("");
            print::line(format_args!("{:wide$}  {ended:7}  {:>8}  {note}", step.name, Seconds(step.took).to_string()));
        }
        let failed: Vec<&Step> = self.steps.iter().filter(|step| matches!(step.ended, Ended::Failed)).collect();
        for step in &failed {
            print::line(format_args!("repeat `{}` with: {}", step.name, step.repeat));
        }
        print::line(format_args!(
            "{} steps, {} failed, {}",
            self.steps.len(),
            failed.len(),
            Seconds(self.started.elapsed())
        ));
        if self.counts_shown {
            print::line(format_args!("{} passed, {} failed", self.counts.passed, self.counts.failed));
        }
        failed.is_empty()
    }
}

/// Runs a test runner, passes its output on, and counts its tests.
///
/// A runner that fails without a failed test (it did not compile, or it died) counts as one failed test; one that
/// ends well although it reported failures is an error too.
pub(crate) fn run_counting(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let line = shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let stdout = child.stdout.take().context("the child has no stdout")?;
    let mut here = Counts::default();
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes.with_context(|| format!("cannot read the output of `{line}`"))?;
        let text = String::from_utf8_lossy(&bytes);
        print::line(&text);
        here.read_line(&text);
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{line}`"))?;
    if !status.success() && here.failed == 0 {
        here.failed = 1;
    }
    counts.passed += here.passed;
    counts.failed += here.failed;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    if here.failed > 0 {
        bail!("`{line}` reported {} failed tests but ended with {status}", here.failed);
    }
    Ok(())
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        for skipped in characters.by_ref() {
            if skipped.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> Counts {
        let mut counts = Counts::default();
        text.lines().for_each(|line| counts.read_line(line));
        counts
    }

    #[test]
    fn libtest_lines_are_added_up() {
        let text = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: \u{1b}[31mFAILED\u{1b}[0m. 4 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out";
        assert_eq!(counted(text), Counts { passed: 7, failed: 2 });
    }

    #[test]
    fn both_forms_of_the_node_runner_and_vitest_are_understood() {
        assert_eq!(counted("# tests 5\n# pass 4\n# fail 1"), Counts { passed: 4, failed: 1 });
        assert_eq!(counted("ℹ tests 5\n\u{1b}[34mℹ pass 5\u{1b}[39m\nℹ fail 0"), Counts { passed: 5, failed: 0 });
        assert_eq!(counted("      Tests  1 failed | 12 passed (13)"), Counts { passed: 12, failed: 1 });
    }

    #[test]
    fn other_lines_do_not_count() {
        assert_eq!(counted("all 3 passed; 1 failed\n# passing 4\ntest a_test ... ok"), Counts::default());
    }

    #[test]
    fn a_runner_that_dies_without_a_word_counts_as_a_failed_test() {
        let mut counts = Counts::default();
        assert!(run_counting(&mut Command::new("false"), &mut counts).is_err());
        assert_eq!(counts, Counts { passed: 0, failed: 1 });
    }

    #[test]
    fn a_skipped_step_is_green_locally_and_red_in_ci() {
        let skip = |_: &mut Counts| Ok(Outcome::Skipped { why: "no redis-server".into(), install: "apt".into() });
        let mut local = Report::new(false);
        local.step("redis", "cargo xtask test", skip);
        assert!(local.finish());
        let mut strict = Report::new(true);
        strict.step("redis", "cargo xtask test", skip);
        assert!(!strict.finish());
    }

    #[test]
    fn a_failed_step_fails_the_run_and_the_next_step_still_runs() {
        let mut report = Report::new(false);
        report.step("first", "false", |_| bail!("broken"));
        let mut ran = false;
        report.step("second", "true", |_| {
            ran = true;
            Ok(Outcome::passed())
        });
        assert!(ran);
        assert!(!report.finish());
    }
}
