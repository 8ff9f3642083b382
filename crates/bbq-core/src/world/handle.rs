//! Typed access to what lives elsewhere: handles for entities, services and clients.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bbq_wire::{EntityId, Result, SessionId};

use super::Shared;
use super::call::{Call, To};
use super::io::ClientRef;
use super::state::{Inner, NONE};
use crate::desc::ServiceDesc;
use crate::payload::Payload;

/// Access to one entity. Generated `XxxRef` types wrap it.
///
/// It may be kept, in the state of an entity say: a call takes its deadline, its session and its place in the chain of
/// callers from the turn that makes it, not from the one that made the handle.
#[derive(Clone)]
pub struct EntityHandle(Rc<Place>);

struct Place {
    shared: Rc<Shared>,
    id: EntityId,
    /// Where the entity was found last time, with its generation: saves the lookup.
    found: Cell<(u32, u32)>,
}

/// Access to a service. Generated `XxxRef` types wrap it.
#[derive(Clone)]
pub struct ServiceHandle {
    pub(crate) shared: Rc<Shared>,
    pub(crate) type_id: u32,
    pub(crate) affinity: Option<u64>,
}

/// Access to a session or a group of sessions. Generated `XxxRef` types wrap it.
#[derive(Clone)]
pub struct ClientHandle {
    pub(crate) shared: Rc<Shared>,
    /// Who speaks.
    pub(crate) me: Option<EntityId>,
    pub(crate) to: ClientTarget,
}

#[derive(Clone)]
pub(crate) enum ClientTarget {
    Session { client: ClientRef, unreliable: bool },
    Group { group: Arc<str>, except: Vec<SessionId>, unreliable: bool },
}

/// A generated stub for an entity type.
pub trait EntityStub {
    /// What the proto says.
    const DESC: &'static ServiceDesc;
    /// Wraps a handle.
    fn bind(handle: EntityHandle) -> Self;
    /// The wrapped handle.
    fn handle(&self) -> &EntityHandle;
}

/// A generated stub for a service.
pub trait ServiceStub {
    /// What the proto says.
    const DESC: &'static ServiceDesc;
    /// Wraps a handle.
    fn bind(handle: ServiceHandle) -> Self;
}

/// A generated stub for a client interface.
pub trait ClientStub {
    /// What the proto says.
    const DESC: &'static ServiceDesc;
    /// Wraps a handle.
    fn bind(handle: ClientHandle) -> Self;
}

impl EntityHandle {
    pub(crate) fn new(shared: Rc<Shared>, id: EntityId) -> Self {
        Self(Rc::new(Place { shared, id, found: Cell::new((NONE, 0)) }))
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.0.shared
    }

    /// Its slot in this world; without a directory, it is brought to life here.
    #[inline(always)]
    pub(crate) fn find(&self, inner: &mut Inner) -> Option<u32> {
        let (index, generation) = self.0.found.get();
        if inner.slots.get(index as usize).is_some_and(|slot| slot.generation == generation) {
            return Some(index);
        }
        self.search(inner)
    }

    #[inline(never)]
    fn search(&self, inner: &mut Inner) -> Option<u32> {
        let index = inner.find(&self.0.id).or_else(|| inner.activate_solo(&self.0.id))?;
        self.0.found.set((index, inner.slots[index as usize].generation));
        Some(index)
    }

    /// Whom it addresses.
    #[must_use]
    pub fn id(&self) -> &EntityId {
        &self.0.id
    }

    /// Prepares a call of the method with this index. For generated code.
    #[inline]
    pub fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        Call::new(desc, method, body, decode, To::Entity(self.clone()))
    }
}

impl ServiceHandle {
    pub(crate) fn new(shared: Rc<Shared>, type_id: u32, affinity: Option<u64>) -> Self {
        Self { shared, type_id, affinity }
    }

    /// Prepares a call of the method with this index. For generated code.
    #[inline]
    pub fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        Call::new(desc, method, body, decode, To::Service(Box::new(self.clone())))
    }
}

impl ClientHandle {
    pub(crate) fn new(shared: Rc<Shared>, me: Option<EntityId>, to: ClientTarget) -> Self {
        Self { shared, me, to }
    }

    /// Prepares a call of the method with this index. For generated code.
    #[inline]
    pub fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        Call::new(desc, method, body, decode, To::Client(Box::new(self.clone())))
    }
}

impl fmt::Debug for EntityHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.id, f)
    }
}

impl fmt::Debug for ServiceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceHandle(affinity {:?})", self.affinity)
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            ClientTarget::Session { client, .. } => write!(f, "ClientHandle({})", client.session),
            ClientTarget::Group { group, .. } => write!(f, "ClientHandle(group {group})"),
        }
    }
}
