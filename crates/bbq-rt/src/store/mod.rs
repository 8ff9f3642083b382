//! The Store port: state of entities, fenced by tokens. What the operations mean is in [`bbq_core::store`].
//!
//! Three engines: [`MemoryStore`] forgets, [`RedbStore`] keeps one file on this machine, [`CenterStore`] asks a center.

mod memory;
mod sealed;
mod redb;
mod center;
mod serve;
#[cfg(any(test, feature = "battery"))]
pub mod battery;

pub use bbq_core::store::{Claimed, Commit, Page, Record, Request, Response, Row, StoreError, reply};
pub use center::CenterStore;
pub use memory::MemoryStore;
pub use redb::{OpenError, RedbStore, Trouble};
pub use serve::serve;

pub(crate) use redb::create_database;
pub(crate) use sealed::{seal, unseal};

use bbq_core::store::{SLOT_EPOCH, slot_epoch};
use bbq_wire::{EntityId, Key};
use bytes::Bytes;

use crate::rpc::BoxFuture;

/// An engine that keeps the state of entities.
///
/// Only [`Store::request`] must be written; the other methods spell out one request each. All of them can be sent again
/// when they failed with [`StoreError::Engine`] and `retryable`, or when their answer got lost.
pub trait Store: Send + Sync + 'static {
    /// Answers one request. Requests of one caller take effect in the order in which their futures are first polled.
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, StoreError>>;

    /// Takes the right to write under `token`, and reads. See [`Request::Claim`].
    fn claim(&self, entity: EntityId, token: u64) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        let answer = self.request(Request::Claim { entity, token });
        Box::pin(async move {
            match answer.await? {
                Response::Claimed(claimed) => Ok(claimed),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Writes; returns the new version. See [`Request::Commit`].
    fn commit(
        &self,
        entity: EntityId,
        token: u64,
        version: u64,
        state: Bytes,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        one_version(self.request(Request::Commit(Commit { entity, token, version, state })))
    }

    /// Writes all or nothing; returns the new versions. See [`Request::CommitMany`].
    fn commit_many(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<u64>, StoreError>> {
        versions(self.request(Request::CommitMany(commits)))
    }

    /// Forgets the state, keeps the token; returns the new version. See [`Request::Delete`].
    fn delete(&self, entity: EntityId, token: u64, version: u64) -> BoxFuture<'_, Result<u64, StoreError>> {
        one_version(self.request(Request::Delete { entity, token, version }))
    }

    /// Reads without a claim. See [`Request::Load`].
    fn load(&self, entity: EntityId) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let answer = self.request(Request::Load { entity });
        Box::pin(async move {
            match answer.await? {
                Response::Loaded(record) => Ok(record),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Reads part of the entities of a kind, from behind `after`. See [`Request::Scan`].
    fn scan(&self, kind: u32, after: Option<Key>, limit: u32) -> BoxFuture<'_, Result<Page, StoreError>> {
        let answer = self.request(Request::Scan { kind, after, limit });
        Box::pin(async move {
            match answer.await? {
                Response::Page(page) => Ok(page),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// Writes a small value of the engine as a whole. See [`Request::PutMeta`].
    fn put_meta(&self, key: String, value: Option<Bytes>) -> BoxFuture<'_, Result<(), StoreError>> {
        let answer = self.request(Request::PutMeta { key, value });
        Box::pin(async move {
            match answer.await? {
                Response::Done => Ok(()),
                other => Err(off_topic(&other)),
            }
        })
    }

    /// The largest slot epoch among all tokens: a control plane must hand out larger ones.
    fn slot_epoch(&self) -> BoxFuture<'_, Result<u32, StoreError>> {
        let answer = self.get_meta(SLOT_EPOCH.into());
        Box::pin(async move { Ok(slot_epoch(answer.await?.as_deref())) })
    }

    /// Reads such a value.
    fn get_meta(&self, key: String) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let answer = self.request(Request::GetMeta { key });
        Box::pin(async move {
            match answer.await? {
                Response::Meta(value) => Ok(value),
                other => Err(off_topic(&other)),
            }
        })
    }
}

type Answer<'a> = BoxFuture<'a, Result<Response, StoreError>>;

fn versions(answer: Answer<'_>) -> BoxFuture<'_, Result<Vec<u64>, StoreError>> {
    Box::pin(async move {
        match answer.await? {
            Response::Versions(versions) => Ok(versions),
            other => Err(off_topic(&other)),
        }
    })
}

fn one_version(answer: Answer<'_>) -> BoxFuture<'_, Result<u64, StoreError>> {
    Box::pin(async move {
        match versions(answer).await?.as_slice() {
            [version] => Ok(*version),
            _ => Err(engine("the Store answered with another number of versions", false)),
        }
    })
}

fn off_topic(response: &Response) -> StoreError {
    engine(format!("the Store answered another question: {response:?}"), false)
}

pub(crate) fn engine(message: impl Into<String>, retryable: bool) -> StoreError {
    StoreError::Engine { message: message.into(), retryable }
}

#[cfg(test)]
mod tests;
