//! `bbq doctor`: whether this machine has what gobbq needs.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::args::Doctor;
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::print::{self, Colour, Style};
use crate::project::Project;

/// The oldest Rust that gobbq is built with: `rust-version` of this crate.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
/// Each client and each link is a file to the system.
const OPEN_FILES: u64 = 4096;
/// How long a center may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Needed sometimes.
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Serialize, Debug)]
struct Line {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it; empty when it is fine.
    fix: String,
}

fn line(name: &'static str, verdict: Verdict, found: impl Into<String>, fix: impl Into<String>) -> Line {
    Line { name, verdict, found: found.into(), fix: fix.into() }
}

fn fine(name: &'static str, found: impl Into<String>) -> Line {
    line(name, Verdict::Ok, found, "")
}

pub(crate) fn run(args: &Doctor) -> Result<()> {
    let mut lines = vec![rust(), program("cargo", &["cargo"], Verdict::Fail, "install Rust: rustup.rs")];
    lines.push(program(
        "node",
        &["node"],
        Verdict::Warn,
        "only for web pages in TypeScript: install Node.js 22 or newer",
    ));
    let browsers = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    lines.push(program("chromium", &browsers, Verdict::Warn, "only for tests of web pages: install Chromium"));
    lines.push(open_files());
    lines.push(port("gate port", 4000, "--listen"));
    lines.push(port("center port", 4100, "--center-listen"));
    lines.push(directory("temporary directory", &env::temp_dir(), "set TMPDIR to a directory that can be written"));
    match Project::here() {
        Ok(project) => lines.push(directory("project", &project.root, "change the owner or the permissions of it")),
        Err(_) => lines.push(fine("project", "none here (bbq new NAME makes one)")),
    }
    lines.extend(args.center.as_deref().map(center));
    report(&lines, args.format.is_json())?;
    let failed: Vec<&str> = lines.iter().filter(|line| line.verdict == Verdict::Fail).map(|line| line.name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::DOCTOR, format!("not fine: {}", failed.join(", "))).fix("do what the lines above say"))
}

fn report(lines: &[Line], json: bool) -> Result<()> {
    if json {
        return print::json(&lines);
    }
    let style = Style::of_stdout();
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for line in lines {
        let verdict = match line.verdict {
            Verdict::Ok => style.paint(Colour::Green, "ok  "),
            Verdict::Warn => style.paint(Colour::Yellow, "warn"),
            Verdict::Fail => style.paint(Colour::Red, "fail"),
        };
        print::line(format_args!("{verdict} {:width$}  {}", line.name, line.found))?;
        if !line.fix.is_empty() {
            print::line(format_args!("     {:width$}  fix: {}", "", line.fix))?;
        }
    }
    Ok(())
}

/// The first line that `program --version` prints.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn program(name: &'static str, names: &[&str], absent: Verdict, fix: &str) -> Line {
    match names.iter().find_map(|name| version(name)) {
        Some(found) => fine(name, found),
        None => line(name, absent, "not found", fix),
    }
}

fn rust() -> Line {
    let Some(found) = version("rustc") else {
        return line("rust", Verdict::Fail, "not found", "install Rust: rustup.rs");
    };
    // `rustc 1.95.0 (hash date)`
    let number = found.split_whitespace().nth(1).unwrap_or_default();
    if is_at_least(number, RUST) {
        return fine("rust", found);
    }
    line("rust", Verdict::Fail, format!("{found}; {RUST} or newer is needed"), "rustup update")
}

fn is_at_least(version: &str, wanted: &str) -> bool {
    let parts = |text: &str| -> Vec<u32> {
        let number = text.split('-').next().unwrap_or_default();
        number.split('.').map_while(|part| part.parse().ok()).collect()
    };
    parts(version) >= parts(wanted)
}

fn open_files() -> Line {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limits.current {
        Some(limit) if limit < OPEN_FILES => {
            let found = format!("{limit}; each client takes one");
            line("open files", Verdict::Warn, found, "for many clients: ulimit -n 65536")
        }
        Some(limit) => fine("open files", format!("{limit} at most")),
        None => fine("open files", "no limit"),
    }
}

fn port(name: &'static str, port: u16, option: &str) -> Line {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => fine(name, format!("{port} is free")),
        Err(why) => {
            let fix = format!("end what uses it, or choose another with {option} 127.0.0.1:PORT");
            line(name, Verdict::Warn, format!("{port} cannot be used: {why}"), fix)
        }
    }
}

fn directory(name: &'static str, path: &Path, fix: &str) -> Line {
    let probe = path.join(format!(".bbq-doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"x").and_then(|()| fs::remove_file(&probe));
    match written {
        Ok(()) => fine(name, format!("{} can be written", path.display())),
        Err(why) => line(name, Verdict::Fail, format!("{} cannot be written: {why}", path.display()), fix),
    }
}

fn center(address: &str) -> Line {
    let connected = address.to_socket_addrs().and_then(|mut all| {
        let first = all.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
        TcpStream::connect_timeout(&first, PATIENCE)
    });
    match connected {
        Ok(_) => fine("center", format!("{address} answers")),
        Err(why) => {
            let fix = "start it (bbq run center), or correct --center / BBQ_CENTER";
            line("center", Verdict::Fail, format!("{address}: {why}"), fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_at_least("1.100.0", "1.95"));
        assert!(is_at_least("1.95.0-nightly", "1.95"));
        assert!(!is_at_least("1.94.2", "1.95"));
        assert!(!is_at_least("", "1.95"));
    }

    #[test]
    fn a_taken_port_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = listener.local_addr().expect("an address").port();
        assert_eq!(port("x", taken, "--listen").verdict, Verdict::Warn);
        assert_eq!(center(&format!("127.0.0.1:{taken}")).verdict, Verdict::Ok);
        drop(listener);
        assert_eq!(center(&format!("127.0.0.1:{taken}")).verdict, Verdict::Fail);
    }

    #[test]
    fn a_directory_that_is_not_there_cannot_be_written() {
        assert_eq!(directory("x", Path::new("/no/such/directory"), "fix").verdict, Verdict::Fail);
        assert_eq!(directory("x", &env::temp_dir(), "fix").verdict, Verdict::Ok);
    }
}
