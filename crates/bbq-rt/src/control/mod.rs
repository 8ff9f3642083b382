//! The control plane port: sessions, death certificates, keys, watches. What they mean is in [`bbq_core::control`].
//!
//! [`LocalControl`] runs in this process, [`CenterControl`] asks a center, and [`ControlAddress::connect`] uses etcd,
//! Consul or ZooKeeper. [`Membership`] turns a watch into one picture of the cluster, [`Attendance`] keeps a session.

mod file;
mod local;
mod center;
mod keys;
mod http;
mod shared;
mod etcd;
mod consul;
mod zookeeper;
mod address;
mod membership;
mod attendance;
#[cfg(any(test, feature = "battery"))]
pub mod battery;

pub use address::{ControlAddress, EngineKind};
pub use attendance::Attendance;
pub use bbq_core::control::{
    ClusterView, Config, ControlError, DeathCert, Guard, Load, Memory, MethodRecord, NodeInfo, NodeRecord, Op, Request,
    Response, Roles, ServiceRecord, Session, Slot, SlotTable, Standing, TxnOutcome, Versioned, WatchEvent, WatchId,
    key, limit,
};
pub use center::CenterControl;
pub use local::LocalControl;
pub use membership::Membership;
pub use shared::SharedConfig;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bbq_wire::NodeUid;
use tokio::sync::mpsc;

use crate::rpc::BoxFuture;

/// An engine that knows who is alive.
///
/// Only [`ControlPlane::request`] and [`ControlPlane::watch`] must be written; the other methods spell out one request
/// each. [`ControlError::Unreachable`] says nothing about whether the request was carried out; all but `txn` may simply
/// be tried again.
pub trait ControlPlane: Send + Sync + 'static {
    /// Answers one request; never [`Request::Watch`].
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, ControlError>>;

    /// Hears about the keys that begin with `prefix`: a snapshot first, or what came after the revision `from`.
    fn watch(&self, prefix: String, from: Option<u64>) -> BoxFuture<'_, Result<WatchStream, ControlError>>;

    /// Takes part as a new incarnation. `ttl`: the wanted lease; zero: the engine's default. Draws [`NodeInfo::start`]
    /// where it is 0, so that an opening whose answer gets lost is not done twice.
    fn open(&self, info: NodeInfo, ttl: Duration) -> BoxFuture<'_, Result<Session, ControlError>> {
        let info = with_start(info);
        session(self.request(Request::Open { info, ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX) }))
    }

    /// Keeps the lease. `Lost` and `Unreachable` are two different things.
    fn renew(&self, session: &Session, load: Load) -> BoxFuture<'_, Result<(), ControlError>> {
        let answer = self.request(Request::Renew { uid: session.uid, load });
        Box::pin(async move {
            match answer.await? {
                Response::Done => Ok(()),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Continues as the same incarnation, while it has no death certificate.
    fn reattach(&self, lost: &Session) -> BoxFuture<'_, Result<Session, ControlError>> {
        session(self.request(Request::Reattach { uid: lost.uid }))
    }

    /// Continues as the same incarnation although the control plane lost its memory. See [`Request::Rejoin`].
    fn rejoin(&self, memory: Memory) -> BoxFuture<'_, Result<Session, ControlError>> {
        session(self.request(Request::Rejoin(Box::new(memory))))
    }

    /// Decides that an incarnation is dead; returns the certificate in force. See [`Request::Certify`].
    fn certify_dead(
        &self,
        uid: NodeUid,
        seen: Option<u64>,
        why: String,
    ) -> BoxFuture<'_, Result<DeathCert, ControlError>> {
        let answer = self.request(Request::Certify { uid, seen, why });
        Box::pin(async move {
            match answer.await? {
                Response::Certificate(certificate) => Ok(certificate),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Reads one key, linearizable.
    fn get(&self, key: String) -> BoxFuture<'_, Result<Option<Versioned>, ControlError>> {
        let answer = self.request(Request::Get { key });
        Box::pin(async move {
            match answer.await? {
                Response::Value(value) => Ok(value),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Writes several keys if all guards hold. After `Unreachable`: read, then decide.
    fn txn(&self, guards: Vec<Guard>, ops: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, ControlError>> {
        let answer = self.request(Request::Txn { guards, ops });
        Box::pin(async move {
            match answer.await? {
                Response::Txn(outcome) => Ok(outcome),
                other => Err(off_topic(&other)),
            }
        })
    }
}

fn with_start(mut info: NodeInfo) -> NodeInfo {
    if info.start == 0 {
        info.start = random();
    }
    info
}

/// Differs between processes and between calls.
fn random() -> u64 {
    RandomState::new().build_hasher().finish() | 1
}

fn session(answer: BoxFuture<'_, Result<Response, ControlError>>) -> BoxFuture<'_, Result<Session, ControlError>> {
    Box::pin(async move {
        match answer.await? {
            Response::Session(session) => Ok(session),
            other => Err(off_topic(&other)),
        }
    })
}

fn off_topic(response: &Response) -> ControlError {
    ControlError::Invalid { why: format!("the control plane answered another question: {response:?}") }
}

fn unreachable(why: impl Into<String>) -> ControlError {
    ControlError::Unreachable { why: why.into() }
}

/// Events that wait for a slow reader; with more the watch ends in a [`WatchEvent::Gap`].
const WATCH_QUEUE: usize = 1024;

/// The events of one watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct WatchStream {
    events: mpsc::Receiver<WatchEvent>,
    over: bool,
}

impl WatchStream {
    /// A stream, and where an engine puts its events. When that is dropped, the reader sees a [`WatchEvent::Gap`].
    #[must_use]
    pub fn channel() -> (mpsc::Sender<WatchEvent>, Self) {
        let (sender, events) = mpsc::channel(WATCH_QUEUE);
        (sender, Self { events, over: false })
    }

    /// The next event. The last one is always [`WatchEvent::Gap`]: watch again. Nothing is lost when the future is
    /// dropped.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        if self.over {
            return None;
        }
        let event = self.events.recv().await.unwrap_or(WatchEvent::Gap);
        self.over = event == WatchEvent::Gap;
        Some(event)
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        if self.over { None } else { self.events.try_recv().ok() }
    }
}

#[cfg(test)]
mod tests;
