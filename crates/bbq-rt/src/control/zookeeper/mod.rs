//! ZooKeeper (3.6 or newer) behind the control plane.
//!
//! A lease is a session of its own with an ephemeral node, a revision the transaction that wrote a node (`mzxid`). Keys
//! are children of one node, over which one persistent recursive watch lies; a connection that breaks is a gap.
//!
//! Versions of ZooKeeper's nodes begin anew when a node is deleted, so that they cannot guard a transaction. Instead
//! every transaction reads, decides here, and writes under the version of one node (`clock`) that all of them write: two
//! at a time do not both succeed. That makes transactions take turns, which is how often membership changes.
//!
//! Reads are stale without `sync`, so that every read begins with one.

mod jute;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bbq_core::control::{ControlError, Guard, TxnOutcome, Versioned, WatchEvent};
use bytes::Bytes;
use tokio::sync::mpsc;

use self::jute::{Stat, Writer, code, op};
use self::session::{Pending, Reply, Session, SessionConfig, Silence};
use super::keys::{Answer, Change, Keys, LeaseId, Listing, decode, encode};
use super::{WatchStream, unreachable};

/// Of the session for everything but leases.
const TIMEOUT: Duration = Duration::from_secs(6);
/// How often a transaction is tried again when others were faster.
const ATTEMPTS: usize = 256;
/// Reads that are under way at once.
const READS: usize = 256;

/// Where the state is. Clones are the same.
#[derive(Clone)]
pub(super) struct ZooKeeper {
    main: Arc<Session>,
    config: SessionConfig,
    /// Parent of all keys.
    keys: String,
    clock: String,
    leases: Arc<Mutex<BTreeMap<LeaseId, Arc<Session>>>>,
}

impl ZooKeeper {
    /// `root`: without a slash at either end.
    pub(super) fn new(servers: Vec<String>, root: &str, patience: Duration) -> Self {
        let (keys, clock) = (format!("/{root}/keys"), format!("/{root}/clock"));
        let mut nodes: Vec<String> = root.match_indices('/').map(|(at, _)| format!("/{}", &root[..at])).collect();
        nodes.extend([format!("/{root}"), keys.clone(), clock.clone()]);
        let lease =
            SessionConfig { servers, timeout: TIMEOUT, patience, lives: false, nodes: Vec::new(), watched: None };
        let main = SessionConfig { lives: true, nodes, watched: Some(keys.clone()), ..lease.clone() };
        Self { main: Arc::new(Session::start(main)), config: lease, keys, clock, leases: Arc::default() }
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{}", self.keys, encode(key, false))
    }

    async fn sync(&self) -> Result<Pending, Silence> {
        self.main.send(op::SYNC, Writer::default().text(&self.keys)).await
    }

    async fn ask(&self, kind: i32, path: &str) -> Result<Pending, Silence> {
        self.main.send(kind, Writer::default().text(path).flag(false)).await
    }

    async fn read(&self, path: &str) -> Result<Option<Versioned>, ControlError> {
        versioned(self.ask(op::GET_DATA, path).await?.reply().await?)
    }

    /// The transaction that changed the set of keys last.
    async fn last_change(&self) -> Result<u64, ControlError> {
        let stat = stat(self.ask(op::EXISTS, &self.keys).await?.reply().await?)?;
        Ok(stat.map_or(0, |stat| stat.pzxid))
    }

    async fn listing(&self, prefix: &str) -> Result<Listing, ControlError> {
        let (synced, clock) = (self.sync().await?, self.ask(op::EXISTS, &self.clock).await?);
        let children = self.ask(op::GET_CHILDREN, &self.keys).await?;
        synced.reply().await?;
        let clock = stat(clock.reply().await?)?.map_or(0, |stat| stat.mzxid);
        let mut reply = children.reply().await?;
        check(reply.code)?;
        let names = reply.body.texts().map_err(garbled)?;
        let mut revision = clock.max(reply.body.stat().map_err(garbled)?.pzxid);
        let encoded = encode(prefix, false);
        let keys: Vec<String> =
            names.iter().filter(|name| name.starts_with(&encoded)).filter_map(|it| decode(it)).collect();
        let mut entries = Vec::with_capacity(keys.len());
        for some in keys.chunks(READS) {
            let mut reads = Vec::with_capacity(some.len());
            for key in some {
                reads.push((key, self.ask(op::GET_DATA, &self.path(key)).await?));
            }
            for (key, read) in reads {
                // It may be gone by now.
                let Some(value) = versioned(read.reply().await?)? else { continue };
                revision = revision.max(value.revision);
                entries.push((key.clone(), value));
            }
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Listing { entries, revision })
    }

    /// What there is at these keys, and the version of the clock under which that holds.
    async fn stats(&self, keys: &[&str]) -> Result<(i32, Vec<Option<Stat>>), ControlError> {
        let (synced, clock) = (self.sync().await?, self.ask(op::EXISTS, &self.clock).await?);
        let mut reads = Vec::with_capacity(keys.len());
        for key in keys {
            reads.push(self.ask(op::EXISTS, &self.path(key)).await?);
        }
        synced.reply().await?;
        let clock = stat(clock.reply().await?)?.ok_or_else(|| unreachable("ZooKeeper lost its tree"))?;
        let mut stats = Vec::with_capacity(keys.len());
        for read in reads {
            stats.push(stat(read.reply().await?)?);
        }
        Ok((clock.version, stats))
    }

    /// The session that a transaction must come from: ephemeral nodes belong to it.
    fn writer(&self, changes: &[Change]) -> Result<Arc<Session>, ControlError> {
        let lease = changes.iter().find_map(|change| match change {
            Change::Put { lease, .. } => lease.as_ref(),
            Change::Delete { .. } => None,
        });
        match lease {
            None => Ok(self.main.clone()),
            Some(lease) => self.lease(lease).ok_or_else(|| unreachable("the lease is not one of this process")),
        }
    }

    fn lease(&self, lease: &str) -> Option<Arc<Session>> {
        self.leases.lock().expect("nobody panics with it").get(lease).cloned()
    }

    async fn write(&self, guards: &[Guard], changes: &[Change]) -> Result<TxnOutcome, ControlError> {
        let writer = self.writer(changes)?;
        let guarded = guards.iter().map(|guard| {
            let (Guard::Absent(key) | Guard::Revision(key, _)) = guard;
            key.as_str()
        });
        let keys: Vec<&str> = guarded.chain(changes.iter().map(Change::key)).collect();
        for _ in 0..ATTEMPTS {
            let (clock, stats) = self.stats(&keys).await?;
            let (of_guards, of_changes) = stats.split_at(guards.len());
            let holds = |(guard, stat): (&Guard, &Option<Stat>)| match guard {
                Guard::Absent(_) => stat.is_none(),
                Guard::Revision(_, revision) => stat.is_some_and(|stat| stat.mzxid == *revision),
            };
            if let Some(guard) = guards.iter().zip(of_guards).position(|pair| !holds(pair)) {
                return Ok(TxnOutcome::Conflict { guard });
            }
            let mut multi = Writer::default().part(op::SET_DATA, false).text(&self.clock).bytes(b"").int(clock);
            for (change, stat) in changes.iter().zip(of_changes) {
                multi = self.part(multi, change, stat.is_some());
            }
            let reply = writer.call(op::MULTI, multi.part(-1, true)).await?;
            match multi_error(reply.code, reply.body).map_err(garbled)? {
                code::OK => return Ok(TxnOutcome::Committed { revision: reply.zxid }),
                // Somebody else was faster, or an ephemeral node went.
                code::BAD_VERSION | code::NO_NODE | code::NODE_EXISTS => {}
                other => check(other)?,
            }
        }
        Err(unreachable("others were faster, again and again"))
    }

    fn part(&self, multi: Writer, change: &Change, exists: bool) -> Writer {
        let path = self.path(change.key());
        let delete = |multi: Writer| multi.part(op::DELETE, false).text(&path).int(-1);
        let create = |multi: Writer, value: &[u8], flags| {
            multi.part(op::CREATE, false).text(&path).bytes(value).open_acl().int(flags)
        };
        match (change, exists) {
            (Change::Put { value, lease: None, .. }, true) => {
                multi.part(op::SET_DATA, false).text(&path).bytes(value).int(-1)
            }
            (Change::Put { value, lease: None, .. }, false) => create(multi, value, 0),
            // Another session may hold it.
            (Change::Put { value, lease: Some(_), .. }, true) => create(delete(multi), value, 1),
            (Change::Put { value, lease: Some(_), .. }, false) => create(multi, value, 1),
            (Change::Delete { .. }, true) => delete(multi),
            (Change::Delete { .. }, false) => multi,
        }
    }

    /// Until something may have been missed; then the end of the stream is a gap.
    async fn follow(
        self,
        prefix: String,
        mut paths: mpsc::Receiver<String>,
        mut state: BTreeMap<String, u64>,
        events: mpsc::Sender<WatchEvent>,
    ) {
        loop {
            let path = tokio::select! {
                path = paths.recv() => path,
                () = events.closed() => return,
            };
            let Some(path) = path else { return };
            let name = path.strip_prefix(&self.keys).and_then(|rest| rest.strip_prefix('/'));
            let Some(key) = name.and_then(decode).filter(|key| key.starts_with(&prefix)) else { continue };
            let event = match self.read(&path).await {
                // One of several events of which the first found the latest value.
                Ok(Some(value)) if state.get(&key) == Some(&value.revision) => continue,
                Ok(Some(value)) => {
                    state.insert(key.clone(), value.revision);
                    WatchEvent::Put { key, value }
                }
                Ok(None) if state.remove(&key).is_none() => continue,
                Ok(None) => match self.last_change().await {
                    Ok(revision) => WatchEvent::Del { key, revision },
                    Err(_) => return,
                },
                Err(_) => return,
            };
            if events.try_send(event).is_err() {
                return;
            }
        }
    }
}

impl Keys for ZooKeeper {
    fn get(&self, key: &str) -> Answer<'_, Option<Versioned>> {
        let path = self.path(key);
        Box::pin(async move {
            let (synced, read) = (self.sync().await?, self.ask(op::GET_DATA, &path).await?);
            synced.reply().await?;
            versioned(read.reply().await?)
        })
    }

    fn list(&self, prefix: &str) -> Answer<'_, Listing> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.listing(&prefix).await })
    }

    fn txn(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Answer<'_, TxnOutcome> {
        Box::pin(async move { self.write(&guards, &changes).await })
    }

    fn set(&self, key: String, value: Bytes) -> Answer<'_, ()> {
        let path = self.path(&key);
        Box::pin(async move {
            for _ in 0..ATTEMPTS {
                let body = Writer::default().text(&path).bytes(&value).int(-1);
                let written = self.main.call(op::SET_DATA, body).await?;
                if written.code != code::NO_NODE {
                    return check(written.code);
                }
                let body = Writer::default().text(&path).bytes(&value).open_acl().int(0);
                let created = self.main.call(op::CREATE, body).await?;
                if created.code != code::NODE_EXISTS {
                    return check(created.code);
                }
            }
            Err(unreachable("others were faster, again and again"))
        })
    }

    fn watch(&self, prefix: &str, from: Option<u64>) -> Answer<'_, WatchStream> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let (events, stream) = WatchStream::channel();
            if from.is_some() {
                // There is no history; the end of the stream is a gap.
                return Ok(stream);
            }
            let paths = self.main.changes().await?;
            let (state, _) = self.listing(&prefix).await?.begin(&events);
            tokio::spawn(self.clone().follow(prefix, paths, state, events));
            Ok(stream)
        })
    }

    fn grant(&self, ttl: Duration) -> Answer<'_, (LeaseId, Duration)> {
        let config = SessionConfig { timeout: ttl, ..self.config.clone() };
        Box::pin(async move {
            let (session, id, ttl) = Session::open(config).await?;
            let lease = format!("{id:016x}");
            self.leases.lock().expect("nobody panics with it").insert(lease.clone(), Arc::new(session));
            Ok((lease, ttl))
        })
    }

    fn keep(&self, lease: &str) -> Answer<'_, bool> {
        // Those of other processes are theirs to keep.
        let session = self.lease(lease);
        Box::pin(async move {
            let Some(session) = session else { return Ok(false) };
            match session.call(op::EXISTS, Writer::default().text(&self.keys).flag(false)).await {
                Ok(_) => Ok(true),
                Err(Silence::Expired) => Ok(false),
                Err(silence) => Err(silence.into()),
            }
        })
    }

    fn revoke(&self, lease: &str) -> Answer<'_, ()> {
        let session = self.leases.lock().expect("nobody panics with it").remove(lease);
        Box::pin(async move {
            if let Some(session) = session {
                // Without an answer it ends by its timeout.
                let _ = session.call(op::CLOSE, Writer::default()).await;
            }
            Ok(())
        })
    }
}

fn garbled(error: std::io::Error) -> ControlError {
    unreachable(format!("ZooKeeper does not speak as expected: {error}"))
}

fn check(code: i32) -> Result<(), ControlError> {
    match code {
        code::OK => Ok(()),
        other => Err(unreachable(format!("ZooKeeper says {other}"))),
    }
}

fn versioned(mut reply: Reply) -> Result<Option<Versioned>, ControlError> {
    if reply.code == code::NO_NODE {
        return Ok(None);
    }
    check(reply.code)?;
    let value = reply.body.bytes().map_err(garbled)?;
    let revision = reply.body.stat().map_err(garbled)?.mzxid;
    Ok(Some(Versioned { value, revision }))
}

fn stat(mut reply: Reply) -> Result<Option<Stat>, ControlError> {
    if reply.code == code::NO_NODE {
        return Ok(None);
    }
    check(reply.code)?;
    reply.body.stat().map(Some).map_err(garbled)
}

/// The error that made a `multi` fail: the one that is not about the others.
fn multi_error(code: i32, mut body: jute::Reader) -> std::io::Result<i32> {
    if code == code::OK && body.0.is_empty() {
        return Ok(code);
    }
    let mut found = code;
    while !body.0.is_empty() {
        let (kind, is_end, error) = (body.int()?, body.flag()?, body.int()?);
        if is_end {
            break;
        }
        if kind != -1 {
            // Results of a success follow one another without a length; there is no error among them.
            return Ok(code::OK);
        }
        let code = body.int()?;
        let _ = error;
        if code != code::OK && code != code::RUNTIME_INCONSISTENCY {
            found = code;
        }
    }
    Ok(found)
}
