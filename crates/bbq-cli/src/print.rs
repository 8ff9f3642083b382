//! The only way out: lines to stdout and stderr, in colour where somebody sees it.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Result};

/// A colour of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

/// Whether colours are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colours: false };
    #[cfg(test)]
    pub(crate) const COLOURED: Self = Self { colours: true };

    /// For stdout: a terminal, and `NO_COLOR` is not set.
    pub(crate) fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    /// For stderr.
    pub(crate) fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    fn of(terminal: bool) -> Self {
        Self { colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    pub(crate) fn is_coloured(self) -> bool {
        self.colours
    }

    pub(crate) fn paint(self, colour: Colour, text: impl fmt::Display) -> String {
        if !self.colours {
            return text.to_string();
        }
        let number = match colour {
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Blue => 34,
            Colour::Magenta => 35,
            Colour::Cyan => 36,
        };
        format!("\x1b[{number}m{text}\x1b[0m")
    }
}

/// A line to stdout.
pub(crate) fn line(text: impl fmt::Display) -> Result<()> {
    write(&mut io::stdout().lock(), &format!("{text}\n"))
}

/// Text to stdout as it is.
pub(crate) fn raw(text: &str) -> Result<()> {
    write(&mut io::stdout().lock(), text)
}

/// A value to stdout, as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|why| Failure::output(&why.into()))?;
    line(text)
}

/// A line to stderr. Nobody can be told when that fails.
pub(crate) fn note(text: impl fmt::Display) {
    drop(write(&mut io::stderr().lock(), &format!("{text}\n")));
}

/// A failure to stderr: text for people, or an object for programs.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if failure.quiet {
        return;
    }
    if as_json {
        let Failure { code, what, cause, fix, .. } = failure;
        let value = serde_json::json!({ "code": code.number, "error": what, "cause": cause, "fix": fix });
        return note(format_args!("{value:#}"));
    }
    let style = Style::of_stderr();
    let text = failure.to_string();
    let (head, rest) = text.split_once(": ").unwrap_or((&text, ""));
    let rest = rest.replacen("\ncause:", &format!("\n{}", style.paint(Colour::Bold, "cause:")), 1);
    let rest = rest.replacen("\n  fix:", &format!("\n  {}", style.paint(Colour::Green, "fix:")), 1);
    note(format_args!("{}: {rest}", style.paint(Colour::Red, head)));
}

fn write(to: &mut impl Write, text: &str) -> Result<()> {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(|why| Failure::output(&why))
}

/// Columns of text, each as wide as its longest cell; the last one is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_written_only_when_wanted() {
        assert_eq!(Style::PLAIN.paint(Colour::Red, "x"), "x");
        assert_eq!(Style::COLOURED.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }
}
