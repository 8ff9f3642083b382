//! `cargo xtask fuzz`: gives every decoder random input for a while.
//!
//! The contract: `fuzz/` is a cargo workspace of its own; each program of it is one decoder, takes `--seconds N`, and
//! ends with an exit code other than 0 when an input broke it, having written that input to a file.

use anyhow::{Context, Result, bail};

use crate::project::{Project, check, read};
use crate::report::{Outcome, Report};

const MANIFEST: &str = "fuzz/Cargo.toml";

/// One step for every decoder.
pub(crate) fn step(project: &Project, report: &mut Report, seconds: u64) {
    let repeat = format!("cargo xtask fuzz --seconds {seconds}");
    if !project.path(MANIFEST).is_file() {
        report.step("fuzz", &repeat, |_| Ok(Outcome::Absent(format!("no fuzz targets yet ({MANIFEST} is missing)"))));
        return;
    }
    match targets(project) {
        Err(error) => report.step("fuzz", &repeat, |_| Err(error)),
        Ok(names) => {
            for name in names {
                report.step(&format!("fuzz {name}"), &repeat, |_| run(project, &name, seconds));
            }
        }
    }
}

fn targets(project: &Project) -> Result<Vec<String>> {
    let manifest: toml::Table =
        read(&project.path(MANIFEST))?.parse().with_context(|| format!("{MANIFEST} is not TOML"))?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    let names: Vec<String> = programs.filter_map(|program| Some(program.get("name")?.as_str()?.to_owned())).collect();
    if names.is_empty() {
        bail!("{MANIFEST} has no [[bin]]");
    }
    Ok(names)
}

fn run(project: &Project, name: &str, seconds: u64) -> Result<Outcome> {
    let seconds = seconds.to_string();
    let arguments =
        ["run", "--quiet", "--release", "--manifest-path", MANIFEST, "--bin", name, "--", "--seconds", &seconds];
    check(&mut project.command("cargo", &arguments))?;
    Ok(Outcome::Passed(format!("{seconds} s")))
}
