//! What the proto compiler accepts and gobbq does not.

mod ids;
mod released;

use crate::error::Error;
use crate::finding::{Finding, Severity};
use crate::names::check_names;
use crate::schema::Schema;
use crate::snapshot::Snapshot;
use ids::check_ids;
use released::check_released;

/// Everything that is wrong with `schema`, in the order of files and lines; with `previous`, also what would break
/// clients in the field and stored states.
#[must_use]
pub fn check(schema: &Schema, previous: Option<&Snapshot>) -> Vec<Finding> {
    let mut findings = schema.findings.clone();
    findings.extend(check_names(schema));
    findings.extend(check_ids(schema));
    findings.extend(previous.into_iter().flat_map(|previous| check_released(schema, previous)));
    findings.sort();
    findings
}

/// Generators call it first.
pub(crate) fn refuse_errors(schema: &Schema) -> Result<(), Error> {
    let findings = check(schema, None);
    let errors: Vec<Finding> = findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Proto(errors)) }
}
