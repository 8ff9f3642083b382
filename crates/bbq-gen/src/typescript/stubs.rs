//! `chat_gobbq.ts`: what clients call, and what they implement.

use std::collections::BTreeSet;

use protox::prost_reflect::FileDescriptor;

use super::comment::short;
use super::imports::Imports;
use super::messages::module_of;
use super::names::{Names, identifier, method};
use crate::schema::{Kind, Method, Schema, Service};

const SDK: &str = "gobbq";

/// The stubs for one file; `None` when no client has to do with it.
pub(super) fn stubs(schema: &Schema, file: &FileDescriptor) -> Option<String> {
    let services: Vec<&Service> = schema
        .services
        .iter()
        .filter(|service| service.file == file.name() && methods(service).next().is_some())
        .collect();
    if services.is_empty() {
        return None;
    }
    let mut imports = Imports::new(services.iter().map(|service| identifier(&service.name)).collect::<BTreeSet<_>>());
    let blocks: Vec<String> = services.iter().map(|service| stub(schema, file, service, &mut imports)).collect();
    // Of the SDK, types and values are on one line.
    let sdk = sdk_import(&services);
    Some(format!(
        "// @generated from file {}. Do not edit.\n\n{sdk}{}\n{}",
        file.name(),
        imports.print(true),
        blocks.join("\n")
    ))
}

/// Clients see what they may call; of a CLIENT, everything is theirs.
fn methods(service: &Service) -> impl Iterator<Item = &Method> {
    service.methods.iter().filter(|method| service.kind == Kind::Client || method.client)
}

fn function(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Entity => "entity",
        Kind::Client => "client",
    }
}

fn shape(kind: Kind) -> &'static str {
    if kind == Kind::Client { "HandlersOf" } else { "StubOf" }
}

fn sdk_import(services: &[&Service]) -> String {
    let functions: BTreeSet<&str> = services.iter().map(|service| function(service.kind)).collect();
    let shapes: BTreeSet<&str> = services.iter().map(|service| shape(service.kind)).collect();
    let functions = functions.into_iter().map(str::to_owned);
    let names: Vec<String> = functions.chain(shapes.into_iter().map(|name| format!("type {name}"))).collect();
    format!("import {{ {} }} from \"{SDK}\";\n", names.join(", "))
}

fn stub(schema: &Schema, file: &FileDescriptor, service: &Service, imports: &mut Imports) -> String {
    let (name, full_name) = (identifier(&service.name), &service.full_name);
    let (function, shape, doc) = (function(service.kind), shape(service.kind), short(&service.doc, ""));
    let lines: String = methods(service).map(|method| entry(schema, file, method, imports)).collect();
    format!(
        "{doc}export const {name} = {function}(\"{full_name}\", {{\n{lines}}});\n\
         export type {name} = {shape}<typeof {name}>;\n"
    )
}

fn entry(schema: &Schema, file: &FileDescriptor, call: &Method, imports: &mut Imports) -> String {
    let mut schema_of = |full_name: &str, is_nothing: bool| {
        let message = schema.pool.get_message_by_name(full_name).filter(|_| !is_nothing);
        message.map_or_else(
            || "null".to_owned(),
            |message| {
                let home = message.parent_file();
                imports.value(Names::of(&home).schema(full_name), &module_of(file.name(), home.name()))
            },
        )
    };
    let request = schema_of(&call.request, call.takes_nothing());
    let reply = schema_of(&call.reply, call.returns_nothing());
    let mut fields = vec![format!("id: {}", call.id), format!("request: {request}"), format!("reply: {reply}")];
    if call.oneway {
        fields.push("oneway: true".to_owned());
    }
    if call.timeout_ms != 0 {
        fields.push(format!("timeoutMs: {}", call.timeout_ms));
    }
    format!("{}  {}: {{ {} }},\n", short(&call.doc, "  "), method(&call.name), fields.join(", "))
}
