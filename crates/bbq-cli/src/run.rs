//! `bbq run`: one or several roles in this process, or in the project's own program.

use std::os::unix::process::CommandExt;
use std::process::Command;

use bbq_core::mesh::Roles;
use gobbq::Options;
use gobbq::node::Parts;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{BuiltIn, Run};
use crate::cargo::build;
use crate::center::block_on;
use crate::codes::Code;
use crate::demo;
use crate::failure::{Failure, Result};
use crate::logs::{self, Source};
use crate::node;
use crate::project::Project;
use crate::signals::End;

pub(crate) fn run(args: &Run) -> Result<()> {
    // Wrong settings are found before anything is built.
    let options = args.settings.options(&args.roles)?;
    logs::start(LevelFilter::INFO);
    match args.app {
        Some(BuiltIn::Demo) => block_on(here(&options, demo::parts())),
        None if options.roles.contains(Roles::GAME) => project(args),
        None => block_on(here(&options, Parts::default())),
    }
}

/// Runs the roles here until somebody ends it.
async fn here(options: &Options, parts: Parts) -> Result<()> {
    let mut end = End::after(options.run_for)?;
    let node = node::start(options, parts).await?;
    if let Some(path) = &options.ready_file {
        node::write_ready_file(path, &node::addresses(&node))?;
    }
    let ended = tokio::select! {
        () = end.wait() => Ok(()),
        failure = node::over(&options.name, &node) => Err(failure),
    };
    let saved = node::stop(node).await;
    ended.and(saved)
}

/// Builds the project; then its program takes our place, with the same settings.
fn project(args: &Run) -> Result<()> {
    let project = Project::here().map_err(|failure| Failure {
        fix: "cd into a project, or run the built-in games: bbq run game --app demo".to_owned(),
        ..failure
    })?;
    let built = block_on(async {
        let mut end = End::after(None)?;
        tokio::select! {
            built = build(&project, args.release) => built.map(Some),
            () = end.wait() => Ok(None),
        }
    });
    let Some(built) = built? else { return Ok(()) };
    logs::line(Source::Build, format_args!("built in {:.1} s", built.took.as_secs_f64()));
    let why = Command::new(&built.program).arg(format!("--role={}", args.roles)).args(&args.settings.0).exec();
    let what = format!("{} cannot be started", built.program.display());
    Err(Failure::new(Code::PROGRAM, what).because(why).fix("remove the target directory and try again"))
}
