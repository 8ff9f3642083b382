//! Typed access to what lives elsewhere: handles for entities, services and clients, and the [`Call`] they make.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Result, SessionId, Time};

use super::Shared;
use super::ctx::Ctx;
use super::glue::{EntityGlue, Work};
use super::io::{ClientRef, GroupChange, GroupOp, Meta, Outgoing, Output, Target, ToClient};
use super::state::{Effect, Inner, Message, NONE, Outcome, Reply, call_id};
use crate::desc::ServiceDesc;
use crate::payload::Payload;

/// What a call inherits from the turn that makes it.
pub(crate) struct Caller {
    pub(crate) shared: Rc<Shared>,
    pub(crate) task: (u32, u32),
    pub(crate) me: Option<EntityId>,
    pub(crate) deadline: Time,
    pub(crate) meta: Option<Rc<Meta>>,
}

/// Access to one entity. Generated `XxxRef` types wrap it.
#[derive(Clone)]
pub struct EntityHandle(Rc<Place>);

struct Place {
    caller: Rc<Caller>,
    id: EntityId,
    /// Where the entity was found last time, with its generation: saves the lookup.
    found: Cell<(u32, u32)>,
}

/// Access to a service. Generated `XxxRef` types wrap it.
#[derive(Clone)]
pub struct ServiceHandle {
    caller: Rc<Caller>,
    affinity: Option<u64>,
}

/// Access to a session or a group of sessions. Generated `XxxRef` types wrap it.
#[derive(Clone)]
pub struct ClientHandle {
    caller: Rc<Caller>,
    to: ClientTarget,
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
    pub(crate) fn new(caller: Rc<Caller>, id: EntityId) -> Self {
        Self(Rc::new(Place { caller, id, found: Cell::new((NONE, 0)) }))
    }

    /// Whom it addresses.
    #[must_use]
    pub fn id(&self) -> &EntityId {
        &self.0.id
    }

    /// Prepares a call of the method with this index. For generated code.
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
    pub(crate) fn new(caller: Rc<Caller>, affinity: Option<u64>) -> Self {
        Self { caller, affinity }
    }

    /// Prepares a call of the method with this index. For generated code.
    pub fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        Call::new(desc, method, body, decode, To::Service(self.clone()))
    }
}

impl ClientHandle {
    pub(crate) fn new(caller: Rc<Caller>, to: ClientTarget) -> Self {
        Self { caller, to }
    }

    /// Prepares a call of the method with this index. For generated code.
    pub fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        Call::new(desc, method, body, decode, To::Client(self.clone()))
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

enum To {
    Entity(EntityHandle),
    Service(ServiceHandle),
    Client(ClientHandle),
}

impl To {
    fn caller(&self) -> &Rc<Caller> {
        match self {
            Self::Entity(handle) => &handle.0.caller,
            Self::Service(handle) => &handle.caller,
            Self::Client(handle) => &handle.caller,
        }
    }
}

/// A call that has been prepared. Awaiting it sends it and waits for the answer; [`Call::tell`] sends it and does not
/// wait. Dropped before either, nothing was sent; dropped while waiting, the answer is discarded.
#[must_use = "a call is sent when it is awaited, or by .tell()"]
pub struct Call<R> {
    desc: &'static ServiceDesc,
    method: u16,
    body: Payload,
    decode: fn(Payload) -> Result<R>,
    to: To,
    timeout: Option<Duration>,
    op: Option<(u32, u32)>,
    sent: bool,
}

impl<R> Call<R> {
    fn new(desc: &'static ServiceDesc, method: usize, body: Payload, decode: fn(Payload) -> Result<R>, to: To) -> Self {
        Self { desc, method: method as u16, body, decode, to, timeout: None, op: None, sent: false }
    }

    /// Waits at most this long instead of the method's own deadline. The caller's own deadline still holds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the message one-way.
    pub fn tell(mut self) {
        let shared = Rc::clone(&self.to.caller().shared);
        let inner = &mut *shared.inner.borrow_mut();
        let deadline = if self.timeout.is_some() { self.deadline(inner) } else { Time::MAX };
        let task = inner.current;
        let effect = self.effect(inner, deadline);
        inner.effect(task, effect);
    }

    fn deadline(&self, inner: &Inner) -> Time {
        let own = self.desc.methods.get(usize::from(self.method)).map_or(0, |method| method.timeout_ms);
        let timeout = self.timeout.unwrap_or(match own {
            0 => inner.config.call_timeout,
            ms => Duration::from_millis(u64::from(ms)),
        });
        (inner.now + timeout).min(self.to.caller().deadline)
    }

    fn method_id(&self) -> u32 {
        self.desc.methods.get(usize::from(self.method)).map_or(0, |method| method.id)
    }

    fn effect(&mut self, inner: &Inner, deadline: Time) -> Effect {
        let body = std::mem::take(&mut self.body);
        match &self.to {
            To::Client(handle) => Effect::Out(self.to_client(handle, body, None, deadline)),
            _ => Effect::Tell(self.outgoing(inner, body, None, deadline), self.method),
        }
    }

    fn outgoing(&self, inner: &Inner, body: Payload, op: Option<(u32, u32)>, deadline: Time) -> Outgoing {
        let caller = self.to.caller();
        let (target, affinity) = match &self.to {
            To::Entity(handle) => (Target::Entity(handle.0.id.clone()), None),
            To::Service(handle) => (Target::Service(self.desc.type_id()), handle.affinity),
            To::Client(_) => unreachable!("calls on clients leave through to_client"),
        };
        let mut meta = caller.meta.as_deref().cloned().unwrap_or_default();
        if op.is_some() {
            meta.chain = inner.chain(caller.task.0);
        } else {
            meta.chain.clear();
        }
        Outgoing { target, method: self.method_id(), body, call: op.map(call_id), deadline, affinity, meta }
    }

    fn to_client(&self, handle: &ClientHandle, body: Payload, op: Option<(u32, u32)>, deadline: Time) -> Output {
        let (method, from, body) = (self.method_id(), handle.caller.me.clone(), body.into_bytes());
        match &handle.to {
            ClientTarget::Session { client, unreliable } => {
                let (client, call, unreliable) = (client.clone(), op.map(call_id), *unreliable && op.is_none());
                Output::ToClient(ToClient { client, method, from, body, call, deadline, unreliable })
            }
            ClientTarget::Group { group, except, unreliable } => {
                let (except, unreliable) = (except.clone(), *unreliable);
                let change = GroupChange::Push { method, from, body, except, unreliable };
                Output::Group(GroupOp { group: Arc::clone(group), change })
            }
        }
    }

    /// Sends the call; its answer completes the returned operation.
    fn send(&mut self, inner: &mut Inner) -> Result<(u32, u32)> {
        if let To::Client(ClientHandle { to: ClientTarget::Group { .. }, .. }) = &self.to {
            return Err(Error::new(Code::INVALID_ARGUMENT, "a group cannot be asked: use .tell()"));
        }
        let deadline = self.deadline(inner);
        if deadline <= inner.now {
            return Err(Error::new(Code::DEADLINE_EXCEEDED, "the caller's deadline has passed; the call was not sent"));
        }
        let op = inner.begin(deadline)?;
        if let Err(error) = self.route(inner, deadline, Reply::Op(op.0, op.1), Some(op)) {
            inner.cancel(op.0, op.1);
            return Err(error);
        }
        Ok(op)
    }

    /// Into a mailbox or a service of this world, else out of it.
    fn route(&mut self, inner: &mut Inner, deadline: Time, reply: Reply, op: Option<(u32, u32)>) -> Result<()> {
        let body = std::mem::take(&mut self.body);
        let index = match &self.to {
            To::Client(handle) => {
                let output = self.to_client(handle, body, op, deadline);
                inner.outputs.push_back(output);
                return Ok(());
            }
            To::Service(handle) => match inner.type_of(self.desc.type_id()) {
                Some(kind) if handle.affinity.is_none() => Ok(kind),
                _ => Err(None),
            },
            To::Entity(handle) => Err(find(inner, handle)),
        };
        let caller = self.to.caller();
        let (parent, meta) = (caller.task, caller.meta.clone());
        let work = |body| Work::Call { method: self.method, body };
        match index {
            Ok(kind) => inner.start_service(kind, Message { work: work(body), reply, deadline, parent, meta }),
            Err(Some(slot)) => {
                let message = Message { work: work(body), reply, deadline, parent, meta };
                inner.enqueue(slot, self.method, message).map_err(|(_, error)| error)
            }
            Err(None) => {
                let op = op.or_else(|| match reply {
                    Reply::Nobody => None,
                    reply => Some(inner.begin_forward(deadline, reply)),
                });
                let call = self.outgoing(inner, body, op, deadline);
                inner.outputs.push_back(Output::Call(call));
                Ok(())
            }
        }
    }

    /// Sends the call so that its answer goes to `reply` (see [`Ctx::redirect`]).
    pub(crate) fn forward(mut self, inner: &mut Inner, reply: Reply) -> Result<(), Error> {
        let deadline = self.deadline(inner);
        if matches!(self.to, To::Client(_)) {
            let op = inner.begin_forward(deadline, reply);
            return self.route(inner, deadline, Reply::Nobody, Some(op));
        }
        self.route(inner, deadline, reply, None)
    }
}

fn find(inner: &mut Inner, handle: &EntityHandle) -> Option<u32> {
    let place = &*handle.0;
    let (index, generation) = place.found.get();
    if inner.slots.get(index as usize).is_some_and(|slot| slot.generation == generation) {
        return Some(index);
    }
    let index = inner.find(&place.id).or_else(|| inner.activate_solo(&place.id))?;
    place.found.set((index, inner.slots[index as usize].generation));
    Some(index)
}

impl<R> Future for Call<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut *self;
        let shared = Rc::clone(&call.to.caller().shared);
        let inner = &mut *shared.inner.borrow_mut();
        let Some((op, _)) = call.op else {
            assert!(!std::mem::replace(&mut call.sent, true), "a call was polled after it had ended");
            call.op = Some(call.send(inner)?);
            if let Some((op, _)) = call.op {
                inner.poll_op(op, cx.waker());
            }
            return Poll::Pending;
        };
        match inner.poll_op(op, cx.waker()) {
            None => Poll::Pending,
            Some(outcome) => {
                call.op = None;
                let Outcome::Reply(result) = outcome else { unreachable!("calls end with replies") };
                Poll::Ready(result.and_then(call.decode))
            }
        }
    }
}

impl<R> Unpin for Call<R> {}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if let Some((op, generation)) = self.op {
            self.to.caller().shared.inner.borrow_mut().cancel(op, generation);
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.desc.methods.get(usize::from(self.method)).map_or("?", |method| method.name);
        write!(f, "Call({}/{name})", self.desc.name)
    }
}

/// Awaits `call` while `entity` may serve reentrant calls that come back to it (A -> B -> A). The borrow shows where
/// its state can change. Generated traits offer it as `self.lend(ctx, call)`.
///
/// # Errors
/// Those of the call.
pub async fn lend<G: EntityGlue, R>(entity: &mut G::Entity, ctx: &Ctx, mut call: Call<R>) -> Result<R> {
    loop {
        let event = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut call).poll(cx) {
                return Poll::Ready(Ok(result));
            }
            ctx.take_reentrant().map_or(Poll::Pending, |message| Poll::Ready(Err(message)))
        });
        match event.await {
            Ok(result) => {
                ctx.end_lending();
                return result;
            }
            Err((inner, method, body)) => {
                let turn: Pin<Box<dyn Future<Output = Result<Payload>> + '_>> =
                    Box::pin(G::call(entity, &inner, method, body));
                let result = turn.await;
                inner.answer_reentrant(result);
            }
        }
    }
}
