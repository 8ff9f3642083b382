//! How a process is set up: roles, addresses, directories. One structure for `App`, the `bbq` command and tests.
//!
//! Sources, later ones win: defaults, `BBQ_*` variables, command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bbq_core::mesh::Roles;
use bbq_rt::control::{ControlAddress, EngineKind};
use bbq_rt::secret::Secret;

/// Everything that a node can be told from outside. [`Options::default`] is a whole cluster in one process.
#[derive(Clone, Debug)]
pub struct Options {
    /// What this process does. All of it by default; all but the center where [`Options::parse`] is told of another.
    pub roles: Roles,
    /// Processes of different clusters refuse each other.
    pub cluster: String,
    /// File with what only processes of the cluster know; with it, nobody else gets links or the center.
    pub cluster_secret_file: Option<PathBuf>,
    /// The same, not in a file. The file counts more.
    pub cluster_secret: Option<Secret>,
    /// Name of this node in logs, `bbq status` and placement.
    pub name: String,
    /// Where the center is. `None`: this process is its own center, in memory of the process.
    pub center: Option<String>,
    /// The engine that has the control plane; `None`: the center. It keeps no state of entities: the Store is the
    /// center's all the same.
    pub control_plane: Option<ControlAddress>,
    /// Where the center role listens.
    pub center_listen: SocketAddr,
    /// Where the gate role listens for clients.
    pub gate_listen: SocketAddr,
    /// Where the gate role listens for clients of the original over WebSocket and TCP; `None`: nowhere.
    pub compat_listen: Option<SocketAddr>,
    /// The same over KCP.
    pub compat_kcp: Option<SocketAddr>,
    /// Where this node listens for other nodes.
    pub mesh_listen: SocketAddr,
    /// `HOST:PORT` at which other nodes reach this one, where that is not [`Options::mesh_listen`]: behind a NAT, in a
    /// container, or when it listens on every address. Port 0: the one that it listens on.
    pub mesh_advertise: Option<String>,
    /// Unix socket: of the proxy to go through (games and gates), or to offer (proxies).
    pub sidecar: Option<PathBuf>,
    /// PEM files of the gate's certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The gate refuses clients that do not speak TLS.
    pub only_tls: bool,
    /// Where state is kept. `None`: in memory.
    pub data: Option<PathBuf>,
    /// Worlds of the game role; 0 = one for each core.
    pub worlds: u16,
    /// Connections of the gate; `None`: what the program says.
    pub max_connections: Option<usize>,
    /// Connections of one client address; `None`: what the program says.
    pub max_connections_per_address: Option<u32>,
    /// Sessions of the gate; `None`: what the program says.
    pub max_sessions: Option<usize>,
    /// Entities of each world; `None`: what the program says.
    pub max_entities: Option<u32>,
    /// How long the gate keeps a session without a connection; `None`: what the program says.
    pub resume_window: Option<Duration>,
    /// Written when everything listens: JSON with every address.
    pub ready_file: Option<PathBuf>,
    /// Ends by itself after this.
    pub run_for: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roles: Roles::CENTER | Roles::PROXY | Roles::GAME | Roles::GATE,
            cluster: "dev".to_owned(),
            cluster_secret_file: None,
            cluster_secret: None,
            name: String::new(),
            center: None,
            control_plane: None,
            center_listen: SocketAddr::from(([127, 0, 0, 1], 4100)),
            gate_listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            compat_listen: None,
            compat_kcp: None,
            mesh_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            mesh_advertise: None,
            sidecar: None,
            tls: None,
            only_tls: false,
            data: None,
            worlds: 0,
            max_connections: None,
            max_connections_per_address: None,
            max_sessions: None,
            max_entities: None,
            resume_window: None,
            ready_file: None,
            run_for: None,
        }
    }
}

/// What is wrong with a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadOption {
    /// The option or variable.
    pub name: String,
    /// What is wrong and what would be right.
    pub why: String,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl std::error::Error for BadOption {}

/// Name, variable, argument and meaning of every setting: the table behind `--help` and the documentation.
pub const SETTINGS: &[(&str, &str, &str, &str)] = &[
    (
        "--role",
        "BBQ_ROLE",
        "ROLES",
        "center, proxy, game, gate, or several with commas [all; with --center all others]",
    ),
    ("--cluster", "BBQ_CLUSTER", "NAME", "processes of different clusters refuse each other [dev]"),
    (
        "--cluster-secret-file",
        "BBQ_CLUSTER_SECRET_FILE",
        "PATH",
        "file with the secret of the cluster, without which nobody gets in; or the secret itself in BBQ_CLUSTER_SECRET",
    ),
    ("--name", "BBQ_NAME", "NAME", "name of this node in logs and in `bbq status`"),
    ("--center", "BBQ_CENTER", "HOST:PORT", "the center to join; without it this process is its own center"),
    (
        "--control-plane",
        "BBQ_CONTROL_PLANE",
        "URL",
        "etcd://HOST:PORT,.., consul://HOST:PORT or zookeeper://HOST:PORT,.., each with /PATH for its keys [/gobbq]; \
         center://HOST:PORT is --center [the center]",
    ),
    ("--center-listen", "BBQ_CENTER_LISTEN", "IP:PORT", "where the center listens [127.0.0.1:4100]"),
    ("--listen", "BBQ_LISTEN", "IP:PORT", "where the gate listens for clients [127.0.0.1:4000]"),
    ("--compat-listen", "BBQ_COMPAT_LISTEN", "IP:PORT", "where the gate serves npm gobbq-ts over WebSocket and TCP"),
    ("--compat-kcp", "BBQ_COMPAT_KCP", "IP:PORT", "the same over KCP: neither encryption nor credentials"),
    ("--mesh-listen", "BBQ_MESH_LISTEN", "IP:PORT", "where this node listens for other nodes [127.0.0.1:0]"),
    (
        "--mesh-advertise",
        "BBQ_MESH_ADVERTISE",
        "HOST:PORT",
        "where other nodes reach this one; port 0 = the port of --mesh-listen [--mesh-listen]",
    ),
    ("--sidecar", "BBQ_SIDECAR", "PATH", "Unix socket of the proxy to go through, or to offer"),
    ("--tls-cert", "BBQ_TLS_CERT", "PEM", "certificate chain of the gate; with --tls-key"),
    ("--tls-key", "BBQ_TLS_KEY", "PEM", "private key of the gate"),
    ("--only-tls", "BBQ_ONLY_TLS", "yes|no", "whether clients without TLS are refused [no]"),
    ("--data", "BBQ_DATA", "DIR", "where state is kept; in memory without it"),
    ("--worlds", "BBQ_WORLDS", "N", "worlds of a game; 0 = one for each core [0]"),
    ("--max-connections", "BBQ_MAX_CONNECTIONS", "N", "connections of the gate [100000]"),
    (
        "--max-connections-per-address",
        "BBQ_MAX_CONNECTIONS_PER_ADDRESS",
        "N",
        "connections of one IPv4 address or IPv6 /64 [4096]",
    ),
    ("--max-sessions", "BBQ_MAX_SESSIONS", "N", "sessions of the gate, those without a connection included [200000]"),
    ("--max-entities", "BBQ_MAX_ENTITIES", "N", "entities of each world of a game [4000000]"),
    (
        "--resume-window",
        "BBQ_RESUME_WINDOW",
        "DURATION",
        "how long the gate keeps a session without a connection [60s]",
    ),
    ("--ready-file", "BBQ_READY_FILE", "PATH", "written when everything listens: JSON with every address"),
    ("--for", "BBQ_FOR", "DURATION", "ends by itself after this (10s, 5m)"),
];

/// The variable with the secret of the cluster itself. There is no option for it: other users see command lines.
pub const SECRET_VARIABLE: &str = "BBQ_CLUSTER_SECRET";

impl Options {
    /// Settings from variables and arguments (without the program's name).
    ///
    /// # Errors
    /// The first setting that is unknown, lacks its value or has a bad one.
    pub fn parse(
        variables: impl Fn(&str) -> Option<String>,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, BadOption> {
        let mut options = Self { roles: Roles::default(), ..Self::default() };
        for (_, variable, _, _) in SETTINGS {
            if let Some(value) = variables(variable) {
                options.set(variable, &value)?;
            }
        }
        if let Some(secret) = variables(SECRET_VARIABLE) {
            let secret = Secret::new(secret.as_bytes()).map_err(|error| bad(SECRET_VARIABLE, &error.to_string()))?;
            options.cluster_secret = Some(secret);
        }
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let known = SETTINGS.iter().any(|setting| setting.0 == name);
            if !known {
                return Err(bad(&name, "no such option; --help lists them"));
            }
            let value = value.or_else(|| arguments.next()).ok_or_else(|| bad(&name, "a value is missing"))?;
            options.set(&name, &value)?;
        }
        // A center of our own beside the one that we are told to join would be another cluster, without a word.
        if options.roles == Roles::default() {
            options.roles = match options.center {
                None => Self::default().roles,
                Some(_) => Roles::PROXY | Roles::GAME | Roles::GATE,
            };
        }
        options.check()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadOption> {
        let setting = SETTINGS.iter().find(|setting| setting.0 == name || setting.1 == name);
        let Some((option, ..)) = setting else { return Err(bad(name, "no such option; --help lists them")) };
        let address = || {
            value
                .parse::<SocketAddr>()
                .map_err(|_| bad(name, &format!("`{value}` is not an address such as 127.0.0.1:4000")))
        };
        let number = || value.parse::<u32>().map_err(|_| bad(name, &format!("`{value}` is not a number")));
        let time =
            || duration(value).ok_or_else(|| bad(name, &format!("`{value}` is not a duration such as 10s, 5m, 500ms")));
        match *option {
            "--role" => self.roles = roles(value).map_err(|why| bad(name, &why))?,
            "--cluster" => value.clone_into(&mut self.cluster),
            "--cluster-secret-file" => self.cluster_secret_file = Some(value.into()),
            "--name" => value.clone_into(&mut self.name),
            "--center" => self.center = Some(value.to_owned()),
            "--control-plane" => {
                let address: ControlAddress = value.parse().map_err(|why: String| bad(name, &why))?;
                match address.engine {
                    EngineKind::Center => self.center = address.servers.into_iter().next(),
                    _ => self.control_plane = Some(address),
                }
            }
            "--center-listen" => self.center_listen = address()?,
            "--listen" => self.gate_listen = address()?,
            "--compat-listen" => self.compat_listen = Some(address()?),
            "--compat-kcp" => self.compat_kcp = Some(address()?),
            "--mesh-listen" => self.mesh_listen = address()?,
            "--mesh-advertise" => self.mesh_advertise = Some(reachable(value).map_err(|why| bad(name, &why))?),
            "--sidecar" => self.sidecar = Some(value.into()),
            "--tls-cert" => self.tls.get_or_insert_default().0 = value.into(),
            "--tls-key" => self.tls.get_or_insert_default().1 = value.into(),
            "--only-tls" => {
                self.only_tls = yes(value).ok_or_else(|| bad(name, &format!("`{value}` is not yes or no")))?
            }
            "--data" => self.data = Some(value.into()),
            "--worlds" => {
                self.worlds =
                    value.parse().map_err(|_| bad(name, &format!("`{value}` is not a number up to 65535")))?;
            }
            "--ready-file" => self.ready_file = Some(value.into()),
            "--max-connections" => self.max_connections = Some(number()? as usize),
            "--max-connections-per-address" => self.max_connections_per_address = Some(number()?),
            "--max-sessions" => self.max_sessions = Some(number()? as usize),
            "--max-entities" => self.max_entities = Some(number()?),
            "--resume-window" => self.resume_window = Some(time()?),
            "--for" => self.run_for = Some(time()?),
            _ => return Err(bad(name, "no such option; --help lists them")),
        }
        Ok(())
    }

    fn check(self) -> Result<Self, BadOption> {
        if self.center.is_none() && !self.roles.contains(Roles::CENTER) {
            return Err(bad("--center", "a process without the center role must be told where the center is"));
        }
        if let Some((cert, key)) = &self.tls
            && (cert.as_os_str().is_empty() || key.as_os_str().is_empty())
        {
            return Err(bad("--tls-cert", "--tls-cert and --tls-key go together"));
        }
        if self.only_tls && self.tls.is_none() {
            return Err(bad("--only-tls", "without --tls-cert and --tls-key nobody could connect"));
        }
        if let Some(center) = &self.center {
            reachable(center).map_err(|why| bad("--center", &why))?;
        }
        if self.mesh_listen.ip().is_unspecified() && self.mesh_advertise.is_none() {
            return Err(bad(
                "--mesh-listen",
                "other nodes are told this address: name one at which they reach this machine, or say it with \
                 --mesh-advertise HOST:PORT",
            ));
        }
        let listens_for_nobody = self.roles == Roles::CENTER || self.is_behind_sidecar();
        if self.mesh_advertise.is_some() && listens_for_nobody {
            let why = "a center alone, and a process behind a sidecar, take no links of other nodes";
            return Err(bad("--mesh-advertise", why));
        }
        Ok(self)
    }

    /// The secret of the cluster, from its file or its variable; `None`: this cluster has none.
    ///
    /// # Errors
    /// The file cannot be read, or what is in it is no secret.
    pub fn secret(&self) -> Result<Option<Secret>, BadOption> {
        let Some(path) = &self.cluster_secret_file else { return Ok(self.cluster_secret.clone()) };
        let secret = Secret::read(path);
        secret.map(Some).map_err(|error| bad("--cluster-secret-file", &format!("{}: {error}", path.display())))
    }

    /// Whether this process goes through the proxy of its host, and takes no links itself.
    #[must_use]
    pub fn is_behind_sidecar(&self) -> bool {
        self.sidecar.is_some() && !self.roles.contains(Roles::PROXY)
    }

    /// Listeners for other processes that more than this machine reaches: with what they are set, and where they are.
    #[must_use]
    pub fn open_doors(&self) -> Vec<(&'static str, SocketAddr)> {
        let takes_links = self.roles != Roles::CENTER && !self.is_behind_sidecar();
        let doors = [
            ("--center-listen", self.center_listen, self.roles.contains(Roles::CENTER)),
            ("--mesh-listen", self.mesh_listen, takes_links),
        ];
        let open = doors.into_iter().filter(|(_, address, listens)| *listens && !address.ip().is_loopback());
        open.map(|(option, address, _)| (option, address)).collect()
    }

    /// What other nodes are told, when we listen at `local`.
    #[must_use]
    pub fn announced(&self, local: &str) -> String {
        let port = local.rsplit(':').next().unwrap_or_default();
        match &self.mesh_advertise {
            Some(told) => told.strip_suffix(":0").map_or_else(|| told.clone(), |host| format!("{host}:{port}")),
            None => local.to_owned(),
        }
    }

    /// Worlds to run: the setting, or one for each core.
    #[must_use]
    pub fn world_count(&self) -> u16 {
        match self.worlds {
            0 => std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(1)),
            count => count,
        }
    }
}

fn yes(text: &str) -> Option<bool> {
    match text {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Parses `game,gate`.
///
/// # Errors
/// Names the word that is no role.
pub fn roles(text: &str) -> Result<Roles, String> {
    text.split(',').map(str::trim).try_fold(Roles::default(), |roles, word| match word {
        "center" => Ok(roles | Roles::CENTER),
        "proxy" => Ok(roles | Roles::PROXY),
        "game" => Ok(roles | Roles::GAME),
        "gate" => Ok(roles | Roles::GATE),
        "all" => Ok(Options::default().roles),
        other => Err(format!("`{other}` is not a role: center, proxy, game, gate or all")),
    })
}

/// Checks a `HOST:PORT` that others shall connect to: a name, or an address that means one machine.
///
/// # Errors
/// Says what is wrong with it.
pub fn reachable(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not HOST:PORT, such as game-1.local:4200 or [2001:db8::1]:4200");
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.ip().is_unspecified() {
            true => Err(format!("`{text}` means every address: name one at which others reach this machine")),
            false => Ok(text.to_owned()),
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let is_label = |label: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(letters)
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    // Four numbers that are no address are a typing error, no name.
    let is_name = labels.split('.').all(is_label) && labels.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if is_name && is_port && host.len() <= 253 { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// Parses `500ms`, `10s`, `5m`, `2h`; a bare number is seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

fn bad(name: &str, why: &str) -> BadOption {
    BadOption { name: name.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, BadOption> {
        Options::parse(|_| None, arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn nothing_at_all_is_a_whole_cluster() {
        let options = parse(&[]).expect("the default");
        assert!(options.roles.contains(Roles::CENTER | Roles::PROXY | Roles::GAME | Roles::GATE));
    }

    #[test]
    fn who_is_told_of_a_center_is_none_unless_it_says_so() {
        let joined = parse(&["--center", "10.0.0.1:4100"]).expect("is fine");
        assert_eq!(joined.roles, Roles::PROXY | Roles::GAME | Roles::GATE);
        let center = parse(&["--center", "10.0.0.1:4100", "--role", "center"]).expect("is fine");
        assert_eq!(center.roles, Roles::CENTER);
    }

    #[test]
    fn a_center_can_be_named_as_a_control_plane() {
        let options = parse(&["--control-plane", "center://10.0.0.1:4100"]).expect("is fine");
        assert_eq!((options.center.as_deref(), options.control_plane), (Some("10.0.0.1:4100"), None));
        let options = parse(&["--control-plane", "consul://10.0.0.1:8500"]).expect("is fine");
        assert_eq!(options.control_plane.expect("one").engine, EngineKind::Consul);
        assert!(options.roles.contains(Roles::CENTER), "the Store is somewhere");
    }

    #[test]
    fn every_setting_in_the_table_can_be_set() {
        for (option, variable, _, _) in SETTINGS {
            let value = match *option {
                "--role" => "center,gate",
                "--center-listen" | "--listen" | "--mesh-listen" | "--compat-listen" | "--compat-kcp" => "127.0.0.1:1",
                "--mesh-advertise" => "game-1.local:4200",
                "--center" => "center:4100",
                "--control-plane" => "etcd://127.0.0.1:2379/x",
                "--worlds" => "2",
                "--only-tls" => "yes",
                "--for" | "--resume-window" => "10s",
                limit if limit.starts_with("--max-") => "3",
                _ => "x",
            };
            let pair = |name| [(name, value), ("--tls-cert", "c"), ("--tls-key", "k")];
            let arguments = pair(option).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            assert!(Options::parse(|_| None, arguments).is_ok(), "{option}");
            let from_variable = Options::parse(
                |name| (name == *variable).then(|| value.to_owned()),
                ["--tls-cert=c".into(), "--tls-key=k".into()],
            );
            assert!(from_variable.is_ok(), "{variable}");
        }
    }

    #[test]
    fn mistakes_name_the_option_and_the_way_out() {
        for (arguments, words) in [
            (&["--rolle", "game"][..], "no such option"),
            (&["--role"], "value is missing"),
            (&["--role", "gamer"], "`gamer` is not a role"),
            (&["--role", "game"], "where the center is"),
            (&["--listen", "4000"], "not an address"),
            (&["--for", "soon"], "not a duration"),
            (&["--control-plane", "mysql://a:1"], "`mysql` is not a control plane"),
            (&["--tls-cert", "a.pem"], "go together"),
            (&["--mesh-listen", "0.0.0.0:7000"], "--mesh-advertise HOST:PORT"),
            (&["--mesh-advertise", "0.0.0.0:7000"], "every address"),
            (&["--mesh-advertise", "[::]:7000"], "every address"),
            (&["--mesh-advertise", "10.0.0.1"], "not HOST:PORT"),
            (&["--mesh-advertise", "10.0.0:7000"], "not HOST:PORT"),
            (&["--mesh-advertise", "tcp://game:7000"], "not HOST:PORT"),
            (&["--mesh-advertise", "game:70000"], "not HOST:PORT"),
            (&["--mesh-advertise", "game:+7"], "not HOST:PORT"),
            (&["--mesh-advertise", ":7000"], "not HOST:PORT"),
            (&["--mesh-advertise", "a b:7000"], "not HOST:PORT"),
            (&["--mesh-advertise", "game:7000", "--role", "center"], "take no links"),
            (&["--max-sessions", "many"], "`many` is not a number"),
            (&["--only-tls", "yes"], "without --tls-cert"),
            (&["--only-tls", "maybe"], "not yes or no"),
            (&["--center", "10.0.0.1"], "`10.0.0.1` is not HOST:PORT"),
            (&["--center", "http://10.0.0.1:4100"], "is not HOST:PORT"),
            (&["--center", "0.0.0.0:4100"], "every address"),
        ] {
            let error = parse(arguments).expect_err("a mistake").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_secret_comes_from_a_file_or_from_a_variable_and_is_never_shown() {
        let from_variable =
            |value: &'static str| Options::parse(|name| (name == SECRET_VARIABLE).then(|| value.to_owned()), []);
        let options = from_variable("a secret of the cluster").expect("is fine");
        assert!(options.secret().expect("is fine").is_some());
        assert!(!format!("{options:?}").contains("a secret of"));
        let error = from_variable("short").expect_err("a bad secret").to_string();
        assert!(error.contains(SECRET_VARIABLE) && error.contains("16") && !error.contains("short"), "{error}");

        let path = std::env::temp_dir().join(format!("bbq-secret-{}", std::process::id()));
        let file = path.to_str().expect("a path");
        let from_file = || parse(&["--cluster-secret-file", file]).expect("is fine").secret();
        assert!(from_file().expect_err("no file").to_string().contains(file));
        std::fs::write(&path, "a secret of the cluster\n").expect("written");
        assert!(from_file().expect("is fine").is_some());
        std::fs::write(&path, "\n").expect("written");
        assert!(from_file().expect_err("empty").to_string().contains("0 bytes"));
        std::fs::remove_file(&path).expect("removed");
        assert!(parse(&[]).expect("is fine").secret().expect("is fine").is_none());
    }

    #[test]
    fn doors_are_open_where_others_than_this_machine_get_in() {
        let open = |arguments: &[&str]| {
            let doors = parse(arguments).expect("is fine").open_doors();
            doors.into_iter().map(|(option, _)| option).collect::<Vec<_>>()
        };
        assert!(open(&[]).is_empty());
        assert!(open(&["--mesh-listen", "127.0.0.2:1", "--center-listen", "[::1]:1"]).is_empty());
        assert_eq!(open(&["--center-listen", "0.0.0.0:1"]), ["--center-listen"]);
        let both = ["--center-listen", "10.0.0.1:1", "--mesh-listen", "10.0.0.1:2"];
        assert_eq!(open(&both), ["--center-listen", "--mesh-listen"]);
        assert_eq!(open(&[&both[..], &["--role", "center"]].concat()), ["--center-listen"]);
        let game = [&both[..], &["--role", "game", "--center", "10.0.0.1:1"]].concat();
        assert_eq!(open(&game), ["--mesh-listen"]);
        assert!(open(&[&game[..], &["--sidecar", "/run/proxy"]].concat()).is_empty());
    }

    #[test]
    fn others_are_told_what_is_advertised_and_else_where_we_listen() {
        let told = |arguments: &[&str]| parse(arguments).expect("is fine").announced("0.0.0.0:7001");
        assert_eq!(told(&[]), "0.0.0.0:7001");
        let everywhere = ["--mesh-listen", "0.0.0.0:0", "--mesh-advertise"];
        assert_eq!(told(&[&everywhere[..], &["game-1.local:4200"]].concat()), "game-1.local:4200");
        assert_eq!(told(&[&everywhere[..], &["10.0.0.3:0"]].concat()), "10.0.0.3:7001");
        assert_eq!(told(&[&everywhere[..], &["[2001:db8::1]:0"]].concat()), "[2001:db8::1]:7001");
    }
}
