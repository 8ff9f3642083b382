//! The project around the working directory.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// A directory with the `Cargo.toml` of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// Name of the package.
    pub(crate) name: String,
    /// The program that `cargo run` runs, if the package has several.
    pub(crate) default_run: Option<String>,
}

impl Project {
    /// The project that the working directory is in.
    pub(crate) fn here() -> Result<Self> {
        let start = env::current_dir().map_err(|why| Failure::read(Path::new("."), &why))?;
        Self::around(&start)?.ok_or_else(|| {
            let what = format!("{} is not inside a project", start.display());
            let cause = "neither it nor a directory above has a Cargo.toml with a [package]";
            Failure::new(Code::NO_PROJECT, what).because(cause).fix("bbq new NAME makes one; cd into it")
        })
    }

    /// The innermost project that `directory` is in.
    pub(crate) fn around(directory: &Path) -> Result<Option<Self>> {
        for root in directory.ancestors() {
            let manifest = root.join("Cargo.toml");
            if !manifest.is_file() {
                continue;
            }
            let text = fs::read_to_string(&manifest).map_err(|why| Failure::read(&manifest, &why))?;
            if let Some(name) = package_value(&text, "name") {
                let default_run = package_value(&text, "default-run");
                return Ok(Some(Self { root: root.to_owned(), name, default_run }));
            }
        }
        Ok(None)
    }
}

/// A text in the `[package]` section. Cargo checks the rest of the file.
fn package_value(manifest: &str, wanted: &str) -> Option<String> {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[package]"
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == wanted
        {
            let value = value.split('#').next().unwrap_or(value).trim();
            return Some(value.trim_matches(['"', '\'']).to_owned());
        }
    }
    None
}

/// A set of proto files: what `gen` and `check` work on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Protos {
    /// Where imports are looked up.
    pub(crate) directory: PathBuf,
    /// Every `.proto` below it, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Where `gobbq.lock` is.
    pub(crate) lock: PathBuf,
}

impl Protos {
    /// Those below `directory`, or below `proto/` of the project. The lock file is beside the directory.
    pub(crate) fn find(directory: Option<&Path>) -> Result<Self> {
        let (directory, root) = match directory {
            Some(directory) => {
                let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
                (directory.to_owned(), above.unwrap_or(Path::new(".")).to_owned())
            }
            None => {
                let root = Project::here()?.root;
                let root = relative(&root);
                (root.join("proto"), root)
            }
        };
        if !directory.is_dir() {
            let what = format!("there is no directory {}", directory.display());
            return Err(Failure::new(Code::NO_PROTO, what).fix("put proto files there, or say where with --proto DIR"));
        }
        let mut files = Vec::new();
        collect(&directory, &mut files)?;
        files.sort();
        if files.is_empty() {
            let what = format!("no .proto file below {}", directory.display());
            return Err(Failure::new(Code::NO_PROTO, what).fix("put proto files there, or say where with --proto DIR"));
        }
        Ok(Self { directory, files, lock: root.join(bbq_gen::LOCK_FILE) })
    }
}

/// The path as seen from the working directory, where that is below it: findings are easier to read.
fn relative(path: &Path) -> PathBuf {
    match env::current_dir() {
        Ok(here) if here == path => PathBuf::from("."),
        _ => path.to_owned(),
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).map_err(|why| Failure::read(directory, &why))?;
    for entry in entries {
        let entry = entry.map_err(|why| Failure::read(directory, &why))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|why| Failure::read(&path, &why))?;
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_package_and_not_of_a_program() {
        let manifest = "[[bin]]\nname = \"other\"\n[package]\nversion = \"1\"\nname = \"game\" # the name\n";
        assert_eq!(package_value(manifest, "name").as_deref(), Some("game"));
        assert_eq!(package_value("[workspace]\nmembers = []\n", "name"), None);
    }

    #[test]
    fn a_directory_without_protos_says_what_to_do() {
        let failure = Protos::find(Some(Path::new("no/such/directory"))).expect_err("nothing there");
        assert_eq!(failure.code, Code::NO_PROTO);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(Protos::find(Some(&own)).expect_err("no protos").what.contains("no .proto file"));
    }

    #[test]
    fn this_crate_is_a_project() {
        let project = Project::around(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("readable").expect("a project");
        assert_eq!(project.name, "bbq-cli");
    }
}
