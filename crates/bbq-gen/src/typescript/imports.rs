//! The imports of one TypeScript file, in the order in which their modules are first needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Collects imports while code is written.
#[derive(Default)]
pub(super) struct Imports {
    modules: Vec<Module>,
    taken: BTreeSet<String>,
}

#[derive(Default)]
struct Module {
    from: String,
    /// Name there, to name here.
    types: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
}

impl Imports {
    /// For a file that declares `taken` itself.
    pub(super) fn new(taken: BTreeSet<String>) -> Self {
        Self { modules: Vec::new(), taken }
    }

    /// Imports a type; gives its name here.
    pub(super) fn a_type(&mut self, name: &str, from: &str) -> String {
        self.import(name, from, true)
    }

    /// Imports a value; gives its name here.
    pub(super) fn value(&mut self, name: &str, from: &str) -> String {
        self.import(name, from, false)
    }

    fn import(&mut self, name: &str, from: &str, is_type: bool) -> String {
        let index = self.modules.iter().position(|module| module.from == from).unwrap_or_else(|| {
            self.modules.push(Module { from: from.to_owned(), ..Module::default() });
            self.modules.len() - 1
        });
        let Some(module) = self.modules.get_mut(index) else { return name.to_owned() };
        let known = module.types.get(name).or_else(|| module.values.get(name)).cloned();
        let here = known.unwrap_or_else(|| {
            let aliases = std::iter::once(name.to_owned()).chain((1..).map(|n| format!("{name}${n}")));
            aliases.into_iter().find(|alias| !self.taken.contains(alias)).unwrap_or_default()
        });
        self.taken.insert(here.clone());
        let list = if is_type { &mut module.types } else { &mut module.values };
        list.insert(name.to_owned(), here.clone());
        here
    }

    /// A line per module and sort; nothing longer than 120 columns stays on one line when `wrapped`.
    pub(super) fn print(&self, wrapped: bool) -> String {
        let mut out = String::new();
        for module in &self.modules {
            let types = module.types.iter().filter(|(name, _)| !module.values.contains_key(*name));
            for (word, names) in
                [("import type", types.collect()), ("import", module.values.iter().collect::<Vec<_>>())]
            {
                let names: Vec<String> = names
                    .into_iter()
                    .map(|(name, here)| if name == here { name.clone() } else { format!("{name} as {here}") })
                    .collect();
                let line = format!("{word} {{ {} }} from \"{}\";", names.join(", "), module.from);
                if names.is_empty() {
                    continue;
                }
                if wrapped && line.len() > 120 {
                    let _ = writeln!(out, "{word} {{\n  {},\n}} from \"{}\";", names.join(",\n  "), module.from);
                } else {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
        out
    }
}

/// The module of `target` as `importer` writes it; both are names of proto files.
pub(super) fn relative(importer: &str, target: &str) -> String {
    let mut up: Vec<&str> = importer.split('/').collect();
    up.pop();
    let down: Vec<&str> = target.split('/').collect();
    let same = up.iter().zip(&down).take_while(|(a, b)| a == b).count();
    let steps = match up.len() - same {
        0 => "./".to_owned(),
        levels => "../".repeat(levels),
    };
    format!("{steps}{}", down.get(same..).unwrap_or_default().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_from_where_the_importer_is() {
        assert_eq!(relative("chat.proto", "common_pb.js"), "./common_pb.js");
        assert_eq!(relative("chat/chat.proto", "chat/common_pb.js"), "./common_pb.js");
        assert_eq!(relative("chat/chat.proto", "shop/item_pb.js"), "../shop/item_pb.js");
        assert_eq!(relative("a/b/c.proto", "d_pb.js"), "../../d_pb.js");
    }

    #[test]
    fn a_name_that_is_taken_gets_another() {
        let mut imports = Imports::new(BTreeSet::from(["Message".to_owned()]));
        assert_eq!(imports.a_type("Message", "p"), "Message$1");
        assert_eq!(imports.a_type("Message", "p"), "Message$1");
        assert_eq!(imports.a_type("Mood", "a"), "Mood");
        assert_eq!(imports.a_type("Mood", "b"), "Mood$1");
        assert_eq!(
            imports.print(false),
            "import type { Message as Message$1 } from \"p\";\nimport type { Mood } from \"a\";\nimport type { Mood as Mood$1 } from \"b\";\n"
        );
    }
}
