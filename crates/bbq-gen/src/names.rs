//! What things of a proto file are called in Rust, and names that are taken.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use buffa_codegen::idents::{escape_mod_ident, make_field_ident, to_shouty_snake_case};

use crate::finding::Finding;
use crate::schema::{Kind, Method, Schema, Service};
use crate::work;

/// Methods that the generated traits and stubs have anyway.
const TAKEN_BY_ENTITIES: &[&str] = &[
    "new",
    "state",
    "lend",
    "entity",
    "bind",
    "handle",
    "on_init",
    "on_destroy",
    "on_tick",
    "on_timer",
    "on_notify",
    "on_session",
    "on_gone",
];
const TAKEN_BY_SERVICES: &[&str] = &["service", "bind", "on_init"];
const TAKEN_BY_CLIENTS: &[&str] = &["bind"];

/// What lives at the root of the generated file.
const TAKEN_AT_ROOT: &[&str] = &["DESCRIPTOR", "SERVICES"];

impl Service {
    /// The trait that a user implements: `RoomEntity`, `LobbyService`. The suffix is not doubled.
    pub(crate) fn rust_trait(&self) -> String {
        let suffix = if self.kind == Kind::Service { "Service" } else { "Entity" };
        if self.name.ends_with(suffix) { self.name.clone() } else { format!("{}{suffix}", self.name) }
    }

    /// The typed access: `RoomRef`.
    pub(crate) fn rust_ref(&self) -> String {
        format!("{}Ref", self.name)
    }

    /// What ties the trait to the world: `RoomGlue`.
    pub(crate) fn rust_glue(&self) -> String {
        format!("{}Glue", self.name)
    }

    /// The descriptor: `ROOM`.
    pub(crate) fn rust_static(&self) -> String {
        to_shouty_snake_case(&self.name)
    }

    /// The type names that its stubs define.
    fn rust_types(&self) -> Vec<String> {
        match self.kind {
            Kind::Client => vec![self.rust_ref()],
            Kind::Service | Kind::Entity => vec![self.rust_trait(), self.rust_ref(), self.rust_glue()],
        }
    }
}

impl Method {
    /// `get_http_info`, `r#type`.
    pub(crate) fn rust_name(&self) -> String {
        make_field_ident(&snake(&self.name)).to_string()
    }
}

fn snake(name: &str) -> String {
    work::step();
    to_shouty_snake_case(name).to_lowercase()
}

/// The path of a package below the generated root: `a::b::`, or nothing.
pub(crate) fn module_path(package: &str) -> String {
    package.split('.').filter(|part| !part.is_empty()).map(|part| escape_mod_ident(part) + "::").collect()
}

/// The module that holds what is nested in a message, as buffa names it: an underscore before each word that begins
/// with a capital letter.
fn module_of(message: &str) -> String {
    work::step();
    let letters: Vec<char> = message.chars().collect();
    let mut name = String::with_capacity(message.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let ends_capitals = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins_word = before.is_some_and(|before| before.is_lowercase() || before.is_uppercase() && ends_capitals);
        if letter.is_uppercase() && begins_word {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// Finds names that the generated code would define twice.
pub(crate) fn check_names(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    let messages = schema.messages.iter().map(|message| message.full_name.as_str());
    let declared: BTreeSet<&str> = messages.chain(schema.enums.iter().map(|one| one.full_name.as_str())).collect();
    let mut by_package: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for service in &schema.services {
        let earlier = by_package.entry(&service.package).or_default();
        findings.extend(types_defined_twice(service, &declared, earlier));
        earlier.extend(service.rust_types());
        earlier.insert(service.rust_static());
        findings.extend(methods_defined_twice(service));
    }
    findings.extend(modules_defined_twice(schema));
    findings
}

fn types_defined_twice(service: &Service, declared: &BTreeSet<&str>, earlier: &BTreeSet<String>) -> Option<Finding> {
    let types = service.rust_types();
    let full =
        |name: &String| if service.package.is_empty() { name.clone() } else { format!("{}.{name}", service.package) };
    let by_message = types.iter().find(|name| declared.contains(full(name).as_str()));
    let constant = service.rust_static();
    let by_root = service.package.is_empty() && TAKEN_AT_ROOT.contains(&constant.as_str());
    let by_service = types.iter().chain([&constant]).find(|name| earlier.contains(*name));
    let clash = by_message.or(by_root.then_some(&constant)).or(by_service)?;
    let message = format!("{} needs the name `{clash}` in generated code, and it is taken", service.full_name);
    Some(Finding::error("BBQ-0111", &service.at, message, "rename one of the two"))
}

fn methods_defined_twice(service: &Service) -> Vec<Finding> {
    let taken = match service.kind {
        Kind::Entity => TAKEN_BY_ENTITIES,
        Kind::Service => TAKEN_BY_SERVICES,
        Kind::Client => TAKEN_BY_CLIENTS,
    };
    let mut findings = Vec::new();
    let mut earlier = BTreeSet::new();
    for method in &service.methods {
        let name = snake(&method.name);
        if taken.contains(&name.as_str()) || earlier.contains(&name) {
            let message = format!(
                "{}/{} needs the name `{name}` in generated code, and it is taken",
                service.full_name, method.name
            );
            findings.push(Finding::error("BBQ-0111", &method.at, message, "rename the method"));
        }
        earlier.insert(name);
    }
    findings
}

/// Messages side by side whose names differ in case alone, `HTTPInfo` and `HttpInfo`: each has a module.
fn modules_defined_twice(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut modules: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for message in &schema.messages {
        let (scope, name) = message.full_name.rsplit_once('.').unwrap_or(("", &message.full_name));
        let module = module_of(name);
        match modules.entry((scope, module)) {
            Entry::Vacant(free) => drop(free.insert(name)),
            Entry::Occupied(taken) => {
                let text = format!(
                    "{} needs the module `{}` in generated code, and the message {} has it",
                    message.full_name,
                    taken.key().1,
                    taken.get()
                );
                findings.push(Finding::error("BBQ-0111", &message.at, text, "rename one of the two"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::module_of;

    #[test]
    fn modules_are_named_as_buffa_names_them() {
        for (message, module) in [
            ("SayRequest", "say_request"),
            ("HTTPInfo", "http_info"),
            ("HttpInfo", "http_info"),
            ("FOO", "foo"),
            ("X2Y", "x2y"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(module_of(message), module);
        }
    }
}
