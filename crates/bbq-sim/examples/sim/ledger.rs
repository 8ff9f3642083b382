//! The entity type of the simulated load: a durable counter that also checks the order of what it is told.
//!
//! Written by hand: `bbq-sim` stands below the code generator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bbq_core::codegen::*;
use buffa_types::google::protobuf::UInt64Value;

/// Methods by index.
pub(crate) const ADD: usize = 0;
pub(crate) const NOTE: usize = 1;
pub(crate) const RELAY: usize = 2;
pub(crate) const NAP: usize = 3;
pub(crate) const EXPLODE: usize = 4;

pub(crate) static LEDGER: ServiceDesc = ServiceDesc {
    name: "sim.Ledger",
    kind: Kind::Entity,
    methods: &[
        MethodDesc { name: "Add", id: 1, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Note", id: 2, oneway: true, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Relay", id: 3, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Nap", id: 4, ..MethodDesc::DEFAULT },
        MethodDesc { name: "Explode", id: 5, ..MethodDesc::DEFAULT },
    ],
    state: Some(StateDesc { message: "google.protobuf.UInt64Value", save: Save::Turn }),
    ..ServiceDesc::DEFAULT
};

/// A durable counter.
pub(crate) struct Ledger {
    total: u64,
    /// The last note of each sender.
    heard: BTreeMap<u64, u64>,
}

pub(crate) struct LedgerRef(EntityHandle);

impl EntityStub for LedgerRef {
    const DESC: &'static ServiceDesc = &LEDGER;
    fn bind(handle: EntityHandle) -> Self {
        Self(handle)
    }
    fn handle(&self) -> &EntityHandle {
        &self.0
    }
}

impl LedgerRef {
    pub(crate) fn call(&self, method: usize, value: u64) -> Call<UInt64Value> {
        self.0.call(&LEDGER, method, Payload::of(UInt64Value { value, ..Default::default() }), Payload::take)
    }
}

thread_local! {
    /// What entities found wrong; the simulation is one thread.
    pub(crate) static COMPLAINTS: Rc<RefCell<Vec<String>>> = Rc::default();
    /// How often each note, by sender and sequence number, was heard.
    pub(crate) static HEARD: RefCell<BTreeMap<(u64, u64), u32>> = RefCell::default();
}

fn complain(what: String) {
    COMPLAINTS.with(|all| all.borrow_mut().push(what));
}

pub(crate) struct LedgerGlue;

impl EntityGlue for LedgerGlue {
    type Entity = Ledger;
    const DESC: &'static ServiceDesc = &LEDGER;

    fn create(_: &EntityId, state: Payload) -> Result<Ledger> {
        Ok(Ledger { total: state.take::<UInt64Value>()?.value, heard: BTreeMap::new() })
    }

    fn state(entity: &Ledger) -> Payload {
        Payload::from_bytes(Payload::of(UInt64Value { value: entity.total, ..Default::default() }).into_bytes())
    }

    async fn call(entity: &mut Ledger, ctx: &Ctx, method: usize, body: Payload) -> Result<Payload> {
        let value = body.take::<UInt64Value>()?.value;
        match method {
            ADD => entity.total += value,
            NOTE => {
                // sender << 32 | sequence number: grows for each sender, whatever was lost in between.
                let (sender, sequence) = (value >> 32, value & 0xffff_ffff);
                HEARD.with(|heard| *heard.borrow_mut().entry((sender, sequence)).or_default() += 1);
                let last = entity.heard.insert(sender, sequence).unwrap_or(0);
                if sequence <= last {
                    complain(format!("{}: note {sequence} of sender {sender} came after {last}", ctx.id()));
                }
            }
            RELAY => {
                let other = ctx.entity::<LedgerRef>(value);
                return other.call(ADD, 1).await.map(Payload::of);
            }
            NAP => ctx.sleep(Duration::from_millis(value)).await,
            EXPLODE => panic!("on purpose"),
            _ => return Err(no_such_method(&LEDGER, method)),
        }
        Ok(Payload::of(UInt64Value { value: entity.total, ..Default::default() }))
    }

    async fn hook(_: &mut Ledger, _: &Ctx, _: Hook) -> Result<()> {
        Ok(())
    }
}
