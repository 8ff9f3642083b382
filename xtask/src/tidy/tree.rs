//! The text files of a repository, read once, and the cargo packages among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::project::{Project, read};

/// Larger files are not source; they are not read.
const LARGEST_READ: u64 = 4 << 20;

/// Text files by their path relative to the root, with `/` between the parts.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    files: BTreeMap<String, String>,
}

/// One member of the cargo workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root, without a slash at its end.
    pub(crate) directory: String,
    pub(crate) manifest: toml::Table,
}

impl Tree {
    /// What git tracks or would track.
    pub(crate) fn of(project: &Project) -> Result<Self> {
        Self::load(&project.root, project.files()?)
    }

    fn load(root: &Path, names: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in names {
            let path = root.join(&name);
            let size = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.len();
            if size > LARGEST_READ {
                continue;
            }
            let Ok(text) = read(&path) else { continue };
            files.insert(name.to_string_lossy().replace('\\', "/"), text);
        }
        Ok(Self { root: root.to_path_buf(), files })
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files below a directory.
    pub(crate) fn below(&self, directory: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{directory}/");
        self.iter().filter(move |(path, _)| path.starts_with(&prefix))
    }

    /// Whether a file or a directory of this name is in the tree.
    pub(crate) fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.root.join(path).exists()
    }

    /// The members of the workspace: what `workspace.members` of the root manifest names, `*` at the end of a path
    /// standing for one directory.
    pub(crate) fn packages(&self) -> Vec<Package> {
        let root: toml::Table = self.text("Cargo.toml").and_then(|text| text.parse().ok()).unwrap_or_default();
        let members = root.get("workspace").and_then(|workspace| workspace.get("members"));
        let members: Vec<&str> =
            members.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str).collect();
        let is_member = |directory: &str| {
            members.iter().any(|member| match member.strip_suffix("/*") {
                Some(parent) => directory.rsplit_once('/').is_some_and(|(above, _)| above == parent),
                None => directory == *member,
            })
        };
        let manifests = self.iter().filter_map(|(path, text)| Some((path.strip_suffix("/Cargo.toml")?, text)));
        let members = manifests.filter(|(directory, _)| is_member(directory));
        members
            .filter_map(|(directory, text)| {
                let manifest: toml::Table = text.parse().ok()?;
                let name = manifest.get("package")?.get("name")?.as_str()?.to_owned();
                Some(Package { name, directory: directory.to_owned(), manifest })
            })
            .collect()
    }

    /// A tree in memory only, for tests of rules that look at nothing but text.
    #[cfg(test)]
    pub(crate) fn of_texts(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { root: PathBuf::from("/nonexistent"), files }
    }
}

/// Whether a file as a whole is test code: it never runs inside a game.
pub(crate) fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or(path);
    name == "tests.rs" || parts.any(|part| matches!(part, "tests" | "benches"))
}

/// Whether a machine wrote this file.
pub(crate) fn is_generated(path: &str, text: &str) -> bool {
    let by_path = path.split('/').any(|part| matches!(part, "generated" | "gen" | "dist"));
    let lock = path.ends_with("Cargo.lock") || path.ends_with("package-lock.json");
    by_path || lock || text.lines().take(10).any(|line| line.contains(concat!("@", "generated")))
}
