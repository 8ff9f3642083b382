//! Starts the program, and directories that go away.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const BBQ: &str = env!("CARGO_BIN_EXE_bbq");

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// `bbq` in this directory, without settings of whoever runs the tests.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new(BBQ);
    command.current_dir(directory);
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("BBQ_")) {
        command.env_remove(variable);
    }
    command
}

/// Runs `bbq` to its end.
pub(crate) fn bbq(directory: &Path, arguments: &[&str]) -> Ended {
    command(directory).args(arguments).output().expect("bbq runs").into()
}

/// Another number each time.
fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Makes a project with `bbq new`; where it is.
pub(crate) fn new_project(directory: &Directory, name: &str) -> PathBuf {
    assert_eq!(bbq(directory.path(), &["new", name]).code, 0);
    let project = directory.path().join(name);
    // The versions that this workspace was built with: nothing has to be fetched.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).expect("a lock file");
    project
}

/// The target directory of this test, and no network, for a cargo or a `bbq` that runs one.
pub(crate) fn cargo_settings(command: &mut Command) {
    let target = Path::new(BBQ).parent().and_then(Path::parent).expect("target/PROFILE/bbq");
    command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true").env("NO_COLOR", "1");
    // Settings of the cargo that runs this test are not for the one that it starts.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("RUSTFLAGS");
}

/// How long something may take on a machine that does other things, too. Builds are among it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks every 20 ms until there is something.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        // tidy: between two looks, with a deadline
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `bbq` that stays. It is killed when the test ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    /// What it wrote when it was ready.
    pub(crate) ready: Value,
}

impl Running {
    pub(crate) fn start(directory: &Directory, arguments: &[&str]) -> Self {
        let mut bbq = command(directory.path());
        bbq.args(arguments);
        Self::of(directory, bbq)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn of(directory: &Directory, mut command: Command) -> Self {
        let ready = directory.path().join(format!("ready-{}", number()));
        command.arg("--ready-file").arg(&ready);
        let mut running = Self::not_ready(directory, command);
        running.ready = wait("ready file", || {
            let ended = running.child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended: {}", running.said());
            serde_json::from_str(&std::fs::read_to_string(&ready).ok()?).ok()
        });
        running
    }

    /// Starts it; it may never become ready.
    pub(crate) fn not_ready(directory: &Directory, mut command: Command) -> Self {
        let log = directory.path().join(format!("log-{}", number()));
        let output = File::create(&log).expect("a file");
        command.stdout(output.try_clone().expect("a file")).stderr(output);
        Self { child: command.spawn().expect("bbq runs"), log, ready: Value::Null }
    }

    /// Waits until it ends by itself; its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        wait("end", || self.child.try_wait().expect("a child")).code().unwrap_or(-1)
    }

    /// Everything that it has printed.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has printed this.
    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        wait("such words", || {
            assert!(Instant::now() < deadline - Duration::from_secs(1), "`{text}` is not in: {}", self.said());
            self.said().contains(text).then_some(())
        });
    }

    /// Ends it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("an end");
    }

    /// Asks it to end; its exit code.
    pub(crate) fn terminate(mut self) -> i32 {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = wait("end", || self.child.try_wait().expect("a child"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A directory of one test.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bbq-cli-{}-{}", std::process::id(), number()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file.
    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).expect("a file")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
