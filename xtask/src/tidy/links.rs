//! Every link from a Markdown file to a file of this repository leads somewhere.
//!
//! Checked are `[text](target)`, `![text](target)`, `[name]: target` and `src="target"` outside of code; the part
//! after `#` and links to other sites are not.

use super::Finding;
use super::tree::Tree;

const RULE: &str = "links";

/// Checks every Markdown file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".md")) {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in links(text) {
            match resolve(directory, &target) {
                Some(file) if tree.exists(&file) => {}
                Some(file) => findings.push(Finding::new(path, line, RULE, format!("there is no file `{file}`"))),
                None => findings.push(Finding::new(path, line, RULE, format!("`{target}` leaves the repository"))),
            }
        }
    }
    findings
}

/// Local targets with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| start.starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => {
                let targets = targets(&without_code(line));
                found.extend(targets.into_iter().filter(|target| is_local(target)).map(|target| (at + 1, target)));
            }
            _ => {}
        }
    }
    found
}

fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let closed = parts.len() % 2 == 1;
    let kept = parts.iter().enumerate().filter(|(at, _)| at % 2 == 0 || (!closed && at + 1 == parts.len()));
    kept.map(|(_, part)| *part).collect::<Vec<_>>().join("`")
}

fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let images = line.split("src=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    let start = line.trim_start();
    let reference = start.strip_prefix('[').and_then(|rest| Some(rest.split_once("]:")?.1));
    let all = inline.chain(images).chain(reference);
    all.filter_map(|target| target.split_whitespace().next().map(|word| word.trim_matches(['<', '>']).to_owned()))
        .collect()
}

fn is_local(target: &str) -> bool {
    let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
    !elsewhere && !target.is_empty()
}

/// The path from the root that a target means; `None` when it lies outside.
fn resolve(directory: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or(target);
    let (from, target) = match target.strip_prefix('/') {
        Some(absolute) => ("", absolute),
        None => (directory, target),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of_texts(&[(path, text), ("README.md", ""), ("docs/guide/start.md", "")]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_silent() {
        let text = "[a](guide/start.md#here) ![b](../README.md) [c](https://example.org/x) [d](#e) [f](/README.md)\n\
            `[g](nowhere.md)`\n```\n[h](nowhere.md)\n```\n[i]: guide/start.md\n";
        assert_eq!(findings("docs/index.md", text), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_fail() {
        for text in
            ["[a](nowhere.md)", "x [b](guide/none.md#y) z", "[c]: none.md", "<img src=\"none.png\">", "![d](n.png)"]
        {
            assert_eq!(findings("docs/index.md", text).len(), 1, "{text}");
        }
        assert_eq!(findings("docs/index.md", "[a](../../secret)"), ["`../../secret` leaves the repository"]);
    }
}
