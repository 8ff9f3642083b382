//! `chat_pb.ts`: messages and enums as the generator of protobuf-es writes them.

use protox::prost_reflect::prost_types::FieldDescriptorProto;
use protox::prost_reflect::prost_types::field_options::JsType;
use protox::prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, OneofDescriptor, Syntax,
};

use super::comment::{block, generated};
use super::descriptor::Embedded;
use super::imports::{Imports, relative};
use super::names::{Names, Type, camel, property, shared_prefix, stem, types_of};
use crate::compile::{field_kind, in_file_order};
use crate::sources::Places;

const CODEGEN: &str = "@bufbuild/protobuf/codegenv2";
const RUNTIME: &str = "@bufbuild/protobuf";
/// The module of Google's well-known types.
pub(super) const WELL_KNOWN: &str = "@bufbuild/protobuf/wkt";

/// One file while it is written.
struct Writer<'a> {
    file: &'a FileDescriptor,
    names: Names,
    imports: Imports,
    places: Places,
}

pub(super) fn messages(file: &FileDescriptor, embedded: &Embedded) -> String {
    let names = Names::of(file);
    let imports = Imports::new(names.taken.clone());
    let mut writer = Writer { file, names, imports, places: Places::of(file, file.name().to_owned()) };
    let mut body = writer.file_description(embedded);
    for one in types_of(file) {
        body.push('\n');
        body.push_str(&match &one {
            Type::Message(message) => writer.message(message),
            Type::Enum(one) => writer.an_enum(one),
        });
    }
    let package =
        if file.package_name().is_empty() { String::new() } else { format!("package {}, ", file.package_name()) };
    let syntax = if file.syntax() == Syntax::Proto2 { "proto2" } else { "proto3" };
    format!(
        "// @generated from file {} ({package}syntax {syntax}). Do not edit.\n/* eslint-disable */\n\n{}\n{body}\n",
        file.name(),
        writer.imports.print(false)
    )
}

/// Where the code for a proto file is, as seen from the code of `importer`.
pub(super) fn module_of(importer: &str, file: &str) -> String {
    if file.starts_with("google/protobuf/") {
        WELL_KNOWN.to_owned()
    } else {
        relative(importer, &format!("{}_pb.js", stem(file)))
    }
}

impl Writer<'_> {
    fn file_description(&mut self, embedded: &Embedded) -> String {
        let gen_file = self.imports.a_type("GenFile", CODEGEN);
        let file_desc = self.imports.value("fileDesc", CODEGEN);
        let pool = self.file.parent_pool();
        let dependencies = embedded.dependencies.iter().filter_map(|name| pool.get_file_by_name(name));
        let dependencies: Vec<String> = dependencies
            .map(|file| self.imports.value(&Names::of(&file).file, &module_of(self.file.name(), file.name())))
            .collect();
        let list = if dependencies.is_empty() { String::new() } else { format!(", [{}]", dependencies.join(", ")) };
        let name = &self.names.file;
        let doc = block(&self.described("file", self.file.name(), is_deprecated_file(self.file)), "");
        format!("{doc}export const {name}: {gen_file} = /*@__PURE__*/\n  {file_desc}(\"{}\"{list});\n", embedded.base64)
    }

    fn described(&self, what: &str, name: &str, deprecated: bool) -> String {
        let usage = match what {
            "message" => format!("\nUse `create({})` to create a new message.", self.names.schema(name)),
            _ => String::new(),
        };
        let deprecated = if deprecated { "\n@deprecated" } else { "" };
        format!("Describes the {what} {name}.{usage}{deprecated}")
    }

    /// The comment of the thing at `path`, with its origin.
    fn doc(&self, path: &[i32], origin: &str, deprecated: bool, indent: &str) -> String {
        let (leading, trailing) = self.places.comments(path);
        block(&generated(leading, trailing, origin, deprecated), indent)
    }

    fn message(&mut self, message: &MessageDescriptor) -> String {
        let full_name = message.full_name();
        let deprecated = is_deprecated(message);
        let doc = self.doc(message.path(), &format!("message {full_name}"), deprecated, "");
        let base = self.imports.a_type("Message", RUNTIME);
        let members = self.members(message, deprecated);
        let gen_message = self.imports.a_type("GenMessage", CODEGEN);
        let message_desc = self.imports.value("messageDesc", CODEGEN);
        let (shape, schema) = (self.names.shape(full_name), self.names.schema(full_name));
        let (file, path) = (&self.names.file, message_indices(message));
        let described = block(&self.described("message", full_name, deprecated), "");
        format!(
            "{doc}export type {shape} = {base}<\"{full_name}\"> & {{\n{members}}};\n\n\
             {described}export const {schema}: {gen_message}<{shape}> = /*@__PURE__*/\n  {message_desc}({file}{path});\n"
        )
    }

    fn members(&mut self, message: &MessageDescriptor, deprecated: bool) -> String {
        let mut members = Vec::new();
        let mut seen = Vec::new();
        for field in in_file_order(message) {
            let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) else {
                members.push(self.field(&field));
                continue;
            };
            if !seen.contains(&oneof.full_name().to_owned()) {
                seen.push(oneof.full_name().to_owned());
                members.push(self.oneof(&oneof, deprecated));
            }
        }
        members.join("\n")
    }

    fn field(&mut self, field: &FieldDescriptor) -> String {
        let doc = self.field_doc(field, "  ");
        let name = property(&camel(field.name()));
        let is_singular = field.cardinality() != Cardinality::Repeated;
        let may_be_absent = is_singular
            && (matches!(field.kind(), Kind::Message(_)) || field.field_descriptor_proto().proto3_optional());
        let (mark, absent) = if may_be_absent { ("?", " | undefined") } else { ("", "") };
        let kind = self.field_type(field);
        format!("{doc}  {name}{mark}: {kind}{absent};\n")
    }

    fn oneof(&mut self, oneof: &OneofDescriptor, deprecated: bool) -> String {
        let doc = self.doc(oneof.path(), &format!("oneof {}", oneof.full_name()), deprecated, "  ");
        let name = property(&camel(oneof.name()));
        let mut fields: Vec<FieldDescriptor> = oneof.fields().collect();
        fields.sort_by_key(|field| field.path().last().copied());
        let cases: Vec<String> = fields
            .iter()
            .map(|field| {
                let doc = self.field_doc(field, "    ");
                let (kind, case) = (self.field_type(field), property(&camel(field.name())));
                format!("{{\n{doc}    value: {kind};\n    case: \"{case}\";\n  }}")
            })
            .collect();
        format!("{doc}  {name}: {} | {{ case: undefined; value?: undefined }};\n", cases.join(" | "))
    }

    fn field_doc(&self, field: &FieldDescriptor, indent: &str) -> String {
        let descriptor = field.field_descriptor_proto();
        let deprecated = descriptor.options.as_ref().is_some_and(|options| options.deprecated());
        self.doc(field.path(), &format!("field: {};", declaration(field)), deprecated, indent)
    }

    fn field_type(&mut self, field: &FieldDescriptor) -> String {
        if let Kind::Message(entry) = field.kind()
            && entry.is_map_entry()
        {
            let key = if is_small_integer(&entry.map_entry_key_field().kind()) { "number" } else { "string" };
            let value = entry.map_entry_value_field();
            let value = self.element_type(&value.kind(), &value, false);
            return format!("{{ [key: {key}]: {value} }}");
        }
        let is_list = field.cardinality() == Cardinality::Repeated;
        let unwraps = !is_list && field.containing_oneof().is_none();
        let element = self.element_type(&field.kind(), field, unwraps);
        if is_list { format!("{element}[]") } else { element }
    }

    /// `unwraps`: a wrapper message is shown as what it wraps.
    fn element_type(&mut self, kind: &Kind, field: &FieldDescriptor, unwraps: bool) -> String {
        let as_text =
            field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.jstype() == JsType::JsString);
        match kind {
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Struct" => self.imports.a_type("JsonObject", RUNTIME),
                name if unwraps && is_wrapper(name) => {
                    message.get_field(1).map(|value| scalar(&value.kind(), false)).unwrap_or_default()
                }
                name => self.shape(name, &message.parent_file()),
            },
            Kind::Enum(one) => self.shape(one.full_name(), &one.parent_file()),
            kind => scalar(kind, as_text),
        }
    }

    /// The name of a type here, imported if need be.
    fn shape(&mut self, full_name: &str, home: &FileDescriptor) -> String {
        if home == self.file {
            return self.names.shape(full_name).to_owned();
        }
        let module = module_of(self.file.name(), home.name());
        self.imports.a_type(Names::of(home).shape(full_name), &module)
    }

    fn an_enum(&mut self, one: &EnumDescriptor) -> String {
        let full_name = one.full_name();
        let own = one.enum_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated());
        let outer = one.parent_message().is_some_and(|message| is_deprecated(&message));
        let deprecated = own || outer || is_deprecated_file(&one.parent_file());
        let doc = self.doc(one.path(), &format!("enum {full_name}"), deprecated, "");
        let prefix = shared_prefix(one);
        let mut values = Vec::new();
        for (index, value) in one.enum_descriptor_proto().value.iter().enumerate() {
            let path = [one.path(), &[2, i32::try_from(index).unwrap_or(i32::MAX)]].concat();
            let deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
            let mark = if deprecated { " [deprecated = true]" } else { "" };
            let origin = format!("enum value: {} = {}{mark};", value.name(), value.number());
            let doc = self.doc(&path, &origin, deprecated, "  ");
            let name = property(value.name().get(prefix..).unwrap_or_default());
            values.push(format!("{doc}  {name} = {},\n", value.number()));
        }
        let gen_enum = self.imports.a_type("GenEnum", CODEGEN);
        let enum_desc = self.imports.value("enumDesc", CODEGEN);
        let (shape, schema) = (self.names.shape(full_name), self.names.schema(full_name));
        let (file, path, values) = (&self.names.file, enum_indices(one), values.join("\n"));
        let described = block(&self.described("enum", full_name, deprecated), "");
        format!(
            "{doc}export enum {shape} {{\n{values}}}\n\n\
             {described}export const {schema}: {gen_enum}<{shape}> = /*@__PURE__*/\n  {enum_desc}({file}{path});\n"
        )
    }
}

/// Where a message is in its file: `, 2, 0`. The entries of maps, which stand among nested messages, do not count.
fn message_indices(message: &MessageDescriptor) -> String {
    match message.parent_message() {
        None => last_index(message.path()),
        Some(outer) => {
            let before = outer.child_messages().filter(|child| !child.is_map_entry());
            let index = before.take_while(|child| child != message).count();
            format!("{}, {index}", message_indices(&outer))
        }
    }
}

fn enum_indices(one: &EnumDescriptor) -> String {
    let outer = one.parent_message().map(|outer| message_indices(&outer)).unwrap_or_default();
    outer + &last_index(one.path())
}

fn last_index(path: &[i32]) -> String {
    path.last().map(|index| format!(", {index}")).unwrap_or_default()
}

fn is_deprecated(message: &MessageDescriptor) -> bool {
    let own = message.descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated());
    let outer = message.parent_message().is_some_and(|outer| is_deprecated(&outer));
    own || outer || is_deprecated_file(&message.parent_file())
}

fn is_deprecated_file(file: &FileDescriptor) -> bool {
    file.file_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated())
}

fn is_small_integer(kind: &Kind) -> bool {
    matches!(kind, Kind::Int32 | Kind::Fixed32 | Kind::Uint32 | Kind::Sfixed32 | Kind::Sint32)
}

fn is_wrapper(full_name: &str) -> bool {
    full_name.strip_prefix("google.protobuf.").is_some_and(|name| {
        matches!(
            name,
            "DoubleValue"
                | "FloatValue"
                | "Int64Value"
                | "UInt64Value"
                | "Int32Value"
                | "UInt32Value"
                | "BoolValue"
                | "StringValue"
                | "BytesValue"
        )
    })
}

fn scalar(kind: &Kind, as_text: bool) -> String {
    let name = match kind {
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 if as_text => "string",
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => "bigint",
        Kind::Bool => "boolean",
        Kind::String => "string",
        Kind::Bytes => "Uint8Array",
        _ => "number",
    };
    name.to_owned()
}

/// A field as in the proto file, with the options that change its meaning.
fn declaration(field: &FieldDescriptor) -> String {
    let descriptor = field.field_descriptor_proto();
    let is_proto2 = field.parent_file().syntax() == Syntax::Proto2;
    let keyword = match field.cardinality() {
        Cardinality::Required => "required ",
        Cardinality::Optional if descriptor.proto3_optional() => "optional ",
        Cardinality::Optional if is_proto2 && field.containing_oneof().is_none() => "optional ",
        _ => "",
    };
    let options = declared_options(field, descriptor);
    let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
    format!("{keyword}{} {} = {}{options}", field_kind(field), field.name(), field.number())
}

fn declared_options(field: &FieldDescriptor, descriptor: &FieldDescriptorProto) -> Vec<String> {
    let mut options = Vec::new();
    let set = descriptor.options.as_ref();
    options.extend(set.and_then(|set| set.packed).map(|packed| format!("packed = {packed}")));
    if let Some(default) = &descriptor.default_value {
        let is_text = matches!(field.kind(), Kind::String | Kind::Bytes);
        let text = if is_text { format!("\"{}\"", default.replace('"', "\\\"")) } else { default.clone() };
        options.push(format!("default = {text}"));
    }
    if descriptor.json_name.is_some() && field.json_name() != camel(field.name()) {
        options.push(format!("json_name = \"{}\"", field.json_name()));
    }
    options
        .extend(set.filter(|set| set.jstype.is_some()).map(|set| format!("jstype = {}", set.jstype().as_str_name())));
    options.extend(set.and_then(|set| set.deprecated).map(|_| "deprecated = true".to_owned()));
    options
}
