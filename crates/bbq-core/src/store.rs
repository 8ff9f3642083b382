//! The Store: one record per entity, fenced by tokens, so that one activation writes at a time.
//!
//! ```text
//! claim(entity, token)            token > record.token   take over: the record keeps this token from now on
//!                                 token = record.token   the same activation asks again: the same answer
//!                                 token < record.token   Fenced
//! commit(entity, token, version)  both as in the record  write; version + 1
//! ```
//!
//! After a claim with token t returned, every commit with a smaller token fails; acknowledged commits form one chain
//! per entity, whatever clocks and leases do. Tokens are activation epochs: no two activations ever share one.
//!
//! Every write may be sent again when its answer got lost: a repeated claim is answered as before, and so is a repeated
//! commit or delete, as long as it is the last write of the record (same token, version one lower, same bytes).
//!
//! [`execute`] is the one place that decides; engines are [`Table`]s. Nothing here is durable by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use bbq_wire::{Code, EntityId, Error, Key};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::control::identity;
use crate::world::{StoreReply, StoreRequest};

/// Largest state of one entity, in bytes. A larger one is refused with [`StoreError::TooLarge`].
pub const MAX_STATE_BYTES: usize = 4 << 20;

/// Most commits in one [`Request::CommitMany`]; their states together obey [`MAX_STATE_BYTES`].
pub const MAX_COMMITS: usize = 32;

/// Most records in a page of [`Request::Scan`], whatever its limit.
pub const MAX_PAGE_RECORDS: u32 = 1000;

/// A page ends before its states exceed this many bytes together; the first record always fits.
pub const MAX_PAGE_BYTES: usize = MAX_STATE_BYTES;

/// Largest key and largest value of [`Request::PutMeta`], in bytes.
pub const MAX_META_KEY_BYTES: usize = 256;
/// See [`MAX_META_KEY_BYTES`].
pub const MAX_META_BYTES: usize = 64 << 10;

/// A small value that every Store keeps by itself, and nobody else may write: the largest slot epoch among the tokens
/// that ever claimed something ([`slot_epoch`] decodes it). A control plane which lost its memory starts above it.
pub const SLOT_EPOCH: &str = "gobbq/slot-epoch";

/// What [`Request::GetMeta`] of [`SLOT_EPOCH`] said; 0 when nothing was ever claimed.
#[must_use]
pub fn slot_epoch(meta: Option<&[u8]>) -> u32 {
    meta.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The value of [`SLOT_EPOCH`].
#[must_use]
pub fn slot_epoch_value(epoch: u32) -> Bytes {
    Bytes::copy_from_slice(&epoch.to_be_bytes())
}

/// The slot epoch in a token.
#[must_use]
pub const fn epoch_of_token(token: u64) -> u32 {
    (token >> 32) as u32
}

/// What is stored about one entity.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The largest token that ever claimed it.
    pub token: u64,
    /// How many writes it has seen; 0: claimed, never written.
    pub version: u64,
    /// The encoded state; `None`: never written, or deleted.
    pub state: Option<Bytes>,
}

/// The answer to a claim.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claimed {
    /// Pass it to the first commit.
    pub version: u64,
    /// The stored state; `None`: there is none.
    pub state: Option<Bytes>,
}

/// One fenced write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Whose state.
    #[serde(with = "identity::entity")]
    pub entity: EntityId,
    /// The token it was claimed with.
    pub token: u64,
    /// The version that the last claim or commit returned.
    pub version: u64,
    /// The encoded state, at most [`MAX_STATE_BYTES`].
    pub state: Bytes,
}

/// One line of a [`Page`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which of its kind.
    #[serde(with = "identity::key")]
    pub key: Key,
    /// What is stored; the state is there.
    pub record: Record,
}

/// Part of a scan, in the order of keys (numbers first).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    /// Entities that have a state.
    pub rows: Vec<Row>,
    /// Pass it as `after` to go on; `None`: that was all.
    #[serde(with = "identity::optional_key")]
    pub next: Option<Key>,
}

/// Everything that can be asked of a Store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Take the right to write, and read. Answered with [`Response::Claimed`].
    Claim {
        /// Whose state.
        #[serde(with = "identity::entity")]
        entity: EntityId,
        /// Fencing token: the epoch of the activation.
        token: u64,
    },
    /// Write. Answered with [`Response::Versions`] of length 1.
    Commit(Commit),
    /// Write all or nothing, every token checked. Answered with [`Response::Versions`] in the same order.
    CommitMany(Vec<Commit>),
    /// Forget the state, keep the token. Answered with [`Response::Versions`] of length 1.
    Delete {
        /// Whose state.
        #[serde(with = "identity::entity")]
        entity: EntityId,
        /// The token it was claimed with.
        token: u64,
        /// The version that the last claim or commit returned.
        version: u64,
    },
    /// Read without a claim: what it returns may be superseded already. Answered with [`Response::Loaded`].
    Load {
        /// Whose state.
        #[serde(with = "identity::entity")]
        entity: EntityId,
    },
    /// Read the entities of a kind in the order of keys. Answered with [`Response::Page`].
    Scan {
        /// Of which kind.
        kind: u32,
        /// Start behind this key; `None`: from the first.
        #[serde(with = "identity::optional_key")]
        after: Option<Key>,
        /// Most rows; more than [`MAX_PAGE_RECORDS`] is taken as that.
        limit: u32,
    },
    /// Write a small value that belongs to the engine as a whole; `None` removes it. Answered with [`Response::Done`].
    PutMeta {
        /// At most [`MAX_META_KEY_BYTES`].
        key: String,
        /// At most [`MAX_META_BYTES`].
        value: Option<Bytes>,
    },
    /// Read such a value. Answered with [`Response::Meta`].
    GetMeta {
        /// Its key.
        key: String,
    },
}

impl Request {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Load { .. } | Self::Scan { .. } | Self::GetMeta { .. })
    }

    /// Bytes of state that it carries: what a queue of requests weighs.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Commit(commit) => commit.state.len(),
            Self::CommitMany(commits) => commits.iter().map(|commit| commit.state.len()).sum(),
            _ => 0,
        }
    }
}

/// What a Store answers; [`Request`] says which to what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The claim holds.
    Claimed(Claimed),
    /// The new version of each record that was written.
    Versions(Vec<u64>),
    /// The record; `None`: nobody ever claimed it.
    Loaded(Option<Record>),
    /// Part of a scan.
    Page(Page),
    /// A small value.
    Meta(Option<Bytes>),
    /// It is written.
    Done,
}

/// Why a request failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StoreError {
    /// A newer activation holds the record; nothing was written. Stop the activation.
    Fenced {
        /// The token in the record.
        token: u64,
    },
    /// The holder wrote in the meantime, or forgot what it wrote: a bug of the caller. Nothing was written.
    VersionConflict {
        /// The version in the record.
        version: u64,
    },
    /// The record was never claimed.
    NotFound,
    /// A limit of this module; nothing was written.
    TooLarge {
        /// What was sent, in the unit of the limit.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// What is stored about this entity is damaged.
    DataLoss {
        /// Whose record.
        #[serde(with = "identity::entity")]
        entity: EntityId,
    },
    /// The engine failed. With `retryable`, sending the same request again is safe and can help.
    Engine {
        /// For people.
        message: String,
        /// Whether a retry can help.
        retryable: bool,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { token } => write!(f, "a newer activation holds the record (token {token})"),
            Self::VersionConflict { version } => write!(f, "the record is at version {version}"),
            Self::NotFound => f.write_str("the record was never claimed"),
            Self::TooLarge { size, limit } => write!(f, "{size} is more than the limit of {limit}"),
            Self::DataLoss { entity } => write!(f, "the stored record of {entity} is damaged"),
            Self::Engine { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Fenced { .. } => Code::FENCED,
            StoreError::VersionConflict { .. } => Code::ABORTED,
            StoreError::NotFound => Code::NOT_FOUND,
            StoreError::TooLarge { .. } => Code::INVALID_ARGUMENT,
            StoreError::DataLoss { .. } => Code::DATA_LOSS,
            StoreError::Engine { retryable: true, .. } => Code::UNAVAILABLE,
            StoreError::Engine { retryable: false, .. } => Code::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

/// A visitor of rows; `false` ends the visit.
pub type Visit<'a> = dyn FnMut(Key, Record) -> Result<bool, StoreError> + 'a;

/// What an engine must offer for [`execute`]. All calls for one request belong to one transaction.
pub trait Table {
    /// The record of an entity.
    ///
    /// # Errors
    /// [`StoreError::DataLoss`] or [`StoreError::Engine`], as everywhere in this trait.
    fn read(&self, entity: &EntityId) -> Result<Option<Record>, StoreError>;

    /// Replaces the record of an entity.
    ///
    /// # Errors
    /// As [`Table::read`]; the transaction must then be given up.
    fn write(&mut self, entity: &EntityId, record: Record) -> Result<(), StoreError>;

    /// Visits the records of a kind in the order of keys, from behind `after`.
    ///
    /// # Errors
    /// As [`Table::read`], and those of the visitor.
    fn scan(&self, kind: u32, after: Option<&Key>, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Reads a small value.
    ///
    /// # Errors
    /// As [`Table::read`].
    fn read_meta(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Writes or removes a small value.
    ///
    /// # Errors
    /// As [`Table::write`].
    fn write_meta(&mut self, key: &str, value: Option<Bytes>) -> Result<(), StoreError>;
}

/// Decides one request, and carries it out on `table`.
///
/// # Errors
/// See [`StoreError`]. Nothing was written, unless the error is the engine's own.
pub fn execute(table: &mut impl Table, request: Request) -> Result<Response, StoreError> {
    match request {
        Request::Claim { entity, token } => claim(table, &entity, token).map(Response::Claimed),
        Request::Commit(commit) => commit_all(table, vec![commit]).map(Response::Versions),
        Request::CommitMany(commits) => commit_all(table, commits).map(Response::Versions),
        Request::Delete { entity, token, version } => {
            let version = match advance(table.read(&entity)?, token, version, None)? {
                Write::Already(record) => record.version,
                Write::New(record) => {
                    let version = record.version;
                    table.write(&entity, record)?;
                    version
                }
            };
            Ok(Response::Versions(vec![version]))
        }
        Request::Load { entity } => table.read(&entity).map(Response::Loaded),
        Request::Scan { kind, after, limit } => page(table, kind, after.as_ref(), limit).map(Response::Page),
        Request::PutMeta { key, value } => {
            within(key.len(), MAX_META_KEY_BYTES)?;
            within(value.as_ref().map_or(0, Bytes::len), MAX_META_BYTES)?;
            if key == SLOT_EPOCH {
                return Err(StoreError::Engine { message: format!("`{key}` is the Store's own"), retryable: false });
            }
            table.write_meta(&key, value)?;
            Ok(Response::Done)
        }
        Request::GetMeta { key } => table.read_meta(&key).map(Response::Meta),
    }
}

fn within(size: usize, limit: usize) -> Result<(), StoreError> {
    if size <= limit { Ok(()) } else { Err(StoreError::TooLarge { size, limit }) }
}

fn claim(table: &mut impl Table, entity: &EntityId, token: u64) -> Result<Claimed, StoreError> {
    let record = match table.read(entity)? {
        Some(record) if token < record.token => return Err(StoreError::Fenced { token: record.token }),
        Some(record) if token == record.token => record,
        before => {
            let record = Record { token, ..before.unwrap_or_default() };
            table.write(entity, record.clone())?;
            raise_slot_epoch(table, epoch_of_token(token))?;
            record
        }
    };
    Ok(Claimed { version: record.version, state: record.state })
}

/// Written at most once per change of the slot table, not once per claim.
fn raise_slot_epoch(table: &mut impl Table, epoch: u32) -> Result<(), StoreError> {
    if epoch > slot_epoch(table.read_meta(SLOT_EPOCH)?.as_deref()) {
        table.write_meta(SLOT_EPOCH, Some(slot_epoch_value(epoch)))?;
    }
    Ok(())
}

/// Decides about all commits before the first one is written.
fn commit_all(table: &mut impl Table, commits: Vec<Commit>) -> Result<Vec<u64>, StoreError> {
    within(commits.len(), MAX_COMMITS)?;
    within(commits.iter().map(|commit| commit.state.len()).sum(), MAX_STATE_BYTES)?;
    let mut writes: BTreeMap<EntityId, Record> = BTreeMap::new();
    let mut versions = Vec::with_capacity(commits.len());
    for Commit { entity, token, version, state } in commits {
        let before = match writes.get(&entity) {
            Some(record) => Some(record.clone()),
            None => table.read(&entity)?,
        };
        match advance(before, token, version, Some(state))? {
            Write::New(record) => {
                versions.push(record.version);
                writes.insert(entity, record);
            }
            Write::Already(record) => versions.push(record.version),
        }
    }
    writes.into_iter().try_for_each(|(entity, record)| table.write(&entity, record))?;
    Ok(versions)
}

/// What a commit or a delete comes to.
enum Write {
    New(Record),
    /// It is the last write, sent again.
    Already(Record),
}

fn advance(before: Option<Record>, token: u64, version: u64, state: Option<Bytes>) -> Result<Write, StoreError> {
    let before = before.ok_or(StoreError::NotFound)?;
    if before.token != token {
        return Err(StoreError::Fenced { token: before.token });
    }
    if before.version == version {
        return Ok(Write::New(Record { token, version: version + 1, state }));
    }
    // `version` comes from outside: it may be the largest number.
    if version.checked_add(1) == Some(before.version) && before.state == state {
        return Ok(Write::Already(before));
    }
    Err(StoreError::VersionConflict { version: before.version })
}

fn page(table: &impl Table, kind: u32, after: Option<&Key>, limit: u32) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE_RECORDS) as usize;
    let (mut page, mut bytes) = (Page::default(), 0_usize);
    table.scan(kind, after, &mut |key, record| {
        let Some(state) = &record.state else { return Ok(true) };
        bytes = bytes.saturating_add(state.len());
        if page.rows.len() == limit || (bytes > MAX_PAGE_BYTES && !page.rows.is_empty()) {
            page.next = page.rows.last().map(|row| row.key.clone());
            return Ok(false);
        }
        page.rows.push(Row { key, record });
        Ok(true)
    })?;
    Ok(page)
}

/// The engine that forgets everything when it is dropped. For tests, the simulator and volatile clusters.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: BTreeMap<EntityId, Record>,
    meta: BTreeMap<String, Bytes>,
}

impl MemoryStore {
    /// An empty Store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers one request.
    ///
    /// # Errors
    /// See [`StoreError`]; never `DataLoss` nor `Engine`.
    pub fn request(&mut self, request: Request) -> Result<Response, StoreError> {
        execute(self, request)
    }

    /// Every record, in the order of ids.
    pub fn records(&self) -> impl Iterator<Item = (&EntityId, &Record)> {
        self.records.iter()
    }
}

impl Table for MemoryStore {
    fn read(&self, entity: &EntityId) -> Result<Option<Record>, StoreError> {
        Ok(self.records.get(entity).cloned())
    }

    fn write(&mut self, entity: &EntityId, record: Record) -> Result<(), StoreError> {
        self.records.insert(entity.clone(), record);
        Ok(())
    }

    fn scan(&self, kind: u32, after: Option<&Key>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let from = match after {
            Some(key) => Bound::Excluded(EntityId::new(kind, key)),
            None => Bound::Included(EntityId::new(kind, 0)),
        };
        let of_kind = self.records.range((from, Bound::Unbounded)).take_while(|(entity, _)| entity.kind == kind);
        for (entity, record) in of_kind {
            if !visit(entity.key.clone(), record.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn read_meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.meta.get(key).cloned())
    }

    fn write_meta(&mut self, key: &str, value: Option<Bytes>) -> Result<(), StoreError> {
        match value {
            Some(value) => self.meta.insert(key.to_owned(), value),
            None => self.meta.remove(key),
        };
        Ok(())
    }
}

impl From<StoreRequest> for Request {
    fn from(request: StoreRequest) -> Self {
        match request {
            StoreRequest::Claim { entity, token } => Self::Claim { entity, token },
            StoreRequest::Commit { entity, token, version, state } => {
                Self::Commit(Commit { entity, token, version, state })
            }
        }
    }
}

/// What a world gets to hear.
#[must_use]
pub fn reply(result: Result<Response, StoreError>) -> StoreReply {
    match result {
        Ok(Response::Claimed(Claimed { version, state })) => StoreReply::Claimed { version, state },
        Ok(Response::Versions(versions)) if versions.len() == 1 => StoreReply::Committed { version: versions[0] },
        Ok(_) => StoreReply::Failed(Error::new(Code::INTERNAL, "the Store answered another question")),
        Err(error) => StoreReply::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests;
