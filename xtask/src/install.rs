//! Installs what tests need, and nothing else: npm packages of the directories that have some, and a browser when a
//! test drives one. Servers that tests start themselves belong into [`TOOLS`].
//!
//! Debian packages are installed only by root; everybody else is told the command.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::project::{Project, check, has_program, read, stdout};
use crate::report::{Outcome, Report};

/// Directories that may hold npm packages; those that do not exist are passed over.
pub(crate) const NPM: &[&str] = &["sdk/typescript", "tests/compat", "crates/bbq-cli/pages"];

/// A program that tests start, found on `PATH`.
struct Tool {
    /// Any of these will do; with a slash, a file.
    programs: &'static [&'static str],
    /// Where it comes from when none is there.
    debian: &'static str,
    /// Tests need it if a test or a package.json of a test contains this word.
    word: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool { programs: &["chromium", "chromium-browser"], debian: "chromium", word: "chromium" },
    Tool { programs: &["etcd"], debian: "etcd-server", word: "etcd" },
    Tool { programs: &["java"], debian: "default-jre-headless", word: "zookeeper" },
    Tool { programs: &["/usr/share/java/zookeeper.jar"], debian: "zookeeper", word: "zookeeper" },
];

/// Consul left Debian after this release: its package is taken from there, and not installed but unpacked.
const CONSUL_RELEASE: &str = "bullseye";
/// Where tests look for programs that are not installed.
const UNPACKED: &str = "target/tools";

/// One step for every tool and for every npm directory.
pub(crate) fn steps(project: &Project, report: &mut Report) {
    for tool in TOOLS {
        if is_needed(project, tool.word) {
            let name = format!("install {}", tool.debian);
            report.step(&name, "cargo xtask install", |_| install_tool(project, tool));
        }
    }
    if is_needed(project, "consul") {
        report.step("install consul", "cargo xtask install", |_| install_consul(project));
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
    let is_there = |name: &str| if name.contains('/') { Path::new(name).is_file() } else { has_program(name) };
    if tool.programs.iter().any(|program| is_there(program)) {
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

/// Consul is one program without dependencies. Needs no rights, but the package lists of an older Debian, which are kept
/// apart from those of the system.
fn install_consul(project: &Project) -> Result<Outcome> {
    let place = project.path(UNPACKED);
    if has_program("consul") || place.join("consul").is_file() || std::env::var_os("CONSUL_BIN").is_some() {
        return Ok(Outcome::Passed("already there".into()));
    }
    let missing = |why: &str| {
        let install = format!("set CONSUL_BIN to a consul of 1.8 or newer, or put it into {UNPACKED}");
        Ok(Outcome::Skipped { why: why.into(), install })
    };
    if !has_program("apt-get") || !has_program("dpkg") {
        return missing("consul is not installed, and this is no Debian");
    }
    let arguments =
        ["indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian", "Component: main"];
    let sites = stdout(&mut project.command("apt-get", &arguments))?;
    let Some(site) = sites.lines().find(|site| !site.contains("security")) else {
        return missing("consul is not installed, and apt has no lists yet: run `apt-get update`");
    };
    let work = place.join("consul-package");
    std::fs::create_dir_all(work.join("lists/partial"))?;
    std::fs::create_dir_all(work.join("cache/archives/partial"))?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(work.join("sources.list"), format!("deb [signed-by={keys}] {site} {CONSUL_RELEASE} main\n"))?;
    let here = work.display();
    let options = [
        format!("Dir::Etc::sourcelist={here}/sources.list"),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::lists={here}/lists"),
        format!("Dir::Cache={here}/cache"),
        // The user that apt would download as may not write here.
        "APT::Sandbox::User=root".to_owned(),
    ];
    for verb in [&["update", "-qq"][..], &["download", "-qq", "consul"]] {
        let mut command = project.command("apt-get", &[]);
        command.args(options.iter().flat_map(|option| ["-o", option])).args(verb).current_dir(&work);
        check(&mut command)?;
    }
    let packages = std::fs::read_dir(&work)?.flatten().map(|entry| entry.path());
    let package = packages.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.context("apt-get downloaded no package")?;
    check(project.command("dpkg", &["-x"]).arg(package).arg(work.join("root")))?;
    std::fs::rename(work.join("root/usr/bin/consul"), place.join("consul"))?;
    std::fs::remove_dir_all(&work)?;
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
