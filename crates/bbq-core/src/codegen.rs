//! What generated code imports. Not for people.

pub use std::marker::PhantomData;
pub use std::time::Duration;

pub use bbq_wire::{Code, EntityId, Error, Key, Result};
pub use {buffa, bytes};

pub use crate::desc::{Kind, MethodDesc, Rate, Restart, Save, ServiceDesc, StateDesc};
pub use crate::payload::Payload;
pub use crate::world::{
    Call, ClientHandle, ClientRef, ClientStub, Ctx, Definition, EntityGlue, EntityHandle, EntityStub, Hook, Note,
    ServiceGlue, ServiceHandle, ServiceStub, SessionEvent, StopReason, lend, no_such_method,
};
