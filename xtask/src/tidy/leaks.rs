//! Nothing of the machine that a file was written on stays in it: no home directories, no package registry hosts.
//!
//! The patterns are put together from pieces, so this file does not find itself.

use super::Finding;
use super::tree::Tree;

const RULE: &str = "leaks";

/// Checks every text file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut patterns = patterns();
    let root = tree.root.display().to_string();
    // A root such as `/src` says nothing and would be found everywhere.
    if root.matches('/').count() >= 2 && tree.root.is_dir() {
        patterns.push(root);
    }
    let mut findings = Vec::new();
    for (path, text) in tree.iter() {
        for (at, line) in text.lines().enumerate() {
            let leak = patterns.iter().any(|pattern| line.contains(pattern.as_str())) || names_home(line);
            if leak {
                let message = "names a path of the writer's machine, or the host of a package registry";
                findings.push(Finding::new(path, at + 1, RULE, message));
            }
        }
    }
    findings
}

fn patterns() -> Vec<String> {
    const PIECES: &[&[&str]] = &[
        &["/ro", "ot/"],
        &["/wo", "rk/"],
        &["/fa", "rm/"],
        &["/tmp/", "bash"],
        &["C:\\", "Users\\"],
        &["arti", "factory"],
        &["index.", "crates.io"],
        &["static.", "crates.io"],
        &["registry.", "npmjs"],
        &["registry.", "yarnpkg"],
        &["proxy.", "golang"],
        &["files.", "pythonhosted"],
        &["pypi.", "org"],
        &["deb.", "debian.org"],
        &["repo1.", "maven"],
        &["repo.", "maven.apache"],
    ];
    PIECES.iter().map(|pieces| pieces.concat()).collect()
}

/// Home directories of Linux and macOS; a variable in the place of the name is fine.
fn names_home(line: &str) -> bool {
    ["/home/", concat!("/Us", "ers/")].iter().any(|parent| {
        let mut after = line.split(parent).skip(1);
        after.any(|rest| rest.split_once('/').is_some_and(|(name, _)| is_user(name)))
    })
}

fn is_user(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || "._-".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of_texts(&[("notes.md", text)])).len()
    }

    #[test]
    fn paths_and_hosts_of_a_machine_fail() {
        for pattern in patterns() {
            assert_eq!(count(&format!("see {pattern}x")), 1, "{pattern}");
        }
        assert_eq!(count(&["/ho", "me/ann/x"].concat()), 1);
    }

    #[test]
    fn ordinary_text_is_silent() {
        assert_eq!(count("the root/ of it all, at home/away, https://docs.rs, /home/$USER/x, /usr/bin"), 0);
    }

    #[test]
    fn this_very_file_is_silent() {
        assert_eq!(count(include_str!("leaks.rs")), 0);
    }
}
