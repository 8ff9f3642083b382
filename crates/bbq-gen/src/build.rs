//! What a build script calls.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::check::check;
use crate::compile::compile;
use crate::error::Error;
use crate::finding::Severity;
use crate::rust::{RUNTIME, rust};

/// Generates `$OUT_DIR/gobbq.rs` from `files`, which a crate includes with `gobbq::include_proto!()`. Imports are
/// looked up in `includes`. Warnings of [`check`] become warnings of cargo.
///
/// ```no_run
/// // build.rs
/// fn main() -> Result<(), bbq_gen::Error> {
///     bbq_gen::build(&["proto/chat.proto"], &["proto"])
/// }
/// ```
///
/// # Errors
/// Those of [`compile`] and [`rust`], and of writing the file.
pub fn build(files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    build_for(files, includes, RUNTIME)
}

/// As [`build`], for crates that gobbq itself is made of: `runtime` is where they find what generated code uses, such
/// as `::bbq_core::codegen`.
///
/// # Errors
/// As [`build`].
#[expect(clippy::print_stdout, reason = "this is how a build script talks to cargo")]
pub fn build_for(files: &[impl AsRef<Path>], includes: &[impl AsRef<Path>], runtime: &str) -> Result<(), Error> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(Error::NoOutDir)?).join("gobbq.rs");
    let schema = compile(files, includes)?;
    for path in &schema.read {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    for finding in check(&schema, None).iter().filter(|finding| finding.severity == Severity::Warning) {
        println!("cargo:warning={}", finding.to_string().replace('\n', " "));
    }
    write_if_changed(&out, &rust(&schema, runtime)?)
}

/// Leaves the time of the file alone when nothing changed, so that what includes it is not compiled again.
fn write_if_changed(path: &Path, text: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|why| Error::io(path, why))
}
