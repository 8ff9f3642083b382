//! Why nothing was generated.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::finding::Finding;

/// Why nothing was generated. `Debug` prints what `Display` does, because that is what cargo shows when the `main` of a
/// build script returns it.
#[derive(thiserror::Error)]
pub enum Error {
    /// The proto files are wrong; at least one finding is an error.
    #[error("{}", lines(.0))]
    Proto(Vec<Finding>),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `gobbq.lock` is not what [`crate::snapshot`] writes.
    #[error("gobbq.lock:{line}: {message}")]
    Lock {
        /// Line in the lock file, from 1.
        line: usize,
        /// What was expected.
        message: String,
    },
    /// [`crate::build`] was called elsewhere than in a build script.
    #[error("OUT_DIR is not set; `bbq_gen::build` is for build scripts")]
    NoOutDir,
    /// The message generator refused what the proto compiler accepted.
    #[error("no code for the messages: {0}")]
    Messages(String),
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
