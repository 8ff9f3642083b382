//! Reading order: a module of `lib.rs` or `main.rs` uses only those that are declared above it.
//!
//! Deeper down, where a module has parts that make one whole, the same is a warning.
//! `crate::`, `self::` and `super::` paths are followed, also through `pub use` of the module where they branch.
//! A parent may use its children and a child its parents; test code is free.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::{Tree, is_test_file};
use crate::source::{NamedPath, Source};

const RULE: &str = "modules";

type ModulePath<'a> = Vec<&'a str>;

/// Checks the library and the main program of every package.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages() {
        let directory = format!("{}/src", package.directory);
        for root in ["lib.rs", "main.rs"] {
            if tree.text(&format!("{directory}/{root}")).is_some() {
                findings.extend(Crate::read(tree, &directory, root).check());
            }
        }
    }
    findings
}

struct File<'a> {
    path: &'a str,
    module: ModulePath<'a>,
    source: Source<'a>,
}

/// One way from a module to a sibling.
struct Use<'a> {
    parent: ModulePath<'a>,
    from: &'a str,
    to: &'a str,
    path: &'a str,
    line: usize,
}

struct Crate<'a> {
    files: Vec<File<'a>>,
    /// Children of a module in the order of their declarations.
    children: BTreeMap<ModulePath<'a>, Vec<&'a str>>,
    /// Names that a module gives to things in its children.
    exported: BTreeMap<(ModulePath<'a>, &'a str), ModulePath<'a>>,
}

impl<'a> Crate<'a> {
    /// Follows the `mod` declarations from the root file on.
    fn read(tree: &'a Tree, directory: &str, root: &str) -> Self {
        let mut this = Self { files: Vec::new(), children: BTreeMap::new(), exported: BTreeMap::new() };
        let mut open = vec![(ModulePath::new(), format!("{directory}/{root}"))];
        while let Some((module, name)) = open.pop() {
            let Some((path, text)) = tree.iter().find(|(path, _)| *path == name) else { continue };
            let source = Source::read(text, is_test_file(path));
            for declared in source.modules().into_iter().filter(|declared| !declared.test) {
                let parent = [module.as_slice(), &declared.parents].concat();
                let child = [parent.as_slice(), &[declared.name]].concat();
                let stem = format!("{directory}/{}", child.join("/"));
                open.push((child.clone(), format!("{stem}.rs")));
                open.push((child, format!("{stem}/mod.rs")));
                this.children.entry(parent).or_default().push(declared.name);
            }
            this.files.push(File { path, module, source });
        }
        this.find_exports();
        this
    }

    fn check(&self) -> Vec<Finding> {
        let uses = self.uses();
        let mut seen = BTreeSet::new();
        let wrong = uses.iter().filter(|one| {
            let order = &self.children[&one.parent];
            let place = |wanted: &str| order.iter().position(|name| *name == wanted);
            place(one.to) > place(one.from) && seen.insert((one.path, one.from, one.to))
        });
        wrong
            .map(|one| Finding {
                warning: !one.parent.is_empty(),
                ..Finding::new(one.path, one.line, RULE, message(one, &uses))
            })
            .collect()
    }

    fn uses(&self) -> Vec<Use<'a>> {
        let mut uses = Vec::new();
        for file in &self.files {
            for named in file.source.paths().iter().filter(|named| !named.test) {
                let Some((here, target)) = absolute(file, named) else { continue };
                uses.extend(self.branch(&here, target).map(|(parent, from, to)| Use {
                    parent,
                    from,
                    to,
                    path: file.path,
                    line: named.line,
                }));
            }
        }
        uses
    }

    /// Where two paths part, if they do so at two declared modules.
    fn branch(&self, here: &[&'a str], mut target: ModulePath<'a>) -> Option<(ModulePath<'a>, &'a str, &'a str)> {
        // Every step replaces an exported name by what it stands for; eight steps are more than anybody writes.
        for _ in 0..8 {
            let common = here.iter().zip(&target).take_while(|(one, other)| one == other).count();
            let (from, to) = (*here.get(common)?, *target.get(common)?);
            let parent = here[..common].to_vec();
            if self.children.get(&parent)?.contains(&to) {
                return Some((parent, from, to));
            }
            let stands_for = self.exported.get(&(parent, to))?;
            target.splice(..=common, stands_for.iter().copied());
        }
        None
    }

    fn find_exports(&mut self) {
        for file in &self.files {
            let tokens = &file.source.tokens;
            let mut visible = vec![false; tokens.len()];
            let mut inside = false;
            for (at, token) in tokens.iter().enumerate() {
                inside = match token.text {
                    "use" => at > 0 && matches!(tokens[at - 1].text, "pub" | ")"),
                    ";" => false,
                    _ => inside,
                };
                visible[at] = inside;
            }
            for named in file.source.paths().into_iter().filter(|named| visible[named.at] && !named.test) {
                let here = [file.module.as_slice(), file.source.scope(named.at)].concat();
                let target = absolute(file, &named)
                    .map_or_else(|| [here.as_slice(), &named.segments].concat(), |(_, target)| target);
                if let Some(name) = named.segments.last() {
                    self.exported.insert((here, name), target);
                }
            }
        }
    }
}

/// The module that a path is written in, and the path from the root of the crate, if it starts inside the crate.
fn absolute<'a>(file: &File<'a>, named: &NamedPath<'a>) -> Option<(ModulePath<'a>, ModulePath<'a>)> {
    let tokens = &file.source.tokens;
    let in_macro = named.at > 0 && tokens[named.at - 1].text == "$";
    let here = [file.module.as_slice(), file.source.scope(named.at)].concat();
    let mut segments = named.segments.iter().copied().peekable();
    let mut base = match segments.next()? {
        "crate" if !in_macro => Vec::new(),
        "self" if named.segments.len() > 1 => here.clone(),
        "super" => here.split_last()?.1.to_vec(),
        _ => return None,
    };
    while segments.next_if_eq(&"super").is_some() {
        base.pop();
    }
    base.extend(segments);
    Some((here, base))
}

fn message(wrong: &Use<'_>, uses: &[Use<'_>]) -> String {
    let Use { from, to, parent, .. } = wrong;
    let siblings: Vec<&Use<'_>> = uses.iter().filter(|one| one.parent == *parent).collect();
    let mut reached = BTreeSet::from([*to]);
    loop {
        let before = reached.len();
        let next: Vec<&str> = siblings.iter().filter(|one| reached.contains(one.from)).map(|one| one.to).collect();
        reached.extend(next);
        if reached.len() == before {
            break;
        }
    }
    if reached.contains(from) {
        format!("`{from}` uses `{to}`, and `{to}` uses `{from}`, directly or not: a circle")
    } else {
        format!("`{from}` uses `{to}`, which is declared below it; declare `{to}` first")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        checked(files).into_iter().map(|finding| finding.message).collect()
    }

    fn errors(files: &[(&str, &str)]) -> usize {
        checked(files).iter().filter(|finding| !finding.warning).count()
    }

    fn checked(files: &[(&str, &str)]) -> Vec<Finding> {
        let mut all = vec![
            ("Cargo.toml".to_owned(), "[workspace]\nmembers = [\"crates/*\"]"),
            ("crates/one/Cargo.toml".to_owned(), "[package]\nname = \"one\""),
        ];
        all.extend(files.iter().map(|(path, text)| (format!("crates/one/src/{path}"), *text)));
        let all: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        check(&Tree::of_texts(&all))
    }

    #[test]
    fn using_what_is_above_is_silent() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A; fn f() { b::g(); crate::b::g() }"),
            ("a.rs", "use super::root; #[cfg(test)] mod tests { use crate::b; }"),
            ("b.rs", "use crate::a; use crate::A; use super::a::X; mod c; use self::c::Y; use crate::b::c::Z;"),
            ("b/c.rs", "use crate::a; use super::root; use crate::b::thing;"),
        ];
        assert_eq!(findings(&files), [""; 0]);
    }

    #[test]
    fn using_what_is_below_fails() {
        for line in ["use crate::b;", "use super::b::X;", "fn f() { crate::b::g() }", "use crate::{x, b::{C}};"] {
            let found = findings(&[("lib.rs", "mod a; mod b;"), ("a.rs", line), ("b.rs", "")]);
            assert_eq!(found, ["`a` uses `b`, which is declared below it; declare `b` first"], "{line}");
            assert_eq!(errors(&[("lib.rs", "mod a; mod b;"), ("a.rs", line), ("b.rs", "")]), 1);
        }
    }

    #[test]
    fn a_re_export_does_not_hide_the_arrow() {
        let found =
            findings(&[("lib.rs", "mod a; mod b; pub use b::{B, C};"), ("a.rs", "use crate::C;"), ("b.rs", "")]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn siblings_inside_a_module_have_an_order_too_but_it_only_warns() {
        let files =
            [("lib.rs", "mod a;"), ("a/mod.rs", "mod x; mod y;"), ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "")];
        assert_eq!(findings(&files), ["`x` uses `y`, which is declared below it; declare `y` first"]);
        assert_eq!(errors(&files), 0);
        let inline = [("lib.rs", "mod x { use super::y; } mod y { }")];
        assert_eq!(errors(&inline), 1);
    }

    #[test]
    fn a_circle_is_called_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::c;"),
            ("b.rs", "use crate::a;"),
            ("c.rs", "use crate::b;"),
        ];
        assert_eq!(findings(&files), ["`a` uses `c`, and `c` uses `a`, directly or not: a circle"]);
    }
}
