//! `cargo xtask test`: installs what tests need, then runs all of them and counts.

use crate::install::{npm_directories, npm_script, steps as install};
use crate::pages;
use crate::project::Project;
use crate::report::{Outcome, Report, run_counting};
use crate::sim;

/// Seeds of the simulator in every run of the tests.
const SEEDS: u64 = 1000;

/// All tests; with a filter only the Rust tests whose name contains it.
pub(crate) fn run(project: &Project, report: &mut Report, filter: Option<&str>) {
    report.show_counts();
    if let Some(filter) = filter {
        rust(project, report, &["--", filter], &format!("cargo xtask test --filter {filter}"));
        return;
    }
    install(project, report);
    rust(project, report, &[], "cargo test --workspace --no-fail-fast");
    for directory in npm_directories(project) {
        scripts(project, report, directory);
    }
    sim::step(project, report, SEEDS, None);
    pages::step(project, report, true);
}

fn rust(project: &Project, report: &mut Report, more: &[&str], repeat: &str) {
    report.step("cargo test", repeat, |counts| {
        let mut command = project.command("cargo", &["test", "--workspace", "--no-fail-fast"]);
        run_counting(command.args(more), counts)?;
        Ok(Outcome::passed())
    });
}

fn scripts(project: &Project, report: &mut Report, directory: &str) {
    let has_tests = npm_script(project, directory, "test");
    if matches!(has_tests, Ok(None)) {
        return;
    }
    let repeat = format!("(cd {directory} && npm test)");
    report.step(&format!("npm test in {directory}"), &repeat, |counts| {
        has_tests?;
        let mut command = project.command("npm", &["test"]);
        run_counting(command.current_dir(project.path(directory)), counts)?;
        Ok(Outcome::passed())
    });
}
