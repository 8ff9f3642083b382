//! An entity that lets sessions into its group and shouts at all of them; it forgets them when its node dies.

use bbq_core::codegen::*;
use buffa_types::google::protobuf::UInt64Value;

pub(crate) const JOIN: u32 = 31;
pub(crate) const SHOUT: u32 = 32;
pub(crate) const HEARD: u32 = 33;

pub(crate) static CROWD: ServiceDesc = ServiceDesc {
    name: "sim.Crowd",
    kind: Kind::Entity,
    methods: &[
        MethodDesc { name: "Join", id: JOIN, client: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Shout", id: SHOUT, client: true, ..MethodDesc::DEFAULT },
    ],
    ..ServiceDesc::DEFAULT
};

static LISTENER: ServiceDesc = ServiceDesc {
    name: "sim.Listener",
    kind: Kind::Client,
    methods: &[MethodDesc { name: "Heard", id: HEARD, oneway: true, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};

struct ListenerRef(ClientHandle);

impl ClientStub for ListenerRef {
    const DESC: &'static ServiceDesc = &LISTENER;
    fn bind(handle: ClientHandle) -> Self {
        Self(handle)
    }
}

pub(crate) struct CrowdGlue;

impl EntityGlue for CrowdGlue {
    type Entity = ();
    const DESC: &'static ServiceDesc = &CROWD;

    fn create(_: &EntityId, _: Payload) -> Result<()> {
        Ok(())
    }

    fn state(_: &()) -> Payload {
        Payload::EMPTY
    }

    async fn call(_: &mut (), ctx: &Ctx, method: usize, body: Payload) -> Result<Payload> {
        let number = body.take::<UInt64Value>()?;
        if method == 0 {
            ctx.group("all").join(&ctx.require_client()?);
        } else {
            let said = Payload::of(number.clone());
            ctx.group("all").client::<ListenerRef>().0.call(&LISTENER, 0, said, Payload::take_unit).tell();
        }
        Ok(Payload::of(number))
    }

    async fn hook(_: &mut (), _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}
