//! The descriptor that a generated file embeds: what messages need, and nothing about servers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use buffa::Message as _;
use buffa_codegen::generated::descriptor::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use protox::prost_reflect::FileDescriptor;

use super::names::camel;
use crate::error::Error;
use crate::schema::Schema;

/// A file as protobuf-es embeds it, and the files that it hangs on.
pub(super) struct Embedded {
    pub(super) base64: String,
    /// Names of the proto files to pass to `fileDesc`.
    pub(super) dependencies: Vec<String>,
}

/// Decodes the descriptors of all files once.
pub(super) fn descriptors(schema: &Schema) -> Result<Vec<FileDescriptorProto>, Error> {
    let set = FileDescriptorSet::decode_from_slice(&schema.descriptor)
        .map_err(|why| Error::Messages(format!("the descriptors do not decode: {why}")))?;
    Ok(set.file)
}

pub(super) fn embed(file: &FileDescriptor, all: &[FileDescriptorProto]) -> Embedded {
    let known = all.iter().find(|descriptor| descriptor.name.as_deref() == Some(file.name()));
    let mut descriptor = known.cloned().unwrap_or_default();
    descriptor.service.clear();
    descriptor.extension.clear();
    descriptor.message_type.iter_mut().for_each(strip);
    let dependencies = needed(file, &descriptor);
    let public = descriptor.public_dependency.iter().filter_map(|index| {
        let name = descriptor.dependency.get(usize::try_from(*index).ok()?)?;
        dependencies.iter().position(|kept| kept == name).and_then(|index| i32::try_from(index).ok())
    });
    descriptor.public_dependency = public.collect();
    descriptor.weak_dependency.clear();
    descriptor.dependency.clear();
    Embedded { base64: STANDARD_NO_PAD.encode(descriptor.encode_to_vec()), dependencies }
}

/// JSON names that follow from the names are put back by the runtime.
fn strip(message: &mut DescriptorProto) {
    message.extension.clear();
    for field in &mut message.field {
        if field.json_name.as_deref() == field.name.as_deref().map(camel).as_deref() {
            field.json_name = None;
        }
    }
    message.nested_type.iter_mut().for_each(strip);
}

/// The direct imports that messages use, and the public ones, for those who import this file.
fn needed(file: &FileDescriptor, descriptor: &FileDescriptorProto) -> Vec<String> {
    let mut types = Vec::new();
    descriptor.message_type.iter().for_each(|message| referred(message, &mut types));
    let pool = file.parent_pool();
    let homes: Vec<String> = types
        .iter()
        .filter_map(|name| {
            let message = pool.get_message_by_name(name).map(|message| message.parent_file());
            message.or_else(|| pool.get_enum_by_name(name).map(|one| one.parent_file()))
        })
        .map(|home| home.name().to_owned())
        .collect();
    let public: Vec<String> = file.public_dependencies().map(|public| public.name().to_owned()).collect();
    let leads_to_a_type = |dependency: &FileDescriptor| offers(dependency).any(|file| homes.contains(&file));
    let kept = file
        .dependencies()
        .filter(|dependency| public.iter().any(|name| name == dependency.name()) || leads_to_a_type(dependency));
    kept.map(|dependency| dependency.name().to_owned()).collect()
}

/// A file and those that it imports publicly.
fn offers(file: &FileDescriptor) -> impl Iterator<Item = String> {
    let mut open = vec![file.clone()];
    std::iter::from_fn(move || {
        let file = open.pop()?;
        open.extend(file.public_dependencies());
        Some(file.name().to_owned())
    })
}

fn referred(message: &DescriptorProto, types: &mut Vec<String>) {
    let names = message.field.iter().filter_map(|field| field.type_name.as_deref());
    types.extend(names.map(|name| name.trim_start_matches('.').to_owned()));
    message.nested_type.iter().for_each(|child| referred(child, types));
}
