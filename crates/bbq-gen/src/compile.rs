//! From proto files to a [`Schema`].

use std::path::Path;

use protox::prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind as FieldKind, MessageDescriptor,
};

use crate::error::Error;
use crate::options::read_service;
use crate::schema::{Enum, Field, Message, Schema, is_framework_file};
use crate::sources::{Places, Sources, on_disk};

/// Compiles `files` and what they import. Imports are looked up in `includes`; `gobbq/options.proto`, Google's
/// well-known types and `bbq.proto` (the options of the first gobbq) need no path.
///
/// # Errors
/// [`Error::Proto`] with the place of the first thing that is not valid protobuf. Wrong options are no error here; they
/// are among the findings of [`crate::check`], and the generators refuse a schema that has errors among those.
pub fn compile(files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<Schema, Error> {
    let includes = includes.iter().map(|include| include.as_ref().to_owned()).collect();
    let sources = Sources { includes, ..Sources::default() };
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    compile_sources(&files, &sources)
}

/// Compiles texts: `(name, text)`, where the name is what another text imports.
///
/// # Errors
/// As [`compile`].
pub fn compile_texts(texts: &[(&str, &str)]) -> Result<Schema, Error> {
    let files: Vec<&Path> = texts.iter().map(|(name, _)| Path::new(*name)).collect();
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    compile_sources(&files, &Sources { texts, ..Sources::default() })
}

fn compile_sources(files: &[&Path], sources: &Sources) -> Result<Schema, Error> {
    let mut compiler = protox::Compiler::with_file_resolver(sources.resolver());
    compiler.include_imports(true).include_source_info(true);
    for file in files {
        compiler.open_file(file).map_err(|error| {
            let mut finding = sources.finding(&error);
            if finding.at.file.is_empty() {
                finding.at.file = file.display().to_string();
            }
            Error::Proto(vec![finding])
        })?;
    }
    let with_source = compiler.encode_file_descriptor_set();
    let descriptor = compiler.include_source_info(false).encode_file_descriptor_set();
    let mut schema = Schema {
        services: Vec::new(),
        messages: Vec::new(),
        enums: Vec::new(),
        descriptor,
        read: on_disk(compiler.files().map(protox::file::FileMetadata::path)),
        pool: compiler.descriptor_pool(),
        with_source,
        findings: Vec::new(),
    };
    for file in schema.pool.clone().files() {
        if !is_framework_file(&file) {
            let places = Places::of(&file, sources.path(file.name()));
            read_file(&mut schema, &file, &places);
        }
    }
    Ok(schema)
}

fn read_file(schema: &mut Schema, file: &FileDescriptor, places: &Places) {
    for service in file.services() {
        let service = read_service(&service, places, &mut schema.findings);
        schema.services.push(service);
    }
    for message in file.messages() {
        read_message(schema, &message, places);
    }
    for one in file.enums() {
        schema.enums.push(read_enum(&one, places));
    }
}

fn read_message(schema: &mut Schema, message: &MessageDescriptor, places: &Places) {
    if message.is_map_entry() {
        return;
    }
    schema.messages.push(Message {
        full_name: message.full_name().to_owned(),
        // `fields` is sorted by number; the order of the file is that of the descriptor.
        fields: in_file_order(message).map(|field| read_field(&field, places)).collect(),
        reserved: message.reserved_ranges().map(|range| (range.start, range.end.saturating_sub(1))).collect(),
        doc: places.doc(message.path()),
        at: places.at_name(message.path()),
    });
    for child in message.child_messages() {
        read_message(schema, &child, places);
    }
    for child in message.child_enums() {
        schema.enums.push(read_enum(&child, places));
    }
}

/// The fields of a message as they stand in the file.
pub(crate) fn in_file_order(message: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> + '_ {
    let names = message.descriptor_proto().field.iter();
    names.filter_map(|field| message.get_field_by_name(field.name()))
}

fn read_enum(one: &EnumDescriptor, places: &Places) -> Enum {
    let values = one.enum_descriptor_proto().value.iter();
    Enum {
        full_name: one.full_name().to_owned(),
        values: values.map(|value| (value.name().to_owned(), value.number())).collect(),
        reserved: one.reserved_ranges().map(|range| (*range.start(), *range.end())).collect(),
        at: places.at_name(one.path()),
    }
}

fn read_field(field: &FieldDescriptor, places: &Places) -> Field {
    Field {
        name: field.name().to_owned(),
        number: field.number(),
        kind: field_kind(field),
        refers_to: refers_to(field),
        at: places.at_name(field.path()),
    }
}

fn refers_to(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        FieldKind::Message(entry) if entry.is_map_entry() => refers_to(&entry.map_entry_value_field()),
        FieldKind::Message(message) => Some(message.full_name().to_owned()),
        FieldKind::Enum(one) => Some(one.full_name().to_owned()),
        _ => None,
    }
}

/// The type of a field as in a proto file. Presence is left out: it does not change the bytes.
pub(crate) fn field_kind(field: &FieldDescriptor) -> String {
    if let FieldKind::Message(entry) = field.kind()
        && entry.is_map_entry()
    {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map<{}, {}>", kind_name(&key.kind()), kind_name(&value.kind()));
    }
    let name = kind_name(&field.kind());
    if field.cardinality() == Cardinality::Repeated { format!("repeated {name}") } else { name }
}

fn kind_name(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Message(message) => message.full_name().to_owned(),
        FieldKind::Enum(one) => one.full_name().to_owned(),
        scalar => format!("{scalar:?}"),
    }
}
