//! The entity type that players talk to: it counts what it hears of each account, and pushes the count back.

use std::collections::BTreeMap;

use bbq_core::codegen::*;
use buffa_types::google::protobuf::UInt64Value;

/// A request; the answer is the number that came with it.
pub(crate) const HAIL: u32 = 11;
/// A notification.
pub(crate) const SHOUT: u32 = 12;
/// How many distinct hails and shouts were heard.
pub(crate) const COUNT: u32 = 13;
/// What the herald says to a player.
pub(crate) const HEARD: u32 = 21;

pub(crate) static HERALD: ServiceDesc = ServiceDesc {
    name: "sim.Herald",
    kind: Kind::Entity,
    methods: &[
        MethodDesc { name: "Hail", id: HAIL, client: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Shout", id: SHOUT, client: true, oneway: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Count", id: COUNT, client: true, ..MethodDesc::DEFAULT },
    ],
    ..ServiceDesc::DEFAULT
};

static PLAYER: ServiceDesc = ServiceDesc {
    name: "sim.Player",
    kind: Kind::Client,
    methods: &[MethodDesc { name: "Heard", id: HEARD, oneway: true, ..MethodDesc::DEFAULT }],
    ..ServiceDesc::DEFAULT
};

pub(crate) struct PlayerRef(ClientHandle);

impl ClientStub for PlayerRef {
    const DESC: &'static ServiceDesc = &PLAYER;
    fn bind(handle: ClientHandle) -> Self {
        Self(handle)
    }
}

/// Remembers every number that it heard, by account.
#[derive(Default)]
pub(crate) struct Herald {
    heard: BTreeMap<String, BTreeMap<u64, u32>>,
    pushed: u64,
}

pub(crate) struct HeraldGlue;

impl EntityGlue for HeraldGlue {
    type Entity = Herald;
    const DESC: &'static ServiceDesc = &HERALD;

    fn create(_: &EntityId, _: Payload) -> Result<Herald> {
        Ok(Herald::default())
    }

    fn state(_: &Herald) -> Payload {
        Payload::EMPTY
    }

    async fn call(entity: &mut Herald, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload> {
        let number = body.take::<UInt64Value>()?.value;
        let client = ctx.require_client()?;
        let heard = entity.heard.entry(client.account.to_string()).or_default();
        if method == 2 {
            let twice = heard.values().filter(|&&times| times > 1).count() as u64;
            return Ok(Payload::of(UInt64Value { value: twice << 32 | heard.len() as u64, ..Default::default() }));
        }
        *heard.entry(number).or_default() += 1;
        entity.pushed += 1;
        let said = Payload::of(UInt64Value { value: entity.pushed, ..Default::default() });
        ctx.client_of::<PlayerRef>(&client).0.call(&PLAYER, 0, said, Payload::take_unit).tell();
        Ok(Payload::of(UInt64Value { value: number, ..Default::default() }))
    }

    async fn hook(_: &mut Herald, _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}
