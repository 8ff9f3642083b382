//! The Store in one file on this machine.
//!
//! A thread of its own takes whatever is queued, carries it out in one transaction, and answers after one fsync: the
//! more callers, the fewer fsyncs per commit. What was acknowledged survives the death of the process and of the
//! machine. After a failed write the Store refuses everything: what is on the disk then is not known.
//!
//! ```text
//! key   kind: u32, big-endian │ 0 │ number: u64, big-endian          or   kind │ 1 │ text     ordered as EntityId
//! value checksum and format (sealed.rs) │ token: u64 │ version: u64 │ 1 if there is a state │ state
//! ```

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::thread;

use bbq_core::store::{Record, SLOT_EPOCH, Table, Visit, epoch_of_token, execute, slot_epoch_value};
use bbq_wire::{EntityId, Key};
use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, ReadableTableMetadata, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::{Request, Response, Store, StoreError, engine, seal, unseal};
use crate::rpc::BoxFuture;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Requests that wait for the thread; more wait in front of the queue.
const QUEUE: usize = 1024;

/// A transaction takes no further request once it has this many, or this many bytes of state.
const BATCH: usize = 512;
/// See [`BATCH`].
const BATCH_BYTES: usize = 16 << 20;

/// A file that cannot be used.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    trouble: Trouble,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What kind of trouble a file has: each has another way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Another process has it open.
    InUse,
    /// Its contents are not what was written.
    Damaged,
    /// The system refuses: permissions, a full disk, a path that is no directory.
    Refused,
}

impl OpenError {
    pub(crate) fn new(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { path: path.to_owned(), trouble: Trouble::Refused, cause: cause.into() }
    }

    pub(crate) fn damaged(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { trouble: Trouble::Damaged, ..Self::new(path, cause) }
    }

    /// What redb says about a file.
    pub(crate) fn of(path: &Path, error: impl Into<redb::Error>) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self { trouble: Trouble::InUse, ..Self::new(path, "another process has it open") }
            }
            error @ (redb::Error::Corrupted(_)
            | redb::Error::RepairAborted
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => Self::damaged(path, error),
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => Self::damaged(path, error),
            error => Self::new(path, error),
        }
    }

    /// What kind of trouble it is.
    #[must_use]
    pub const fn trouble(&self) -> Trouble {
        self.trouble
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot use the file {}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Opens or makes a database whose name survives a crash: directories that changed are synced, too.
pub(crate) fn create_database(path: &Path) -> Result<Database, OpenError> {
    let failed = |error: io::Error| OpenError::new(path, error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    let database = Database::create(path).map_err(|error| OpenError::of(path, error))?;
    sync_directory(directory).map_err(failed)?;
    if let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty()) {
        sync_directory(above).map_err(failed)?;
    }
    Ok(database)
}

/// Makes names in a directory durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened as a file.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The Store in one file. Clones share it; the file is free again when the last clone is gone, or after
/// [`RedbStore::close`].
#[derive(Clone, Debug)]
pub struct RedbStore {
    jobs: mpsc::Sender<Job>,
    new: bool,
}

#[derive(Debug)]
enum Job {
    Request(Request, oneshot::Sender<Result<Response, StoreError>>),
    Close(oneshot::Sender<()>),
}

impl RedbStore {
    /// Opens the file at `path`, or makes it and the directory it is in.
    ///
    /// # Errors
    /// The file cannot be opened or made, or is in use by another process.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = create_database(path)?;
        let new = prepare(&database).map_err(|error| OpenError::of(path, error))?;
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("store".into());
        thread.spawn(move || work(database, inbox)).map_err(|error| OpenError::new(path, error))?;
        Ok(Self { jobs, new })
    }

    /// Whether the file was made when it was opened, so that it holds nothing.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.new
    }

    /// Returns when the Store stopped, because it was closed or because its disk failed.
    pub async fn stopped(&self) {
        self.jobs.closed().await;
    }

    /// Stops the thread for all clones; returns when the file can be opened again.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            // A thread that is gone already has closed the file.
            let _ = closed.await;
        }
    }
}

impl Store for RedbStore {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, StoreError>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let gone = || engine("the Store has stopped", false);
            self.jobs.send(Job::Request(request, answer)).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        })
    }
}

/// Makes the tables. A file from before the time of [`SLOT_EPOCH`] is read once, to find it. Returns whether the file is
/// new.
fn prepare(database: &Database) -> Result<bool, redb::Error> {
    let transaction = database.begin_write()?;
    let new = {
        let records = transaction.open_table(RECORDS)?;
        let mut meta = transaction.open_table(META)?;
        let known = meta.get(SLOT_EPOCH)?.is_some();
        let new = !known && records.is_empty()? && meta.is_empty()?;
        if !known {
            let mut epoch = 0;
            for row in records.iter()? {
                let (path, sealed) = row?;
                // A damaged record is told to whoever asks for it.
                let token = decode_record(path.value(), sealed.value()).map_or(0, |record| record.token);
                epoch = epoch_of_token(token).max(epoch);
            }
            meta.insert(SLOT_EPOCH, seal(SLOT_EPOCH.as_bytes(), &slot_epoch_value(epoch)).as_slice())?;
        }
        new
    };
    transaction.commit()?;
    Ok(new)
}

/// The thread.
fn work(database: Database, mut inbox: mpsc::Receiver<Job>) {
    while let Some(first) = inbox.blocking_recv() {
        let (mut batch, mut bytes, mut closed, mut next) = (Vec::new(), 0, None, Some(first));
        while let Some(job) = next.take() {
            match job {
                Job::Close(done) => closed = Some(done),
                Job::Request(request, answer) => {
                    bytes += request.weight();
                    batch.push((request, answer));
                }
            }
            if closed.is_none() && batch.len() < BATCH && bytes < BATCH_BYTES {
                next = inbox.try_recv().ok();
            }
        }
        let healthy = run(&database, batch);
        if let Err(error) = &healthy {
            tracing::error!(%error, "the Store stops: its disk failed");
        }
        if closed.is_some() || healthy.is_err() {
            drop(database);
            drop(inbox);
            if let Some(done) = closed {
                // Whoever waited may have left.
                let _ = done.send(());
            }
            return;
        }
    }
}

type Waiting = (Request, oneshot::Sender<Result<Response, StoreError>>);

/// Carries out a batch in one transaction, then answers. An error means that the disk failed.
fn run(database: &Database, batch: Vec<Waiting>) -> Result<(), redb::Error> {
    let (mut requests, mut answers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for (request, answer) in batch {
        requests.push(request);
        answers.push(answer);
    }
    match transact(database, requests) {
        Ok(responses) => {
            for (answer, response) in answers.into_iter().zip(responses) {
                // Whoever asked may have left.
                let _ = answer.send(response);
            }
            Ok(())
        }
        Err(error) => {
            // Whether it is on the disk is not known, and asking the same Store again cannot tell.
            for answer in answers {
                let _ = answer.send(Err(engine(format!("the disk failed: {error}"), false)));
            }
            Err(error)
        }
    }
}

type Responses = Vec<Result<Response, StoreError>>;

fn transact(database: &Database, requests: Vec<Request>) -> Result<Responses, redb::Error> {
    let read_only = requests.iter().all(Request::is_read);
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let (responses, failure) = {
        let mut tables = Tables {
            records: transaction.open_table(RECORDS)?,
            meta: transaction.open_table(META)?,
            failure: RefCell::new(None),
        };
        let responses = requests.into_iter().map(|request| execute(&mut tables, request)).collect();
        (responses, tables.failure.take())
    };
    match failure {
        Some(failure) => return Err(failure),
        None if read_only => transaction.abort()?,
        None => transaction.commit()?,
    }
    Ok(responses)
}

/// The tables of one transaction.
struct Tables<'t> {
    records: redb::Table<'t, &'static [u8], &'static [u8]>,
    meta: redb::Table<'t, &'static str, &'static [u8]>,
    /// The first error of the disk: the transaction must not be committed.
    failure: RefCell<Option<redb::Error>>,
}

impl Tables<'_> {
    fn failed(&self, error: redb::StorageError) -> StoreError {
        let answer = engine(format!("the disk failed: {error}"), false);
        self.failure.borrow_mut().get_or_insert(error.into());
        answer
    }
}

impl Table for Tables<'_> {
    fn read(&self, entity: &EntityId) -> Result<Option<Record>, StoreError> {
        let path = encode_id(entity);
        let Some(sealed) = self.records.get(path.as_slice()).map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        decode_record(&path, sealed.value()).map(Some).ok_or_else(|| StoreError::DataLoss { entity: entity.clone() })
    }

    fn write(&mut self, entity: &EntityId, record: Record) -> Result<(), StoreError> {
        let path = encode_id(entity);
        let sealed = encode_record(&path, &record);
        let inserted = self.records.insert(path.as_slice(), sealed.as_slice()).map(drop);
        inserted.map_err(|error| self.failed(error))
    }

    fn scan(&self, kind: u32, after: Option<&Key>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let from = match after {
            Some(key) => Bound::Excluded(encode_id(&EntityId::new(kind, key))),
            None => Bound::Included(kind.to_be_bytes().to_vec()),
        };
        // No number and no text begins with a byte of 2.
        let end = [&kind.to_be_bytes()[..], &[2]].concat();
        let range = (from.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        for row in self.records.range::<&[u8]>(range).map_err(|error| self.failed(error))? {
            let (path, sealed) = row.map_err(|error| self.failed(error))?;
            let Some(entity) = decode_id(path.value()) else {
                return Err(engine("a key of the Store is damaged", false));
            };
            let Some(record) = decode_record(path.value(), sealed.value()) else {
                return Err(StoreError::DataLoss { entity });
            };
            if !visit(entity.key, record)? {
                break;
            }
        }
        Ok(())
    }

    fn read_meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let Some(sealed) = self.meta.get(key).map_err(|error| self.failed(error))? else { return Ok(None) };
        let value = unseal(key.as_bytes(), sealed.value());
        let value = value.ok_or_else(|| engine(format!("the stored value of `{key}` is damaged"), false))?;
        Ok(Some(Bytes::copy_from_slice(value)))
    }

    fn write_meta(&mut self, key: &str, value: Option<Bytes>) -> Result<(), StoreError> {
        let written = match value {
            Some(value) => self.meta.insert(key, seal(key.as_bytes(), &value).as_slice()).map(drop),
            None => self.meta.remove(key).map(drop),
        };
        written.map_err(|error| self.failed(error))
    }
}

fn encode_id(entity: &EntityId) -> Vec<u8> {
    let mut path = entity.kind.to_be_bytes().to_vec();
    match &entity.key {
        Key::Number(number) => {
            path.push(0);
            path.extend_from_slice(&number.to_be_bytes());
        }
        Key::Text(text) => {
            path.push(1);
            path.extend_from_slice(text.as_bytes());
        }
    }
    path
}

fn decode_id(path: &[u8]) -> Option<EntityId> {
    let (kind, rest) = path.split_first_chunk::<4>()?;
    let kind = u32::from_be_bytes(*kind);
    match rest.split_first()? {
        (0, number) => Some(EntityId::new(kind, u64::from_be_bytes(number.try_into().ok()?))),
        (1, text) => Some(EntityId::new(kind, std::str::from_utf8(text).ok()?)),
        _ => None,
    }
}

fn encode_record(path: &[u8], record: &Record) -> Vec<u8> {
    let state = record.state.as_deref().unwrap_or_default();
    let mut value = Vec::with_capacity(state.len() + 17);
    value.extend_from_slice(&record.token.to_be_bytes());
    value.extend_from_slice(&record.version.to_be_bytes());
    value.push(u8::from(record.state.is_some()));
    value.extend_from_slice(state);
    seal(path, &value)
}

fn decode_record(path: &[u8], sealed: &[u8]) -> Option<Record> {
    let (token, rest) = unseal(path, sealed)?.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<8>()?;
    let (has_state, state) = rest.split_first()?;
    let state = (*has_state == 1).then(|| Bytes::copy_from_slice(state));
    Some(Record { token: u64::from_be_bytes(*token), version: u64::from_be_bytes(*version), state })
}

/// Makes the file one of a gobbq that did not keep [`SLOT_EPOCH`] yet.
#[cfg(test)]
pub(super) fn forget_slot_epoch(path: &Path) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().remove(SLOT_EPOCH).unwrap();
    transaction.commit().unwrap();
}

/// Damages the stored record of an entity.
#[cfg(test)]
pub(super) fn flip_a_bit(path: &Path, entity: &EntityId) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let path = encode_id(entity);
    let mut sealed = transaction.open_table(RECORDS).unwrap().get(path.as_slice()).unwrap().unwrap().value().to_vec();
    *sealed.last_mut().unwrap() ^= 1;
    transaction.open_table(RECORDS).unwrap().insert(path.as_slice(), sealed.as_slice()).unwrap();
    transaction.commit().unwrap();
}
