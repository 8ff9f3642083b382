//! A schema against what was released: does everything that is in the field still work?

use std::collections::BTreeMap;

use crate::finding::{Finding, Location};
use crate::schema::{Enum, Field, Message, Method, Schema, Service};
use crate::snapshot::{LOCK_FILE, ReleasedEnum, ReleasedMessage, ReleasedMethod, ReleasedService, Snapshot};
use crate::work;

pub(super) fn check_released(schema: &Schema, released: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let services: BTreeMap<&str, &Service> = schema.services.iter().map(|one| (one.full_name.as_str(), one)).collect();
    for (name, before) in &released.services {
        match services.get(name.as_str()) {
            Some(service) => findings.extend(compare_service(service, before)),
            None => findings.push(gone(name, before)),
        }
    }
    findings.extend(reused_ids(schema, released));
    for message in &schema.messages {
        let before = released.messages.get(&message.full_name);
        findings.extend(before.into_iter().flat_map(|before| compare_message(message, before)));
    }
    for one in &schema.enums {
        let before = released.enums.get(&one.full_name);
        findings.extend(before.into_iter().flat_map(|before| compare_enum(one, before)));
    }
    findings
}

fn gone(name: &str, before: &ReleasedService) -> Finding {
    let at = Location { file: LOCK_FILE.to_owned(), line: before.line, column: 1 };
    let message = format!("the released service {name} is gone, or has another name");
    Finding::error("BBQ-0202", &at, message, "bring it back, or accept it with a new snapshot")
}

fn compare_service(service: &Service, before: &ReleasedService) -> Vec<Finding> {
    let name = &service.full_name;
    let mut findings = Vec::new();
    if service.kind != before.kind {
        let message = format!("{name} was released as {:?} and is {:?} now", before.kind, service.kind);
        findings.push(Finding::error("BBQ-0209", &service.at, message, "use a new name"));
    }
    let state = service.state.as_ref().map(|state| &state.message);
    if let Some(stored) = &before.state
        && state != Some(stored)
    {
        let message = format!("the state of {name} was released as {stored}");
        findings.push(Finding::error("BBQ-0210", &service.at, message, format!("set `state: \"{stored}\"`")));
    }
    let by_name: BTreeMap<&str, &Method> =
        service.methods.iter().map(|method| (method.name.as_str(), method)).collect();
    let by_id: BTreeMap<u32, &Method> = service.methods.iter().map(|method| (method.id, method)).collect();
    for (name, before) in &before.methods {
        work::step();
        match by_name.get(name.as_str()) {
            Some(method) => findings.extend(compare_method(service, method, before)),
            None => findings.push(gone_method(service, name, before, by_id.get(&before.id).copied())),
        }
    }
    findings
}

/// A method that kept its id and its messages under another name still works for those who call it; `heir` has the id.
fn gone_method(service: &Service, name: &str, before: &ReleasedMethod, heir: Option<&Method>) -> Finding {
    if let Some(method) = heir.filter(|method| method.request == before.request && method.reply == before.reply) {
        let message = format!("{}/{name} is called {} now; its id is the same", service.full_name, method.name);
        return Finding::warning("BBQ-0201", &method.at, message, "write a new snapshot if that is meant");
    }
    let message = format!("the released method {}/{name} is gone, or has another name", service.full_name);
    Finding::error("BBQ-0201", &service.at, message, "bring it back, or accept it with a new snapshot")
}

fn compare_method(service: &Service, method: &Method, before: &ReleasedMethod) -> Vec<Finding> {
    let path = format!("{}/{}", service.full_name, method.name);
    let mut findings = Vec::new();
    let mut error = |code, message, fix: String| findings.push(Finding::error(code, &method.at, message, fix));
    for (what, old, new) in [("request", &before.request, &method.request), ("reply", &before.reply, &method.reply)] {
        if old != new {
            let message = format!("the {what} of {path} was released as {old} and is {new} now");
            error("BBQ-0203", message, format!("add fields to {old}, or add a method"));
        }
    }
    if method.id != before.id {
        let message = format!("{path} was released with the id {} and has {} now", before.id, method.id);
        error("BBQ-0204", message, format!("the id has to stay {}", before.id));
    }
    if before.client && !method.client {
        let message = format!("clients could call {path} when it was released");
        error("BBQ-0212", message, "set `client: true`".to_owned());
    }
    findings
}

fn reused_ids(schema: &Schema, released: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut owners: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for (id, path) in released.ids() {
        work::step();
        owners.entry(id).or_default().push(path);
    }
    for service in &schema.services {
        let before = released.services.get(&service.full_name);
        let before = before.into_iter().flat_map(|before| before.methods.values());
        let before: BTreeMap<u32, &ReleasedMethod> = before.map(|method| (method.id, method)).collect();
        for method in &service.methods {
            work::step();
            let path = format!("{}/{}", service.full_name, method.name);
            let owner = owners.get(&method.id).into_iter().flatten().find(|owner| **owner != path);
            let Some(owner) = owner else { continue };
            // A rename within the service is the business of `gone_method`.
            let renamed = before
                .get(&method.id)
                .is_some_and(|before| before.request == method.request && before.reply == method.reply);
            if !renamed {
                let message = format!("{path} has the id {}, which belonged to {owner}", method.id);
                findings.push(Finding::error("BBQ-0205", &method.at, message, "choose an id that never was in use"));
            }
        }
    }
    findings
}

fn compare_message(message: &Message, before: &ReleasedMessage) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, (name, kind)) in &before.fields {
        let now = message.fields.iter().find(|field| field.number == *number);
        findings.extend(match now {
            Some(field) => compare_field(message, field, name, kind),
            None if is_reserved(message, *number) => None,
            None => {
                let what = format!("the field `{name} = {number}` of {} is gone", message.full_name);
                Some(Finding::error("BBQ-0207", &message.at, what, format!("add `reserved {number};`")))
            }
        });
    }
    for (first, last) in &before.reserved {
        for field in message.fields.iter().filter(|field| (*first..=*last).contains(&field.number)) {
            let what = format!("`{}` of {} uses the reserved number {}", field.name, message.full_name, field.number);
            findings.push(Finding::error("BBQ-0206", &field.at, what, "choose another number"));
        }
        if let Some(number) = first_free(message, *first, *last) {
            let what = format!("the number {number} of {} is no longer reserved", message.full_name);
            findings.push(Finding::error("BBQ-0207", &message.at, what, format!("add `reserved {number};`")));
        }
    }
    findings
}

/// The first number of a range that was reserved and is not any more. Ranges are walked by their ends: they may be huge.
fn first_free(message: &Message, first: u32, last: u32) -> Option<u32> {
    let mut number = first;
    while number <= last {
        let range = message.reserved.iter().find(|(first, last)| (*first..=*last).contains(&number));
        let used = message.fields.iter().any(|field| field.number == number);
        number = match range {
            Some((_, end)) => end.checked_add(1)?,
            None if used => number + 1,
            None => return Some(number),
        };
    }
    None
}

fn is_reserved(message: &Message, number: u32) -> bool {
    message.reserved.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

fn compare_field(message: &Message, field: &Field, name: &str, kind: &str) -> Option<Finding> {
    let number = field.number;
    let (now, whole) = (&field.name, &message.full_name);
    if field.kind != kind {
        let what = format!("number {number} of {whole} was `{kind} {name}` and is `{} {now}` now", field.kind);
        let fix = format!("use a new number, and add `reserved {number};`");
        return Some(Finding::error("BBQ-0206", &field.at, what, fix));
    }
    let what = format!("number {number} of {whole} was called `{name}` and is `{now}` now");
    let fix = "fine if it means the same; otherwise use a new number";
    (now != name).then(|| Finding::warning("BBQ-0208", &field.at, what, fix))
}

fn compare_enum(one: &Enum, before: &ReleasedEnum) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, name) in &before.values {
        let names: Vec<&str> =
            one.values.iter().filter(|(_, now)| now == number).map(|(name, _)| name.as_str()).collect();
        let reserved = one.reserved.iter().any(|(first, last)| (*first..=*last).contains(number));
        if names.is_empty() && !reserved {
            let what = format!("the value `{name} = {number}` of {} is gone", one.full_name);
            findings.push(Finding::error("BBQ-0211", &one.at, what, format!("add `reserved {number};`")));
        } else if let Some(now) = names.first().filter(|_| !names.contains(&name.as_str())) {
            let what = format!("the value {number} of {} was called `{name}` and is `{now}` now", one.full_name);
            findings.push(Finding::warning("BBQ-0208", &one.at, what, "fine if it means the same"));
        }
    }
    findings
}
