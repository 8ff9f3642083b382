//! What clients may call: the table that a gate routes by, made from the descriptors of the games.

use bbq_wire::Key;

use crate::desc::{Kind, MethodDesc, Rate, ServiceDesc};
use crate::limit::Quota;

/// One method as the gate sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Method {
    /// Wire id.
    pub id: u32,
    /// Type id of the service or entity type that has it.
    pub type_id: u32,
    /// What that is.
    pub kind: Kind,
    /// A client may call it.
    pub client: bool,
    /// Nobody waits for an answer.
    pub oneway: bool,
    /// Longest time that a call may take in milliseconds; 0 = the gate's.
    pub timeout_ms: u32,
    /// Largest body in bytes; 0 = what fits a frame.
    pub max_bytes: u32,
    /// Limit per session.
    pub rate: Option<Quota>,
}

/// All methods, found by wire id.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MethodTable {
    /// Sorted by id, each id once.
    methods: Vec<Method>,
}

/// Two methods have the same wire id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflict(pub u32);

impl Method {
    /// The method `desc` of the type `type_id`.
    #[must_use]
    pub fn new(type_id: u32, kind: Kind, desc: &MethodDesc) -> Self {
        let MethodDesc { id, client, oneway, timeout_ms, rate, max_bytes, .. } = *desc;
        Self { id, type_id, kind, client, oneway, timeout_ms, max_bytes, rate: rate.map(Quota::new) }
    }

    /// The same with another limit per session.
    #[must_use]
    pub fn with_rate(self, rate: Option<Rate>) -> Self {
        Self { rate: rate.map(Quota::new), ..self }
    }
}

impl MethodTable {
    /// A table of these methods; the same method given twice (by two games that serve it) counts once. Of methods that
    /// differ but have the same id the first stays, and the others are named.
    #[must_use]
    pub fn new(methods: impl IntoIterator<Item = Method>) -> (Self, Vec<Conflict>) {
        let mut all: Vec<Method> = methods.into_iter().collect();
        all.sort_by_key(|method| method.id);
        let mut conflicts = Vec::new();
        all.dedup_by(|later, first| {
            if later.id == first.id && later.type_id != first.type_id {
                conflicts.push(Conflict(later.id));
            }
            later.id == first.id
        });
        (Self { methods: all }, conflicts)
    }

    /// A table of everything that these descriptors declare; methods implemented by clients are left out.
    #[must_use]
    pub fn of_services(services: &[&ServiceDesc]) -> (Self, Vec<Conflict>) {
        let served = services.iter().filter(|service| service.kind != Kind::Client);
        Self::new(
            served.flat_map(|service| {
                service.methods.iter().map(|desc| Method::new(service.type_id(), service.kind, desc))
            }),
        )
    }

    /// The method with this wire id.
    #[must_use]
    pub fn find(&self, id: u32) -> Option<&Method> {
        let at = self.methods.binary_search_by_key(&id, |method| method.id).ok()?;
        self.methods.get(at)
    }

    /// Number of methods.
    #[must_use]
    pub fn len(&self) -> usize {
        self.methods.len()
    }

    /// Whether nothing can be called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }
}

/// What calls with the same key have in common, for services that are spread over instances.
pub(super) fn affinity(type_id: u32, key: &Key) -> u64 {
    bbq_wire::EntityId::new(type_id, key).stable_hash()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: &[MethodDesc] = &[
        MethodDesc { name: "Say", id: 9, client: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Admin", id: 3, ..MethodDesc::DEFAULT },
    ];

    #[test]
    fn methods_are_found_by_id_and_client_interfaces_are_not_served() {
        let room = ServiceDesc { name: "chat.Room", kind: Kind::Entity, methods: METHODS, ..ServiceDesc::DEFAULT };
        let client = ServiceDesc { name: "chat.Client", kind: Kind::Client, methods: METHODS, ..ServiceDesc::DEFAULT };
        let (table, conflicts) = MethodTable::of_services(&[&room, &client, &room]);
        assert_eq!((table.len(), conflicts), (2, vec![]));
        assert!(table.find(9).is_some_and(|method| method.client && method.type_id == room.type_id()));
        assert!(table.find(3).is_some_and(|method| !method.client));
        assert_eq!(table.find(4), None);
    }

    #[test]
    fn methods_that_collide_are_named() {
        let one = ServiceDesc { name: "a.One", methods: METHODS, ..ServiceDesc::DEFAULT };
        let two = ServiceDesc { name: "a.Two", methods: METHODS, ..ServiceDesc::DEFAULT };
        let (table, conflicts) = MethodTable::of_services(&[&one, &two]);
        assert_eq!((table.len(), conflicts), (2, vec![Conflict(3), Conflict(9)]));
        assert!(table.find(9).is_some_and(|method| method.type_id == one.type_id()));
    }
}
