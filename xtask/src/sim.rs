//! `cargo xtask sim`: runs the simulated cluster, which is the example `sim` of `bbq-sim`.
//!
//! The contract: `sim --seeds N --seed S` runs the seeds S, S+1, .. and the committed ones, ends with an exit code
//! other than 0 when an invariant broke, and prints the seed that repeats it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::project::Project;
use crate::report::{Counts, Outcome, Report, run_counting};

/// Runs `seeds` seeds from `seed` on; without one, from a seed that no earlier run had.
pub(crate) fn step(project: &Project, report: &mut Report, seeds: u64, seed: Option<u64>) {
    let seed = seed.unwrap_or_else(fresh_seed);
    let repeat = format!("cargo xtask sim --seeds {seeds} --seed {seed}");
    report.step("sim", &repeat, |counts| run(project, counts, seeds, seed));
}

fn run(project: &Project, counts: &mut Counts, seeds: u64, seed: u64) -> Result<Outcome> {
    let (seeds_text, seed_text) = (seeds.to_string(), seed.to_string());
    let arguments = ["run", "--quiet", "--release", "-p", "bbq-sim", "--example", "sim", "--"];
    let mut command = project.command("cargo", &arguments);
    run_counting(command.args(["--seeds", &seeds_text, "--seed", &seed_text]), counts)?;
    Ok(Outcome::Passed(format!("{seeds} seeds from {seed} on")))
}

fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64)
}
