//! `cargo xtask ci`: the one gate. Every step runs, whatever happened to those before it.

use anyhow::Result;

use crate::project::{Project, check};
use crate::report::{Outcome, Report};
use crate::{deny, fuzz, tests_of_everything, tidy};

/// Random input for every decoder.
const FUZZ_SECONDS: u64 = 30;

/// Workspaces of their own, which are formatted as well.
const APART: &[&str] = &["bench/gate/Cargo.toml", "bench/peers/Cargo.toml", "fuzz/Cargo.toml"];

/// What `cargo fmt` does here. Modules stand in reading order, so they are not sorted.
const FMT: &[&str] = &["--check", "--", "--config", "reorder_modules=false"];
const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
const DOC: &[&str] = &["doc", "--workspace", "--no-deps"];

/// All steps, the quick ones first.
pub(crate) fn run(project: &Project, report: &mut Report) {
    let repeat = format!("cargo fmt --all {}", FMT.join(" "));
    report.step("fmt", &repeat, |_| fmt(project));
    report.step("tidy", "cargo xtask tidy", |_| tidy::step(project));
    cargo(project, report, "clippy", CLIPPY);
    tests_of_everything::run(project, report, None);
    fuzz::step(project, report, FUZZ_SECONDS);
    report.step("doc", &format!("RUSTDOCFLAGS='-D warnings' cargo {}", DOC.join(" ")), |_| {
        check(project.command("cargo", DOC).env("RUSTDOCFLAGS", "-D warnings"))?;
        Ok(Outcome::passed())
    });
    deny::step(project, report);
}

fn fmt(project: &Project) -> Result<Outcome> {
    check(project.command("cargo", &["fmt", "--all"]).args(FMT))?;
    for manifest in APART.iter().filter(|manifest| project.path(manifest).is_file()) {
        check(project.command("cargo", &["fmt", "--manifest-path", manifest]).args(FMT))?;
    }
    Ok(Outcome::passed())
}

fn cargo(project: &Project, report: &mut Report, name: &str, arguments: &[&str]) {
    report.step(name, &format!("cargo {}", arguments.join(" ")), |_| {
        check(&mut project.command("cargo", arguments))?;
        Ok(Outcome::passed())
    });
}
