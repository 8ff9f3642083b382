//! The benchmarks: which servers and loads are started, how often, and what is made of their numbers.

use serde_json::{Value, json};

use crate::Failure;
use crate::idle::HOST;
use crate::process::{Role, file_limit, load_average, resident_bytes};

/// One benchmark.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Its rows.
    pub(crate) measure: fn() -> Result<Vec<Value>, Failure>,
}

pub(crate) const GROUPS: &[Group] = &[
    Group { name: "echo", measure: echo },
    Group { name: "memory", measure: memory },
    Group { name: "broadcast", measure: broadcast },
];

/// Servers are measured in turn so often; medians count.
const RUNS: usize = 5;
/// Connections of `echo` and `broadcast`.
const CONNECTIONS: &str = "1000";
/// Questions on their way per connection.
const WINDOWS: [&str; 2] = ["1", "16"];
/// How long `echo` measures, in milliseconds.
const ECHO_MILLIS: &str = "2000";
/// Most sessions of `memory`.
const MOST_IDLE: u64 = 10_000;
/// Sessions of `memory` over TLS, whose handshakes take their time.
const MOST_IDLE_TLS: u64 = 2_000;
/// Pushes of `broadcast`, in one run.
const PUSHES: &str = "200";
/// Pushes of `broadcast` on their way.
const PUSH_WINDOWS: [&str; 2] = ["1", "4"];

/// The least part of the floor's rate that `echo` may have.
const ECHO_AIM: f64 = 0.70;
/// The most bytes that an idle session may take.
const MEMORY_AIM: f64 = 4096.0;
/// The most that a push may cost, as a part of what it costs the floor.
const BROADCAST_AIM: f64 = 1.25;

/// One line of a table.
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    beside: Option<(String, f64)>,
    aim: Option<(String, bool)>,
}

impl Row {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, beside: None, aim: None }
    }

    fn beside(self, name: impl Into<String>, value: f64) -> Self {
        Self { beside: Some((name.into(), value)), ..self }
    }

    /// How it has to compare to what it is beside.
    fn aimed(self, best: Best, aim: Option<f64>) -> Self {
        let (Some(part), Some((_, beside))) = (aim, &self.beside) else { return self };
        let (sign, holds) = match best {
            Best::Most => (">=", self.value >= beside * part),
            Best::Least => ("<=", self.value <= beside * part),
        };
        Self { aim: Some((format!("{sign} {part:.2} x floor"), holds)), ..self }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "beside": self.beside.as_ref().map(|(name, _)| name),
            "ratio": self.beside.as_ref().map(|(_, value)| self.value / value),
            "aim": self.aim.as_ref().map(|(aim, _)| aim),
            "holds": self.aim.as_ref().map(|(_, holds)| holds),
        })
    }
}

/// Which of two values is better.
#[derive(Clone, Copy)]
enum Best {
    Most,
    Least,
}

impl Best {
    fn of(self, one: Row, other: Row) -> Row {
        let first = match self {
            Self::Most => one.value >= other.value,
            Self::Least => one.value <= other.value,
        };
        if first { one } else { other }
    }
}

/// What all runs of one server and load have said.
#[derive(Default)]
struct Samples(Vec<Value>);

impl Samples {
    fn median(&self, field: &str) -> f64 {
        let mut values: Vec<f64> = self.0.iter().filter_map(|sample| sample[field].as_f64()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Starts a server and a load for it; what the load says.
fn run(server: &[&str], load: &[&str], rest: &[&str]) -> Result<Value, Failure> {
    let mut server = Role::start(&[&["serve"], server].concat(), &[])?;
    let (address, id) = (text(&server.line()?)?, server.id().to_string());
    let mut words = vec!["load"];
    words.extend_from_slice(load);
    words.push(&address);
    words.extend_from_slice(rest);
    words.push(&id);
    Role::start(&words, &[])?.line()
}

fn text(value: &Value) -> Result<String, Failure> {
    Ok(value.as_str().ok_or("not a text")?.to_owned())
}

/// A server under load.
struct Subject {
    name: &'static str,
    server: &'static [&'static str],
    ours: bool,
    samples: Samples,
}

impl Subject {
    fn floor(name: &'static str, server: &'static [&'static str]) -> Self {
        Self { name, server, ours: false, samples: Samples::default() }
    }

    fn ours(name: &'static str, server: &'static [&'static str]) -> Self {
        Self { ours: true, ..Self::floor(name, server) }
    }
}

/// One load on all subjects, in turn.
struct Comparison {
    name: String,
    subjects: Vec<Subject>,
}

impl Comparison {
    fn measure(name: String, mut subjects: Vec<Subject>, load: &str, rest: &[&str]) -> Result<Self, Failure> {
        for round in 1..=RUNS {
            eprintln!("{name}: run {round} of {RUNS}, load average {:.2}", load_average());
            for subject in &mut subjects {
                let dialect = if subject.ours { "session" } else { "plain" };
                subject.samples.0.push(run(subject.server, &[load, dialect], rest)?);
            }
        }
        Ok(Self { name, subjects })
    }

    /// A row for each subject; ours are beside the best floor.
    fn rows(&self, what: &str, field: &str, unit: &'static str, best: Best, aim: Option<f64>) -> Vec<Row> {
        let (group, load) = self.name.split_once('/').unwrap_or((&self.name, ""));
        let row = |subject: &Subject| {
            let name = format!("{group}/{} {load}{what}", subject.name);
            Row::new(name, subject.samples.median(field), unit)
        };
        let floors = self.subjects.iter().filter(|subject| !subject.ours).map(row);
        let floor = floors.reduce(|one, other| best.of(one, other));
        let beside = |row: Row| match &floor {
            Some(floor) => row.beside(floor.name.clone(), floor.value).aimed(best, aim),
            None => row,
        };
        let rows = self.subjects.iter().map(|subject| (subject.ours, row(subject)));
        rows.map(|(ours, row)| if ours { beside(row) } else { row }).collect()
    }

    /// What the processors did for one message in both processes together, and the part of it that the clients had.
    fn cost_rows(&self, aim: f64) -> Vec<Row> {
        let mut rows = self.rows(" CPU", "all", "us", Best::Least, Some(aim));
        rows.extend(self.rows(" share of the clients", "share", "of CPU", Best::Least, None));
        rows
    }
}

fn echo() -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for window in WINDOWS {
        let subjects = vec![
            Subject::floor("floor", &["echo", "one"]),
            Subject::floor("floor@threads", &["echo", "many"]),
            Subject::ours("gobbq", &["gobbq", "one"]),
            Subject::ours("gobbq@threads", &["gobbq", "many"]),
        ];
        let rest = [CONNECTIONS, window, ECHO_MILLIS];
        let measured = Comparison::measure(format!("echo/x{window}"), subjects, "echo", &rest)?;
        rows.extend(measured.rows("", "rate", "req/s", Best::Most, Some(ECHO_AIM)));
        rows.extend(measured.cost_rows(1.0 / ECHO_AIM));
        rows.extend(measured.rows(" p50", "p50", "us", Best::Least, None));
        rows.extend(measured.rows(" p99", "p99", "us", Best::Least, None));
    }
    Ok(rows.iter().map(Row::json).collect())
}

fn memory() -> Result<Vec<Value>, Failure> {
    let most = MOST_IDLE.min(file_limit()? / 2);
    let mut rows = Vec::new();
    for (transport, most) in [("ws", most), ("tcp", most), ("tls", most.min(MOST_IDLE_TLS))] {
        eprintln!("memory: {most} sessions over {transport}");
        let bytes = idle(transport, most)?;
        let row = Row::new(format!("memory/{transport}"), bytes, "B/session");
        let aim = (transport != "tls").then(|| (format!("<= {MEMORY_AIM}"), bytes <= MEMORY_AIM));
        rows.push(Row { aim, ..row });
        rows.push(Row::new(format!("memory/{transport} sessions"), most as f64, "sessions"));
    }
    Ok(rows.iter().map(Row::json).collect())
}

/// Bytes by which a server grows for each session. What it has freed it gives back at once.
fn idle(transport: &str, count: u64) -> Result<f64, Failure> {
    let directory = std::env::temp_dir().join(format!("gate-bench-{}", std::process::id()));
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let mut serve = vec!["serve", "gobbq", "one"];
    if transport == "tls" {
        std::fs::create_dir_all(&directory)?;
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        serve.extend([&*certificate, &*key]);
    }
    let mut server = Role::start(&serve, &[("MIMALLOC_PURGE_DELAY", "0")])?;
    let address = text(&server.line()?)?;
    let open = |count: &str| -> Result<Role, Failure> {
        let mut load = Role::start(&["load", "idle", transport, &address, count, &certificate], &[])?;
        load.line()?;
        Ok(load)
    };
    // Whatever is made once has been made before it counts.
    drop(open("16")?);
    settle();
    let before = resident_bytes(server.id())?;
    let load = open(&count.to_string())?;
    settle();
    let after = resident_bytes(server.id())?;
    let stats = server.ask()?;
    drop(load);
    if transport == "tls" {
        std::fs::remove_dir_all(&directory)?;
    }
    if stats["attached"].as_u64().is_none_or(|attached| attached < count) {
        return Err(format!("of {count} sessions not all are attached: {stats}").into());
    }
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

/// Until what was started has come to rest.
fn settle() {
    std::thread::sleep(std::time::Duration::from_secs(1));
}

fn broadcast() -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for window in PUSH_WINDOWS {
        let subjects = vec![
            Subject::floor("floor", &["writes", CONNECTIONS]),
            Subject::ours("gobbq", &["gobbq", "one"]),
            Subject::ours("gobbq@threads", &["gobbq", "many"]),
        ];
        let rest = [CONNECTIONS, window, PUSHES];
        let measured = Comparison::measure(format!("broadcast/x{window}"), subjects, "broadcast", &rest)?;
        rows.extend(measured.rows("", "rate", "msg/s", Best::Most, Some(1.0 / BROADCAST_AIM)));
        if window == "1" {
            rows.extend(measured.rows(" time of a push", "p50", "us", Best::Least, Some(BROADCAST_AIM)));
        }
        rows.extend(measured.cost_rows(BROADCAST_AIM));
    }
    Ok(rows.iter().map(Row::json).collect())
}
