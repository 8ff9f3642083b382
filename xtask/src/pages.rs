//! The web pages of the demo: `src` is TypeScript, `dist` is what the programs embed and what is committed.
//!
//! `npm run build` in that directory writes `dist`. With `--check` the committed files are put back afterwards.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::install::{install_npm, npm_script};
use crate::project::{Project, check};
use crate::report::{Outcome, Report};

const DIRECTORY: &str = "crates/bbq-cli/pages";

type Bundle = BTreeMap<String, Vec<u8>>;

/// Rebuilds the pages; `only_check`: the result must equal what is there, and nothing changes.
pub(crate) fn step(project: &Project, report: &mut Report, only_check: bool) {
    let repeat = if only_check { "cargo xtask pages --check" } else { "cargo xtask pages" };
    report.step("pages", repeat, |_| rebuild(project, only_check));
}

fn rebuild(project: &Project, only_check: bool) -> Result<Outcome> {
    let directory = project.path(DIRECTORY);
    if !directory.join("package.json").is_file() {
        return Ok(Outcome::Absent("no pages yet".into()));
    }
    if npm_script(project, DIRECTORY, "build")?.is_none() {
        bail!("{DIRECTORY}/package.json has no script `build`");
    }
    if let skipped @ Outcome::Skipped { .. } = install_npm(project, DIRECTORY)? {
        return Ok(skipped);
    }
    let dist = directory.join("dist");
    let before = read_bundle(&dist)?;
    let built = check(project.command("npm", &["run", "--silent", "build"]).current_dir(&directory));
    let after = read_bundle(&dist)?;
    let changed = changed(&before, &after);
    if only_check && !changed.is_empty() {
        put_back(&dist, &before, &after)?;
    }
    built?;
    match (only_check, changed.as_slice()) {
        (_, []) => Ok(Outcome::Passed(format!("{} files, unchanged", after.len()))),
        (false, names) => Ok(Outcome::Passed(format!("changed: {}", names.join(", ")))),
        (true, names) => bail!("stale: {}; run `cargo xtask pages` and commit {DIRECTORY}/dist", names.join(", ")),
    }
}

fn read_bundle(dist: &Path) -> Result<Bundle> {
    let mut bundle = Bundle::new();
    let mut open = vec![dist.to_path_buf()];
    while let Some(directory) = open.pop() {
        if !directory.is_dir() {
            continue;
        }
        for entry in directory.read_dir().with_context(|| format!("cannot list {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(dist)?.to_string_lossy().into_owned();
            bundle.insert(name, std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(bundle)
}

fn changed(before: &Bundle, after: &Bundle) -> Vec<String> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn put_back(dist: &Path, before: &Bundle, after: &Bundle) -> Result<()> {
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        std::fs::remove_file(dist.join(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    for (name, bytes) in before {
        let path = dist.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(dist))?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with pages whose build script copies `src` to `dist`.
    fn repository(name: &str, committed: &str) -> Project {
        let root = std::env::temp_dir().join(format!("xtask-pages-{name}-{}", std::process::id()));
        let pages = root.join(DIRECTORY);
        for directory in ["src", "dist", "node_modules"] {
            std::fs::create_dir_all(pages.join(directory)).unwrap();
        }
        let package = r#"{"name":"pages","version":"1.0.0","scripts":{"build":"cp src/a.js dist/a.js"}}"#;
        std::fs::write(pages.join("package.json"), package).unwrap();
        std::fs::write(pages.join("package-lock.json"), "{}").unwrap();
        std::fs::write(pages.join("node_modules/.package-lock.json"), "{}").unwrap();
        std::fs::write(pages.join("src/a.js"), "new").unwrap();
        std::fs::write(pages.join("dist/a.js"), committed).unwrap();
        Project { root, ci: false }
    }

    fn dist(project: &Project) -> String {
        std::fs::read_to_string(project.path(DIRECTORY).join("dist/a.js")).unwrap()
    }

    #[test]
    fn a_stale_bundle_fails_the_check_and_is_left_as_it_was() {
        let project = repository("stale", "old");
        let result = rebuild(&project, true);
        let error = result.err().expect("a stale bundle passed").to_string();
        assert!(error.contains("stale: a.js"), "{error}");
        assert_eq!(dist(&project), "old");
        std::fs::remove_dir_all(&project.root).unwrap();
    }

    #[test]
    fn a_rebuilt_bundle_passes_the_check() {
        let project = repository("fresh", "old");
        assert!(rebuild(&project, false).is_ok());
        assert_eq!(dist(&project), "new");
        assert!(rebuild(&project, true).is_ok());
        std::fs::remove_dir_all(&project.root).unwrap();
    }

    #[test]
    fn no_pages_is_not_an_error() {
        let project = Project { root: std::env::temp_dir().join("xtask-no-such-directory"), ci: true };
        assert!(matches!(rebuild(&project, true), Ok(Outcome::Absent(_))));
    }
}
