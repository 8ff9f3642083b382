//! Why a process did not start: printed for people, with the way out.

use std::borrow::Cow;
use std::fmt;
use std::io::{Error, ErrorKind};

/// Result of what starts a process.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong at start, and what to do about it. `Debug` prints the same as `Display`, so that
/// `fn main() -> gobbq::Result<()>` shows it as it is meant.
pub struct Failure {
    what: String,
    fix: Cow<'static, str>,
}

impl Failure {
    /// A failure with the way out of it; empty = there is none to name.
    pub fn new(what: impl fmt::Display, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.to_string(), fix: fix.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }

    /// What went wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// What helps when nothing can listen on an address that `option` sets.
pub(crate) fn listening(error: &Error, option: &str) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "stop the process that listens there (`ss -ltnp` shows it), or choose another address with {option}"
            )
        }
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: name one of its own with {option}; 0.0.0.0 is all of them")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a right of their own: choose a higher one with {option}")
        }
        _ => format!("choose another address with {option}"),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "\n  fix: {}", self.fix) }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

impl From<crate::options::BadOption> for Failure {
    fn from(error: crate::options::BadOption) -> Self {
        Self::new(error, "--help lists every option")
    }
}
