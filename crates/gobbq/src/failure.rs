//! Why a process did not start: printed for people, with the way out.

use std::fmt;

/// Result of what starts a process.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong at start, and what to do about it. `Debug` prints the same as `Display`, so that
/// `fn main() -> gobbq::Result<()>` shows it as it is meant.
pub struct Failure {
    what: String,
    fix: &'static str,
}

impl Failure {
    /// A failure with the way out of it; empty = there is none to name.
    pub fn new(what: impl fmt::Display, fix: &'static str) -> Self {
        Self { what: what.to_string(), fix }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        self.fix
    }

    /// What went wrong.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
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
