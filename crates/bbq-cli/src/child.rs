//! The game as a child process: started, watched, and stopped by its id.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gobbq::options::{SECRET_VARIABLE, SETTINGS};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::cargo::show;
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::logs::Source;
use crate::print::Style;

/// A game that does not end within this after SIGTERM is killed. It is longer than a game may take to drain.
const GRACE: Duration = Duration::from_secs(12);

/// Becomes `program`, which gets SIGTERM when our parent ends: nobody is left behind by a `bbq dev` that was killed.
pub(crate) fn become_with_parent(program: &Path, arguments: &[OsString]) -> Failure {
    #[cfg(target_os = "linux")]
    // Without it, only a parent that is killed leaves the program behind.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    let why = std::process::Command::new(program).args(arguments).exec();
    Failure::new(Code::PROGRAM, format!("{} cannot be started", program.display())).because(why)
}

/// What to start, with which arguments, so that `program` ends with us.
pub(crate) fn tied_to_us(program: PathBuf, arguments: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
    // A `bbq` that has been built anew meanwhile is no longer where it was.
    match std::env::current_exe().ok().filter(|path| path.is_file()) {
        Some(bbq) => {
            let head = ["with-parent".into(), program.into_os_string()];
            (bbq, head.into_iter().chain(arguments).collect())
        }
        None => (program, arguments),
    }
}

/// A running game. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Game {
    child: Child,
}

impl Game {
    /// Starts it; what it prints goes to our terminal with a prefix.
    pub(crate) fn start(program: &Path, arguments: &[OsString], directory: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Our settings are not its settings; how many worlds it has is.
        let ours = SETTINGS.iter().map(|setting| setting.1).filter(|variable| *variable != "BBQ_WORLDS");
        for variable in ours.chain([SECRET_VARIABLE]) {
            command.env_remove(variable);
        }
        if !Style::of_stderr().is_coloured() {
            command.env("NO_COLOR", "1");
        }
        // A group of its own: ctrl-C reaches us alone, and we stop things in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(|why| {
            let what = format!("{} cannot be started", program.display());
            Failure::new(Code::PROGRAM, what).because(why).fix("remove the target directory and try again")
        })?;
        tokio::spawn(show(Source::Game, child.stdout.take()));
        tokio::spawn(show(Source::Game, child.stderr.take()));
        Ok(Self { child })
    }

    /// Waits until it has ended. Nothing is lost when the future is dropped.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(why) => why.to_string(),
        }
    }

    /// Asks it to save its entities and end; insists when that takes too long. Says whether it went by itself.
    pub(crate) async fn stop(mut self) -> bool {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap_or(0))) {
            // It may have ended by now: then there is nobody to ask.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_ok() {
            return true;
        }
        drop(self.child.kill().await);
        false
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no reason given".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Game {
        Game::start(Path::new("/bin/sh"), &["-c".into(), script.into()], Path::new("/")).expect("a shell")
    }

    #[tokio::test]
    async fn a_game_is_asked_before_it_is_killed() {
        let polite = shell("trap 'exit 0' TERM; while :; do sleep 0.05; done");
        assert!(polite.stop().await);
        let mut failing = shell("exit 3");
        assert_eq!(failing.ended().await, "exit code 3");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_failure() {
        let failure = Game::start(Path::new("/no/such/program"), &[], Path::new("/")).expect_err("not there");
        assert_eq!(failure.code, Code::PROGRAM);
    }
}
