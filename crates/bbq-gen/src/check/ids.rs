//! Ids that two things share.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::schema::Schema;

pub(super) fn check_ids(schema: &Schema) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut types = BTreeMap::new();
    let mut methods = BTreeMap::new();
    for service in &schema.services {
        if let Some(earlier) = types.insert(service.type_id(), service) {
            let message = format!("the type ids of {} and {} are the same hash", service.full_name, earlier.full_name);
            findings.push(Finding::error("BBQ-0102", &service.at, message, "rename one of the two"));
        }
        for method in &service.methods {
            let path = format!("{}/{}", service.full_name, method.name);
            if let Some((earlier, at)) = methods.get(&method.id) {
                let message = format!("{path} has the id {}, and so has {earlier} ({at})", method.id);
                findings.push(Finding::error("BBQ-0101", &method.at, message, "set another `id`, 1 .. 1023"));
            } else {
                methods.insert(method.id, (path, method.at.clone()));
            }
        }
    }
    findings
}
