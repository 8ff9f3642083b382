//! Which crate of the workspace may depend on which, and the same table in ARCHITECTURE.md.

use std::collections::BTreeSet;

use super::Finding;
use super::pure;
use super::tree::{Package, Tree};

const RULE: &str = "layers";

/// Where the table is shown.
pub(crate) const ARCHITECTURE: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- layers:begin -->";
const END: &str = "<!-- layers:end -->";

/// One line of the table.
pub(crate) struct Layer {
    /// A package, or `examples/*` for every package of that directory.
    pub(crate) name: &'static str,
    /// Workspace packages that it may depend on.
    pub(crate) normal: &'static [&'static str],
    /// Those that only its build script may depend on.
    pub(crate) build: &'static [&'static str],
}

const ROLE: &[&str] = &["bbq-wire", "bbq-core", "bbq-rt"];

/// The table. An arrow that is missing here is a decision, see ARCHITECTURE.md.
pub(crate) const TABLE: &[Layer] = &[
    Layer { name: "bbq-wire", normal: &[], build: &[] },
    Layer { name: "bbq-core", normal: &["bbq-wire"], build: &[] },
    Layer { name: "bbq-sim", normal: &["bbq-wire", "bbq-core"], build: &[] },
    Layer { name: "bbq-rt", normal: &["bbq-wire", "bbq-core"], build: &[] },
    Layer { name: "bbq-gate", normal: ROLE, build: &[] },
    Layer { name: "bbq-game", normal: ROLE, build: &[] },
    Layer { name: "bbq-center", normal: ROLE, build: &[] },
    Layer { name: "bbq-client", normal: &["bbq-wire"], build: &[] },
    Layer { name: "bbq-gen", normal: &[], build: &[] },
    Layer {
        name: "gobbq",
        normal: &["bbq-wire", "bbq-core", "bbq-sim", "bbq-rt", "bbq-gate", "bbq-game", "bbq-center", "bbq-client"],
        build: &[],
    },
    Layer {
        name: "bbq-cli",
        normal: &["gobbq", "bbq-gen", "bbq-client", "bbq-wire", "bbq-core", "bbq-rt", "examples/*"],
        build: &[],
    },
    Layer { name: "examples/*", normal: &["gobbq", "bbq-client"], build: &["bbq-gen"] },
    Layer { name: "cluster-tests", normal: &["gobbq", "bbq-client", "examples/*"], build: &["bbq-gen"] },
    Layer { name: "xtask", normal: &[], build: &[] },
];

/// Tests may use these everywhere, as long as no circle arises: a bot, a simulator, and the generator.
const FOR_TESTS: &[&str] = &["bbq-client", "bbq-sim", "bbq-gen"];

/// Compares the manifests with a table.
pub(crate) fn check(tree: &Tree, table: &[Layer]) -> Vec<Finding> {
    let packages = tree.packages();
    let mut findings = Vec::new();
    for package in &packages {
        let path = format!("{}/Cargo.toml", package.directory);
        let Some(layer) = layer(table, entry(package)) else {
            let message = format!("`{}` is not in the layer table of xtask/src/tidy/layers.rs", package.name);
            findings.push(Finding::new(&path, 0, RULE, message));
            continue;
        };
        for (kind, dependency) in workspace_dependencies(package, &packages) {
            if let Some(message) = refused(table, layer, kind, dependency) {
                findings.push(Finding::new(&path, 0, RULE, message));
            }
        }
        let lints = package.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            findings.push(Finding::new(&path, 0, RULE, "has no `[lints] workspace = true`"));
        }
    }
    for layer in table.iter().filter(|layer| !layer.name.ends_with("/*")) {
        if !packages.iter().any(|package| package.name == layer.name) {
            let message = format!("the layer table names `{}`, which is not in the workspace", layer.name);
            findings.push(Finding::new("Cargo.toml", 0, RULE, message));
        }
    }
    findings
}

/// Compares the table in ARCHITECTURE.md with the one above.
pub(crate) fn check_architecture(tree: &Tree) -> Option<Finding> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        return Some(Finding::new(ARCHITECTURE, 0, RULE, "is missing"));
    };
    let Some((_, inside, _)) = around_markers(text) else {
        return Some(Finding::new(ARCHITECTURE, 0, RULE, format!("has no `{BEGIN}` .. `{END}`")));
    };
    let stale = inside.trim() != markdown(TABLE).trim();
    stale.then(|| Finding::new(ARCHITECTURE, 0, RULE, "the layer table is stale; run `cargo xtask tidy --fix`"))
}

/// ARCHITECTURE.md with the right table, if it has a wrong one.
pub(crate) fn fixed_architecture(tree: &Tree) -> Option<String> {
    check_architecture(tree)?;
    let (before, _, after) = around_markers(tree.text(ARCHITECTURE)?)?;
    Some(format!("{before}{BEGIN}\n{}{END}{after}", markdown(TABLE)))
}

fn around_markers(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (inside, after) = rest.split_once(END)?;
    Some((before, inside, after))
}

fn markdown(table: &[Layer]) -> String {
    let mut text = String::from("| crate | may depend on | in its build script | pure |\n|---|---|---|---|\n");
    for layer in table {
        let pure = if pure::CRATES.contains(&layer.name) { "yes" } else { "" };
        let row = format!("| {} | {} | {} | {pure} |\n", layer.name, layer.normal.join(", "), layer.build.join(", "));
        text.push_str(&row);
    }
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DependencyKind {
    Normal,
    Build,
    Dev,
}

fn entry(package: &Package) -> &str {
    if package.directory.starts_with("examples/") { "examples/*" } else { &package.name }
}

fn layer<'a>(table: &'a [Layer], name: &str) -> Option<&'a Layer> {
    table.iter().find(|layer| layer.name == name)
}

fn workspace_dependencies<'a>(package: &'a Package, all: &'a [Package]) -> Vec<(DependencyKind, &'a str)> {
    let mut tables = vec![&package.manifest];
    let targets = package.manifest.get("target").and_then(toml::Value::as_table);
    tables.extend(targets.into_iter().flat_map(|targets| targets.values()).filter_map(toml::Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        let sections = [
            ("dependencies", DependencyKind::Normal),
            ("build-dependencies", DependencyKind::Build),
            ("dev-dependencies", DependencyKind::Dev),
        ];
        for (section, kind) in sections {
            let Some(dependencies) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for (key, value) in dependencies {
                let name = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                if let Some(package) = all.iter().find(|package| package.name == name) {
                    found.push((kind, entry(package)));
                }
            }
        }
    }
    found
}

fn refused(table: &[Layer], layer: &Layer, kind: DependencyKind, dependency: &str) -> Option<String> {
    let allowed = match kind {
        DependencyKind::Normal => layer.normal.contains(&dependency),
        DependencyKind::Build => layer.normal.contains(&dependency) || layer.build.contains(&dependency),
        DependencyKind::Dev => {
            let circle = dependency != layer.name && above(table, dependency).contains(layer.name);
            if circle {
                return Some(format!("dev-dependency `{dependency}` itself depends on `{}`", layer.name));
            }
            let known = layer.normal.contains(&dependency) || layer.build.contains(&dependency);
            // On itself: tests of a crate that want one of its features.
            known || dependency == layer.name || FOR_TESTS.contains(&dependency)
        }
    };
    if allowed {
        return None;
    }
    let word = match kind {
        DependencyKind::Normal => "depend on",
        DependencyKind::Build => "build-depend on",
        DependencyKind::Dev => "dev-depend on",
    };
    Some(format!("`{}` may not {word} `{dependency}`; it may use: [{}]", layer.name, layer.normal.join(", ")))
}

/// Everything that a layer depends on, directly or not.
fn above<'a>(table: &'a [Layer], name: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = layer(table, name).map(|layer| layer.normal.to_vec()).unwrap_or_default();
    while let Some(next) = open.pop() {
        let known = layer(table, next);
        if let Some(layer) = known.filter(|layer| seen.insert(layer.name)) {
            open.extend(layer.normal);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[Layer] = &[
        Layer { name: "low", normal: &[], build: &[] },
        Layer { name: "bbq-sim", normal: &["low"], build: &[] },
        Layer { name: "high", normal: &["low"], build: &[] },
        Layer { name: "beside", normal: &["low"], build: &[] },
        Layer { name: "examples/*", normal: &["high"], build: &["low"] },
    ];

    fn findings(changed: &str, dependencies: &str) -> Vec<String> {
        let mut files =
            vec![("Cargo.toml".to_owned(), "[workspace]\nmembers = [\"crates/*\", \"examples/*\"]".to_owned())];
        for directory in ["crates/low", "crates/bbq-sim", "crates/high", "crates/beside", "examples/chat"] {
            let name = directory.rsplit('/').next().unwrap();
            let own = if name == changed { dependencies } else { "" };
            let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{own}");
            files.push((format!("{directory}/Cargo.toml"), text));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        check(&Tree::of_texts(&files), SMALL).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn allowed_arrows_are_silent() {
        assert_eq!(findings("high", "[dependencies]\nlow.workspace = true"), [""; 0]);
        assert_eq!(findings("high", "[dev-dependencies]\nbbq-sim.workspace = true"), [""; 0]);
        assert_eq!(findings("chat", "[dependencies]\nhigh = {}\n[build-dependencies]\nlow = {}"), [""; 0]);
        assert_eq!(findings("low", "[dependencies]\nserde = \"1\""), [""; 0]);
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_fails() {
        let cases = [
            ("high", "[dependencies]\nbeside = {}"),
            ("low", "[dependencies]\nhigh = {}"),
            ("high", "[target.'cfg(unix)'.dependencies]\nbeside = {}"),
            ("high", "[dependencies]\nalias = { package = \"beside\" }"),
            ("chat", "[dependencies]\nlow = {}"),
            ("high", "[build-dependencies]\nbeside = {}"),
            ("high", "[dev-dependencies]\nbeside = {}"),
            ("high", "[dependencies]\nchat = {}"),
        ];
        for (package, dependencies) in cases {
            assert_eq!(findings(package, dependencies).len(), 1, "{package}: {dependencies}");
        }
    }

    #[test]
    fn a_dev_dependency_that_closes_a_circle_fails() {
        let found = findings("low", "[dev-dependencies]\nbbq-sim = {}");
        assert_eq!(found, ["dev-dependency `bbq-sim` itself depends on `low`"]);
    }

    #[test]
    fn a_package_outside_the_table_and_a_line_without_a_package_fail() {
        let root = ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]");
        let tree = Tree::of_texts(&[root, ("crates/new/Cargo.toml", "[package]\nname = \"new\"")]);
        let low = &SMALL[..1];
        let found: Vec<String> = check(&tree, low).into_iter().map(|finding| finding.message).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`new` is not in the layer table"));
        assert!(found[1].contains("names `low`"));
    }

    #[test]
    fn a_package_that_does_not_take_the_lints_of_the_workspace_fails() {
        let root = ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]");
        let tree = Tree::of_texts(&[root, ("crates/low/Cargo.toml", "[package]\nname = \"low\"")]);
        assert_eq!(check(&tree, &SMALL[..1]).len(), 1);
    }

    #[test]
    fn a_stale_table_in_the_architecture_fails_until_it_is_fixed() {
        let missing = Tree::of_texts(&[]);
        assert!(check_architecture(&missing).is_some());
        let unmarked = Tree::of_texts(&[(ARCHITECTURE, "no markers")]);
        assert!(check_architecture(&unmarked).is_some());
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let stale = Tree::of_texts(&[(ARCHITECTURE, &text)]);
        assert!(check_architecture(&stale).is_some());
        let fixed = fixed_architecture(&stale).unwrap();
        assert!(fixed.starts_with("above\n") && fixed.ends_with("\nbelow\n"));
        assert_eq!(check_architecture(&Tree::of_texts(&[(ARCHITECTURE, &fixed)])), None);
    }

    #[test]
    fn the_real_table_has_no_circles() {
        for layer in TABLE {
            assert!(!above(TABLE, layer.name).contains(layer.name), "{} depends on itself", layer.name);
        }
    }
}
