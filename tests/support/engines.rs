//! Servers of etcd, Consul and ZooKeeper for tests: child processes with a directory and free ports of their own.
//!
//! A server that is not installed fails the test with the command that installs it. Included by path into every test
//! program that needs it. Whatever happens, no server outlives the test program: a small shell holds each of them, and
//! kills it when the pipe from the test program closes.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that takes longer to start has gone wrong. Machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a server that starts.
const LOOK: Duration = Duration::from_millis(50);

/// Starts the server, tells its pid, and kills it at the end of its input; without a line before that, nothing stays.
const HOLDER: &str = r#"
directory=$1; shift
"$@" </dev/null >>"$directory/log" 2>&1 &
echo $!
read -r keep
kill -9 $!
wait $! 2>/dev/null
[ "$keep" = keep ] || rm -rf "$directory"
"#;

/// What to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Etcd,
    Consul,
    ZooKeeper,
}

/// A running server, or one that was killed and can be started again with its data.
pub(crate) struct Server {
    kind: Kind,
    directory: PathBuf,
    ports: [u16; 3],
    holder: Option<(Child, Pid)>,
}

impl Server {
    /// Starts one and waits until it serves.
    pub(crate) fn start(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("bbq-{kind:?}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for a server");
        let mut server = Self { kind, directory, ports: free_ports(), holder: None };
        server.run();
        server
    }

    /// Starts it again after [`Server::kill`], with the same ports and data.
    pub(crate) fn run(&mut self) {
        let [program, arguments @ ..] = &self.command()[..] else { unreachable!("a program") };
        let mut holder = Command::new("sh");
        holder.args(["-c", HOLDER, "sh"]).arg(&self.directory).arg(program).args(arguments);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn().expect("a shell");
        let mut line = String::new();
        let told = BufReader::new(holder.stdout.as_mut().expect("it is piped")).read_line(&mut line);
        told.expect("the shell tells a number");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
        self.holder = Some((holder, pid));
        let end = Instant::now() + PATIENCE;
        while !self.serves() {
            assert!(Instant::now() < end, "{:?} does not start:\n{}", self.kind, self.log());
            // tidy: polls a condition, bounded by PATIENCE
            std::thread::sleep(LOOK);
        }
    }

    /// `host:port` for clients.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// As `--control-plane` takes it; tests with different roots do not see each other.
    pub(crate) fn url(&self, root: &str) -> String {
        let scheme = match self.kind {
            Kind::Etcd => "etcd",
            Kind::Consul => "consul",
            Kind::ZooKeeper => "zookeeper",
        };
        format!("{scheme}://{}/{root}", self.address())
    }

    /// As a power cut does; its data stay.
    pub(crate) fn kill(&mut self) {
        self.end(b"keep\n");
    }

    fn end(&mut self, last_words: &[u8]) {
        if let Some((mut holder, _)) = self.holder.take() {
            if let Some(mut pipe) = holder.stdin.take() {
                // A shell that ended by itself has nothing to hear.
                let _ = pipe.write_all(last_words);
            }
            let _ = holder.wait();
        }
    }

    /// It runs no instruction until it is thawed.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // A process with many threads stops one after the other.
        let (_, pid) = self.holder.as_ref().expect("a running server");
        let threads = PathBuf::from(format!("/proc/{}/task", pid.as_raw_nonzero()));
        let is_stopped = |thread: PathBuf| {
            let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('T'))
        };
        let end = Instant::now() + PATIENCE;
        while !std::fs::read_dir(&threads).into_iter().flatten().flatten().all(|thread| is_stopped(thread.path())) {
            assert!(Instant::now() < end, "{:?} does not freeze", self.kind);
            // tidy: polls a condition, bounded by PATIENCE
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let (_, pid) = self.holder.as_ref().expect("a running server");
        kill_process(*pid, signal).expect("it can be told");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Program and arguments.
    fn command(&self) -> Vec<OsString> {
        match self.kind {
            Kind::Etcd => self.etcd(),
            Kind::Consul => self.consul(),
            Kind::ZooKeeper => self.zookeeper(),
        }
    }

    fn etcd(&self) -> Vec<OsString> {
        let [client, peer, _] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let data = self.directory.join("data");
        let cluster = format!("default={peer}");
        // A short election makes leases of a second possible; nobody tests the disk here.
        words(
            program(self.kind, "ETCD_BIN", "etcd"),
            [
                "--data-dir".as_ref(),
                data.as_os_str(),
                "--listen-client-urls".as_ref(),
                client.as_ref(),
                "--advertise-client-urls".as_ref(),
                client.as_ref(),
                "--listen-peer-urls".as_ref(),
                peer.as_ref(),
                "--initial-advertise-peer-urls".as_ref(),
                peer.as_ref(),
                "--initial-cluster".as_ref(),
                cluster.as_ref(),
                "--heartbeat-interval".as_ref(),
                "50".as_ref(),
                "--election-timeout".as_ref(),
                "500".as_ref(),
                "--unsafe-no-fsync".as_ref(),
            ],
        )
    }

    fn consul(&self) -> Vec<OsString> {
        let [http, server, serf] = self.ports;
        let config = format!(
            r#"{{"server": true, "bootstrap_expect": 1, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "node_name": "test", "session_ttl_min": "1s", "disable_update_check": true,
            "performance": {{"raft_multiplier": 1}}, "limits": {{"http_max_conns_per_client": 2000}},
            "ports": {{"http": {http}, "server": {server}, "serf_lan": {serf}, "serf_wan": -1, "dns": -1, "grpc": -1}}}}"#,
        );
        let path = self.directory.join("consul.json");
        std::fs::write(&path, config).expect("a configuration");
        let data = self.directory.join("data");
        words(
            program(self.kind, "CONSUL_BIN", "consul"),
            ["agent".as_ref(), "-config-file".as_ref(), path.as_os_str(), "-data-dir".as_ref(), data.as_os_str()],
        )
    }

    fn zookeeper(&self) -> Vec<OsString> {
        let data = self.directory.join("data");
        std::fs::create_dir_all(&data).expect("a directory");
        let config = format!(
            "tickTime=500\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             maxSessionTimeout=120000\nmaxClientCnxns=0\n4lw.commands.whitelist=*\nforceSync=no\n",
            data.display(),
            self.ports[0],
        );
        let path = self.directory.join("zoo.cfg");
        std::fs::write(&path, config).expect("a configuration");
        let jars = zookeeper_jars();
        words(
            program(self.kind, "JAVA_BIN", "java"),
            [
                "-Xmx256m".as_ref(),
                "-cp".as_ref(),
                jars.as_ref(),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain".as_ref(),
                path.as_os_str(),
            ],
        )
    }

    /// Whether it answers as one that has a leader.
    fn serves(&self) -> bool {
        let question = match self.kind {
            Kind::Etcd => "GET /health HTTP/1.0\r\n\r\n",
            Kind::Consul => "GET /v1/status/leader HTTP/1.0\r\n\r\n",
            Kind::ZooKeeper => "srvr",
        };
        let answer = ask(self.ports[0], question).unwrap_or_default();
        match self.kind {
            Kind::Etcd => answer.contains(r#""health":"true""#),
            Kind::Consul => answer.contains("127.0.0.1:"),
            Kind::ZooKeeper => answer.contains("Mode:"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.holder.is_some() && std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- {:?}:\n{}", self.kind, lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        match self.holder {
            Some(_) => self.end(b""),
            // It was killed, and keeps its data.
            None => drop(std::fs::remove_dir_all(&self.directory)),
        }
    }
}

fn words<const N: usize>(program: PathBuf, arguments: [&OsStr; N]) -> Vec<OsString> {
    std::iter::once(program.into_os_string()).chain(arguments.map(OsStr::to_owned)).collect()
}

fn ask(port: u16, question: &str) -> std::io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(question.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// What a variable names, what `cargo xtask install` put beside the build, or what is on `PATH`.
fn program(kind: Kind, variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|path| path.join("Cargo.lock").is_file());
    let installed = root.map(|root| root.join("target/tools").join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join(name));
    let mut places = installed.into_iter().chain(on_path);
    places.find(|path| path.is_file()).unwrap_or_else(|| missing(kind, &format!("there is no program `{name}`")))
}

/// ZooKeeper's and what it needs, with one binding for its log.
fn zookeeper_jars() -> String {
    let directory = PathBuf::from(std::env::var_os("ZOOKEEPER_JARS").unwrap_or_else(|| "/usr/share/java".into()));
    let wanted = |name: &str| {
        let any = [
            "zookeeper.jar",
            "zookeeper-jute.jar",
            "slf4j-api.jar",
            "slf4j-nop.jar",
            "metrics-core.jar",
            "snappy-java.jar",
        ];
        any.contains(&name)
            || name.starts_with("netty-")
            || name.starts_with("commons-")
            || name.starts_with("audience-")
    };
    let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let jars: Vec<String> = names
        .filter(|name| name.ends_with(".jar") && wanted(name))
        .map(|name| directory.join(name).display().to_string())
        .collect();
    if !jars.iter().any(|jar| jar.ends_with("/zookeeper.jar")) {
        missing(Kind::ZooKeeper, &format!("no zookeeper.jar in {}", directory.display()));
    }
    jars.join(":")
}

fn missing(kind: Kind, why: &str) -> ! {
    panic!("{kind:?} cannot be started: {why}; `cargo xtask install` installs it")
}
