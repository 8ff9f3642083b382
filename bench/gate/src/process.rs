//! Children of this program, and what the system says of processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::Failure;

/// Clock ticks per second in `/proc`; the same on every Linux that tokio runs on.
const TICKS: f64 = 100.0;

/// This program in another role. It writes lines of JSON; it ends when its input does, at the latest when this is
/// dropped.
pub(crate) struct Role {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    pub(crate) fn start(words: &[&str], variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// The next line that it writes.
    pub(crate) fn line(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("a process ended before it had said everything".into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks for the next line.
    pub(crate) fn ask(&mut self) -> Result<Value, Failure> {
        let input = self.input.as_mut().ok_or("no standard input")?;
        input.write_all(b"\n")?;
        input.flush()?;
        self.line()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of CPU that a process has used.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may contain anything.
    let (_, fields) = text.rsplit_once(')').ok_or("no name")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS)
}

/// Resident bytes of a process.
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// Files that this process and its children may open.
pub(crate) fn file_limit() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find(|line| line.starts_with("Max open files")).ok_or("no limit")?;
    Ok(line.split_whitespace().nth(3).ok_or("no number")?.parse().unwrap_or(u64::MAX))
}

/// Tasks that wanted to run in the last minute; 0 where nobody knows.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}
