//! Makes a table of the web pages, `pages/dist`, to be compiled in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("pages/dist");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("pages.rs");
    let mut files = Vec::new();
    collect(&directory, &mut files)?;
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let path = file.strip_prefix(&directory).unwrap_or(file).to_string_lossy().replace('\\', "/");
        let _ = writeln!(table, "    ({:?}, include_bytes!({:?}) as &[u8]),", format!("/{path}"), file);
    }
    table.push_str("]\n");
    // A directory that is not there yet would make cargo run this every time.
    let watched = if directory.is_dir() { "pages/dist" } else { "build.rs" };
    tell_cargo(watched);
    fs::write(out, table)
}

fn tell_cargo(watched: &str) {
    println!("cargo:rerun-if-changed={watched}");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
