//! Builds the program of a project with cargo.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::logs::{self, Source};
use crate::print::Style;
use crate::project::Project;

/// A program that was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    /// It was up to date: nothing had to be done.
    pub(crate) fresh: bool,
    pub(crate) took: Duration,
}

/// Runs `cargo build`. What the compiler says goes to the terminal as it comes. Dropping the future ends cargo.
pub(crate) async fn build(project: &Project, release: bool) -> Result<Built> {
    let start = Instant::now();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&project.root).arg("build").arg("--message-format=json-render-diagnostics");
    command.args(release.then_some("--release"));
    command.args(["--color", if Style::of_stderr().is_coloured() { "always" } else { "never" }]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own, so that its compilers end with it.
    command.process_group(0);
    let mut group = Group(command.spawn().map_err(|why| {
        Failure::new(Code::PROGRAM, "cargo cannot be started").because(why).fix("install Rust: rustup.rs; bbq doctor")
    })?);
    let (messages, words) = (group.0.stdout.take(), group.0.stderr.take());
    let (programs, ()) = tokio::join!(programs(messages), show(Source::Build, words));
    let status = group.0.wait().await.map_err(|why| Failure::new(Code::PROGRAM, "cargo is gone").because(why))?;
    if !status.success() {
        let what = format!("{} does not build", project.name);
        return Err(Failure::new(Code::BUILD, what).fix("see the errors above"));
    }
    let program = choose(programs, project)?;
    Ok(Built { took: start.elapsed(), ..program })
}

/// A child and its children, which end when this is dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Without an id it has been waited for, and the number may be somebody else's.
        if let Some(leader) = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap_or(0))) {
            // They may have ended by now.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Prints the lines of a child with a prefix.
pub(crate) async fn show(source: Source, lines: Option<impl AsyncRead + Unpin>) {
    let Some(lines) = lines else { return };
    let mut lines = BufReader::new(lines).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        logs::line(source, String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
}

/// A line that cargo prints for programs; everything else of it does not matter.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
    #[serde(default)]
    fresh: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Name and place of each program.
async fn programs(messages: Option<impl AsyncRead + Unpin>) -> Vec<(String, Built)> {
    let mut found = Vec::new();
    let Some(messages) = messages else { return found };
    let mut lines = BufReader::new(messages).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        found.extend(program(&line));
    }
    found
}

fn program(line: &str) -> Option<(String, Built)> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let target = artifact.target.filter(|target| artifact.reason == "compiler-artifact" && target.kind == ["bin"])?;
    let built = Built { program: artifact.executable?, fresh: artifact.fresh, took: Duration::ZERO };
    Some((target.name, built))
}

/// The default program of the project, the one with its name, or the only one.
fn choose(programs: Vec<(String, Built)>, project: &Project) -> Result<Built> {
    let wanted = project.default_run.as_deref().unwrap_or(&project.name);
    let names: Vec<String> = programs.iter().map(|(name, _)| name.clone()).collect();
    let only = programs.len() == 1 && project.default_run.is_none();
    let mut programs = programs.into_iter();
    let chosen = if only { programs.next() } else { programs.find(|(name, _)| name == wanted) };
    chosen.map(|(_, built)| built).ok_or_else(|| {
        let (what, fix) = match names.as_slice() {
            [] => (format!("{} has no program", project.name), "add src/main.rs with a main function"),
            _ => (
                format!("{} has no program `{wanted}`", project.name),
                "set default-run in the [package] of Cargo.toml",
            ),
        };
        Failure::new(Code::NO_BINARY, what).because(format!("programs: {}", names.join(", "))).fix(fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(default_run: Option<&str>) -> Project {
        Project { root: PathBuf::new(), name: "game".to_owned(), default_run: default_run.map(str::to_owned) }
    }

    fn built(name: &str) -> (String, Built) {
        (name.to_owned(), Built { program: name.into(), fresh: true, took: Duration::ZERO })
    }

    #[test]
    fn programs_are_read_from_what_cargo_prints() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"game","test":true},"executable":"/t/game","fresh":true}"#;
        assert_eq!(program(line), Some(("game".to_owned(), Built { program: "/t/game".into(), ..built("").1 })));
        assert_eq!(program(&line.replace("bin", "lib")), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("not json"), None);
    }

    #[test]
    fn the_program_is_the_default_one_then_that_of_the_package_then_the_only_one() {
        let chosen = |programs: &[&str], default_run| {
            let programs = programs.iter().map(|name| built(name)).collect();
            choose(programs, &project(default_run)).ok().map(|built| built.program)
        };
        assert_eq!(chosen(&["other"], None), Some("other".into()));
        assert_eq!(chosen(&["a", "game"], None), Some("game".into()));
        assert_eq!(chosen(&["a", "game"], Some("a")), Some("a".into()));
        assert_eq!(chosen(&["a", "b"], None), None);
        assert_eq!(chosen(&[], None), None);
    }
}
