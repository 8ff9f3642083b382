//! The chain of the first gobbq: a client calls a service, the service an entity, the entity watches the client and
//! calls it back while its call is still open, and the client's answer travels all the way back.

use gobbq::prelude::*;

gobbq::include_proto!();

use echo::{CountReply, CountRequest, EchoClientRef, EchoRef, EchoService, GreeterEntity, GreeterRef, Hello};

/// What an [`App`](gobbq::App) needs to serve this example.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    vec![EchoRef::service(EchoInstance), GreeterRef::entity::<Greeter>()]
}

/// The service. It has no state, so each world has a copy.
#[derive(Clone, Copy, Debug)]
struct EchoInstance;

impl EchoService for EchoInstance {
    async fn say_hello(&self, ctx: &Ctx, req: Hello) -> Result<Hello> {
        let client = ctx.require_client()?;
        ctx.entity::<GreeterRef>(client.session.0).say_hello(req).await
    }
}

/// Greets one session for as long as it lasts.
#[derive(Debug, Default)]
struct Greeter {
    hellos: u64,
}

impl GreeterEntity for Greeter {
    fn new(_: &EntityId) -> Self {
        Self::default()
    }

    async fn say_hello(&mut self, ctx: &Ctx, req: Hello) -> Result<Hello> {
        // The session that started the chain is still known here, two calls later.
        let client = ctx.require_client()?;
        ctx.watch_client(&client)?;
        self.hellos += 1;
        let number = self.hellos;
        let question = Hello { text: format!("you said {:?} (number {number})", req.text), ..Default::default() };
        ctx.client_of::<EchoClientRef>(&client).say_hello(question).await
    }

    async fn count(&mut self, _: &Ctx, _: CountRequest) -> Result<CountReply> {
        Ok(CountReply { hellos: self.hellos, ..Default::default() })
    }

    async fn on_session(&mut self, ctx: &Ctx, _: ClientRef, event: SessionEvent) -> Result<()> {
        // A session that is only detached may come back: its greeter waits.
        if event == SessionEvent::Left { ctx.stop() } else { Ok(()) }
    }
}
