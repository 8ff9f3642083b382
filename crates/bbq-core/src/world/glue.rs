//! What generated code gives the world: how to create, call and store a type, with the type itself forgotten.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Result};

use super::ctx::{Ctx, Step};
use super::io::{ClientRef, Note, SessionEvent, StopReason};
use crate::desc::{Save, ServiceDesc};
use crate::payload::Payload;

/// A lifecycle event, delivered as a turn.
#[derive(Debug)]
pub enum Hook {
    /// The first turn.
    Init,
    /// The last turn.
    Destroy(StopReason),
    /// The tick set by [`Ctx::start_tick`]; the time since the last one.
    Tick(Duration),
    /// A named timer.
    Timer(Arc<str>),
    /// A note of a watched entity.
    Notify(Note),
    /// News of a watched session.
    Session(ClientRef, SessionEvent),
    /// A watched entity stopped.
    Gone(EntityId),
    /// Nothing to run: only store the state.
    Save,
}

/// Implemented by generated code for each entity type.
#[allow(async_fn_in_trait, reason = "worlds are single-threaded: no Send bound is wanted")]
pub trait EntityGlue: 'static {
    /// The user's type.
    type Entity: 'static;
    /// What the proto says.
    const DESC: &'static ServiceDesc;
    /// Makes an entity from its stored state, or from the default.
    ///
    /// # Errors
    /// When the stored bytes are not a valid state message.
    fn create(id: &EntityId, state: Payload) -> Result<Self::Entity>;
    /// The encoded state; [`Payload::EMPTY`] for types without.
    fn state(entity: &Self::Entity) -> Payload;
    /// Runs the method with this index.
    async fn call(entity: &mut Self::Entity, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload>;
    /// Runs a hook. [`Hook::Save`] never arrives here.
    async fn hook(entity: &mut Self::Entity, ctx: &Ctx, hook: Hook) -> Result<()>;
}

/// Implemented by generated code for each service.
#[allow(async_fn_in_trait, reason = "worlds are single-threaded: no Send bound is wanted")]
pub trait ServiceGlue: 'static {
    /// The user's type.
    type Service: 'static;
    /// What the proto says.
    const DESC: &'static ServiceDesc;
    /// Runs the method with this index.
    async fn call(service: &Self::Service, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload>;
    /// Runs a hook; only [`Hook::Init`] arrives here.
    async fn hook(service: &Self::Service, ctx: &Ctx, hook: Hook) -> Result<()>;
}

/// The error for a method index that the generated code does not know.
#[must_use]
pub fn no_such_method(desc: &ServiceDesc, method: usize) -> Error {
    Error::new(Code::UNIMPLEMENTED, format!("{} has no method with index {method}", desc.name))
}

/// One type that a process serves: what `App::add` takes. Each world makes its own table from it.
#[derive(Clone)]
pub struct Definition {
    desc: &'static ServiceDesc,
    make: Arc<dyn Fn() -> Rc<dyn AnyType> + Send + Sync>,
}

impl Definition {
    /// An entity type.
    #[must_use]
    pub fn entity<G: EntityGlue>() -> Self {
        Self { desc: G::DESC, make: Arc::new(|| Rc::new(EntityTable::<G>(std::marker::PhantomData))) }
    }

    /// A service; each world gets its own clone of `instance`.
    #[must_use]
    pub fn service<G: ServiceGlue>(instance: G::Service) -> Self
    where
        G::Service: Clone + Send + Sync,
    {
        Self { desc: G::DESC, make: Arc::new(move || Rc::new(ServiceTable::<G>(Rc::new(instance.clone())))) }
    }

    /// What the proto says of it.
    #[must_use]
    pub fn desc(&self) -> &'static ServiceDesc {
        self.desc
    }

    pub(crate) fn table(&self) -> Rc<dyn AnyType> {
        (self.make)()
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({})", self.desc.name)
    }
}

/// What a turn does.
#[derive(Debug)]
pub(crate) enum Work {
    Call { method: u16, body: Payload },
    Hook(Box<Hook>),
}

impl Work {
    pub(crate) const NOTHING: Self = Self::Call { method: 0, body: Payload::EMPTY };
}

/// An entity whose type has been forgotten.
pub(crate) type Body = Box<dyn Any>;

/// A turn, or a service call, or a spawned future. It says by its context how it ended, before it is done.
pub(crate) type Turn = Pin<Box<dyn Future<Output = ()>>>;

impl dyn AnyType {
    /// The future that does this work.
    #[inline]
    pub(crate) fn turn(&self, entity: Option<Body>, ctx: Box<Ctx>, work: Work) -> Turn {
        match work {
            Work::Call { method, body } => self.call(entity, ctx, method, body),
            Work::Hook(hook) => self.hook(entity, ctx, hook),
        }
    }
}

/// A type with its Rust type forgotten.
pub(crate) trait AnyType {
    fn desc(&self) -> &'static ServiceDesc;
    /// Entities only.
    fn create(&self, id: &EntityId, state: Payload) -> Result<Body>;
    /// Runs a method; an entity type owns its entity meanwhile, a service has none.
    fn call(&self, entity: Option<Body>, ctx: Box<Ctx>, method: u16, body: Payload) -> Turn;
    /// Runs a hook.
    fn hook(&self, entity: Option<Body>, ctx: Box<Ctx>, hook: Box<Hook>) -> Turn;
}

struct EntityTable<G>(std::marker::PhantomData<G>);

impl<G: EntityGlue> AnyType for EntityTable<G> {
    fn desc(&self) -> &'static ServiceDesc {
        G::DESC
    }

    fn create(&self, id: &EntityId, state: Payload) -> Result<Body> {
        Ok(Box::new(G::create(id, state)?))
    }

    fn call(&self, entity: Option<Body>, mut ctx: Box<Ctx>, mut method: u16, mut body: Payload) -> Turn {
        let mut entity = own::<G>(entity);
        Box::pin(async move {
            loop {
                let mut result = G::call(&mut entity, &ctx, usize::from(method), body).await;
                if const { G::DESC.state.is_some() } && saves::<G>(&ctx) {
                    result = Box::pin(save::<G>(&mut entity, &ctx, result)).await;
                }
                // Answers travel by registers: they are often fresh from the handler.
                match result {
                    Ok(answer) => match ctx.next(answer) {
                        Step::Next(next, message) => (method, body) = (next, message),
                        Step::Last(answer) => return ctx.end(Some(entity), answer),
                    },
                    Err(error) => return ctx.fail(Some(entity), error),
                }
            }
        })
    }

    fn hook(&self, entity: Option<Body>, ctx: Box<Ctx>, hook: Box<Hook>) -> Turn {
        let mut entity = own::<G>(entity);
        Box::pin(async move {
            match run_hook::<G>(&mut entity, &ctx, hook).await {
                Ok(answer) => ctx.end(Some(entity), answer),
                Err(error) => ctx.fail(Some(entity), error),
            }
        })
    }
}

fn own<G: EntityGlue>(entity: Option<Body>) -> Box<G::Entity> {
    entity.and_then(|entity| entity.downcast().ok()).expect("the table made the entity")
}

async fn run_hook<G: EntityGlue>(entity: &mut G::Entity, ctx: &Ctx, hook: Box<Hook>) -> Result<Payload> {
    let must_save = matches!(*hook, Hook::Save | Hook::Destroy(_));
    let result = match *hook {
        Hook::Save => Ok(()),
        hook => G::hook(entity, ctx, hook).await,
    };
    let result = result.map(Payload::unit);
    if const { G::DESC.state.is_some() } && (must_save || saves::<G>(ctx)) {
        return save::<G>(entity, ctx, result).await;
    }
    result
}

/// Whether the state is stored at the end of this turn.
fn saves<G: EntityGlue>(ctx: &Ctx) -> bool {
    matches!(G::DESC.state, Some(state) if state.save == Save::Turn) || ctx.save_requested()
}

/// Stores the state; a failure is the result of the turn.
async fn save<G: EntityGlue>(entity: &mut G::Entity, ctx: &Ctx, result: Result<Payload>) -> Result<Payload> {
    ctx.commit(G::state(entity)).await.and(result)
}

/// A call within a turn of its entity: what it changed is stored before it is answered, as at the end of a turn.
pub(crate) async fn run_reentrant<G: EntityGlue>(
    entity: &mut G::Entity,
    ctx: &Ctx,
    method: usize,
    body: Payload,
) -> Result<Payload> {
    let result = G::call(entity, ctx, method, body).await;
    if const { G::DESC.state.is_some() } && saves::<G>(ctx) {
        return save::<G>(entity, ctx, result).await;
    }
    result
}

struct ServiceTable<G: ServiceGlue>(Rc<G::Service>);

impl<G: ServiceGlue> AnyType for ServiceTable<G> {
    fn desc(&self) -> &'static ServiceDesc {
        G::DESC
    }

    fn create(&self, _: &EntityId, _: Payload) -> Result<Body> {
        Err(Error::new(Code::INTERNAL, format!("{} is a service, not an entity type", G::DESC.name)))
    }

    fn call(&self, _: Option<Body>, ctx: Box<Ctx>, method: u16, body: Payload) -> Turn {
        let service = Rc::clone(&self.0);
        Box::pin(async move {
            match G::call(&service, &ctx, usize::from(method), body).await {
                Ok(answer) => ctx.end(None, answer),
                Err(error) => ctx.fail(None, error),
            }
        })
    }

    fn hook(&self, _: Option<Body>, ctx: Box<Ctx>, hook: Box<Hook>) -> Turn {
        let service = Rc::clone(&self.0);
        Box::pin(async move {
            match G::hook(&service, &ctx, *hook).await {
                Ok(()) => ctx.end(None, Payload::EMPTY),
                Err(error) => ctx.fail(None, error),
            }
        })
    }
}
