//! What the tasks of the gate tell its machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::gate::{ConnId, Entropy, Input, Stats};
use tokio::sync::oneshot;

use crate::outbox::Outbox;

/// What connection tasks and the accept loop tell the machine.
pub(crate) enum ToMachine {
    Opened { conn: ConnId, ip: IpAddr, entropy: Entropy, outbox: Arc<Outbox> },
    Input(Input),
}

/// What the owner of the gate asks.
pub(crate) enum Control {
    Stats(oneshot::Sender<Stats>),
    Drain(Duration, oneshot::Sender<()>),
}
