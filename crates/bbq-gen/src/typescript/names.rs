//! What things of a proto file are called in TypeScript, by the conventions of protobuf-es.

use std::collections::{BTreeMap, BTreeSet};

use protox::prost_reflect::{EnumDescriptor, FileDescriptor, MessageDescriptor};

/// Words that cannot name a type or a constant.
const RESERVED: &[&str] = &[
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "Object",
    "Partial",
    "Uint8Array",
    "bigint",
    "boolean",
    "globalThis",
    "number",
    "object",
    "string",
];

/// Properties that every object has.
const INHERITED: &[&str] = &["constructor", "toString", "toJSON", "valueOf"];

/// A name that can be declared.
pub(super) fn identifier(name: &str) -> String {
    if RESERVED.contains(&name) { format!("{name}$") } else { name.to_owned() }
}

/// A name that can be a property.
pub(super) fn property(name: &str) -> String {
    if INHERITED.contains(&name) { format!("{name}$") } else { name.to_owned() }
}

/// `snake_case_2d` to `snakeCase2d`, as in the JSON names of fields.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::new();
    let mut after_underscore = false;
    for c in name.chars() {
        if c != '_' {
            out.push(if after_underscore { c.to_ascii_uppercase() } else { c });
        }
        after_underscore = c == '_';
    }
    out
}

/// The name of a method: camel case, with a small first letter.
pub(super) fn method(name: &str) -> String {
    let name = camel(name);
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    property(&first.into_iter().chain(letters).collect::<String>())
}

/// `chat/chat.proto` to `chat/chat`.
pub(super) fn stem(file: &str) -> &str {
    file.strip_suffix(".proto").unwrap_or(file)
}

/// The part that all values of an enum begin with and that its members drop: `MOOD_`. Nothing, when a value without it
/// would be no name.
pub(super) fn shared_prefix(one: &EnumDescriptor) -> usize {
    let mut prefix = String::new();
    for (index, c) in one.name().chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_lowercase());
    }
    prefix.push('_');
    let fits = |name: &str| {
        let rest = name.to_ascii_lowercase().strip_prefix(&prefix).map(str::to_owned);
        rest.is_some_and(|rest| rest.starts_with(|c: char| !c.is_ascii_digit()))
    };
    let values = &one.enum_descriptor_proto().value;
    if values.iter().all(|value| fits(value.name())) { prefix.len() } else { 0 }
}

/// A message or an enum of a file.
#[derive(Clone)]
pub(super) enum Type {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl Type {
    pub(super) fn full_name(&self) -> &str {
        match self {
            Self::Message(message) => message.full_name(),
            Self::Enum(one) => one.full_name(),
        }
    }

    fn package(&self) -> &str {
        match self {
            Self::Message(message) => message.package_name(),
            Self::Enum(one) => one.package_name(),
        }
    }
}

/// All types of a file in the order of their code: messages with what is nested in them, then enums.
pub(super) fn types_of(file: &FileDescriptor) -> Vec<Type> {
    let mut types = Vec::new();
    for message in file.messages() {
        types_within(message, &mut types);
    }
    types.extend(file.enums().map(Type::Enum));
    types
}

fn types_within(message: MessageDescriptor, types: &mut Vec<Type>) {
    if message.is_map_entry() {
        return;
    }
    types.push(Type::Message(message.clone()));
    for child in message.child_messages() {
        types_within(child, types);
    }
    types.extend(message.child_enums().map(Type::Enum));
}

/// The names that the code of one file declares, by full name in the proto.
pub(super) struct Names {
    /// Types: `SayRequest_Part`.
    shapes: BTreeMap<String, String>,
    /// Constants: `SayRequest_PartSchema`.
    schemas: BTreeMap<String, String>,
    /// `file_chat_chat`.
    pub(super) file: String,
    /// All of them.
    pub(super) taken: BTreeSet<String>,
}

impl Names {
    pub(super) fn of(file: &FileDescriptor) -> Self {
        let types = types_of(file);
        let mut taken = BTreeSet::new();
        let mut declare = |name: &str| {
            let salts =
                std::iter::once(String::new()).chain((0..).map(|n| if n == 0 { "$".into() } else { format!("${n}") }));
            let mut candidates = salts.map(|salt| identifier(&format!("{name}{salt}")));
            let free = candidates.find(|candidate| !taken.contains(candidate)).unwrap_or_default();
            taken.insert(free.clone());
            free
        };
        let shape = |one: &Type| flat_name(one);
        let shapes = types.iter().map(|one| (one.full_name().to_owned(), declare(&shape(one)))).collect();
        let stem: String = stem(file.name()).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let file = declare(&format!("file_{stem}"));
        let schemas =
            types.iter().map(|one| (one.full_name().to_owned(), declare(&format!("{}Schema", shape(one))))).collect();
        Self { shapes, schemas, file, taken }
    }

    pub(super) fn shape(&self, full_name: &str) -> &str {
        self.shapes.get(full_name).map_or("", String::as_str)
    }

    pub(super) fn schema(&self, full_name: &str) -> &str {
        self.schemas.get(full_name).map_or("", String::as_str)
    }
}

/// The full name without package, with `_` for the dots.
fn flat_name(one: &Type) -> String {
    let name = one.full_name().strip_prefix(one.package()).unwrap_or(one.full_name());
    name.trim_start_matches('.').replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_json() {
        for (name, expected) in [
            ("text", "text"),
            ("player_id", "playerId"),
            ("snake_case_2d", "snakeCase2d"),
            ("_leading", "Leading"),
            ("camelCase", "camelCase"),
            ("a__b", "aB"),
            ("end_", "end"),
        ] {
            assert_eq!(camel(name), expected);
        }
        assert_eq!(method("ListHTTPRooms"), "listHTTPRooms");
        assert_eq!(method("ToString"), "toString$");
        assert_eq!(identifier("Object"), "Object$");
        assert_eq!(property("constructor"), "constructor$");
    }
}
