//! Starts processes, waits until they are ready, and ends them in the way that a test wants.
//!
//! Every process has its own log. When a test fails the logs are printed; whatever happens, no process outlives its
//! [`Cluster`]: dropping one kills its children by their handles.

use std::ffi::OsStr;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A process that takes longer to start, or to end in good order, has gone wrong. Machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at something that cannot be waited for.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of each log that are shown when a test fails.
const SHOWN_LINES: usize = 60;
/// The program that plays every role.
const PROGRAM: &str = env!("CARGO_BIN_EXE_cluster-node");

/// A directory of its own, and the address of a center once there is one.
pub(crate) struct Cluster {
    directory: PathBuf,
    center: Option<String>,
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    addresses: Value,
}

/// What a process said that did not become ready.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// Waits until `look` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            // tidy: polls a condition, bounded by PATIENCE
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Does not wait for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

impl Cluster {
    /// No process yet.
    pub(crate) fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("bbq-cluster-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for logs");
        Self { directory, center: None }
    }

    /// A center that other processes join.
    pub(crate) async fn with_center(more: &[&str]) -> (Self, Process) {
        let mut cluster = Self::empty();
        let center = cluster.start("center", "center", more).await;
        cluster.center = Some(center.address("center"));
        (cluster, center)
    }

    /// The usual one: a process for each of the roles, with one game.
    pub(crate) async fn usual() -> (Self, [Process; 4]) {
        let (cluster, center) = Self::with_center(&[]).await;
        let (proxy, game, gate) = tokio::join!(
            cluster.start("proxy", "proxy", &[]),
            cluster.start("game", "game", &[]),
            cluster.start("gate", "gate", &[])
        );
        (cluster, [center, proxy, game, gate])
    }

    /// Where the files of this cluster are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a process and waits until it is ready.
    pub(crate) async fn start(&self, role: &str, name: &str, more: &[&str]) -> Process {
        self.try_start(role, name, more).await.unwrap_or_else(|refused| panic!("{name}: {refused:?}"))
    }

    /// As [`Cluster::start`]; an error if the process ends instead.
    pub(crate) async fn try_start(&self, role: &str, name: &str, more: &[&str]) -> Result<Process, Refused> {
        let ready = self.path(&format!("{name}.ready"));
        let _ = std::fs::remove_file(&ready);
        let mut child = self.spawn(role, name, &ready, more);
        let addresses = until(&format!("{name} gets ready"), || {
            let ended = child.try_wait().expect("a child that can be waited for");
            let addresses = read_json(&ready);
            async move { ended.map(Err).or(addresses.map(Ok)) }
        })
        .await;
        match addresses {
            Ok(addresses) => Ok(Process { child, addresses }),
            Err(status) => Err(Refused { status, log: self.log(name) }),
        }
    }

    fn spawn(&self, role: &str, name: &str, ready: &Path, more: &[&str]) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(&format!("{name}.log")));
        let mut command = Command::new(PROGRAM);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("BBQ_") {
                command.env_remove(variable);
            }
        }
        let any = "127.0.0.1:0";
        command.args(["--role", role, "--name", name, "--worlds", "1", "--mesh-listen", any]);
        command.args(["--listen", any, "--center-listen", any]).arg("--ready-file").arg(ready);
        if let Some(center) = &self.center {
            command.args(["--center", center]);
        }
        command.args(more).current_dir(&self.directory).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log")).kill_on_drop(true);
        command.spawn().expect("the program of the tests starts")
    }

    /// What a process has said.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(&self.directory);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Process {
    /// `host:port` of `center` or `gate`.
    pub(crate) fn address(&self, what: &str) -> String {
        self.addresses[what].as_str().unwrap_or_else(|| panic!("no {what} in {}", self.addresses)).to_owned()
    }

    /// Where it listens for other nodes: one TCP address, and a Unix socket if it offers one.
    pub(crate) fn mesh(&self) -> Vec<String> {
        let addresses = self.addresses["mesh"].as_array().into_iter().flatten();
        addresses.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// As a power cut does.
    pub(crate) async fn kill(mut self) {
        soon("a killed process ends", self.child.kill()).await.expect("it can be killed");
    }

    /// As an operator does: asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        soon("a process ends in good order", self.child.wait()).await.expect("a status")
    }

    /// It runs no instruction until it is thawed.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it can be told");
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child that can be waited for").is_none()
    }

    /// Memory that it holds, in MiB; 0 where the system does not tell.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
    }
}

fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

#[expect(clippy::print_stdout, reason = "what a failed test prints is shown with its name")]
fn show_logs(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension() == Some(OsStr::new("log")));
    logs.sort();
    for path in logs {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(SHOWN_LINES);
        println!("---- {}, the last of {} lines", path.file_name().unwrap_or_default().display(), lines.len());
        lines[first..].iter().for_each(|line| println!("{line}"));
    }
}
