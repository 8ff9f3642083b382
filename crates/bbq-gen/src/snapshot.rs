//! `gobbq.lock`: what clients in the field and stored states rely on, as of the last release.
//!
//! It is text, so that a review shows what a release changes and a merge can combine two: one block per service, message
//! and enum, sorted; within, one line per method, field or value. Only messages that a method or a state can reach are
//! in it. Ids of methods that are gone stay in it, under `retired`.
//!
//! ```text
//! gobbq.lock 1
//!
//! entity chat.Room state chat.RoomState
//!   7 Join chat.JoinRequest chat.JoinReply client
//!
//! message chat.JoinRequest
//!   1 name string
//!   reserved 4 4
//!
//! retired
//!   9 chat.Room/Kick
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::schema::{Kind, Message, Method, Schema, Service};
use crate::work;

/// Name of the file, at the root of a project.
pub const LOCK_FILE: &str = "gobbq.lock";

const HEADER: &str = "\
# What clients in the field and stored states rely on. Written by `bbq check --update`:
# commit it, do not edit it.
";
const VERSION: &str = "gobbq.lock 1";

/// What was released. Printed and parsed with `to_string` and `parse`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    pub(crate) services: BTreeMap<String, ReleasedService>,
    pub(crate) messages: BTreeMap<String, ReleasedMessage>,
    pub(crate) enums: BTreeMap<String, ReleasedEnum>,
    /// Ids that must not come back, with the method that had them.
    pub(crate) retired: BTreeMap<u32, String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReleasedService {
    pub(crate) kind: Kind,
    pub(crate) state: Option<String>,
    pub(crate) methods: BTreeMap<String, ReleasedMethod>,
    /// Line in the file; 0 when it was not read from one.
    pub(crate) line: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ReleasedMethod {
    pub(crate) id: u32,
    pub(crate) request: String,
    pub(crate) reply: String,
    pub(crate) client: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReleasedMessage {
    /// Name and type by number.
    pub(crate) fields: BTreeMap<u32, (String, String)>,
    pub(crate) reserved: BTreeSet<(u32, u32)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReleasedEnum {
    pub(crate) values: BTreeSet<(i32, String)>,
    pub(crate) reserved: BTreeSet<(i32, i32)>,
}

/// What `schema` promises from now on. Ids that `previous` had and `schema` has not are retired for good.
#[must_use]
pub fn snapshot(schema: &Schema, previous: Option<&Snapshot>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for service in &schema.services {
        snapshot.services.insert(service.full_name.clone(), released_service(service));
    }
    let reachable = reachable(schema);
    for message in schema.messages.iter().filter(|message| reachable.contains(&message.full_name)) {
        let fields = message.fields.iter().map(|field| (field.number, (field.name.clone(), field.kind.clone())));
        let released =
            ReleasedMessage { fields: fields.collect(), reserved: message.reserved.iter().copied().collect() };
        snapshot.messages.insert(message.full_name.clone(), released);
    }
    for one in schema.enums.iter().filter(|one| reachable.contains(&one.full_name)) {
        let values = one.values.iter().map(|(name, number)| (*number, name.clone())).collect();
        let released = ReleasedEnum { values, reserved: one.reserved.iter().copied().collect() };
        snapshot.enums.insert(one.full_name.clone(), released);
    }
    if let Some(previous) = previous {
        let in_use: BTreeSet<u32> = schema.services.iter().flat_map(|service| &service.methods).map(|m| m.id).collect();
        let gone = previous.ids().filter(|(id, _)| !in_use.contains(id));
        snapshot.retired = gone.collect();
    }
    snapshot
}

impl Snapshot {
    /// Every id that is or was in use, with the method that has or had it.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        let in_use = self.services.iter().flat_map(|(service, released)| {
            released.methods.iter().map(move |(name, method)| (method.id, format!("{service}/{name}")))
        });
        self.retired.iter().map(|(id, path)| (*id, path.clone())).chain(in_use)
    }
}

fn released_service(service: &Service) -> ReleasedService {
    let method = |method: &Method| {
        let released = ReleasedMethod {
            id: method.id,
            request: method.request.clone(),
            reply: method.reply.clone(),
            client: method.client,
        };
        (method.name.clone(), released)
    };
    ReleasedService {
        kind: service.kind,
        state: service.state.as_ref().map(|state| state.message.clone()),
        methods: service.methods.iter().map(method).collect(),
        line: 0,
    }
}

/// Full names of the messages and enums that a method or a state can reach.
pub(crate) fn reachable(schema: &Schema) -> BTreeSet<String> {
    let methods = schema.services.iter().flat_map(|service| &service.methods);
    let states = schema.services.iter().filter_map(|service| service.state.as_ref());
    let mut open: Vec<String> = methods.flat_map(|method| [method.request.clone(), method.reply.clone()]).collect();
    open.extend(states.map(|state| state.message.clone()));
    let messages: BTreeMap<&str, &Message> = schema.messages.iter().map(|one| (one.full_name.as_str(), one)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        work::step();
        if let Some(message) = messages.get(name.as_str())
            && !seen.contains(&name)
        {
            open.extend(message.fields.iter().filter_map(|field| field.refers_to.clone()));
        }
        seen.insert(name);
    }
    seen
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}{VERSION}")?;
        for (name, service) in &self.services {
            let state = service.state.as_ref().map(|state| format!(" state {state}")).unwrap_or_default();
            writeln!(f, "\n{} {name}{state}", kind_word(service.kind))?;
            for (name, method) in &service.methods {
                let client = if method.client { " client" } else { "" };
                writeln!(f, "  {} {name} {} {}{client}", method.id, method.request, method.reply)?;
            }
        }
        for (name, message) in &self.messages {
            writeln!(f, "\nmessage {name}")?;
            for (number, (name, kind)) in &message.fields {
                writeln!(f, "  {number} {name} {kind}")?;
            }
            for (first, last) in &message.reserved {
                writeln!(f, "  reserved {first} {last}")?;
            }
        }
        for (name, one) in &self.enums {
            writeln!(f, "\nenum {name}")?;
            for (number, name) in &one.values {
                writeln!(f, "  {number} {name}")?;
            }
            for (first, last) in &one.reserved {
                writeln!(f, "  reserved {first} {last}")?;
            }
        }
        if !self.retired.is_empty() {
            writeln!(f, "\nretired")?;
        }
        for (id, path) in &self.retired {
            writeln!(f, "  {id} {path}")?;
        }
        Ok(())
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Entity => "entity",
        Kind::Client => "client",
    }
}

/// The block that the lines being read belong to.
enum Block {
    None,
    Service(String),
    Message(String),
    Enum(String),
    Retired,
}

impl FromStr for Snapshot {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut snapshot = Self::default();
        let mut block = Block::None;
        let mut version = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let fail = |message: &str| Error::Lock { line: number, message: message.to_owned() };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if !version {
                version = line.trim() == VERSION;
                if !version {
                    return Err(fail("the first line is not `gobbq.lock 1`; is it from a newer gobbq?"));
                }
                continue;
            }
            let read = match line.strip_prefix("  ") {
                Some(line) => snapshot.read_line(&block, line),
                None => snapshot.read_header(line, number).map(|opened| block = opened),
            };
            read.ok_or_else(|| fail(&format!("`{}` makes no sense here", line.trim())))?;
        }
        if version { Ok(snapshot) } else { Err(Error::Lock { line: 1, message: "the file is empty".to_owned() }) }
    }
}

impl Snapshot {
    fn read_header(&mut self, line: &str, number: usize) -> Option<Block> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (word, name) = match words.as_slice() {
            ["retired"] => return Some(Block::Retired),
            ["message", name] => {
                self.messages.entry((*name).to_owned()).or_default();
                return Some(Block::Message((*name).to_owned()));
            }
            ["enum", name] => {
                self.enums.entry((*name).to_owned()).or_default();
                return Some(Block::Enum((*name).to_owned()));
            }
            [word, name] | [word, name, "state", _] => (*word, *name),
            _ => return None,
        };
        let kind = [Kind::Service, Kind::Entity, Kind::Client].into_iter().find(|kind| kind_word(*kind) == word)?;
        let released = ReleasedService {
            kind,
            state: words.get(3).map(|state| (*state).to_owned()),
            methods: BTreeMap::new(),
            line: u32::try_from(number).unwrap_or(u32::MAX),
        };
        self.services.insert(name.to_owned(), released);
        Some(Block::Service(name.to_owned()))
    }

    fn read_line(&mut self, block: &Block, line: &str) -> Option<()> {
        let mut words = line.splitn(3, ' ');
        let (first, second, rest) = (words.next()?, words.next()?, words.next());
        match block {
            Block::None => return None,
            Block::Service(name) => {
                let words: Vec<&str> = rest?.split(' ').collect();
                let (request, reply, client) = match words.as_slice() {
                    [request, reply] => (request, reply, false),
                    [request, reply, "client"] => (request, reply, true),
                    _ => return None,
                };
                let method = ReleasedMethod {
                    id: first.parse().ok()?,
                    request: (*request).to_owned(),
                    reply: (*reply).to_owned(),
                    client,
                };
                self.services.get_mut(name)?.methods.insert(second.to_owned(), method);
            }
            Block::Message(name) => {
                let message = self.messages.get_mut(name)?;
                if first == "reserved" {
                    message.reserved.insert((second.parse().ok()?, rest?.parse().ok()?));
                } else {
                    message.fields.insert(first.parse().ok()?, (second.to_owned(), rest?.to_owned()));
                }
            }
            Block::Enum(name) => {
                let one = self.enums.get_mut(name)?;
                if first == "reserved" {
                    one.reserved.insert((second.parse().ok()?, rest?.parse().ok()?));
                } else {
                    one.values.insert((first.parse().ok()?, second.to_owned()));
                }
            }
            Block::Retired => {
                self.retired.insert(first.parse().ok()?, second.to_owned());
            }
        }
        Some(())
    }
}
