//! TypeScript for a schema: per proto file `chat_pb.ts` with messages, as the generator of protobuf-es writes them, and
//! `chat_gobbq.ts` with the methods that clients call or implement.
//!
//! Differences to protobuf-es: services are not in the embedded descriptor, nor options of gobbq, nor imports that only
//! services use; extensions and comments above `syntax` are left out.

mod comment;
mod names;
mod imports;
mod descriptor;
mod messages;
mod stubs;

use crate::check::refuse_errors;
use crate::error::Error;
use crate::schema::Schema;
use descriptor::{descriptors, embed};
use messages::messages;
use names::stem;
use stubs::stubs;

/// A generated file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneratedFile {
    /// Path below the output directory, with `/`: that of the proto file below its include path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// TypeScript for all files of `schema`, in the order of the files.
///
/// # Errors
/// As [`crate::rust`].
pub fn typescript(schema: &Schema) -> Result<Vec<GeneratedFile>, Error> {
    refuse_errors(schema)?;
    let all = descriptors(schema)?;
    let mut files = Vec::new();
    for file in schema.files() {
        let has_types = file.messages().len() + file.enums().len() > 0;
        if has_types || file.public_dependencies().len() > 0 {
            let path = format!("{}_pb.ts", stem(file.name()));
            files.push(GeneratedFile { path, text: messages(&file, &embed(&file, &all)) });
        }
        if let Some(text) = stubs(schema, &file) {
            files.push(GeneratedFile { path: format!("{}_gobbq.ts", stem(file.name())), text });
        }
    }
    Ok(files)
}
