//! What the proto compiler accepts and gobbq does not.

use crate::error::Error;
use crate::finding::{Finding, Severity};
use crate::names::check_names;
use crate::schema::Schema;

/// Everything that is wrong with `schema`, in the order of files and lines.
#[must_use]
pub fn check(schema: &Schema, _previous: Option<&()>) -> Vec<Finding> {
    let mut findings = schema.findings.clone();
    findings.extend(check_names(schema));
    findings.sort();
    findings
}

/// Generators call it first.
pub(crate) fn refuse_errors(schema: &Schema) -> Result<(), Error> {
    let findings = check(schema, None);
    let errors: Vec<Finding> = findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Proto(errors)) }
}
