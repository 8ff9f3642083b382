//! The embedded engine: sessions, certificates, keys, watches and the slot table as one machine.
//!
//! Effects come out in the order in which they must happen: [`Output::Persist`] before the answers and events that
//! depend on it. A shell that keeps nothing may drop it. With what was persisted, [`Engine::restore`] continues where
//! the last one stopped: every lease starts anew, so that nobody dies because the engine was away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use bbq_wire::{NodeUid, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::identity::{decode_named, encode_named};
use super::keyspace::{Entry, Keyspace, key_and_revision};
use super::node::{self, DeathCert, Load, Memory, NodeInfo, NodeRecord, Roles, Session, key};
use super::protocol::{ControlError, Guard, Op, Request, Response, TxnOutcome, WatchEvent, WatchId, check_txn, limit};
use super::recovery::{Recovered, Recovery};
use super::slots::{self, SlotTable};

/// Settings of an [`Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Lease length for those that ask for none.
    pub ttl: Duration,
    /// Bounds for those that ask; wishes outside are moved to the nearest bound.
    pub ttl_bounds: (Duration, Duration),
    /// How long a node may be suspected before its certificate is written. In this time it can reattach.
    pub grace: Duration,
    /// How many changes a watch can lag behind before it gets a [`WatchEvent::Gap`].
    pub history: usize,
    /// A number that is larger at every start of an engine which kept nothing of its predecessor (a coarse clock); else
    /// 0. Keeps incarnations, revisions and slot epochs growing across such a loss, and tokens in a Store with them.
    pub boot: u32,
    /// Slot epochs start above this: the largest one among the tokens of the Store. Without it an engine that forgot
    /// more than its Store would hand out tokens which the Store refuses for ever.
    pub epoch_floor: u32,
    /// How long an engine that forgot everything waits for the nodes of its predecessor, once one of them was heard; see
    /// [`Request::Rejoin`].
    pub recovery: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            ttl_bounds: (Duration::from_millis(100), Duration::from_secs(120)),
            grace: Duration::from_millis(500),
            history: 4096,
            boot: 0,
            epoch_floor: 0,
            recovery: Duration::from_secs(4),
        }
    }
}

/// An engine that is ticked this much after its deadline takes itself for the one that was away.
const OVERSLEPT: Duration = Duration::from_millis(500);

/// Names a request among those that are not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// What happens to the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The deadline passed.
    Tick,
    /// Somebody asks.
    Request(RequestId, Request),
    /// Nobody listens to this watch any more.
    Unwatch(WatchId),
}

/// What the engine wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Make these durable, all or nothing, before anything that follows is told to anybody.
    Persist(Vec<Write>),
    /// The answer to a request.
    Reply(RequestId, Result<Response, ControlError>),
    /// News for a watch. After [`WatchEvent::Gap`] it is over.
    Event(WatchId, WatchEvent),
}

/// One durable record of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Where.
    pub key: String,
    /// What; `None` removes it.
    pub value: Option<Bytes>,
}

/// What was persisted cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreError {
    /// The key of the damaged record.
    pub key: String,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored control plane is damaged at `{}`", self.key)
    }
}

impl std::error::Error for RestoreError {}

/// Durable key of the [`Counters`]; keys of the key space have a prefix.
const COUNTERS: &str = "counters";
const KEYSPACE: &str = "key/";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counters {
    incarnation: u64,
    revision: u64,
    /// The window of the recovery was open: an engine that dies in it has not got everybody back yet.
    #[serde(default)]
    recovering: bool,
}

#[derive(Debug)]
struct Lease {
    name: String,
    start: u64,
    ttl: Duration,
    /// End of the lease; once suspected, the time of the certificate.
    until: Time,
    suspected: bool,
    proxy: bool,
    load: Load,
    /// Of the node record.
    revision: u64,
}

/// The machine. See the picture in [`control`](super).
#[derive(Debug)]
pub struct Engine {
    config: Config,
    incarnation: u64,
    keys: Keyspace,
    slots: SlotTable,
    leases: BTreeMap<NodeUid, Lease>,
    /// By incarnation, to forget the oldest first.
    certificates: BTreeMap<u64, DeathCert>,
    watches: BTreeMap<WatchId, String>,
    /// While nodes of a forgotten predecessor may come back.
    recovery: Option<Recovery>,
    /// Of the input that is being handled.
    writes: Vec<Write>,
    effects: Vec<Output>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine of a cluster that does not exist yet, or that was forgotten ([`Config::boot`]). It starts at
    /// [`Time::ZERO`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let boot = u64::from(config.boot);
        Self {
            config,
            incarnation: boot << 8,
            keys: Keyspace::restored(BTreeMap::new(), boot << 20),
            slots: SlotTable::unowned(config.boot.max(config.epoch_floor)),
            leases: BTreeMap::new(),
            certificates: BTreeMap::new(),
            watches: BTreeMap::new(),
            recovery: (config.boot > 0).then(|| Recovery::new(config.recovery)),
            writes: Vec::new(),
            effects: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Continues from everything that was persisted.
    ///
    /// # Errors
    /// A record cannot be decoded; nothing of it should be used.
    pub fn restore(
        config: Config,
        now: Time,
        records: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Result<Self, RestoreError> {
        // With records there is a predecessor, and it is remembered.
        let mut records = records.into_iter().peekable();
        let boot = if records.peek().is_none() { config.boot } else { 0 };
        let mut engine = Self::new(Config { boot, ..config });
        let (mut entries, mut counters) = (BTreeMap::new(), Counters::default());
        for (path, value) in records {
            let damaged = |_| RestoreError { key: path.clone() };
            match path.strip_prefix(KEYSPACE) {
                Some(name) => drop(entries.insert(name.to_owned(), decode_named::<Entry>(&value).map_err(damaged)?)),
                None if path == COUNTERS => counters = decode_named(&value).map_err(damaged)?,
                None => {}
            }
        }
        for (path, entry) in &entries {
            engine.restore_entry(now, path, entry).ok_or_else(|| RestoreError { key: path.clone() })?;
        }
        engine.incarnation = engine.incarnation.max(counters.incarnation);
        engine.recovery = engine.recovery.or_else(|| counters.recovering.then(|| Recovery::new(config.recovery)));
        engine.keys = Keyspace::restored(entries, engine.keys.revision().max(counters.revision));
        if engine.slots.highest() < config.epoch_floor {
            // The Store is younger than these records: they come from a backup.
            engine.slots = SlotTable::unowned(config.epoch_floor);
            engine.assign_slots();
            engine.finish();
        }
        Ok(engine)
    }

    fn restore_entry(&mut self, now: Time, path: &str, entry: &Entry) -> Option<()> {
        if path == key::SLOTS {
            self.slots = SlotTable::decode(&entry.value)?;
        } else if path.starts_with(key::NODE) {
            let record = NodeRecord::decode(&entry.value)?;
            let ttl = Duration::from_millis(u64::from(record.ttl_ms));
            self.leases.insert(record.uid, Lease::new(&record, now + ttl, entry.revision));
        } else if path.starts_with(key::DEAD) {
            let certificate: DeathCert = decode_named(&entry.value).ok()?;
            self.certificates.insert(certificate.uid.incarnation, certificate);
        }
        Some(())
    }

    /// Takes in one input. Never blocks, never fails.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.forgive(now);
        self.recover(now);
        match input {
            Input::Tick => {}
            Input::Request(id, request) => {
                let result = self.request(now, request);
                self.effects.push(Output::Reply(id, result));
            }
            Input::Unwatch(id) => drop(self.watches.remove(&id)),
        }
        self.expire(now);
        self.finish();
    }

    /// The next effect.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let leases = self.leases.values().map(|lease| lease.until);
        let recovery = self.recovery.as_ref().map(Recovery::deadline);
        leases.chain(recovery).min()
    }

    /// Orders the effects of one input: first what must be durable, then what is told.
    fn finish(&mut self) {
        if !self.writes.is_empty() {
            self.write_counters();
            self.outputs.push_back(Output::Persist(std::mem::take(&mut self.writes)));
        }
        self.outputs.extend(self.effects.drain(..));
    }

    fn write_counters(&mut self) {
        let (incarnation, revision) = (self.incarnation, self.keys.revision());
        let counters = Counters { incarnation, revision, recovering: self.recovery.is_some() };
        self.writes.push(Write { key: COUNTERS.into(), value: Some(encode_named(&counters)) });
    }

    fn request(&mut self, now: Time, request: Request) -> Result<Response, ControlError> {
        match request {
            Request::Open { info, ttl_ms } => self.open(now, info, ttl_ms).map(Response::Session),
            Request::Renew { uid, load } => self.renew(now, uid, load).map(|()| Response::Done),
            Request::Reattach { uid } => self.reattach(now, uid).map(Response::Session),
            Request::Rejoin(memory) => self.rejoin(now, *memory).map(Response::Session),
            Request::Certify { uid, seen, why } => self.certify(uid, seen, &why).map(Response::Certificate),
            Request::Get { key } => Ok(Response::Value(self.keys.get(&key).map(Entry::versioned))),
            Request::Txn { guards, ops } => self.txn(&guards, ops).map(Response::Txn),
            Request::Watch { id, prefix, from } => self.watch(id, prefix, from).map(|()| Response::Done),
        }
    }

    fn open(&mut self, now: Time, info: NodeInfo, ttl_ms: u32) -> Result<Session, ControlError> {
        info.check()?;
        if self.recovery.as_ref().is_some_and(Recovery::is_waited_for) {
            return Err(recovering());
        }
        let namesake = self.leases.iter().find(|(_, lease)| lease.name == info.name);
        let namesake = namesake.map(|(uid, lease)| (*uid, lease.start));
        if let Some((uid, start)) = namesake {
            if start == info.start && start != 0 {
                return self.reattach(now, uid);
            }
            self.bury(uid, "a newer process opened with the same name");
        }
        if self.leases.len() >= limit::NODES {
            return Err(ControlError::invalid(format!("there are {} nodes already", limit::NODES)));
        }
        self.incarnation += 1;
        let uid = NodeUid { node: node::number(&info.name), incarnation: self.incarnation };
        let session = self.admit(now, uid, info, ttl_ms);
        self.assign_slots();
        Ok(session)
    }

    fn admit(&mut self, now: Time, uid: NodeUid, info: NodeInfo, ttl_ms: u32) -> Session {
        let (shortest, longest) = self.config.ttl_bounds;
        let wish = if ttl_ms == 0 { self.config.ttl } else { Duration::from_millis(u64::from(ttl_ms)) };
        let ttl_ms = u32::try_from(wish.min(longest).max(shortest).as_millis()).unwrap_or(u32::MAX);
        let load = Load { weight: info.weight, ..Load::default() };
        let record = NodeRecord { uid, info, ttl_ms, load };
        let revision = self.put(key::node(uid), record.encode(), Some(uid));
        let ttl = Duration::from_millis(u64::from(ttl_ms));
        self.leases.insert(uid, Lease::new(&record, now + ttl, revision));
        Session { uid, ttl_ms, revision }
    }

    fn rejoin(&mut self, now: Time, memory: Memory) -> Result<Session, ControlError> {
        memory.info.check()?;
        match (self.leases.get(&memory.uid), &mut self.recovery) {
            (Some(lease), _) if lease.start == memory.info.start => self.reattach(now, memory.uid),
            // A clock that went back gave the number to somebody else.
            (Some(_), _) => {
                Err(ControlError::Lost { uid: memory.uid, certificate: Some(DeathCert::of_unknown(memory.uid)) })
            }
            (None, Some(recovery)) if !self.certificates.contains_key(&memory.uid.incarnation) => {
                recovery.remember(memory);
                Err(recovering())
            }
            (None, _) => Err(self.lost(memory.uid)),
        }
    }

    /// Closes the window: everybody who came back takes part again.
    fn recover(&mut self, now: Time) {
        let Some(recovery) = self.recovery.take_if(|recovery| recovery.pass(now)) else { return };
        self.write_counters();
        if !recovery.is_waited_for() {
            return;
        }
        let taken: BTreeSet<String> = self.leases.values().map(|lease| lease.name.clone()).collect();
        let Recovered { alive, dead, epoch, incarnation, revision } = recovery.close(&taken);
        self.incarnation = self.incarnation.max(incarnation);
        self.keys.skip_to(revision);
        for DeathCert { uid, why } in dead {
            if !self.leases.contains_key(&uid) {
                self.bury(uid, &why);
            }
        }
        for Memory { uid, info, ttl_ms, .. } in alive {
            if !self.certificates.contains_key(&uid.incarnation) && !self.leases.contains_key(&uid) {
                self.admit(now, uid, info, ttl_ms);
            }
        }
        self.slots = SlotTable::unowned(epoch.max(self.slots.highest()));
        self.assign_slots();
    }

    fn renew(&mut self, now: Time, uid: NodeUid, load: Load) -> Result<(), ControlError> {
        match self.leases.get_mut(&uid) {
            Some(lease) if !lease.suspected && now < lease.until => {
                lease.until = now + lease.ttl;
                let changed = lease.load != load;
                let weighs_anew = (lease.load.weight == 0) != (load.weight == 0);
                lease.load = load;
                if changed {
                    self.put(key::load(uid), encode_named(&load), Some(uid));
                }
                if weighs_anew {
                    self.assign_slots();
                }
                Ok(())
            }
            _ => Err(self.lost(uid)),
        }
    }

    fn reattach(&mut self, now: Time, uid: NodeUid) -> Result<Session, ControlError> {
        let Some(entry) = self.keys.get(&key::node(uid)) else { return Err(self.lost(uid)) };
        let value = entry.value.clone();
        // Written anew even if nothing changed: an accuser who saw the old revision must look again.
        let revision = self.put(key::node(uid), value, Some(uid));
        let lease = self.leases.get_mut(&uid).expect("a node record exists as long as its lease");
        (lease.until, lease.suspected, lease.revision) = (now + lease.ttl, false, revision);
        let ttl_ms = u32::try_from(lease.ttl.as_millis()).unwrap_or(u32::MAX);
        Ok(Session { uid, ttl_ms, revision })
    }

    fn lost(&self, uid: NodeUid) -> ControlError {
        let certificate = self.certificates.get(&uid.incarnation).cloned();
        // While it is open who was forgotten, and who never was, nobody is given up.
        let forgotten = certificate.is_none() && self.recovery.is_none() && !self.leases.contains_key(&uid);
        ControlError::Lost { uid, certificate: certificate.or_else(|| forgotten.then(|| DeathCert::of_unknown(uid))) }
    }

    fn certify(&mut self, uid: NodeUid, seen: Option<u64>, why: &str) -> Result<DeathCert, ControlError> {
        if let Some(certificate) = self.certificates.get(&uid.incarnation).filter(|certificate| certificate.uid == uid)
        {
            return Ok(certificate.clone());
        }
        match (self.leases.get(&uid), seen) {
            (Some(lease), Some(seen)) if lease.revision != seen => {
                Err(ControlError::Conflict { revision: lease.revision })
            }
            (None, _) if uid.incarnation == 0 || uid.incarnation > self.incarnation => {
                Err(ControlError::invalid(format!("there never was a node {uid}")))
            }
            _ => Ok(self.bury(uid, why)),
        }
    }

    /// Writes the certificate; everything that belongs to the incarnation goes.
    fn bury(&mut self, uid: NodeUid, why: &str) -> DeathCert {
        let certificate = DeathCert::new(uid, why);
        self.put(key::dead(uid), encode_named(&certificate), None);
        self.certificates.insert(uid.incarnation, certificate.clone());
        if self.certificates.len() > limit::CERTIFICATES
            && let Some((_, oldest)) = self.certificates.pop_first()
        {
            self.delete(&key::dead(oldest.uid));
        }
        if self.leases.remove(&uid).is_some() {
            self.keys.keys_of(uid).iter().for_each(|owned| self.delete(owned));
            self.assign_slots();
        }
        certificate
    }

    fn txn(&mut self, guards: &[Guard], ops: Vec<Op>) -> Result<TxnOutcome, ControlError> {
        check_txn(guards, &ops)?;
        self.check_room(&ops)?;
        let failed = guards.iter().position(|guard| match guard {
            Guard::Absent(key) => self.keys.get(key).is_some(),
            Guard::Revision(key, revision) => self.keys.get(key).is_none_or(|entry| entry.revision != *revision),
        });
        if let Some(guard) = failed {
            return Ok(TxnOutcome::Conflict { guard });
        }
        for op in ops {
            match op {
                Op::Put { key, value, owner } => drop(self.put(key, value, owner)),
                Op::Delete { key } => self.delete(&key),
            }
        }
        Ok(TxnOutcome::Committed { revision: self.keys.revision() })
    }

    fn check_room(&self, ops: &[Op]) -> Result<(), ControlError> {
        let (mut keys, mut bytes) = (self.keys.len(), self.keys.bytes());
        for op in ops {
            let Op::Put { key: path, value, owner } = op else { continue };
            if let Some(owner) = owner
                && !self.leases.contains_key(owner)
            {
                return Err(self.lost(*owner));
            }
            keys += usize::from(self.keys.get(path).is_none());
            bytes += path.len() + value.len();
        }
        if keys > limit::KEYS || bytes > limit::TOTAL_BYTES {
            return Err(ControlError::invalid("the key space is full"));
        }
        Ok(())
    }

    fn watch(&mut self, id: WatchId, prefix: String, from: Option<u64>) -> Result<(), ControlError> {
        if self.watches.len() >= limit::WATCHES || self.watches.contains_key(&id) || prefix.len() > limit::KEY_BYTES {
            return Err(ControlError::invalid("too many watches, a prefix that is too long, or an id in use"));
        }
        let events = match from {
            None => Some(vec![self.keys.snapshot(&prefix)]),
            Some(from) => self.keys.since(&prefix, from),
        };
        match events {
            Some(events) => {
                self.effects.extend(events.into_iter().map(|event| Output::Event(id, event)));
                self.watches.insert(id, prefix);
            }
            None => self.effects.push(Output::Event(id, WatchEvent::Gap)),
        }
        Ok(())
    }

    /// An engine that overslept its deadline (stopped, swapped out, out of CPU) knows nothing about the time in between,
    /// and must not turn its own lag into certificates: every lease starts anew.
    fn forgive(&mut self, now: Time) {
        let first = self.leases.values().map(|lease| lease.until).min();
        if first.is_none_or(|deadline| now.since(deadline) < OVERSLEPT) {
            return;
        }
        for lease in self.leases.values_mut() {
            lease.until = now + if lease.suspected { self.config.grace } else { lease.ttl };
        }
    }

    fn expire(&mut self, now: Time) {
        let mut over = Vec::new();
        for (uid, lease) in self.leases.iter_mut().filter(|(_, lease)| lease.until <= now) {
            if lease.suspected {
                over.push(*uid);
            } else {
                (lease.suspected, lease.until) = (true, now + self.config.grace);
            }
        }
        over.into_iter().for_each(|uid| drop(self.bury(uid, "the lease ran out")));
    }

    fn assign_slots(&mut self) {
        let proxies = self.leases.iter().filter(|(_, lease)| lease.proxy);
        let owners = slots::owners(proxies.map(|(uid, lease)| (*uid, lease.load.weight)));
        if self.slots.assign(&owners) {
            let value = self.slots.encode();
            self.put(key::SLOTS.into(), value, None);
        }
    }

    fn put(&mut self, path: String, value: Bytes, owner: Option<NodeUid>) -> u64 {
        let event = self.keys.put(path, value, owner, self.config.history);
        let revision = key_and_revision(&event).1;
        self.publish(event);
        revision
    }

    fn delete(&mut self, path: &str) {
        if let Some(event) = self.keys.delete(path, self.config.history) {
            self.publish(event);
        }
    }

    /// Every change passes here once: it becomes durable, then the watches hear of it.
    fn publish(&mut self, event: WatchEvent) {
        let path = key_and_revision(&event).0;
        let value = self.keys.get(path).map(encode_named);
        self.writes.push(Write { key: format!("{KEYSPACE}{path}"), value });
        for (id, _) in self.watches.iter().filter(|(_, prefix)| path.starts_with(prefix.as_str())) {
            self.effects.push(Output::Event(*id, event.clone()));
        }
    }
}

impl Lease {
    fn new(record: &NodeRecord, until: Time, revision: u64) -> Self {
        Self {
            name: record.info.name.clone(),
            start: record.info.start,
            ttl: Duration::from_millis(u64::from(record.ttl_ms)),
            until,
            suspected: false,
            proxy: record.info.roles.contains(Roles::PROXY),
            load: record.load,
            revision,
        }
    }
}

fn recovering() -> ControlError {
    ControlError::Unreachable { why: "the control plane lost its memory and waits for the nodes that still run".into() }
}
