//! Licences, bans and sources of dependencies, by `cargo deny` and `deny.toml`.
//!
//! Advisories are not checked here: their database lies on a git host, and the gate must work without one.
//! `cargo deny check advisories` does it where there is one.

use anyhow::Result;

use crate::project::{Project, check, has_program};
use crate::report::{Outcome, Report};

/// Building it takes about three minutes on two cores, so only CI does it unasked.
const INSTALL: &[&str] = &["install", "cargo-deny", "--locked", "--version", "^0.20"];

/// Checks the dependency graph of the workspace.
pub(crate) fn step(project: &Project, report: &mut Report) {
    report.step("deny", "cargo deny check bans licenses sources", |_| run(project));
}

fn run(project: &Project) -> Result<Outcome> {
    if !has_program("cargo-deny") {
        if !project.ci {
            let install = format!("cargo {}", INSTALL.join(" "));
            return Ok(Outcome::Skipped { why: "cargo-deny is not installed".into(), install });
        }
        check(&mut project.command("cargo", INSTALL))?;
    }
    check(&mut project.command("cargo", &["deny", "--log-level", "warn", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::passed())
}
