//! `cargo xtask bench`: runs the programs in `bench`, prints one line per measure, and keeps `docs/benchmarks.md`.
//!
//! Every benchmark owns one section of that file, between two markers; everything else in it is written by people.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::print;
use crate::project::{Project, read, stdout, write};

const PAGE: &str = "docs/benchmarks.md";

/// The programs, and the benchmarks that each of them has.
const PROGRAMS: &[(&str, &[&str])] =
    &[("bench/peers", &["ask", "tell", "fan"]), ("bench/gate", &["echo", "memory", "broadcast"])];

/// One line of a program: `group/subject`, beside another subject of the same group where there is one.
#[derive(Debug, Clone, PartialEq)]
struct Measure {
    name: String,
    value: f64,
    unit: String,
    beside: Option<String>,
    ratio: Option<f64>,
    aim: Option<String>,
    holds: Option<bool>,
}

/// Where and when it was measured.
struct Origin {
    machine: String,
    cores: usize,
    date: String,
    commit: String,
}

/// Runs all benchmarks or one; `json`: prints the measures as one JSON array and nothing else on stdout.
///
/// `false` when a measure misses its aim.
pub(crate) fn run(project: &Project, name: Option<&str>, json: bool) -> Result<bool> {
    let mut rows = Vec::new();
    for program in programs(name)? {
        rows.extend(measure(project, program, name)?);
    }
    let measures = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
    if measures.is_empty() {
        bail!("nothing was measured");
    }
    if json {
        print::line(Value::Array(rows));
    } else {
        measures.iter().for_each(|measure| print::line(line(measure)));
    }
    let page = read(&project.path(PAGE)).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    write(&project.path(PAGE), &updated(&page, &measures, &origin(project)))?;
    eprintln!("wrote {PAGE}");
    Ok(measures.iter().all(|measure| measure.holds != Some(false)))
}

/// Directories of the programs that have this benchmark; all without a name.
fn programs(name: Option<&str>) -> Result<Vec<&'static str>> {
    let has = |names: &[&str]| name.is_none_or(|name| names.contains(&name));
    let chosen: Vec<_> = PROGRAMS.iter().filter(|(_, names)| has(names)).map(|(directory, _)| *directory).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = PROGRAMS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        bail!("there is no such benchmark; there are: {}", known.join(", "));
    }
    Ok(chosen)
}

/// What one program says.
fn measure(project: &Project, program: &str, name: Option<&str>) -> Result<Vec<Value>> {
    let manifest = format!("{program}/Cargo.toml");
    let mut arguments = vec!["run", "--release", "--manifest-path", &*manifest, "--"];
    arguments.extend(name);
    arguments.push("--json");
    let text = stdout(project.command("cargo", &arguments).stdin(Stdio::null()))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{program} did not write JSON"))?;
    Ok(value.as_array().with_context(|| format!("{program} did not write an array"))?.clone())
}

fn parse(value: &Value) -> Result<Measure> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    Ok(Measure {
        name: text("name").context("a measure without a name")?,
        value: value["value"].as_f64().context("a measure without a value")?,
        unit: text("unit").context("a measure without a unit")?,
        beside: text("beside"),
        ratio: value["ratio"].as_f64(),
        aim: text("aim"),
        holds: value["holds"].as_bool(),
    })
}

fn line(measure: &Measure) -> String {
    let mut line = format!("{:24} {:>12} {}", measure.name, rounded(measure.value), measure.unit);
    if let (Some(beside), Some(ratio)) = (&measure.beside, measure.ratio) {
        // Writing into a string cannot fail.
        let _ = write!(line, "   {ratio:.2} x {beside}");
    }
    if let (Some(aim), Some(holds)) = (&measure.aim, measure.holds) {
        let _ = write!(line, "   aim {aim}: {}", if holds { "holds" } else { "MISSED" });
    }
    line
}

fn rounded(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The page with one fresh section for every group that was measured.
fn updated(page: &str, measures: &[Measure], origin: &Origin) -> String {
    let mut page = page.trim_end().to_owned() + "\n";
    let mut groups: Vec<&str> = measures.iter().map(group).collect();
    groups.dedup();
    for group_name in groups {
        let (begin, end) = (format!("<!-- bench:{group_name}:begin -->"), format!("<!-- bench:{group_name}:end -->"));
        let rows: Vec<&Measure> = measures.iter().filter(|measure| group(measure) == group_name).collect();
        let section = format!("{begin}\n{}{end}", section(group_name, &rows, origin));
        let before_and_after = page.split_once(&begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(&end)?;
            Some((before.to_owned(), after.to_owned()))
        });
        page = match before_and_after {
            Some((before, after)) => format!("{before}{section}{after}"),
            None => format!("{page}\n{section}\n"),
        };
    }
    page
}

fn group(measure: &Measure) -> &str {
    measure.name.split('/').next().unwrap_or(&measure.name)
}

fn section(group: &str, rows: &[&Measure], origin: &Origin) -> String {
    let Origin { machine, cores, date, commit } = origin;
    let mut text = format!("## {group}\n\n{machine}, {cores} cores, {date}, commit {commit}.\n\n");
    text.push_str("| measure | value | unit | ratio | beside | aim | holds |\n|---|---:|---|---:|---|---|---|\n");
    for row in rows {
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "**no**" });
        let (beside, aim) = (row.beside.as_deref().unwrap_or(""), row.aim.as_deref().unwrap_or(""));
        let cells = [&row.name, &rounded(row.value), &row.unit, &ratio, beside, aim, holds];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn origin(project: &Project) -> Origin {
    let processors = read("/proc/cpuinfo".as_ref()).unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let machine = model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned());
    let git = |arguments: &[&str]| stdout(&mut project.command("git", arguments)).unwrap_or_default();
    let head = git(&["rev-parse", "--short", "HEAD"]);
    let changes = git(&["status", "--porcelain", "--", "crates", "bench"]);
    let commit = format!("{}{}", head.trim(), if changes.is_empty() { "" } else { " with changes" });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Origin { machine, cores, date: today(), commit }
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    date(seconds / 86_400)
}

/// The civil date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: u64) -> String {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, value: f64, holds: Option<bool>) -> Measure {
        Measure {
            name: name.into(),
            value,
            unit: "ns".into(),
            beside: Some("ask/tokio".into()),
            ratio: Some(1.5),
            aim: holds.map(|_| "<= 1.00 x best peer".into()),
            holds,
        }
    }

    fn origin() -> Origin {
        Origin { machine: "Some CPU".into(), cores: 2, date: "2026-11-24".into(), commit: "abc".into() }
    }

    #[test]
    fn a_section_is_replaced_and_the_rest_of_the_page_stays() {
        let first = updated("# Benchmarks\n\nWords.\n", &[measure("ask/a", 1.0, None)], &origin());
        let both = updated(&first, &[measure("tell/a", 7.0, None)], &origin());
        let again = updated(&both, &[measure("ask/a", 2345.6, Some(false))], &origin());
        assert!(again.starts_with("# Benchmarks\n\nWords.\n"));
        assert!(again.contains("| ask/a | 2346 | ns | 1.50 | ask/tokio | <= 1.00 x best peer | **no** |"), "{again}");
        assert!(again.contains("| tell/a | 7.00 |"));
        assert!(!again.contains("| ask/a | 1.00 |"));
        assert_eq!(again.matches("<!-- bench:ask:begin -->").count(), 1);
    }

    #[test]
    fn a_measure_needs_a_name_a_value_and_a_unit() {
        let good = serde_json::json!({"name": "ask/a", "value": 1.0, "unit": "ns", "beside": null});
        assert!(parse(&good).is_ok());
        for key in ["name", "value", "unit"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(key);
            assert!(parse(&bad).is_err(), "without {key}");
        }
    }

    #[test]
    fn a_benchmark_belongs_to_one_program() {
        assert_eq!(programs(Some("fan")).unwrap(), ["bench/peers"]);
        assert_eq!(programs(Some("echo")).unwrap(), ["bench/gate"]);
        assert_eq!(programs(None).unwrap().len(), PROGRAMS.len());
        assert!(programs(Some("ech")).is_err());
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(20_781), "2026-11-24");
    }
}
