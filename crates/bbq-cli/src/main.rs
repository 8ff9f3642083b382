//! The `bbq` command line: makes a gobbq project, runs it, looks into it.
//!
//! Every failure has a code, a cause and a way out; nothing that a user does wrong is a panic.

mod codes;
mod failure;
mod print;

mod settings;
mod args;

mod project;
mod explain;
mod completion;
mod findings;
mod protos;
mod scaffold;
mod doctor;

mod center;
mod status;
mod target;
mod schema;
mod visitor;
mod call;

mod logs;
mod signals;
mod node;
mod cargo;
mod child;
mod pages;
mod demo;
mod run;
mod dev;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::{Failure, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command_line().and_then(|cli| cli.map_or(Ok(ExitCode::SUCCESS), |cli| run(&cli.command))) {
        Ok(code) => code,
        Err(failure) => {
            print::failure(&failure, args::wants_json(std::env::args_os()));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What to do; nothing when help or the version was asked for, and printed.
fn command_line() -> Result<Option<Cli>> {
    match Cli::try_parse() {
        Ok(cli) => Ok(Some(cli)),
        Err(error) => match args::usage(&error) {
            Some(failure) => Err(failure),
            // clap writes it with or without colours, as the terminal wants it.
            None => error.print().map(|()| None).map_err(|why| Failure::output(&why)),
        },
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::New(args) => scaffold::run(args)?,
        Command::Gen(args) => protos::generate(args)?,
        Command::Check(args) => return protos::check(args),
        Command::Doctor(args) => doctor::run(args)?,
        Command::Completion { shell } => completion::run(*shell)?,
        Command::Explain(args) => explain::run(args)?,
        Command::WithParent { program, arguments } => return Err(child::become_with_parent(program, arguments)),
        Command::Status(args) => status::run(args)?,
        Command::Call(args) => call::run(args)?,
        Command::Run(args) => run::run(args)?,
        Command::Demo(args) => demo::run(args)?,
        Command::Dev(args) => dev::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
