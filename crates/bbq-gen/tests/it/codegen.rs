//! Stands in for the runtime that generated code is written against: the same names and signatures as the `codegen`
//! module of bbq-core, and as little behind them as possible. Calls run at once, in a table of the test.

use std::cell::RefCell;
use std::future::{Ready, ready};

pub(crate) use std::marker::PhantomData;
pub(crate) use std::time::Duration;

pub(crate) use ::{buffa, buffa_types};

pub(crate) type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Service,
    Entity,
    Client,
}

#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(dead_code, reason = "the sample uses one")]
pub(crate) enum Save {
    Turn,
    Interval(u32),
    Manual,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Restart {
    FromState,
    Stop,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct MethodDesc {
    pub(crate) name: &'static str,
    pub(crate) id: u32,
    pub(crate) client: bool,
    pub(crate) oneway: bool,
    pub(crate) reentrant: bool,
    pub(crate) timeout_ms: u32,
    pub(crate) rate: Option<Rate>,
    pub(crate) max_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct StateDesc {
    pub(crate) message: &'static str,
    pub(crate) save: Save,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct ServiceDesc {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) methods: &'static [MethodDesc],
    pub(crate) state: Option<StateDesc>,
    pub(crate) mailbox: u32,
    pub(crate) idle_ms: u32,
    pub(crate) restart: Restart,
}

impl MethodDesc {
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        id: 0,
        client: false,
        oneway: false,
        reentrant: false,
        timeout_ms: 0,
        rate: None,
        max_bytes: 0,
    };
}

impl ServiceDesc {
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        kind: Kind::Service,
        methods: &[],
        state: None,
        mailbox: 1024,
        idle_ms: 0,
        restart: Restart::FromState,
    };
}

/// Bodies are always bytes here.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Payload(bytes::Bytes);

impl Payload {
    pub(crate) const EMPTY: Self = Self(bytes::Bytes::new());

    pub(crate) fn of<M: buffa::Message + Clone + Send + 'static>(message: M) -> Self {
        Self(message.encode_to_bytes())
    }

    pub(crate) fn from_bytes(bytes: bytes::Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn unit(_: ()) -> Self {
        Self::EMPTY
    }

    pub(crate) fn take<M: buffa::Message + Clone + Send + 'static>(self) -> Result<M> {
        M::decode_from_slice(&self.0).map_err(|why| why.to_string())
    }

    pub(crate) fn take_unit(self) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct EntityId(pub(crate) String);
#[derive(Debug)]
pub(crate) struct Ctx;

impl Ctx {
    pub(crate) fn answer<M: buffa::Message + Clone + Send + 'static>(&self, message: M) -> Payload {
        Payload::of(message)
    }
}

#[derive(Debug)]
pub(crate) struct StopReason;
#[derive(Debug)]
pub(crate) struct Note;
#[derive(Debug)]
pub(crate) struct ClientRef;
#[derive(Debug)]
pub(crate) struct SessionEvent;

#[derive(Debug)]
#[expect(dead_code, reason = "the test sends two of them")]
pub(crate) enum Hook {
    Init,
    Destroy(StopReason),
    Tick(Duration),
    Timer(std::sync::Arc<str>),
    Notify(Note),
    Session(ClientRef, SessionEvent),
    Gone(EntityId),
    Save,
}

pub(crate) trait EntityGlue: 'static {
    type Entity: 'static;
    const DESC: &'static ServiceDesc;
    fn create(id: &EntityId, state: Payload) -> Result<Self::Entity>;
    fn state(entity: &Self::Entity) -> Payload;
    async fn call(entity: &mut Self::Entity, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload>;
    async fn hook(entity: &mut Self::Entity, ctx: &Ctx, hook: Hook) -> Result<()>;
}

pub(crate) trait ServiceGlue: 'static {
    type Service: 'static;
    const DESC: &'static ServiceDesc;
    async fn call(service: &Self::Service, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload>;
    async fn hook(service: &Self::Service, ctx: &Ctx, hook: Hook) -> Result<()>;
}

#[expect(dead_code, reason = "contexts of the runtime use it")]
pub(crate) trait EntityStub {
    const DESC: &'static ServiceDesc;
    fn bind(handle: EntityHandle) -> Self;
    fn handle(&self) -> &EntityHandle;
}

#[expect(dead_code, reason = "contexts of the runtime use it")]
pub(crate) trait ServiceStub {
    const DESC: &'static ServiceDesc;
    fn bind(handle: ServiceHandle) -> Self;
}

#[expect(dead_code, reason = "contexts of the runtime use it")]
pub(crate) trait ClientStub {
    const DESC: &'static ServiceDesc;
    fn bind(handle: ClientHandle) -> Self;
}

pub(crate) fn no_such_method(desc: &ServiceDesc, method: usize) -> String {
    format!("{} has no method with index {method}", desc.name)
}

pub(crate) async fn lend<G: EntityGlue, R>(_: &mut G::Entity, _: &Ctx, call: Call<R>) -> Result<R> {
    call.await
}

/// What the calls of a test send, and what they get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle {
    pub(crate) sent: std::rc::Rc<RefCell<Vec<(String, Payload)>>>,
    pub(crate) reply: Payload,
}

pub(crate) type EntityHandle = Handle;
pub(crate) type ServiceHandle = Handle;
pub(crate) type ClientHandle = Handle;
pub(crate) type Call<R> = Ready<Result<R>>;

impl Handle {
    pub(crate) fn call<R>(
        &self,
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
    ) -> Call<R> {
        self.sent.borrow_mut().push((format!("{}/{}", desc.name, desc.methods[method].name), body));
        ready(decode(self.reply.clone()))
    }
}

/// Takes a method, a body and a state; gives the reply and the state.
type Serve = Box<dyn Fn(usize, Payload, Payload) -> Result<(Payload, Payload)>>;

/// One served type, ready to be called.
pub(crate) struct Definition {
    pub(crate) desc: &'static ServiceDesc,
    pub(crate) serve: Serve,
}

impl Definition {
    pub(crate) fn entity<G: EntityGlue>() -> Self {
        let serve = |method, body, state| {
            run(async move {
                let mut entity = G::create(&EntityId("key".into()), state)?;
                G::hook(&mut entity, &Ctx, Hook::Init).await?;
                let reply = G::call(&mut entity, &Ctx, method, body).await?;
                G::hook(&mut entity, &Ctx, Hook::Timer("bell".into())).await?;
                Ok((reply, G::state(&entity)))
            })
        };
        Self { desc: G::DESC, serve: Box::new(serve) }
    }

    pub(crate) fn service<G: ServiceGlue>(instance: G::Service) -> Self
    where
        G::Service: Clone + Send + Sync,
    {
        let serve = move |method, body, _| {
            run(async {
                G::hook(&instance, &Ctx, Hook::Init).await?;
                Ok((G::call(&instance, &Ctx, method, body).await?, Payload::EMPTY))
            })
        };
        Self { desc: G::DESC, serve: Box::new(serve) }
    }
}

/// Polls once: nothing here waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}
