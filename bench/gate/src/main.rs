//! A gate with a world behind it, measured: `gate-bench [echo | memory | broadcast] [--json]`. Started by
//! `cargo xtask bench`.
//!
//! ```text
//!  this process ──starts──► gate-bench serve ..    gobbq, or a floor: what the same sockets cost without it
//!               ──starts──► gate-bench load ..     the clients; one thread, the same code for all servers
//! ```
//! * `echo`: 1,000 TCP connections ask and are answered with the same 64 bytes, with 1 or 16 questions on their way per
//!   connection. gobbq: gate, mesh, world, one entity for each connection. Floor: an echo server on tokio.
//! * `memory`: what a server grows by for every session that is open and idle.
//! * `broadcast`: 100 bytes to a group of 1,000 sessions, until the last one has them. Floor: a loop of `write`.
//!
//! Sockets are served by one thread, as in the examples, or with `@threads` by one for each core, as tokio does by
//! default; gobbq's worlds have threads of their own besides. It runs with its default settings, all roles in one
//! process. Every server has mimalloc. A subject of gobbq is put beside the better of the floors.
//! Clients come from several loopback addresses, because a gate limits connections per address. Everything is on this
//! machine: server and clients share its cores, and what the clients take the server does not have.

mod process;
mod dialect;
mod floor;
mod server;
mod load;
mod idle;
mod groups;

use std::process::ExitCode;

use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong; it ends the process that it happened in.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", ref what @ ..] => server::run(what),
        ["load", ref what @ ..] => load::run(what),
        ref words => measure(words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[&str]) -> Result<(), Failure> {
    let (json, names): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "--json");
    let known: Vec<&str> = groups::GROUPS.iter().map(|group| group.name).collect();
    if let Some(other) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("`{other}` is not a benchmark; there are: {}", known.join(", ")).into());
    }
    let mut rows = Vec::new();
    for group in groups::GROUPS.iter().filter(|group| names.is_empty() || names.contains(&group.name)) {
        let before = process::load_average();
        eprintln!("{}: load average {before:.2}", group.name);
        rows.extend((group.measure)()?);
        rows.push(serde_json::json!({ "name": format!("{}/load average before", group.name), "value": before, "unit": "tasks" }));
    }
    if json.is_empty() {
        rows.iter().for_each(|row| println!("{row}"));
    } else {
        println!("{}", Value::Array(rows));
    }
    Ok(())
}
