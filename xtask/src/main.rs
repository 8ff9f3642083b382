//! Project automation: `cargo xtask ci | test | tidy | bench | sim | fuzz | pages | install`.
//!
//! `cargo xtask ci` is the one gate of the project; every other command is one of its steps, or a tool beside it.
//! Exit codes: 0 all well, 1 a step failed, 2 the command line was wrong.

mod args;
mod print;
mod project;
mod report;
mod source;
mod tidy;
mod install;
mod pages;
mod sim;
mod fuzz;
mod tests_of_everything;
mod deny;
mod bench;
mod ci;

use std::process::ExitCode;

use args::Command;
use project::Project;
use report::Report;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` when a step of it failed and has been reported.
fn run(command: Command) -> anyhow::Result<bool> {
    if command == Command::Help {
        print::line(args::USAGE);
        return Ok(true);
    }
    let project = Project::locate()?;
    let mut report = Report::new(project.ci);
    match command {
        Command::Help => {}
        Command::Bench { name, json } => return bench::run(&project, name.as_deref(), json),
        Command::Tidy { fix } => return tidy::run(&project, fix),
        Command::Ci => ci::run(&project, &mut report),
        Command::Test { filter } => tests_of_everything::run(&project, &mut report, filter.as_deref()),
        Command::Sim { seeds, seed } => sim::step(&project, &mut report, seeds, seed),
        Command::Fuzz { seconds } => fuzz::step(&project, &mut report, seconds),
        Command::Pages { check } => pages::step(&project, &mut report, check),
        Command::Install => install::steps(&project, &mut report),
    }
    Ok(report.finish())
}
