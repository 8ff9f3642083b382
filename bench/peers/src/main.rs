//! Actors, measured: `peers [ask | tell | fan] [--json]`. Started by `cargo xtask bench`.
//!
//! Every subject does the same work: a counter adds a number and answers with its total.
//! * `ask`: one task asks one actor, one question after the other; ns per round trip.
//! * `tell`: one task tells one actor, 1,000 messages and then a question, again and again; ns per message.
//! * `fan`: one task asks 1,000 actors at once and waits for all answers; ns per question.
//!
//! All subjects run in one process, interleaved, with mimalloc; the median of seven runs counts, after one that does
//! not. The driver is always a spawned task: a future that is awaited in `block_on` itself parks the thread for every
//! answer and measures the operating system instead. `@threads` means a runtime with one thread per core; without it
//! everything is on one thread, where no answer needs a wake-up across threads. Every total is checked.

mod subject;
mod library;
mod bare;
mod ractor_actor;
mod kameo_actor;
mod actix_actor;
mod gobbq;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use library::{Threads, subject};
use subject::{Load, Subject};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 7;
const LOAD: Load = Load { asks: 100_000, tells: 500_000, tell_window: 1_000, fan_actors: 1_000, fan_rounds: 100 };

/// What the others are put beside.
const BASE: &str = "tokio";

/// Everything that is measured. gobbq gets the best of the others beside it, and the aim below.
const SUBJECTS: &[Subject] = &[
    subject::<bare::Counter>(BASE, Threads::One),
    subject::<bare::Counter>("tokio@threads", Threads::PerCore),
    subject::<ractor_actor::Counter>("ractor", Threads::One),
    subject::<ractor_actor::Counter>("ractor@threads", Threads::PerCore),
    subject::<kameo_actor::Counter>("kameo", Threads::One),
    subject::<kameo_actor::Counter>("kameo@threads", Threads::PerCore),
    subject::<actix_actor::Counter>("actix", Threads::One),
    gobbq::SUBJECT,
];

/// One benchmark.
struct Group {
    name: &'static str,
    run: fn(&Subject, &Load) -> Duration,
    operations: fn(&Load) -> u64,
    /// The most that our own subjects may take, as a part of what the best of the others takes.
    aim: f64,
}

const GROUPS: &[Group] = &[
    Group { name: "ask", run: |subject, load| (subject.ask)(load), operations: |load| load.asks, aim: 1.0 },
    Group { name: "tell", run: |subject, load| (subject.tell)(load), operations: |load| load.tells, aim: 1.0 },
    Group {
        name: "fan",
        run: |subject, load| (subject.fan)(load),
        operations: |load| load.fan_actors * load.fan_rounds,
        aim: 1.0,
    },
];

fn main() -> ExitCode {
    let mut json = false;
    let mut wanted = None;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => json = true,
            name if wanted.is_none() && GROUPS.iter().any(|group| group.name == name) => wanted = Some(word),
            other => {
                let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
                eprintln!("error: `{other}` is not a benchmark; there are: {}", names.join(", "));
                return ExitCode::from(2);
            }
        }
    }
    let chosen = GROUPS.iter().filter(|group| wanted.as_ref().is_none_or(|name| name == group.name));
    let measures: Vec<Value> = chosen.flat_map(|group| rows(group, &measured(group))).collect();
    if json {
        println!("{}", Value::Array(measures));
    } else {
        measures.iter().for_each(|measure| println!("{measure}"));
    }
    ExitCode::SUCCESS
}

/// Nanoseconds per operation of every subject, in their order.
fn measured(group: &Group) -> Vec<f64> {
    let mut samples = vec![Vec::with_capacity(RUNS); SUBJECTS.len()];
    for run in 0..=RUNS {
        eprintln!("{}: run {run} of {RUNS}", group.name);
        for (subject, samples) in SUBJECTS.iter().zip(&mut samples) {
            let took = (group.run)(subject, &LOAD);
            if run > 0 {
                samples.push(took.as_nanos() as f64 / (group.operations)(&LOAD) as f64);
            }
        }
    }
    samples.into_iter().map(median).collect()
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn rows(group: &Group, values: &[f64]) -> Vec<Value> {
    let all = || SUBJECTS.iter().zip(values.iter().copied());
    let best = all().filter(|(subject, _)| !subject.ours).min_by(|(_, one), (_, other)| one.total_cmp(other));
    let base = all().find(|(subject, _)| subject.name == BASE);
    all()
        .map(|(subject, value)| {
            let beside = if subject.ours { best } else { base }.filter(|(other, _)| other.name != subject.name);
            let ratio = beside.map(|(_, other)| value / other);
            json!({
                "name": format!("{}/{}", group.name, subject.name),
                "value": value,
                "unit": "ns",
                "beside": beside.map(|(other, _)| format!("{}/{}", group.name, other.name)),
                "ratio": ratio,
                "aim": subject.ours.then(|| format!("<= {:.2} x best peer", group.aim)),
                "holds": ratio.filter(|_| subject.ours).map(|ratio| ratio <= group.aim),
            })
        })
        .collect()
}
