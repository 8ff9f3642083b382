//! The only way out: lines to stdout.

use std::fmt;
use std::io::{self, Write};

/// Writes a line. A reader that closed its pipe has seen enough: the work goes on, and the exit code tells its end.
pub(crate) fn line(text: impl fmt::Display) {
    // There is nowhere left to complain.
    let _ = writeln!(io::stdout().lock(), "{text}");
}
