//! `cargo xtask tidy`: the rules of this project that no compiler checks.
//!
//! Each rule is a function from a [`Tree`] to findings, and has tests that show it fails when the rule is broken.

mod tree;
mod pure;
mod layers;
mod modules;
mod files;
mod links;
mod leaks;

use std::fmt;

use anyhow::Result;

use crate::print;
use crate::project::{Project, write};
use crate::report::Outcome;
use tree::Tree;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    rule: &'static str,
    message: String,
    /// Printed, but does not fail the check.
    warning: bool,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into(), warning: false }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.warning { "warning" } else { "error" };
        let line = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        write!(f, "{kind}: {}{line}: [{}] {}", self.path, self.rule, self.message)
    }
}

/// The command: prints every finding; `false` when one of them is an error.
pub(crate) fn run(project: &Project, fix: bool) -> Result<bool> {
    let mut tree = Tree::of(project)?;
    if fix && let Some(text) = layers::fixed_architecture(&tree) {
        write(&project.path(layers::ARCHITECTURE), &text)?;
        print::line(format_args!("wrote the layer table into {}", layers::ARCHITECTURE));
        tree = Tree::of(project)?;
    }
    let (errors, warnings) = print(&check(&tree));
    print::line(format_args!("tidy: {} files, {errors} errors, {warnings} warnings", tree.len()));
    Ok(errors == 0)
}

/// The same as a step of `ci`.
pub(crate) fn step(project: &Project) -> Result<Outcome> {
    let tree = Tree::of(project)?;
    let (errors, warnings) = print(&check(&tree));
    if errors > 0 {
        anyhow::bail!("{errors} errors");
    }
    Ok(Outcome::Passed(format!("{} files, {warnings} warnings", tree.len())))
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(layers::check(tree, layers::TABLE));
    findings.extend(layers::check_architecture(tree));
    findings.extend(pure::check(tree, pure::CRATES));
    findings.extend(modules::check(tree));
    findings.extend(files::check(tree));
    findings.extend(links::check(tree));
    findings.extend(leaks::check(tree));
    findings.sort();
    findings
}

fn print(findings: &[Finding]) -> (usize, usize) {
    findings.iter().for_each(print::line);
    let warnings = findings.iter().filter(|finding| finding.warning).count();
    (findings.len() - warnings, warnings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::project::check as run_child;

    /// A git repository in a temporary directory, removed when dropped.
    struct Repository(Project);

    impl Repository {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-tidy-{name}-{}", std::process::id()));
            let project = Project { root, ci: false };
            for (path, text) in files {
                let path: PathBuf = project.path(path);
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
                std::fs::write(path, text).unwrap();
            }
            run_child(&mut project.command("git", &["init", "-q"])).unwrap();
            Self(project)
        }

        fn errors(&self) -> Vec<Finding> {
            let findings = check(&Tree::of(&self.0).unwrap());
            findings.into_iter().filter(|finding| !finding.warning).collect()
        }
    }

    impl Drop for Repository {
        fn drop(&mut self) {
            // A directory that stays behind in the temporary directory does no harm.
            drop(std::fs::remove_dir_all(&self.0.root));
        }
    }

    #[test]
    fn a_repository_on_disk_that_breaks_every_rule_fails_every_rule() {
        let long = "\n".repeat(1501);
        let repository = Repository::new(
            "broken",
            &[
                ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"),
                (".gitignore", "ignored.md\n"),
                ("ignored.md", "[a](nowhere.md)"),
                ("ARCHITECTURE.md", "<!-- layers:begin -->\n<!-- layers:end -->"),
                ("docs/a.md", "[a](nowhere.md)"),
                ("docs/b.md", &["/ro", "ot/x"].concat()),
                ("crates/bbq-wire/Cargo.toml", "[package]\nname = \"bbq-wire\"\n[dependencies]\nbbq-core = {}"),
                ("crates/bbq-wire/src/lib.rs", "mod a;\nmod b;\nuse std::time::Instant;"),
                ("crates/bbq-wire/src/a.rs", "use crate::b;"),
                ("crates/bbq-wire/src/b.rs", &long),
                ("crates/bbq-wire/tests/all.rs", "#[test]\n#[ignore]\nfn f() { std::thread::sleep(d) }"),
                ("crates/bbq-core/Cargo.toml", "[package]\nname = \"bbq-core\"\n[lints]\nworkspace = true"),
            ],
        );
        let errors = repository.errors();
        let rules: BTreeSet<&str> = errors.iter().map(|finding| finding.rule).collect();
        let all = ["ignored-test", "layers", "leaks", "length", "links", "modules", "pure", "sleep-in-test"];
        assert_eq!(rules, BTreeSet::from(all), "{errors:?}");
        assert!(errors.iter().all(|finding| finding.path != "ignored.md"));
        assert!(!run(&repository.0, false).unwrap());
    }

    #[test]
    fn fix_writes_the_layer_table() {
        let text = "a\n<!-- layers:begin -->\nold\n<!-- layers:end -->\nb\n";
        let repository = Repository::new("fix", &[("ARCHITECTURE.md", text)]);
        let stale = |finding: &Finding| finding.path == "ARCHITECTURE.md";
        assert!(repository.errors().iter().any(stale));
        run(&repository.0, true).unwrap();
        assert!(!repository.errors().iter().any(stale));
    }
}
