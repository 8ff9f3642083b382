//! Names of the original's headers and the ids behind them.
//!
//! The original's generator appends `Service` or `Entity` to the name of a service (`exampb.Echo` is called
//! `exampb.EchoService`), and names no type at all when an entity is called: its 64-bit ids are unique. Ours name a type
//! and a key, so an id is read in this order:
//! 1. its upper half is the hash of an entity type that has the method: the lower half is the key ([`entity_id`]);
//! 2. one single entity type has a method of that name for clients: the whole id is the key.

use std::collections::BTreeMap;

use bbq_wire::compat::{Header, ServiceType};
use bbq_wire::id::fnv1a_32;
use bbq_wire::{Code, Error, Key, Result};

use crate::desc::{Kind, ServiceDesc};

/// What the original's clients can name, and how what they are told is named.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By type id.
    types: BTreeMap<u32, Type>,
    /// By every name under which a type is known; none when the name means several.
    by_name: BTreeMap<String, Option<u32>>,
    /// Methods of entity types for clients, by name; none when several types have it.
    by_method: BTreeMap<String, Option<Callee>>,
    /// `Type` and `Method` of what clients implement, by wire id.
    client: BTreeMap<u32, (String, String)>,
}

#[derive(Clone, Debug)]
struct Type {
    kind: Kind,
    methods: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Callee {
    type_id: u32,
    method: u32,
}

/// The id under which the original's clients reach the entity `key` of a type, whatever its methods are called.
#[must_use]
pub fn entity_id(type_name: &str, key: u32) -> u64 {
    u64::from(fnv1a_32(type_name)) << 32 | u64::from(key)
}

impl Names {
    /// The names in these descriptors.
    #[must_use]
    pub fn new(services: &[&ServiceDesc]) -> Self {
        let mut names = Self::default();
        for service in services {
            let methods = service.methods.iter().map(|method| (method.name, method.id, method.client));
            names.add(service.name, service.kind, methods);
        }
        names
    }

    /// Adds a service, an entity type or a client interface (`chat.Room`) and its methods: name, wire id, and whether
    /// clients may call it. Adding the same again changes nothing.
    pub fn add<'a>(&mut self, service: &str, kind: Kind, methods: impl IntoIterator<Item = (&'a str, u32, bool)>) {
        let suffix = if kind == Kind::Service { "Service" } else { "Entity" };
        if kind == Kind::Client {
            let methods = methods.into_iter();
            let named = methods.map(|(name, id, _)| (id, (format!("{service}{suffix}"), name.to_owned())));
            return self.client.extend(named);
        }
        let type_id = fnv1a_32(service);
        let ours = self.types.entry(type_id).or_insert_with(|| Type { kind, methods: BTreeMap::new() });
        for (name, method, client) in methods {
            ours.methods.insert(name.to_owned(), method);
            if kind == Kind::Entity && client {
                put(&mut self.by_method, name.to_owned(), Callee { type_id, method });
            }
        }
        let short = service.rsplit('.').next().unwrap_or(service);
        for name in [service.to_owned(), format!("{service}{suffix}"), short.to_owned(), format!("{short}{suffix}")] {
            put(&mut self.by_name, name, type_id);
        }
    }

    /// Method id and entity that a request of a client means.
    pub(super) fn callee(&self, header: &Header) -> Result<(u32, Option<Key>)> {
        if header.service_type == ServiceType::Service || !header.service.is_empty() {
            let type_id = self.type_named(&header.service)?;
            return self.on_type(type_id, header);
        }
        let (upper, lower) = halves(header.dst_entity);
        let named = self.types.get(&upper).filter(|ours| ours.kind == Kind::Entity);
        if let Some(method) = named.and_then(|ours| ours.methods.get(&header.method)) {
            return Ok((*method, Some(Key::Number(lower))));
        }
        match self.by_method.get(&header.method) {
            Some(Some(callee)) => Ok((callee.method, key(header.dst_entity))),
            Some(None) => {
                let why = "several entity types have this method; the id must name the type";
                Err(Error::new(Code::INVALID_ARGUMENT, why))
            }
            None => Err(Error::new(Code::UNIMPLEMENTED, "no entity type has this method for clients")),
        }
    }

    /// `Type` and `Method` of a method that clients implement.
    pub(super) fn of_client(&self, method: u32) -> Option<(&str, &str)> {
        self.client.get(&method).map(|(service, method)| (&**service, &**method))
    }

    fn type_named(&self, name: &str) -> Result<u32> {
        let short = name.rsplit('.').next().unwrap_or(name);
        match self.by_name.get(name).or_else(|| self.by_name.get(short)) {
            Some(Some(type_id)) => Ok(*type_id),
            Some(None) => Err(Error::new(Code::INVALID_ARGUMENT, "several services have this name")),
            None => Err(Error::new(Code::UNIMPLEMENTED, "no such service")),
        }
    }

    fn on_type(&self, type_id: u32, header: &Header) -> Result<(u32, Option<Key>)> {
        let unknown = || Error::new(Code::UNIMPLEMENTED, "no such method");
        let ours = self.types.get(&type_id).ok_or_else(unknown)?;
        let method = *ours.methods.get(&header.method).ok_or_else(unknown)?;
        let (upper, lower) = halves(header.dst_entity);
        let key = match ours.kind {
            Kind::Entity if upper == type_id => Some(Key::Number(lower)),
            Kind::Entity => key(header.dst_entity),
            Kind::Service | Kind::Client => None,
        };
        Ok((method, key))
    }
}

/// The entity of the session itself has no id.
fn key(id: u64) -> Option<Key> {
    (id != 0).then_some(Key::Number(id))
}

const fn halves(id: u64) -> (u32, u64) {
    ((id >> 32) as u32, id & 0xffff_ffff)
}

/// The same value again is no conflict.
fn put<V: Copy + PartialEq>(map: &mut BTreeMap<String, Option<V>>, name: String, value: V) {
    let slot = map.entry(name).or_insert(Some(value));
    if *slot != Some(value) {
        *slot = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.add("exampb.Echo", Kind::Service, [("SayHello", 1, true)]);
        names.add("exampb.EchoEty", Kind::Entity, [("SayHello", 2, true), ("Only", 3, true), ("Inner", 4, false)]);
        names.add("other.Room", Kind::Entity, [("SayHello", 5, true), ("Inner", 6, false)]);
        names.add("other.Echo", Kind::Service, [("SayHello", 7, true)]);
        names.add("exampb.Client", Kind::Client, [("SayHello", 8, false)]);
        names
    }

    fn callee(service: &str, method: &str, dst: u64) -> Result<(u32, Option<Key>), Code> {
        let service_type = if service.contains("Service") { ServiceType::Service } else { ServiceType::Entity };
        let (service, method) = (service.to_owned(), method.to_owned());
        let header = Header { service, method, service_type, dst_entity: dst, ..Header::default() };
        names().callee(&header).map_err(|error| error.code)
    }

    #[test]
    fn services_are_called_by_the_names_that_the_originals_generator_makes() {
        assert_eq!(callee("exampb.EchoService", "SayHello", 0), Ok((1, None)));
        assert_eq!(callee("other.EchoService", "SayHello", 0), Ok((7, None)));
        assert_eq!(callee("exampb.Echo", "SayHello", 9), Ok((1, None)));
        assert_eq!(callee("EchoService", "SayHello", 0), Err(Code::INVALID_ARGUMENT));
        assert_eq!(callee("unknown.RoomEntity", "SayHello", 4), Ok((5, Some(Key::Number(4)))));
        assert_eq!(callee("exampb.EchoService", "Nothing", 0), Err(Code::UNIMPLEMENTED));
        assert_eq!(callee("exampb.Client", "SayHello", 1), Err(Code::UNIMPLEMENTED), "clients are not called");
    }

    #[test]
    fn entities_are_called_without_a_type() {
        let room = entity_id("other.Room", 77);
        assert_eq!(callee("", "SayHello", room), Ok((5, Some(Key::Number(77)))));
        assert_eq!(callee("other.RoomEntity", "SayHello", room), Ok((5, Some(Key::Number(77)))));
        assert_eq!(callee("", "Only", u64::MAX), Ok((3, Some(Key::Number(u64::MAX)))));
        assert_eq!(callee("", "Only", 0), Ok((3, None)), "the entity of the session");
        assert_eq!(callee("", "SayHello", 5), Err(Code::INVALID_ARGUMENT));
        assert_eq!(callee("", "Inner", 5), Err(Code::UNIMPLEMENTED));
    }

    #[test]
    fn what_clients_implement_is_named_as_their_generator_does() {
        assert_eq!(names().of_client(8), Some(("exampb.ClientEntity", "SayHello")));
        assert_eq!(names().of_client(1), None);
    }
}
