//! Installs what tests need, and nothing else: npm packages of the directories that have some, and a browser when a
//! test drives one. Servers that tests start themselves belong into [`TOOLS`].
//!
//! Debian packages are installed only by root; everybody else is told the command.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::project::{Project, check, has_program, read};
use crate::report::{Outcome, Report};

/// Directories that may hold npm packages; those that do not exist are passed over.
pub(crate) const NPM: &[&str] = &["sdk/typescript", "tests/compat", "crates/bbq-cli/pages"];

/// A program that tests start, found on `PATH`.
struct Tool {
    /// Any of these will do.
    programs: &'static [&'static str],
    /// Where it comes from when none is there.
    debian: &'static str,
    /// Tests need it if a test or a package.json of a test contains this word.
    word: &'static str,
}

const TOOLS: &[Tool] = &[Tool { programs: &["chromium", "chromium-browser"], debian: "chromium", word: "chromium" }];

/// One step for every tool and for every npm directory.
pub(crate) fn steps(project: &Project, report: &mut Report) {
    for tool in TOOLS {
        if is_needed(project, tool.word) {
            let name = format!("install {}", tool.debian);
            report.step(&name, "cargo xtask install", |_| install_tool(project, tool));
        }
    }
    for directory in npm_directories(project) {
        let name = format!("npm ci in {directory}");
        report.step(&name, "cargo xtask install", |_| install_npm(project, directory));
    }
}

/// The npm directories that exist.
pub(crate) fn npm_directories(project: &Project) -> impl Iterator<Item = &'static str> {
    NPM.iter().copied().filter(|directory| project.path(directory).join("package.json").is_file())
}

/// Runs `npm ci` unless the packages are there already.
pub(crate) fn install_npm(project: &Project, directory: &str) -> Result<Outcome> {
    if !has_program("npm") {
        return Ok(Outcome::Skipped { why: "npm is not installed".into(), install: debian("nodejs npm") });
    }
    let path = project.path(directory);
    let lock = path.join("package-lock.json");
    if !lock.is_file() {
        bail!("{directory} has no package-lock.json; run `npm install` there and commit it");
    }
    if is_newer(&path.join("node_modules/.package-lock.json"), &lock) {
        return Ok(Outcome::Passed("already there".into()));
    }
    check(project.command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(&path))?;
    Ok(Outcome::passed())
}

fn install_tool(project: &Project, tool: &Tool) -> Result<Outcome> {
    if tool.programs.iter().any(|program| has_program(program)) {
        return Ok(Outcome::Passed("already there".into()));
    }
    let missing =
        || Outcome::Skipped { why: format!("{} is not installed", tool.debian), install: debian(tool.debian) };
    if !has_program("apt-get") || !is_root() {
        return Ok(missing());
    }
    check(&mut project.command("apt-get", &["update", "-qq"]))?;
    let arguments = ["install", "-y", "-qq", "--no-install-recommends", tool.debian];
    check(project.command("apt-get", &arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(Outcome::passed())
}

fn debian(packages: &str) -> String {
    format!("sudo apt-get install {packages}")
}

fn is_root() -> bool {
    // The owner of this process's own directory, without a call into libc.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
    }
    #[cfg(not(target_os = "linux"))]
    false
}

fn is_newer(one: &Path, other: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    changed(one) >= changed(other) && changed(one).is_some()
}

/// Whether a file below a `tests` or `test` directory, or the package.json of an npm directory, contains the word.
fn is_needed(project: &Project, word: &str) -> bool {
    let Ok(files) = project.files() else { return false };
    files.iter().any(|file| {
        let name = file.to_string_lossy();
        let of_tests = name.split('/').any(|part| matches!(part, "tests" | "test")) || name.ends_with("package.json");
        let text = ["rs", "ts", "js", "mjs", "json"].iter().any(|extension| name.ends_with(&format!(".{extension}")));
        let ours = of_tests && text && !name.starts_with("xtask/") && !name.ends_with("package-lock.json");
        ours && read(&project.root.join(file)).is_ok_and(|text| text.contains(word))
    })
}

/// The `scripts.NAME` of a package.json, if there is one.
pub(crate) fn npm_script(project: &Project, directory: &str, name: &str) -> Result<Option<String>> {
    let path = project.path(directory).join("package.json");
    let package: serde_json::Value =
        serde_json::from_str(&read(&path)?).with_context(|| format!("{directory}/package.json is not JSON"))?;
    Ok(package["scripts"][name].as_str().map(str::to_owned))
}
