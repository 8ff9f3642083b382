//! The services of `exampb.proto`.

use gobbq::prelude::*;

use crate::exampb::{
    ClientRef as OriginalClientRef, EchoEtyEntity, EchoEtyRef, EchoSvc2Ref, EchoSvc2Service, SayHelloRequest,
    SayHelloResponse,
};

/// What an [`App`](gobbq::App) needs to serve the example of the original.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    vec![EchoSvc2Ref::service(EchoSvc2), EchoEtyRef::entity::<EchoEty>()]
}

#[derive(Clone, Copy, Debug)]
struct EchoSvc2;

#[derive(Debug)]
struct EchoEty;

impl EchoSvc2Service for EchoSvc2 {
    async fn say_hello(&self, ctx: &Ctx, req: SayHelloRequest) -> Result<SayHelloResponse> {
        let client = ctx.require_client()?;
        ctx.client_of::<OriginalClientRef>(&client).say_hello(request("push", &req)).tell();
        Ok(SayHelloResponse { text: format!("service:{}", req.text), ..Default::default() })
    }
}

impl EchoEtyEntity for EchoEty {
    fn new(_: &EntityId) -> Self {
        Self
    }

    async fn say_hello(&mut self, ctx: &Ctx, req: SayHelloRequest) -> Result<SayHelloResponse> {
        let client = ctx.require_client()?;
        ctx.client_of::<OriginalClientRef>(&client).say_hello(request("ask", &req)).await
    }
}

fn request(what: &str, req: &SayHelloRequest) -> SayHelloRequest {
    SayHelloRequest { text: format!("{what}:{}", req.text), ..Default::default() }
}
