//! Findings of the generator, printed the way that compilers do.

use std::collections::BTreeMap;
use std::fs;

use bbq_gen::{Finding, Severity};
use serde::Serialize;

use crate::print::{Colour, Style};

/// A finding with stable names, for `-o json`.
#[derive(Serialize, Debug)]
pub(crate) struct Row<'a> {
    file: &'a str,
    /// From 1; 0 = the file as a whole.
    line: u32,
    column: u32,
    code: &'static str,
    severity: String,
    message: &'a str,
    fix: &'a str,
}

impl<'a> From<&'a Finding> for Row<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            file: &finding.at.file,
            line: finding.at.line,
            column: finding.at.column,
            code: finding.code,
            severity: finding.severity.to_string(),
            message: &finding.message,
            fix: &finding.fix,
        }
    }
}

/// How many are errors, and how many warnings.
pub(crate) fn count(findings: &[Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// `2 errors, 1 warning`.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let word = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    let (errors, warnings) = count(findings);
    let parts: Vec<String> = [word(errors, "error"), word(warnings, "warning")].into_iter().flatten().collect();
    parts.join(", ")
}

/// All findings with the lines that they are about.
pub(crate) fn render(findings: &[Finding], style: Style) -> String {
    let mut sources: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let blocks = findings.iter().map(|finding| {
        let file = finding.at.file.as_str();
        let source = sources.entry(file).or_insert_with(|| fs::read_to_string(file).ok());
        let line = match finding.at.line {
            0 => None,
            number => source.as_deref().and_then(|text| text.lines().nth(number as usize - 1)),
        };
        block(finding, line, style)
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn block(finding: &Finding, line: Option<&str>, style: Style) -> String {
    let colour = match finding.severity {
        Severity::Error => Colour::Red,
        Severity::Warning => Colour::Yellow,
    };
    let head = style.paint(colour, format_args!("{}[{}]", finding.severity, finding.code));
    let number = finding.at.line.to_string();
    let margin = " ".repeat(number.len());
    let arrow = style.paint(Colour::Blue, "-->");
    let mut out = format!("{head}: {}\n{margin}{arrow} {}", finding.message, finding.at);
    let bar = style.paint(Colour::Blue, "|");
    if let Some(line) = line {
        // Tabs stay tabs, so that the marker stands below what it marks.
        let before = line.chars().take(finding.at.column.saturating_sub(1) as usize);
        let indent: String = before.map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
        let marked = line.chars().skip(finding.at.column.saturating_sub(1) as usize);
        let length = marked.take_while(|letter| letter.is_alphanumeric() || *letter == '_').count().max(1);
        let marker = style.paint(colour, "^".repeat(length));
        let number = style.paint(Colour::Blue, number);
        out += &format!("\n{margin} {bar}\n{number} {bar} {line}\n{margin} {bar} {indent}{marker}");
    }
    if !finding.fix.is_empty() {
        let equals = style.paint(Colour::Blue, "=");
        out += &format!("\n{margin} {equals} {}: {}", style.paint(Colour::Green, "fix"), finding.fix);
    }
    out
}

#[cfg(test)]
mod tests {
    use bbq_gen::Location;

    use super::*;

    fn finding(line: u32, column: u32) -> Finding {
        Finding {
            at: Location { file: "proto/x.proto".to_owned(), line, column },
            code: "BBQ-0109",
            severity: Severity::Warning,
            message: "`Say` has no limit".to_owned(),
            fix: "add `rate`".to_owned(),
        }
    }

    #[test]
    fn a_finding_shows_its_line_and_marks_the_word() {
        let text = block(&finding(12, 7), Some("  rpc Say(A) returns (B);"), Style::PLAIN);
        let wanted = "\
warning[BBQ-0109]: `Say` has no limit
  --> proto/x.proto:12:7
   |
12 |   rpc Say(A) returns (B);
   |       ^^^
   = fix: add `rate`";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_finding_about_a_whole_file_shows_no_line() {
        let text = block(&finding(0, 0), None, Style::PLAIN);
        assert_eq!(text, "warning[BBQ-0109]: `Say` has no limit\n --> proto/x.proto\n  = fix: add `rate`");
        assert_eq!(summary(&[finding(0, 0), finding(1, 1)]), "2 warnings");
    }
}
