//! What things of a proto file are called in Rust, and names that are taken.

use buffa_codegen::idents::{escape_mod_ident, make_field_ident, to_shouty_snake_case};

use crate::finding::Finding;
use crate::schema::{Kind, Method, Schema, Service};

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
    to_shouty_snake_case(name).to_lowercase()
}

/// The path of a package below the generated root: `a::b::`, or nothing.
pub(crate) fn module_path(package: &str) -> String {
    package.split('.').filter(|part| !part.is_empty()).map(|part| escape_mod_ident(part) + "::").collect()
}

/// Finds names that the generated code would define twice.
pub(crate) fn check_names(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, service) in schema.services.iter().enumerate() {
        let earlier = schema.services.iter().take(index).filter(|earlier| earlier.package == service.package);
        findings.extend(types_defined_twice(schema, service, earlier));
        findings.extend(methods_defined_twice(service));
    }
    findings
}

fn types_defined_twice<'a>(
    schema: &Schema,
    service: &Service,
    earlier: impl Iterator<Item = &'a Service>,
) -> Option<Finding> {
    let types = service.rust_types();
    let full =
        |name: &String| if service.package.is_empty() { name.clone() } else { format!("{}.{name}", service.package) };
    let by_message = types.iter().find(|name| {
        let name = full(name);
        schema.message(&name).is_some() || schema.enums.iter().any(|one| one.full_name == name)
    });
    let by_root = (service.package.is_empty() && TAKEN_AT_ROOT.contains(&service.rust_static().as_str()))
        .then(|| service.rust_static());
    let mut earlier = earlier.flat_map(|earlier| earlier.rust_types().into_iter().chain([earlier.rust_static()]));
    let by_service = earlier.find(|name| types.contains(name) || *name == service.rust_static());
    let clash = by_message.cloned().or(by_root).or(by_service)?;
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
    for (index, method) in service.methods.iter().enumerate() {
        let name = snake(&method.name);
        let twice = service.methods.iter().take(index).any(|earlier| snake(&earlier.name) == name);
        if twice || taken.contains(&name.as_str()) {
            let message = format!(
                "{}/{} needs the name `{name}` in generated code, and it is taken",
                service.full_name, method.name
            );
            findings.push(Finding::error("BBQ-0111", &method.at, message, "rename the method"));
        }
    }
    findings
}
