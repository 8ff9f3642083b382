//! The services of `probe.proto`.

use gobbq::prelude::*;

use crate::probe::{
    Caller, CrowdEntity, CrowdRef, LedgerEntity, LedgerRef, LedgerState, Noise, Number, Place, Position,
    ProbeClientRef, ProbeRef, ProbeService,
};

/// What an [`App`](gobbq::App) needs to serve the probe.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    vec![ProbeRef::service(Probe), LedgerRef::entity::<Ledger>(), CrowdRef::entity::<Crowd>()]
}

#[derive(Clone, Copy, Debug)]
struct Probe;

#[derive(Debug)]
struct Ledger {
    state: LedgerState,
}

#[derive(Debug)]
struct Crowd;

impl ProbeService for Probe {
    async fn r#where(&self, ctx: &Ctx) -> Result<Place> {
        Ok(place(ctx))
    }

    async fn who(&self, ctx: &Ctx) -> Result<Caller> {
        let client = ctx.require_client()?;
        Ok(Caller { session: client.session.0, account: client.account.to_string(), ..Default::default() })
    }

    async fn ask(&self, ctx: &Ctx, req: Number) -> Result<Number> {
        let client = ctx.require_client()?;
        ctx.client_of::<ProbeClientRef>(&client).answer(req).await
    }

    async fn secret(&self, ctx: &Ctx) -> Result<Caller> {
        self.who(ctx).await
    }
}

impl LedgerEntity for Ledger {
    fn new(_: &EntityId, state: LedgerState) -> Self {
        Self { state }
    }

    fn state(&self) -> &LedgerState {
        &self.state
    }

    async fn add(&mut self, ctx: &Ctx, req: Number) -> Result<Position> {
        let index = self.state.values.len() as u64;
        self.append(ctx, req);
        Ok(Position { index, ..Default::default() })
    }

    async fn put(&mut self, ctx: &Ctx, req: Number) -> Result<()> {
        self.append(ctx, req);
        Ok(())
    }

    async fn read(&mut self, _: &Ctx) -> Result<LedgerState> {
        Ok(self.state.clone())
    }

    async fn r#where(&mut self, ctx: &Ctx) -> Result<Place> {
        Ok(place(ctx))
    }

    async fn linger(&mut self, ctx: &Ctx, req: Number) -> Result<Place> {
        ctx.sleep(Duration::from_millis(req.value)).await;
        Ok(place(ctx))
    }

    async fn wipe(&mut self, _: &Ctx) -> Result<()> {
        self.state.values.clear();
        Ok(())
    }
}

impl Ledger {
    fn append(&mut self, ctx: &Ctx, number: Number) {
        self.state.values.push(number.value);
        if let Some(client) = ctx.client() {
            ctx.client_of::<ProbeClientRef>(&client).added(number).tell();
        }
    }
}

impl CrowdEntity for Crowd {
    fn new(_: &EntityId) -> Self {
        Self
    }

    async fn join(&mut self, ctx: &Ctx) -> Result<()> {
        ctx.group("all").join(&ctx.require_client()?);
        Ok(())
    }

    async fn shout(&mut self, ctx: &Ctx, req: Noise) -> Result<()> {
        ctx.group("all").client::<ProbeClientRef>().heard(req).tell();
        Ok(())
    }
}

fn place(ctx: &Ctx) -> Place {
    let node = ctx.node();
    Place { node: node.node, incarnation: node.incarnation, pid: std::process::id(), ..Default::default() }
}
