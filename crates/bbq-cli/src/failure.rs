//! Why a command failed: always with a code, a cause and a way out.

use std::fmt;
use std::io;
use std::path::Path;

use crate::codes::Code;

/// Result of everything that a command does.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong, why, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static Code,
    /// One sentence without a full stop.
    pub(crate) what: String,
    /// What the system or the peer said; may be empty.
    pub(crate) cause: String,
    /// What to do.
    pub(crate) fix: String,
    /// Whoever reads our output has closed it: nothing to say, and nobody to say it to.
    pub(crate) quiet: bool,
}

impl Failure {
    pub(crate) fn new(code: &'static Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), cause: String::new(), fix: String::new(), quiet: false }
    }

    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = cause.to_string();
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// A file or directory that could not be read.
    pub(crate) fn read(path: &Path, why: &io::Error) -> Self {
        let fix = "check that it exists and may be read";
        Self::new(Code::READ, format!("cannot read {}", path.display())).because(why).fix(fix)
    }

    /// A file or directory that could not be written.
    pub(crate) fn write(path: &Path, why: &io::Error) -> Self {
        let fix = "check the permissions of the directory and the free space";
        Self::new(Code::WRITE, format!("cannot write {}", path.display())).because(why).fix(fix)
    }

    /// The output refused something.
    pub(crate) fn output(why: &io::Error) -> Self {
        let quiet = why.kind() == io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::new(Code::OUTPUT, "cannot write the output").because(why).fix("send it elsewhere") }
    }

    /// The status with which the process ends.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.code {
            _ if self.quiet => 0,
            Code::USAGE | Code::SETTING => 2,
            _ => 1,
        }
    }
}

/// Lines after the first are indented, so that `cause:` and `fix:` stand out.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code.number, indented(&self.what))?;
        if !self.cause.is_empty() {
            write!(f, "\ncause: {}", indented(&self.cause))?;
        }
        if self.fix.is_empty() {
            return write!(f, "\n  fix: bbq explain {}", self.code.number);
        }
        write!(f, "\n  fix: {}", indented(&self.fix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(Code::EXISTS, "`x` is there").because("two\nlines").fix("take another name");
        assert_eq!(
            failure.to_string(),
            "error[BBQ-0011]: `x` is there\ncause: two\n       lines\n  fix: take another name"
        );
        assert!(Failure::new(Code::EXISTS, "x").to_string().ends_with("fix: bbq explain BBQ-0011"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.quiet && failure.exit_code() == 0);
        assert_eq!(Failure::output(&io::Error::other("full")).exit_code(), 1);
        assert_eq!(Failure::new(Code::USAGE, "x").exit_code(), 2);
    }
}
