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

#[cfg(test)]
mod tests {
    use super::check;
    use crate::work::steps_of;
    use crate::{compile_texts, snapshot};

    /// Steps of a check of so many methods, with and without a release to compare with.
    fn steps(methods: u32) -> [u64; 2] {
        let mut text = "syntax = \"proto3\";\npackage p;\n".to_owned();
        for number in 0..methods {
            text += &format!("message M{number} {{ int32 a = 1; }}\n");
        }
        text += "service S {\n";
        for number in 0..methods {
            text += &format!("  rpc Do{number}(M{number}) returns (M{number});\n");
        }
        let schema = compile_texts(&[("p.proto", &(text + "}"))]).expect("valid protobuf");
        let mut release = None;
        let written = steps_of(|| release = Some(snapshot(&schema, None)));
        let fresh = steps_of(|| assert_eq!(check(&schema, None), []));
        let compared = steps_of(|| assert_eq!(check(&schema, release.as_ref()), []));
        assert!(written >= u64::from(methods) && fresh >= u64::from(methods), "{written} {fresh}");
        [fresh, written + compared]
    }

    #[test]
    fn ten_times_as_many_methods_are_ten_times_the_work() {
        let (few, many) = (steps(500), steps(5_000));
        for (few, many) in few.into_iter().zip(many) {
            assert!(many <= few * 11, "{few} steps for 500 methods, {many} for 5,000");
        }
    }
}
