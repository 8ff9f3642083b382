//! The stubs of one service.

use buffa_codegen::context::CodeGenContext;

use super::doc::doc;
use crate::error::Error;
use crate::schema::{Kind, Method, Restart, Save, Service};

/// The name under which generated modules see the runtime. No user type is called like that.
pub(super) const IMPORT_NAME: &str = "as __gobbq;";

pub(super) fn import(runtime: &str) -> String {
    format!("\nuse {runtime} {IMPORT_NAME}\n")
}

/// A method with its Rust types; `None` stands for `google.protobuf.Empty`.
struct Call<'a> {
    index: usize,
    method: &'a Method,
    name: String,
    request: Option<String>,
    reply: Option<String>,
}

/// All code of one service.
pub(super) fn stub(service: &Service, types: &CodeGenContext<'_>) -> Result<String, Error> {
    let calls = service.methods.iter().enumerate().map(|(index, method)| {
        Ok(Call {
            index,
            method,
            name: method.rust_name(),
            request: rust_type(&method.request, service, types)?,
            reply: rust_type(&method.reply, service, types)?,
        })
    });
    let calls: Vec<Call<'_>> = calls.collect::<Result<_, Error>>()?;
    let state = match &service.state {
        Some(state) => rust_type(&state.message, service, types)?,
        None => None,
    };
    Ok(match service.kind {
        Kind::Entity => [
            entity_trait(service, &calls, state.as_deref()),
            reference(service, &calls, "EntityHandle", &entity_constructor(service)),
            entity_stub(service),
            descriptor(service),
            entity_glue(service, &calls, state.is_some()),
        ]
        .concat(),
        Kind::Service => [
            service_trait(service, &calls),
            reference(service, &calls, "ServiceHandle", &service_constructor(service)),
            bound_stub(service, "ServiceStub", "ServiceHandle"),
            descriptor(service),
            service_glue(service, &calls),
        ]
        .concat(),
        Kind::Client => [
            reference(service, &calls, "ClientHandle", ""),
            bound_stub(service, "ClientStub", "ClientHandle"),
            descriptor(service),
        ]
        .concat(),
    })
}

/// The path of a message from the module of `service`; `None` for `Empty`.
fn rust_type(full_name: &str, service: &Service, types: &CodeGenContext<'_>) -> Result<Option<String>, Error> {
    if full_name == crate::schema::EMPTY {
        return Ok(None);
    }
    let path = types.rust_type_relative(&format!(".{full_name}"), &service.package, 0);
    path.map(Some).ok_or_else(|| Error::Messages(format!("`{full_name}` has no Rust type")))
}

fn entity_trait(service: &Service, calls: &[Call<'_>], state: Option<&str>) -> String {
    let (name, glue) = (service.rust_trait(), service.rust_glue());
    let doc = doc(&service.doc, &format!("An entity of type `{}`.", service.full_name), "");
    let made = match state {
        None => "    /// Creates the entity.
    fn new(id: &__gobbq::EntityId) -> Self;
"
        .to_owned(),
        Some(state) => format!(
            "    /// Creates the entity: `state` is the stored one, or the default for a new entity.
    fn new(id: &__gobbq::EntityId, state: {state}) -> Self;

    /// The state to store.
    fn state(&self) -> &{state};
"
        ),
    };
    let methods = trait_methods(calls, "&mut self");
    format!(
        "
{doc}\
#[allow(async_fn_in_trait)]
pub trait {name}: ::core::marker::Sized + 'static {{
{made}
    /// The first turn.
    async fn on_init(&mut self, ctx: &__gobbq::Ctx) -> __gobbq::Result<()> {{
        let _ = ctx;
        Ok(())
    }}

    /// The last turn.
    async fn on_destroy(&mut self, ctx: &__gobbq::Ctx, reason: __gobbq::StopReason) -> __gobbq::Result<()> {{
        let _ = (ctx, reason);
        Ok(())
    }}

    /// The tick that `ctx.start_tick` set; `elapsed` since the last one.
    async fn on_tick(&mut self, ctx: &__gobbq::Ctx, elapsed: __gobbq::Duration) -> __gobbq::Result<()> {{
        let _ = (ctx, elapsed);
        Ok(())
    }}

    /// A named timer.
    async fn on_timer(&mut self, ctx: &__gobbq::Ctx, name: &str) -> __gobbq::Result<()> {{
        let _ = (ctx, name);
        Ok(())
    }}

    /// A note of a watched entity.
    async fn on_notify(&mut self, ctx: &__gobbq::Ctx, note: __gobbq::Note) -> __gobbq::Result<()> {{
        let _ = (ctx, note);
        Ok(())
    }}

    /// A watched session detached, resumed or left.
    async fn on_session(
        &mut self,
        ctx: &__gobbq::Ctx,
        client: __gobbq::ClientRef,
        event: __gobbq::SessionEvent,
    ) -> __gobbq::Result<()> {{
        let _ = (ctx, client, event);
        Ok(())
    }}

    /// A watched entity stopped.
    async fn on_gone(&mut self, ctx: &__gobbq::Ctx, subject: __gobbq::EntityId) -> __gobbq::Result<()> {{
        let _ = (ctx, subject);
        Ok(())
    }}

    /// Awaits `call`; meanwhile reentrant calls that come back to this entity are served.
    async fn lend<R>(&mut self, ctx: &__gobbq::Ctx, call: __gobbq::Call<R>) -> __gobbq::Result<R> {{
        __gobbq::lend::<{glue}<Self>, R>(self, ctx, call).await
    }}
{methods}}}
"
    )
}

fn service_trait(service: &Service, calls: &[Call<'_>]) -> String {
    let name = service.rust_trait();
    let doc = doc(&service.doc, &format!("The service `{}`.", service.full_name), "");
    let methods = trait_methods(calls, "&self");
    format!(
        "
{doc}\
#[allow(async_fn_in_trait)]
pub trait {name}: 'static {{
    /// Runs once before the first call.
    async fn on_init(&self, ctx: &__gobbq::Ctx) -> __gobbq::Result<()> {{
        let _ = ctx;
        Ok(())
    }}
{methods}}}
"
    )
}

fn trait_methods(calls: &[Call<'_>], receiver: &str) -> String {
    let method = |call: &Call<'_>| {
        let doc = doc(&call.method.doc, &format!("`{}`.", call.method.name), "    ");
        let request = call.request.as_ref().map(|request| format!(", req: {request}")).unwrap_or_default();
        let (name, reply) = (&call.name, call.reply());
        format!("\n{doc}    async fn {name}({receiver}, ctx: &__gobbq::Ctx{request}) -> __gobbq::Result<{reply}>;\n")
    };
    calls.iter().map(method).collect()
}

fn reference(service: &Service, calls: &[Call<'_>], handle: &str, constructor: &str) -> String {
    let (name, statik) = (service.rust_ref(), service.rust_static());
    let what = match service.kind {
        Kind::Client => "of one session or a group of them",
        Kind::Entity | Kind::Service => "wherever it lives",
    };
    let methods: Vec<String> = calls.iter().map(|call| call.stub(&statik)).collect();
    let methods = methods.join("\n");
    let gap = if constructor.is_empty() || methods.is_empty() { "" } else { "\n" };
    format!(
        "
/// Typed access to `{}`, {what}.
#[derive(Clone, Debug)]
pub struct {name}(__gobbq::{handle});

impl {name} {{
{constructor}{gap}{methods}}}
",
        service.full_name
    )
}

fn entity_constructor(service: &Service) -> String {
    let (name, user, glue) = (service.rust_ref(), service.rust_trait(), service.rust_glue());
    format!(
        "    /// What an `App` serves: `app.add({name}::entity::<MyType>())`.
    #[must_use]
    pub fn entity<T: {user}>() -> __gobbq::Definition {{
        __gobbq::Definition::entity::<{glue}<T>>()
    }}
"
    )
}

fn service_constructor(service: &Service) -> String {
    let (name, user, glue) = (service.rust_ref(), service.rust_trait(), service.rust_glue());
    format!(
        "    /// What an `App` serves: `app.add({name}::service(my_service))`. Each world gets its own clone.
    #[must_use]
    pub fn service<T>(instance: T) -> __gobbq::Definition
    where
        T: {user} + ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync,
    {{
        __gobbq::Definition::service::<{glue}<T>>(instance)
    }}
"
    )
}

fn entity_stub(service: &Service) -> String {
    let (name, statik) = (service.rust_ref(), service.rust_static());
    format!(
        "
impl __gobbq::EntityStub for {name} {{
    const DESC: &'static __gobbq::ServiceDesc = &{statik};

    fn bind(handle: __gobbq::EntityHandle) -> Self {{
        Self(handle)
    }}

    fn handle(&self) -> &__gobbq::EntityHandle {{
        &self.0
    }}
}}
"
    )
}

fn bound_stub(service: &Service, stub: &str, handle: &str) -> String {
    let (name, statik) = (service.rust_ref(), service.rust_static());
    format!(
        "
impl __gobbq::{stub} for {name} {{
    const DESC: &'static __gobbq::ServiceDesc = &{statik};

    fn bind(handle: __gobbq::{handle}) -> Self {{
        Self(handle)
    }}
}}
"
    )
}

fn descriptor(service: &Service) -> String {
    let statik = service.rust_static();
    let methods: String = service.methods.iter().map(method_descriptor).collect();
    let methods = if methods.is_empty() { "&[]".to_owned() } else { format!("&[\n{methods}    ]") };
    let mut fields = vec![
        format!("name: {:?}", service.full_name),
        format!("kind: __gobbq::Kind::{:?}", service.kind),
        format!("methods: {methods}"),
    ];
    if let Some(state) = &service.state {
        let save = match state.save {
            Save::Turn => "Turn".to_owned(),
            Save::Interval(ms) => format!("Interval({ms})"),
            Save::Manual => "Manual".to_owned(),
        };
        let message = &state.message;
        fields.push(format!("state: Some(__gobbq::StateDesc {{ message: {message:?}, save: __gobbq::Save::{save} }})"));
    }
    if service.mailbox != 0 {
        fields.push(format!("mailbox: {}", service.mailbox));
    }
    if service.idle_ms != 0 {
        fields.push(format!("idle_ms: {}", service.idle_ms));
    }
    if service.restart == Restart::Stop {
        fields.push("restart: __gobbq::Restart::Stop".to_owned());
    }
    let fields: String = fields.iter().map(|field| format!("    {field},\n")).collect();
    format!(
        "
/// What the proto says of `{}`.
pub static {statik}: __gobbq::ServiceDesc = __gobbq::ServiceDesc {{
{fields}    ..__gobbq::ServiceDesc::DEFAULT
}};
",
        service.full_name
    )
}

fn method_descriptor(method: &Method) -> String {
    let mut fields = vec![format!("name: {:?}", method.name), format!("id: {}", method.id)];
    let flags = [("client", method.client), ("oneway", method.oneway), ("reentrant", method.reentrant)];
    fields.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!("{name}: true")));
    if method.timeout_ms != 0 {
        fields.push(format!("timeout_ms: {}", method.timeout_ms));
    }
    if let Some(rate) = method.rate {
        let (per_second, burst) = (rate.per_second, rate.burst);
        fields.push(format!("rate: Some(__gobbq::Rate {{ per_second: {per_second:?}, burst: {burst} }})"));
    }
    if method.max_bytes != 0 {
        fields.push(format!("max_bytes: {}", method.max_bytes));
    }
    format!("        __gobbq::MethodDesc {{ {}, ..__gobbq::MethodDesc::DEFAULT }},\n", fields.join(", "))
}

fn entity_glue(service: &Service, calls: &[Call<'_>], has_state: bool) -> String {
    let (glue, user, statik) = (service.rust_glue(), service.rust_trait(), service.rust_static());
    let (state, create, stored) = if has_state {
        (
            "state",
            "T::new(id, state.take()?)",
            "__gobbq::Payload::from_bytes(__gobbq::buffa::Message::encode_to_bytes(entity.state()))",
        )
    } else {
        ("_", "T::new(id)", "__gobbq::Payload::EMPTY")
    };
    let entity = if has_state { "entity" } else { "_" };
    let dispatch = dispatch(calls, "entity", &statik);
    format!(
        "
struct {glue}<T>(__gobbq::PhantomData<T>);

impl<T: {user}> __gobbq::EntityGlue for {glue}<T> {{
    type Entity = T;

    const DESC: &'static __gobbq::ServiceDesc = &{statik};

    fn create(id: &__gobbq::EntityId, {state}: __gobbq::Payload) -> __gobbq::Result<T> {{
        Ok({create})
    }}

    fn state({entity}: &T) -> __gobbq::Payload {{
        {stored}
    }}

    async fn call(
        entity: &mut T,
        ctx: &__gobbq::Ctx,
        method: usize,
        body: __gobbq::Payload,
    ) -> __gobbq::Result<__gobbq::Payload> {{
{dispatch}    }}

    async fn hook(entity: &mut T, ctx: &__gobbq::Ctx, hook: __gobbq::Hook) -> __gobbq::Result<()> {{
        match hook {{
            __gobbq::Hook::Init => entity.on_init(ctx).await,
            __gobbq::Hook::Destroy(reason) => entity.on_destroy(ctx, reason).await,
            __gobbq::Hook::Tick(elapsed) => entity.on_tick(ctx, elapsed).await,
            __gobbq::Hook::Timer(name) => entity.on_timer(ctx, &name).await,
            __gobbq::Hook::Notify(note) => entity.on_notify(ctx, note).await,
            __gobbq::Hook::Session(client, event) => entity.on_session(ctx, client, event).await,
            __gobbq::Hook::Gone(subject) => entity.on_gone(ctx, subject).await,
            _ => Ok(()),
        }}
    }}
}}
"
    )
}

fn service_glue(service: &Service, calls: &[Call<'_>]) -> String {
    let (glue, user, statik) = (service.rust_glue(), service.rust_trait(), service.rust_static());
    let dispatch = dispatch(calls, "service", &statik);
    format!(
        "
struct {glue}<T>(__gobbq::PhantomData<T>);

impl<T: {user}> __gobbq::ServiceGlue for {glue}<T> {{
    type Service = T;

    const DESC: &'static __gobbq::ServiceDesc = &{statik};

    async fn call(
        service: &T,
        ctx: &__gobbq::Ctx,
        method: usize,
        body: __gobbq::Payload,
    ) -> __gobbq::Result<__gobbq::Payload> {{
{dispatch}    }}

    async fn hook(service: &T, ctx: &__gobbq::Ctx, hook: __gobbq::Hook) -> __gobbq::Result<()> {{
        match hook {{
            __gobbq::Hook::Init => service.on_init(ctx).await,
            _ => Ok(()),
        }}
    }}
}}
"
    )
}

fn dispatch(calls: &[Call<'_>], subject: &str, statik: &str) -> String {
    let arm = |call: &Call<'_>| {
        let (index, name) = (call.index, &call.name);
        let request = if call.request.is_some() { ", body.take()?" } else { "" };
        let wrap = if call.reply.is_some() { "|reply| ctx.answer(reply)" } else { "__gobbq::Payload::unit" };
        format!("            {index} => {subject}.{name}(ctx{request}).await.map({wrap}),\n")
    };
    let arms: String = calls.iter().map(arm).collect();
    format!(
        "        match method {{
{arms}            _ => Err(__gobbq::no_such_method(&{statik}, method)),
        }}
"
    )
}

impl Call<'_> {
    fn reply(&self) -> &str {
        self.reply.as_deref().unwrap_or("()")
    }

    /// The method of the typed reference.
    fn stub(&self, statik: &str) -> String {
        let doc = doc(&self.method.doc, &format!("`{}`.", self.method.name), "    ");
        let (name, index, reply) = (&self.name, self.index, self.reply());
        let (argument, body) = match &self.request {
            Some(request) => (format!(", req: {request}"), "__gobbq::Payload::of(req)"),
            None => (String::new(), "__gobbq::Payload::EMPTY"),
        };
        let take = match &self.reply {
            Some(reply) => format!("take::<{reply}>"),
            None => "take_unit".to_owned(),
        };
        format!(
            "\
{doc}    pub fn {name}(&self{argument}) -> __gobbq::Call<{reply}> {{
        self.0.call(&{statik}, {index}, {body}, __gobbq::Payload::{take})
    }}
"
        )
    }
}
