//! What is wrong with a proto file, where, and what to do about it. Prints like a compiler does.

use std::fmt;

/// A place in a proto file, counted from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Location {
    /// The path of the file as it was found through the include paths.
    pub file: String,
    /// Line; 0 = the file as a whole.
    pub line: u32,
    /// Column; 0 = the file as a whole.
    pub column: u32,
}

impl Location {
    /// A file as a whole.
    #[must_use]
    pub fn of_file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// No code is generated.
    Error,
    /// Code is generated; somebody should look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One problem. Ordered by place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// Where it is.
    pub at: Location,
    /// Stable code, `BBQ-0101`; see [`crate::CODES`].
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
}

impl Finding {
    pub(crate) fn error(code: &'static str, at: &Location, message: String, fix: impl Into<String>) -> Self {
        Self { at: at.clone(), code, severity: Severity::Error, message, fix: fix.into() }
    }

    pub(crate) fn warning(code: &'static str, at: &Location, message: String, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message, fix) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.at, self.severity, self.code, self.message)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "\n    fix: {}", self.fix) }
    }
}
