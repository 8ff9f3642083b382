//! A control plane on top of an engine that only knows keys and leases ([`Keys`]): what the embedded engine decides in
//! one machine, the nodes decide here together, by compare-and-set.
//!
//! ```text
//! cluster/name/<name>       start of the last opening; its revision is the incarnation
//! cluster/node/<uid>        the node record, until there is a certificate: expiry is only suspicion
//! cluster/schema/<uid>/<n>  the schema of the node in pieces, written before the record
//! cluster/session/<uid>     id of the lease, and gone with it
//! cluster/load/<uid>        what was reported last
//! cluster/dead/<uid>        the certificate: written in the transaction that removes record and session
//! cluster/slots             the slot table
//! anything else             keys of users: owner, then value
//! ```
//!
//! Every certificate removes the node record at a certain revision, and every reattachment writes it at a certain
//! revision: they never both succeed. A task in every process ([`Caretaker`]) certifies nodes whose lease stayed away and
//! assigns slots; every 30 s it removes what those left behind who died while they cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bbq_core::control::{
    Caretaker, ControlError, DeathCert, Duty, Guard, Load, NodeInfo, NodeRecord, Op, Registry, Request, Response,
    Session, SlotTable, TxnOutcome, Versioned, WatchEvent, check_txn, decode_named, encode_named, key, limit, number,
};
use bbq_wire::NodeUid;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::keys::{Change, Keys, LeaseId, Listing};
use super::{ControlPlane, WatchStream, unreachable};
use crate::clock::Clock;
use crate::rpc::BoxFuture;

/// How an engine on keys and leases behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedConfig {
    /// Lease length for those that ask for none. The engine's bounds apply.
    pub ttl: Duration,
    /// How long a lease may be gone before its node is certified dead. In this time it can reattach.
    pub grace: Duration,
    /// How long an engine may take to answer.
    pub patience: Duration,
    /// Slot epochs are larger than this one: the highest that the Store of the cluster has seen. Only the process that
    /// has the Store knows it; 0 elsewhere.
    pub epoch_floor: u32,
    /// How often a watch is compared with what the engine holds, and leftovers of the dead are removed.
    pub review: Duration,
}

impl Default for SharedConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            grace: Duration::from_millis(500),
            patience: Duration::from_secs(3),
            epoch_floor: 0,
            review: Duration::from_secs(30),
        }
    }
}

/// A longer wish for a lease is this one.
const LONGEST_LEASE: Duration = Duration::from_secs(120);
/// How often a compare-and-set is tried again when others were faster.
const ATTEMPTS: usize = 64;
/// Largest piece of a schema.
const PIECE: usize = limit::VALUE_BYTES;
/// Pause of the caretaker before it tries again.
const PAUSE: Duration = Duration::from_millis(200);
/// Time that a watch gets to tell what a comparison found missing.
const SECOND_LOOK: Duration = Duration::from_secs(2);

const NAME: &str = "cluster/name/";
const SCHEMA: &str = "cluster/schema/";

/// See the module. It ends, with its task, when it is dropped.
pub(super) struct SharedControl {
    plane: Arc<Plane>,
    caretaker: JoinHandle<()>,
}

impl Drop for SharedControl {
    fn drop(&mut self) {
        self.caretaker.abort();
    }
}

struct Plane {
    keys: Arc<dyn Keys>,
    config: SharedConfig,
    /// Of incarnations that this process opened or renewed.
    leases: Mutex<BTreeMap<NodeUid, Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    lease: LeaseId,
    /// What is stored.
    load: Option<Load>,
}

/// Below [`NAME`].
#[derive(Serialize, Deserialize)]
struct Opening {
    start: u64,
}

impl SharedControl {
    pub(super) fn start(keys: Arc<dyn Keys>, config: SharedConfig) -> Self {
        let plane = Arc::new(Plane { keys, config, leases: Mutex::default() });
        let caretaker = tokio::spawn(take_care(Arc::downgrade(&plane)));
        Self { plane, caretaker }
    }
}

impl ControlPlane for SharedControl {
    fn request(&self, request: Request) -> BoxFuture<'_, Result<Response, ControlError>> {
        let plane = &self.plane;
        Box::pin(async move {
            match request {
                Request::Open { info, ttl_ms } => plane.open(info, ttl_ms).await.map(Response::Session),
                Request::Renew { uid, load } => plane.renew(uid, load).await.map(|()| Response::Done),
                Request::Reattach { uid } => plane.reattach(uid).await.map(Response::Session),
                Request::Certify { uid, seen, why } => {
                    plane.certify(uid, seen, &why, Suspicion::Told).await.map(Response::Certificate)
                }
                Request::Get { key } => plane.get(&key).await.map(Response::Value),
                Request::Txn { guards, ops } => plane.txn(guards, ops).await.map(Response::Txn),
                // These engines keep what they are told: whom they do not know is dead.
                Request::Rejoin(memory) => Err(plane.lost(memory.uid).await?),
                Request::Watch { .. } => Err(ControlError::invalid("a watch is not a request")),
            }
        })
    }

    fn watch(&self, prefix: String, from: Option<u64>) -> BoxFuture<'_, Result<WatchStream, ControlError>> {
        Box::pin(async move {
            if prefix.len() > limit::KEY_BYTES {
                return Err(ControlError::invalid("a prefix that is too long"));
            }
            let raw = self.plane.keys.watch(&prefix, from).await?;
            let (events, stream) = WatchStream::channel();
            let told =
                Told { plane: Arc::downgrade(&self.plane), prefix, is_whole: from.is_none(), state: BTreeMap::new() };
            tokio::spawn(told.forward(raw, events, self.plane.config.review));
            Ok(stream)
        })
    }
}

/// Who wants a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// Somebody who knows.
    Told,
    /// The lease ran out: only as long as it is gone.
    Expired,
}

impl Plane {
    async fn open(&self, mut info: NodeInfo, ttl_ms: u32) -> Result<Session, ControlError> {
        info.check()?;
        let wish = if ttl_ms == 0 { self.config.ttl } else { Duration::from_millis(u64::from(ttl_ms)) };
        let name = format!("{NAME}{}", info.name);
        for _ in 0..ATTEMPTS {
            let before = self.keys.get(&name).await?;
            let known = before.as_ref().and_then(|stored| {
                let opening: Opening = decode_named(&stored.value).ok()?;
                Some((NodeUid { node: number(&info.name), incarnation: stored.revision }, opening.start))
            });
            if let Some((uid, start)) = known {
                let lives = self.keys.get(&key::node(uid)).await?.is_some();
                if start == info.start && start != 0 {
                    if lives {
                        return self.reattach(uid).await;
                    }
                    // This opening stopped half way, unless the incarnation is dead by now.
                    if self.keys.get(&key::dead(uid)).await?.is_none() {
                        match self.enter(uid, &mut info, wish).await? {
                            Some(session) => return Ok(session),
                            None => continue,
                        }
                    }
                }
                if lives {
                    self.certify(uid, None, "a newer process opened with the same name", Suspicion::Told).await?;
                }
            }
            let mut guards = vec![match &before {
                None => Guard::Absent(name.clone()),
                Some(stored) => Guard::Revision(name.clone(), stored.revision),
            }];
            // Whoever had the name may enter between our look and our write.
            guards.extend(known.map(|(uid, _)| Guard::Absent(key::node(uid))));
            let opening = encode_named(&Opening { start: info.start });
            if let TxnOutcome::Committed { revision } =
                self.keys.txn(guards, vec![Change::put(&*name, opening)]).await?
            {
                let uid = NodeUid { node: number(&info.name), incarnation: revision };
                if let Some(session) = self.enter(uid, &mut info, wish).await? {
                    return Ok(session);
                }
            }
        }
        Err(crowded())
    }

    /// Writes record and session of a new incarnation; `None`: it was replaced, or is in already.
    async fn enter(&self, uid: NodeUid, info: &mut NodeInfo, wish: Duration) -> Result<Option<Session>, ControlError> {
        let listed = self.keys.list(key::NODE_PREFIX).await?;
        if listed.entries.len() >= limit::NODES {
            return Err(ControlError::invalid(format!("there are {} nodes already", limit::NODES)));
        }
        let (lease, ttl) = self.grant(wish).await?;
        let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        for (number, piece) in info.schema.chunks(PIECE).enumerate() {
            self.keys.set(format!("{SCHEMA}{uid}/{number:04}"), Bytes::copy_from_slice(piece)).await?;
        }
        let load = Load { weight: info.weight, permille: 0, ..Load::default() };
        let schema = std::mem::take(&mut info.schema);
        let record = NodeRecord { uid, info: info.clone(), ttl_ms, load };
        info.schema = schema;
        let guards = vec![
            Guard::Revision(format!("{NAME}{}", info.name), uid.incarnation),
            Guard::Absent(key::node(uid)),
            Guard::Absent(key::dead(uid)),
        ];
        let session = Change::Put { key: key::session(uid), value: lease.clone().into(), lease: Some(lease.clone()) };
        let changes = vec![Change::put(key::node(uid), record.encode()), session];
        match self.keys.txn(guards, changes).await? {
            TxnOutcome::Committed { revision } => {
                self.remember(uid, Kept { lease, load: Some(load) });
                Ok(Some(Session { uid, ttl_ms, revision }))
            }
            TxnOutcome::Conflict { .. } => {
                self.keys.revoke(&lease).await?;
                Ok(None)
            }
        }
    }

    async fn grant(&self, wish: Duration) -> Result<(LeaseId, Duration), ControlError> {
        self.keys.grant(wish.min(LONGEST_LEASE)).await
    }

    async fn renew(&self, uid: NodeUid, load: Load) -> Result<(), ControlError> {
        let known = self.leases.lock().expect("nobody panics with it").get(&uid).cloned();
        let lease = match &known {
            Some(kept) => kept.lease.clone(),
            // Opened through another process.
            None => match self.keys.get(&key::session(uid)).await? {
                Some(session) => String::from_utf8_lossy(&session.value).into_owned(),
                None => return Err(self.lost(uid).await?),
            },
        };
        // A certificate takes the session away, and leaves the lease to whoever ends it.
        if !self.keys.keep(&lease).await? || self.keys.get(&key::session(uid)).await?.is_none() {
            return Err(self.lost(uid).await?);
        }
        if known.is_none_or(|kept| kept.load != Some(load)) {
            self.keys.set(key::load(uid), encode_named(&load)).await?;
        }
        self.remember(uid, Kept { lease, load: Some(load) });
        Ok(())
    }

    async fn reattach(&self, uid: NodeUid) -> Result<Session, ControlError> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.keys.get(&key::node(uid)).await? else { return Err(self.lost(uid).await?) };
            let Some(known) = NodeRecord::decode(&record.value) else {
                return Err(ControlError::invalid(format!("the record of {uid} cannot be read")));
            };
            let old = self.keys.get(&key::session(uid)).await?;
            let (lease, ttl) = self.grant(Duration::from_millis(u64::from(known.ttl_ms))).await?;
            let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
            // Written anew even if nothing changed: an accuser who saw the old revision must look again.
            let session =
                Change::Put { key: key::session(uid), value: lease.clone().into(), lease: Some(lease.clone()) };
            let changes = vec![Change::put(key::node(uid), record.value), session];
            match self.keys.txn(vec![Guard::Revision(key::node(uid), record.revision)], changes).await? {
                TxnOutcome::Committed { revision } => {
                    self.remember(uid, Kept { lease, load: None });
                    if let Some(old) = old {
                        self.keys.revoke(&String::from_utf8_lossy(&old.value)).await?;
                    }
                    return Ok(Session { uid, ttl_ms, revision });
                }
                TxnOutcome::Conflict { .. } => self.keys.revoke(&lease).await?,
            }
        }
        Err(crowded())
    }

    /// What to tell an incarnation without a lease.
    async fn lost(&self, uid: NodeUid) -> Result<ControlError, ControlError> {
        // In this order: a certificate appears when the record goes.
        let lives = self.keys.get(&key::node(uid)).await?.is_some();
        let certificate = match lives {
            true => None,
            false => Some(self.certificate(uid).await?.unwrap_or_else(|| DeathCert::of_unknown(uid))),
        };
        if certificate.is_some() {
            self.leases.lock().expect("nobody panics with it").remove(&uid);
        }
        Ok(ControlError::Lost { uid, certificate })
    }

    async fn certificate(&self, uid: NodeUid) -> Result<Option<DeathCert>, ControlError> {
        let stored = self.keys.get(&key::dead(uid)).await?;
        Ok(stored.and_then(|stored| decode_named(&stored.value).ok()))
    }

    async fn certify(
        &self,
        uid: NodeUid,
        seen: Option<u64>,
        why: &str,
        suspicion: Suspicion,
    ) -> Result<DeathCert, ControlError> {
        for _ in 0..ATTEMPTS {
            let record = self.keys.get(&key::node(uid)).await?;
            if record.is_none()
                && let Some(certificate) = self.certificate(uid).await?
            {
                return Ok(certificate);
            }
            let guard = match &record {
                Some(record) if seen.is_some_and(|seen| seen != record.revision) => {
                    return Err(ControlError::Conflict { revision: record.revision });
                }
                Some(record) => Guard::Revision(key::node(uid), record.revision),
                None if uid.incarnation == 0 || uid.incarnation > self.newest().await? => {
                    return Err(ControlError::invalid(format!("there never was a node {uid}")));
                }
                None => Guard::Absent(key::node(uid)),
            };
            let session = self.keys.get(&key::session(uid)).await?;
            let mut guards = vec![guard, Guard::Absent(key::dead(uid))];
            match suspicion {
                Suspicion::Told => {}
                Suspicion::Expired => guards.push(Guard::Absent(key::session(uid))),
            }
            let certificate = DeathCert::new(uid, why);
            let mut changes = vec![Change::put(key::dead(uid), encode_named(&certificate))];
            let gone = [key::node(uid), key::session(uid), key::load(uid)];
            changes.extend(gone.into_iter().map(Change::delete));
            match self.keys.txn(guards, changes).await? {
                TxnOutcome::Committed { .. } => {
                    let old = session.map(|session| String::from_utf8_lossy(&session.value).into_owned());
                    // The decision is taken; what fails from here on is done by the next review.
                    if let Err(error) = self.bury(uid, old).await {
                        tracing::debug!(%uid, %error, "what a dead node left is still there");
                    }
                    return Ok(certificate);
                }
                TxnOutcome::Conflict { guard: 2 } => return Err(ControlError::Conflict { revision: 0 }),
                TxnOutcome::Conflict { .. } => {}
            }
        }
        Err(crowded())
    }

    /// An upper bound of all incarnations.
    async fn newest(&self) -> Result<u64, ControlError> {
        self.keys.list(NAME).await.map(|names| names.revision)
    }

    /// Removes what belonged to a dead incarnation.
    async fn bury(&self, uid: NodeUid, lease: Option<LeaseId>) -> Result<(), ControlError> {
        self.leases.lock().expect("nobody panics with it").remove(&uid);
        if let Some(lease) = lease {
            self.keys.revoke(&lease).await?;
        }
        let everything = self.keys.list("").await?;
        self.remove_owned(&everything, |owner| owner == uid).await?;
        let schema = format!("{SCHEMA}{uid}/");
        let names = everything.entries.iter().filter(|(path, value)| {
            path.starts_with(&schema) || path.starts_with(NAME) && value.revision == uid.incarnation
        });
        for (path, value) in names {
            self.remove(path, value.revision).await?;
        }
        Ok(())
    }

    async fn remove_owned(&self, all: &Listing, is_dead: impl Fn(NodeUid) -> bool) -> Result<(), ControlError> {
        let owned = all
            .entries
            .iter()
            .filter(|(path, value)| !path.starts_with(key::CLUSTER) && owner_of(&value.value).is_some_and(&is_dead));
        for (path, value) in owned {
            self.remove(path, value.revision).await?;
        }
        Ok(())
    }

    /// If nobody wrote it meanwhile.
    async fn remove(&self, path: &str, revision: u64) -> Result<(), ControlError> {
        let guard = Guard::Revision(path.to_owned(), revision);
        self.keys.txn(vec![guard], vec![Change::delete(path)]).await.map(drop)
    }

    async fn get(&self, path: &str) -> Result<Option<Versioned>, ControlError> {
        if path.is_empty() || path.len() > limit::KEY_BYTES {
            return Ok(None);
        }
        match self.keys.get(path).await? {
            Some(stored) => self.shown(path, stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// A stored value as users of the port see it.
    async fn shown(&self, path: &str, stored: Versioned) -> Result<Versioned, ControlError> {
        let Versioned { value, revision } = stored;
        if !path.starts_with(key::CLUSTER) {
            return Ok(Versioned { value: unwrap(value), revision });
        }
        let Some(mut record) = key::node_uid(path).and_then(|_| NodeRecord::decode(&value)) else {
            return Ok(Versioned { value, revision });
        };
        let pieces = self.keys.list(&format!("{SCHEMA}{}/", record.uid)).await?;
        let mut schema = BytesMut::new();
        pieces.entries.iter().for_each(|(_, piece)| schema.extend_from_slice(&piece.value));
        record.info.schema = schema.freeze();
        Ok(Versioned { value: record.encode(), revision })
    }

    async fn txn(&self, guards: Vec<Guard>, ops: Vec<Op>) -> Result<TxnOutcome, ControlError> {
        check_txn(&guards, &ops)?;
        // The last one counts.
        let mut changes = BTreeMap::new();
        let mut owners = BTreeSet::new();
        for op in ops {
            let change = match op {
                Op::Put { key, value, owner } => {
                    owners.extend(owner);
                    Change::put(key, wrap(owner, &value))
                }
                Op::Delete { key } => Change::delete(key),
            };
            changes.insert(change.key().to_owned(), change);
        }
        let changes: Vec<Change> = changes.into_values().collect();
        for _ in 0..ATTEMPTS {
            let mut all = guards.clone();
            for owner in &owners {
                let Some(record) = self.keys.get(&key::node(*owner)).await? else {
                    return Err(self.lost(*owner).await?);
                };
                all.push(Guard::Revision(key::node(*owner), record.revision));
            }
            match self.keys.txn(all, changes.clone()).await? {
                // An owner reattached or died meanwhile.
                TxnOutcome::Conflict { guard } if guard >= guards.len() => {}
                outcome => return Ok(outcome),
            }
        }
        Err(crowded())
    }

    fn remember(&self, uid: NodeUid, kept: Kept) {
        self.leases.lock().expect("nobody panics with it").insert(uid, kept);
    }

    async fn carry_out(&self, duty: Duty) -> Result<(), ControlError> {
        match duty {
            Duty::Certify { uid, seen } => {
                match self.certify(uid, Some(seen), "the lease ran out", Suspicion::Expired).await {
                    Ok(_) => {
                        tracing::warn!(%uid, "a node was declared dead: its lease ran out");
                        Ok(())
                    }
                    // It came back.
                    Err(ControlError::Conflict { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Duty::Assign { table, guard } => {
                self.keys.txn(vec![guard], vec![Change::put(key::SLOTS, table.encode())]).await.map(drop)
            }
        }
    }

    /// Sees to it that slot epochs are above the floor.
    async fn raise_epochs(&self) -> Result<(), ControlError> {
        for _ in 0..ATTEMPTS {
            let stored = self.keys.get(key::SLOTS).await?;
            let table = stored.as_ref().and_then(|stored| SlotTable::decode(&stored.value)).unwrap_or_default();
            let Some(table) = table.above(self.config.epoch_floor) else { return Ok(()) };
            let guard = match stored {
                None => Guard::Absent(key::SLOTS.into()),
                Some(stored) => Guard::Revision(key::SLOTS.into(), stored.revision),
            };
            let write = Change::put(key::SLOTS, table.encode());
            if matches!(self.keys.txn(vec![guard], vec![write]).await?, TxnOutcome::Committed { .. }) {
                return Ok(());
            }
        }
        Err(crowded())
    }

    /// Removes what nobody needs any more, and nobody removed.
    async fn review(&self) -> Result<(), ControlError> {
        let all = self.keys.list("").await?;
        let alive: BTreeSet<NodeUid> = all.entries.iter().filter_map(|(path, _)| key::node_uid(path)).collect();
        self.remove_owned(&all, |owner| !alive.contains(&owner)).await?;
        let dead: BTreeSet<NodeUid> = all.entries.iter().filter_map(|(path, _)| key::dead_uid(path)).collect();
        let leftovers = all.entries.iter().filter(|(path, value)| {
            let of_dead = |uid: Option<NodeUid>| uid.is_some_and(|uid| dead.contains(&uid));
            of_dead(key::load_uid(path))
                || of_dead(schema_uid(path))
                || path.starts_with(NAME) && dead.iter().any(|uid| uid.incarnation == value.revision)
        });
        for (path, value) in leftovers {
            self.remove(path, value.revision).await?;
        }
        let mut certificates: Vec<NodeUid> = dead.into_iter().collect();
        certificates.sort_by_key(|uid| uid.incarnation);
        let oldest = certificates.len().saturating_sub(limit::CERTIFICATES);
        for uid in &certificates[..oldest] {
            self.keys.txn(Vec::new(), vec![Change::delete(key::dead(*uid))]).await?;
        }
        Ok(())
    }
}

fn schema_uid(path: &str) -> Option<NodeUid> {
    let (uid, _) = path.strip_prefix(SCHEMA)?.split_once('/')?;
    key::node_uid(&format!("{}{uid}", key::NODE_PREFIX))
}

fn crowded() -> ControlError {
    unreachable("others were faster, again and again")
}

/// How values of users are stored: what owns them first.
///
/// ```text
/// 0 │ value        1 │ node: u32 │ incarnation: u64 │ value
/// ```
fn wrap(owner: Option<NodeUid>, value: &[u8]) -> Bytes {
    let mut stored = BytesMut::with_capacity(value.len() + 13);
    match owner {
        None => stored.put_u8(0),
        Some(owner) => {
            stored.put_u8(1);
            stored.put_u32(owner.node);
            stored.put_u64(owner.incarnation);
        }
    }
    stored.extend_from_slice(value);
    stored.freeze()
}

fn owner_of(mut stored: &[u8]) -> Option<NodeUid> {
    (stored.len() >= 13 && stored.get_u8() == 1)
        .then(|| NodeUid { node: stored.get_u32(), incarnation: stored.get_u64() })
}

/// What somebody else wrote below our root is shown as it is.
fn unwrap(stored: Bytes) -> Bytes {
    match stored.first() {
        Some(0) => stored.slice(1..),
        Some(1) if stored.len() >= 13 => stored.slice(13..),
        _ => stored,
    }
}

/// A watch on its way to whoever asked for it.
struct Told {
    plane: Weak<Plane>,
    prefix: String,
    /// It began with a snapshot, so that it can be compared.
    is_whole: bool,
    /// Revision of every key that is there, as it was told.
    state: BTreeMap<String, u64>,
}

impl Told {
    async fn forward(mut self, mut raw: WatchStream, events: mpsc::Sender<WatchEvent>, review: Duration) {
        let mut due = Instant::now() + review;
        let mut doubts = Vec::new();
        loop {
            let event = tokio::select! {
                event = raw.next() => event,
                () = events.closed() => return,
                () = tokio::time::sleep_until(due), if self.is_whole => {
                    if doubts.is_empty() {
                        doubts = self.doubts().await;
                        due = Instant::now() + if doubts.is_empty() { review } else { SECOND_LOOK };
                    } else if self.is_still_wrong(&doubts) {
                        tracing::warn!(prefix = %self.prefix, "a watch of the control plane missed something");
                        return;
                    } else {
                        doubts.clear();
                        due = Instant::now() + review;
                    }
                    continue;
                }
            };
            let Some(event) = event.filter(|event| *event != WatchEvent::Gap) else { return };
            self.note(&event);
            let Some(plane) = self.plane.upgrade() else { return };
            // Without the schema of a node its record would not be the one that it opened with.
            let Ok(event) = shown_event(&plane, event).await else { return };
            if events.try_send(event).is_err() {
                return;
            }
        }
    }

    fn note(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Snapshot { entries, .. } => {
                self.state = entries.iter().map(|(path, value)| (path.clone(), value.revision)).collect();
            }
            WatchEvent::Put { key, value } => drop(self.state.insert(key.clone(), value.revision)),
            WatchEvent::Del { key, .. } => drop(self.state.remove(key)),
            WatchEvent::Gap => {}
        }
    }

    /// Keys about which the engine says something else than this watch did, with what the watch said.
    async fn doubts(&self) -> Vec<(String, Option<u64>)> {
        let Some(plane) = self.plane.upgrade() else { return Vec::new() };
        // An engine that is away cannot contradict.
        let Ok(listing) = plane.keys.list(&self.prefix).await else { return Vec::new() };
        let held: BTreeMap<&str, u64> =
            listing.entries.iter().map(|(path, value)| (path.as_str(), value.revision)).collect();
        let paths: BTreeSet<&str> = held.keys().copied().chain(self.state.keys().map(String::as_str)).collect();
        let differs = paths.into_iter().filter(|path| held.get(path) != self.state.get(*path));
        differs.map(|path| (path.to_owned(), self.state.get(path).copied())).collect()
    }

    /// Whether some of it was not told since.
    fn is_still_wrong(&self, doubts: &[(String, Option<u64>)]) -> bool {
        doubts.iter().any(|(path, told)| self.state.get(path).copied() == *told)
    }
}

async fn shown_event(plane: &Plane, event: WatchEvent) -> Result<WatchEvent, ControlError> {
    Ok(match event {
        WatchEvent::Snapshot { entries, revision } => {
            let mut shown = Vec::with_capacity(entries.len());
            for (path, value) in entries {
                let value = plane.shown(&path, value).await?;
                shown.push((path, value));
            }
            WatchEvent::Snapshot { entries: shown, revision }
        }
        WatchEvent::Put { key, value } => {
            let value = plane.shown(&key, value).await?;
            WatchEvent::Put { key, value }
        }
        other => other,
    })
}

/// The task of every process. It only reads most of the time.
async fn take_care(plane: Weak<Plane>) {
    let clock = Clock::start();
    let (sender, mut registries) = watch::channel(Registry::default());
    let follower = tokio::spawn(follow(plane.clone(), sender));
    let Some(SharedConfig { grace, review, .. }) = plane.upgrade().map(|plane| plane.config) else { return };
    while let Some(here) = plane.upgrade() {
        if here.raise_epochs().await.is_ok() {
            break;
        }
        drop(here);
        tokio::time::sleep(PAUSE).await;
    }
    let mut caretaker = Caretaker::new(grace);
    let (mut next_review, mut revision) = (Instant::now() + review, 0);
    loop {
        let Some(here) = plane.upgrade() else { break };
        let registry = registries.borrow_and_update().clone();
        // A new snapshot is told as revision 0 first: see `follow`.
        if registry.view.revision == 0 && revision != 0 {
            caretaker.forgive();
        }
        revision = registry.view.revision;
        let mine = here.leases.lock().expect("nobody panics with it").keys().copied().collect();
        let duties = caretaker.duties(clock.now(), &registry, &mine);
        let mut failed = false;
        for duty in duties {
            if let Err(error) = here.carry_out(duty).await {
                tracing::debug!(%error, "a duty waits for the control plane");
                failed = true;
            }
        }
        if Instant::now() >= next_review {
            // Tried again in time.
            let _ = here.review().await;
            next_review = Instant::now() + review;
        }
        drop(here);
        let wait = caretaker.deadline().map_or(review, |deadline| deadline.since(clock.now()));
        tokio::select! {
            changed = registries.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(if failed { PAUSE } else { wait.clamp(Duration::from_millis(1), review) }) => {}
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
    follower.abort();
}

/// Keeps the registry true; while the engine is away, it is empty and its revision 0.
async fn follow(plane: Weak<Plane>, registries: watch::Sender<Registry>) {
    while let Some(here) = plane.upgrade() {
        let raw = here.keys.watch(key::CLUSTER, None).await;
        drop(here);
        if let Ok(mut raw) = raw {
            while let Some(event) = raw.next().await.filter(|event| *event != WatchEvent::Gap) {
                registries.send_modify(|registry| registry.apply(event));
            }
            registries.send_replace(Registry::default());
        }
        if registries.is_closed() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
