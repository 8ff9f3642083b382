//! The command line, as data.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bbq_rt::control::{ControlAddress, EngineKind};
use clap::{Parser, Subcommand, ValueEnum};

use crate::codes::Code;
use crate::failure::Failure;
use crate::settings::Settings;

/// Everything a gobbq project needs: make it, run it, look into it.
#[derive(Parser, Debug)]
#[command(name = "bbq", version, after_help = "Errors have a code; `bbq explain CODE` says more about it.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make a project: proto, server, tests
    New(New),
    /// Run the project in this terminal as a whole cluster; with --watch, again after every change
    Dev(Dev),
    /// Run a cluster with the example games, bots and web pages
    Demo(Demo),
    /// Run one or several roles in this process
    Run(Run),
    /// Write code for the proto files
    Gen(Gen),
    /// Look for mistakes in the proto files, and for changes that break what was released
    Check(Check),
    /// Show the nodes of a cluster and what they serve
    Status(Status),
    /// Call a method of an entity or service
    Call(Call),
    /// Check that this machine has what gobbq needs
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Say more about an error code
    Explain(Explain),
    /// Become a program that ends when our parent does, however that ends
    #[command(hide = true)]
    WithParent {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct New {
    /// Name of the project, its crate and its proto package
    pub(crate) name: String,
    /// Directory to make [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Dev {
    /// Build and restart the game when proto/, src/, build.rs or Cargo.toml change; clients stay connected
    #[arg(long)]
    pub(crate) watch: bool,
    /// Where the gate listens for clients
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4000")]
    pub(crate) listen: SocketAddr,
    /// Where the center listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4100")]
    pub(crate) center_listen: SocketAddr,
    /// Where state is kept; in memory, until `bbq dev` ends, without it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// etcd://HOST:PORT,.., consul://HOST:PORT or zookeeper://HOST:PORT,..; the center without it
    #[arg(long, value_name = "URL", value_parser = engine)]
    pub(crate) control_plane: Option<ControlAddress>,
    #[command(flatten)]
    pub(crate) life: Life,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Demo {
    /// Players that are programs; half of them fly, half of them chat
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) bots: u32,
    /// Where the gate listens for clients and browsers
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4000")]
    pub(crate) listen: SocketAddr,
    /// Where the center listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4100")]
    pub(crate) center_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) life: Life,
}

/// An engine for the control plane. A center of another process cannot be it: `bbq dev` has one.
fn engine(text: &str) -> Result<ControlAddress, String> {
    match text.parse()? {
        ControlAddress { engine: EngineKind::Center, .. } => Err("`bbq dev` has a center of its own".into()),
        address => Ok(address),
    }
}

/// How long a command that stays runs, and how others learn that it is there.
#[derive(clap::Args, Debug)]
pub(crate) struct Life {
    /// Written when everything listens: JSON with every address
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// End after this (10s, 5m)
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) run_for: Option<Duration>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Run {
    /// center, proxy, game, gate, or several with commas. With `game`, the program of the project is built and run
    #[arg(value_name = "ROLES")]
    pub(crate) roles: String,
    /// For the game role: an application that is part of `bbq` instead of the project
    #[arg(long, value_enum)]
    pub(crate) app: Option<BuiltIn>,
    /// Build the project with optimisations
    #[arg(long)]
    pub(crate) release: bool,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Applications that are part of `bbq`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BuiltIn {
    /// The arena and the chat
    Demo,
}

#[derive(clap::Args, Debug)]
#[group(skip)]
pub(crate) struct Gen {
    /// Directory for gobbq.rs; usually `build.rs` does this
    #[arg(long, value_name = "DIR", required_unless_present = "ts")]
    pub(crate) rust: Option<PathBuf>,
    /// Directory for TypeScript: messages and stubs of each proto file
    #[arg(long, value_name = "DIR")]
    pub(crate) ts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) from: ProtoDir,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Check {
    /// Write gobbq.lock: from now on, what the files say now is released
    #[arg(long)]
    pub(crate) update: bool,
    #[command(flatten)]
    pub(crate) from: ProtoDir,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ProtoDir {
    /// Where the proto files are [default: proto/ of the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) proto: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Center {
    /// The center of the cluster
    #[arg(long, value_name = "HOST:PORT", env = "BBQ_CENTER", default_value = "127.0.0.1:4100")]
    pub(crate) center: String,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", env = "BBQ_CLUSTER", default_value = "dev")]
    pub(crate) cluster: String,
    /// File with the secret of the cluster; or the secret itself in BBQ_CLUSTER_SECRET
    #[arg(long, value_name = "PATH", env = "BBQ_CLUSTER_SECRET_FILE")]
    pub(crate) cluster_secret_file: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) at: Center,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Call {
    /// An entity, TYPE/KEY, or a service, TYPE
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// Name of the method, as in the proto file
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// The request
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) request: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) at: Center,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// Also check that a center answers there
    #[arg(long, value_name = "HOST:PORT", env = "BBQ_CENTER")]
    pub(crate) center: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Explain {
    /// BBQ-0101, 21 or DEADLOCK; all codes without it
    pub(crate) code: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How results are printed.
#[derive(clap::Args, Debug)]
pub(crate) struct Format {
    /// text for people, json for programs
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    Text,
    Json,
}

impl Format {
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    gobbq::options::duration(text).ok_or_else(|| "a duration is a number and a unit: 500ms, 10s, 5m".to_owned())
}

/// Whether a command line, however wrong it is, asks for JSON.
pub(crate) fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.into_iter().take_while(|argument| argument != "--").collect();
    let whole = ["-ojson", "-o=json", "--output=json"];
    let pair =
        |pair: &[OsString]| matches!(pair, [name, value] if (name == "-o" || name == "--output") && value == "json");
    arguments.iter().any(|argument| whole.iter().any(|whole| argument == whole)) || arguments.windows(2).any(pair)
}

/// What clap says about a bad command line, in our form. `None`: it is no error but help or version, to be printed.
pub(crate) fn usage(error: &clap::Error) -> Option<Failure> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return None,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Some(Failure::new(Code::USAGE, "a command is missing").fix("bbq --help lists the commands"));
        }
        _ => {}
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let what = text.split("\n\n").next().unwrap_or(text).trim().replace("\n  ", " ").replace('\n', " ");
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The best guess comes last.
        Some(ContextValue::Strings(all)) => all.last().cloned(),
        _ => None,
    };
    let guesses = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let guess = guesses.into_iter().find_map(of);
    let fix = match guess {
        Some(guess) => format!("did you mean `{guess}`?"),
        None if error.kind() == ErrorKind::InvalidSubcommand => "bbq --help lists the commands".to_owned(),
        None => match error.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) => usage.to_string().trim().trim_start_matches("Usage: ").to_owned(),
            _ => "bbq --help lists the commands".to_owned(),
        },
    };
    Some(Failure::new(Code::USAGE, what).fix(fix))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_wanted_by_command_lines_that_make_no_sense_too() {
        let wants = |line: &str| wants_json(line.split_whitespace().map(OsString::from));
        for line in ["bbq status -o json", "bbq chek --output json", "bbq call -ojson", "bbq x --output=json"] {
            assert!(wants(line), "{line}");
        }
        for line in ["bbq status", "bbq status -o text", "bbq call Room json", "bbq with-parent -- x -o json"] {
            assert!(!wants(line), "{line}");
        }
    }

    #[test]
    fn every_setting_is_an_option_of_run() {
        let Command::Run(run) = parse("bbq run gate --center 127.0.0.1:1 --listen=127.0.0.1:2").expect("fine").command
        else {
            panic!("another command")
        };
        assert_eq!(run.roles, "gate");
        assert_eq!(run.settings.0, ["--center=127.0.0.1:1", "--listen=127.0.0.1:2"]);
    }

    #[test]
    fn mistakes_say_what_and_how_it_is_right() {
        for (line, what, fix) in [
            ("bbq", "a command is missing", "--help"),
            ("bbq chek", "unrecognized subcommand", "`check`"),
            ("bbq dem", "unrecognized subcommand", "`demo`"),
            ("bbq fly", "unrecognized subcommand", "--help"),
            ("bbq gen", "required arguments", "bbq gen"),
            ("bbq check --updat", "unexpected argument", "--update"),
            ("bbq demo --for soon", "invalid value 'soon'", "bbq"),
            ("bbq status -o xml", "invalid value 'xml'", ""),
        ] {
            let failure = usage(&parse(line).expect_err("a mistake")).expect("a failure");
            assert!(failure.what.contains(what), "{line}: {failure}");
            assert!(failure.fix.contains(fix), "{line}: {failure}");
            assert_eq!(failure.exit_code(), 2);
        }
        assert!(usage(&parse("bbq --version").expect_err("not a command")).is_none());
    }
}
