//! Where the repository is, whether this is CI, and how child processes are started. No policy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository that the commands work on.
pub(crate) struct Project {
    /// The directory of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// `CI=true`: nothing may be skipped.
    pub(crate) ci: bool,
}

impl Project {
    /// Finds the root from the manifest directory that cargo passes on, or else the one this was compiled with.
    pub(crate) fn locate() -> Result<Self> {
        let manifest =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest.parent().context("xtask has no parent directory")?.to_path_buf();
        if !root.join("Cargo.toml").is_file() {
            bail!("no Cargo.toml beside xtask; start this as `cargo xtask` inside the repository");
        }
        Ok(Self { root, ci: std::env::var("CI").is_ok_and(|value| value == "true" || value == "1") })
    }

    /// A path inside the repository.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A child process in the repository, free of the variables that `cargo run` sets for this very process
    /// (build scripts would see them change and rebuild).
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
            if name.to_str().is_some_and(|name| own.iter().any(|prefix| name.starts_with(prefix))) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The files of the repository, relative, sorted: tracked ones and new ones that are not ignored.
    pub(crate) fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let text = stdout(&mut self.command("git", &["ls-files", "-z", "-co", "--exclude-standard"]))?;
        Ok(text.split('\0').filter(|name| !name.is_empty() && self.path(name).is_file()).map(PathBuf::from).collect())
    }
}

/// Whether a program can be found on `PATH`.
pub(crate) fn has_program(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Runs a child with its output on ours; an exit code other than 0 is an error.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a child and returns what it wrote to stdout.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote something that is not UTF-8"))
}

/// The command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The text of a file, with its name in the error.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, with its name in the error.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
