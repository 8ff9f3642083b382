//! What clients of the original can name in this cluster: services and entities from the records of the nodes, and what
//! clients implement from their schemas, because no node serves that.

use std::collections::BTreeSet;
use std::sync::Arc;

use bbq_core::control::{ClusterView, NodeInfo};
use bbq_core::desc::Kind;
use bbq_gate::Names;
use bbq_wire::NodeUid;
use bbq_wire::codec::Reader;
use bbq_wire::id::method_id;
use tokio::sync::watch;

/// `kind: CLIENT` of `gobbq/options.proto`.
const CLIENT: u64 = 2;
/// Our extensions of `ServiceOptions` and `MethodOptions`.
const SERVICE_OPTIONS: u64 = 77_100;
const METHOD_OPTIONS: u64 = 77_101;

/// The names, following the cluster. What was known once stays known: a name means the same for ever.
pub(crate) fn names(mut views: watch::Receiver<Arc<ClusterView>>) -> watch::Receiver<Arc<Names>> {
    let (mut names, mut read) = (Names::default(), BTreeSet::new());
    add_news(&mut names, &mut read, &views.borrow_and_update());
    let (sender, receiver) = watch::channel(Arc::new(names.clone()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            if add_news(&mut names, &mut read, &views.borrow_and_update()) {
                sender.send_replace(Arc::new(names.clone()));
            }
        }
    });
    receiver
}

/// Reads the nodes that were not read yet; false: there are none.
fn add_news(names: &mut Names, read: &mut BTreeSet<NodeUid>, view: &ClusterView) -> bool {
    read.retain(|uid| view.nodes.contains_key(uid));
    let mut is_news = false;
    for (uid, record) in &view.nodes {
        if read.insert(*uid) {
            add(names, &record.info);
            is_news = true;
        }
    }
    is_news
}

fn add(names: &mut Names, node: &NodeInfo) {
    for service in &node.services {
        let kind = if service.entity { Kind::Entity } else { Kind::Service };
        names.add(&service.name, kind, service.methods.iter().map(|it| (&*it.name, it.id, it.client)));
    }
    for (service, methods) in client_interfaces(&node.schema) {
        names.add(&service, Kind::Client, methods.iter().map(|(method, id)| (&**method, *id, false)));
    }
}

/// The value of one field; only what descriptors are made of.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Full names and methods of the client interfaces in a `FileDescriptorSet`, or in several one after the other.
fn client_interfaces(schema: &[u8]) -> Vec<(String, Vec<(String, u32)>)> {
    let mut found = Vec::new();
    for file in all(schema, 1) {
        for service in all(file, 6).filter(|service| option(service, 3, SERVICE_OPTIONS, 1) == Some(CLIENT)) {
            let package = string(file, 2);
            let dot = if package.is_empty() { "" } else { "." };
            let name = format!("{package}{dot}{}", string(service, 1));
            let methods = all(service, 2).map(|method| (string(method, 1), id(&name, method))).collect();
            found.push((name, methods));
        }
    }
    found
}

fn id(service: &str, method: &[u8]) -> u32 {
    let given = option(method, 4, METHOD_OPTIONS, 5).and_then(|id| u32::try_from(id).ok());
    given.filter(|id| *id > 0).unwrap_or_else(|| method_id(&format!("{service}/{}", string(method, 1))))
}

/// A number in our options of a service or method.
fn option(of: &[u8], options: u64, ours: u64, number: u64) -> Option<u64> {
    let options = all(of, options).last()?;
    let ours = all(options, ours).last()?;
    let mut numbers = fields(ours).filter_map(|(field, value)| match value {
        Value::Number(value) if field == number => Some(value),
        _ => None,
    });
    numbers.next()
}

fn string(of: &[u8], number: u64) -> String {
    all(of, number).last().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// All strings or messages in this field.
fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |(field, value)| match value {
        Value::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

/// The fields of a message, up to the first that is damaged.
fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    let mut reader = Reader::new(message);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let tag = reader.varint().ok()?;
        let value = match tag & 7 {
            0 => Value::Number(reader.varint().ok()?),
            1 => Value::Number(reader.u64_le().ok()?),
            2 => Value::Bytes(reader.bytes().ok()?),
            5 => Value::Number(reader.u32_le().ok()?.into()),
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

#[cfg(test)]
mod tests {
    use bbq_wire::codec::Sink;

    use super::*;

    fn field(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        out.varint(number << 3 | 2);
        out.bytes(bytes.as_ref());
        out
    }

    fn number(number: u64, value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.varint(number << 3);
        out.varint(value);
        out
    }

    fn service(name: &str, kind: u64, methods: &[Vec<u8>]) -> Vec<u8> {
        let options = field(3, field(SERVICE_OPTIONS, number(1, kind)));
        field(6, [field(1, name), methods.concat(), options].concat())
    }

    #[test]
    fn client_interfaces_are_found_among_the_services_of_a_schema() {
        let said = field(2, field(1, "Said"));
        let asked = field(2, [field(1, "Asked"), field(4, field(METHOD_OPTIONS, number(5, 9)))].concat());
        let file = [
            field(2, "chat"),
            service("Room", 1, std::slice::from_ref(&said)),
            service("ChatClient", 2, &[said, asked]),
        ];
        let schema = [field(1, file.concat()), field(1, service("Bare", 2, &[]))].concat();
        let methods = vec![("Said".to_owned(), method_id("chat.ChatClient/Said")), ("Asked".to_owned(), 9)];
        let found = client_interfaces(&schema);
        assert_eq!(found, [("chat.ChatClient".to_owned(), methods), ("Bare".to_owned(), vec![])]);
    }

    #[test]
    fn a_damaged_schema_says_less_and_harms_nobody() {
        let schema = field(1, [field(2, "chat"), service("ChatClient", 2, &[])].concat());
        for length in 0..schema.len() {
            assert!(client_interfaces(&schema[..length]).is_empty());
        }
        assert!(client_interfaces(&[0xff; 64]).is_empty());
    }
}
