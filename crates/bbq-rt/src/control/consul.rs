//! Consul behind the control plane, through the HTTP API of an agent.
//!
//! A lease is a session with `Behavior=delete`, `LockDelay=0` and no health checks, a revision the `ModifyIndex`. Consul
//! has no history: a watch is a blocking query whose answer is compared with the one before, so that of a key that
//! changes quickly only the latest value is told.
//!
//! A write of what is there already does not change the index of a key. Every write carries a number that no other has
//! (in `Flags`), so that it does.
//!
//! The TTL of a session is a lower bound: Consul ends it up to twice as late, and takes no TTL below 10 s unless
//! `session_ttl_min` of the servers says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bbq_core::control::{ControlError, Guard, TxnOutcome, Versioned, WatchEvent};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::http::{Http, Request, Response};
use super::keys::{Answer, Change, Keys, LeaseId, Listing, decode, encode};
use super::{WatchStream, random, unreachable};

/// The shortest session that every Consul takes.
const SHORTEST_TTL: Duration = Duration::from_secs(10);
/// How long a blocking query waits for news, and how long its answer may take.
const WAIT: &str = "20s";
const WAIT_PATIENCE: Duration = Duration::from_secs(30);

/// Where the state is. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Consul {
    http: Arc<Http>,
    /// Of every key, ends with a slash.
    root: String,
    /// Written by every transaction, because those that only delete do not tell their index.
    clock: String,
    patience: Duration,
    refuses_short: Arc<AtomicBool>,
    /// Of the next write; begins anywhere.
    nonce: Arc<AtomicU64>,
}

impl Consul {
    /// `token`: for every request, where access is controlled.
    pub(super) fn new(servers: Vec<String>, token: Option<&str>, root: &str, patience: Duration) -> Self {
        let headers = token.map(|token| format!("X-Consul-Token: {token}\r\n")).unwrap_or_default();
        Self {
            http: Arc::new(Http::new(servers, headers)),
            root: format!("{root}/keys/"),
            clock: format!("{root}/clock"),
            patience,
            refuses_short: Arc::default(),
            nonce: Arc::new(AtomicU64::new(random())),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{}", self.root, encode(key, true))
    }

    /// The path of a key or prefix; its name has percent signs of its own.
    fn path(&self, key: &str, query: &str) -> String {
        format!("/v1/kv/{}?{query}", self.full(key).replace('%', "%25"))
    }

    async fn read(&self, path: String, patience: Duration) -> Result<(Vec<Entry>, u64), ControlError> {
        let request = Request { method: "GET", path, body: Bytes::new(), again: true };
        let response = self.http.call(&request, patience).await?;
        let index = response.index.ok_or_else(|| refused(&response))?;
        match response.status {
            200 => Ok((parsed(&response)?, index)),
            404 => Ok((Vec::new(), index)),
            _ => Err(refused(&response)),
        }
    }

    async fn listing(&self, prefix: &str, query: &str, patience: Duration) -> Result<Listing, ControlError> {
        let (found, revision) = self.read(self.path(prefix, query), patience).await?;
        let mut entries: Vec<(String, Versioned)> = found
            .into_iter()
            .filter_map(|entry| Some((decode(entry.key.strip_prefix(&self.root)?)?, entry.versioned()?)))
            .collect();
        // Names are in another order than the keys that they encode.
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Listing { entries, revision })
    }

    async fn put(&self, path: &str, body: Value) -> Result<Response, ControlError> {
        let request = Request { method: "PUT", path: path.into(), body: body.to_string().into(), again: true };
        self.http.call(&request, self.patience).await
    }

    async fn create(&self, ttl: Duration) -> Result<LeaseId, ControlError> {
        let body = json!({
            "Name": "gobbq", "TTL": format!("{}s", ttl.as_millis().div_ceil(1000).max(1)), "Behavior": "delete",
            "LockDelay": "0s", "NodeChecks": [], "Checks": [],
        });
        let response = self.put("/v1/session/create", body).await?;
        match response.status {
            200 => Ok(parsed::<Created>(&response)?.id),
            _ => Err(refused(&response)),
        }
    }

    fn nonce(&self) -> u64 {
        // Consul reads flags as a signed number here and there.
        self.nonce.fetch_add(2, Ordering::Relaxed) >> 1
    }

    /// One operation of a transaction, or two.
    fn operations(&self, change: &Change) -> Vec<Value> {
        let key = self.full(change.key());
        match change {
            Change::Put { value, lease: None, .. } => {
                vec![json!({"KV": {"Verb": "set", "Key": key, "Value": BASE64.encode(value), "Flags": self.nonce()}})]
            }
            Change::Put { value, lease: Some(lease), .. } => vec![
                // Another session may hold it.
                json!({"KV": {"Verb": "delete", "Key": &key}}),
                json!({"KV": {"Verb": "lock", "Key": &key, "Value": BASE64.encode(value), "Session": lease}}),
            ],
            Change::Delete { .. } => vec![json!({"KV": {"Verb": "delete", "Key": key}})],
        }
    }
}

impl Keys for Consul {
    fn get(&self, key: &str) -> Answer<'_, Option<Versioned>> {
        let path = self.path(key, "consistent");
        Box::pin(async move {
            let (found, _) = self.read(path, self.patience).await?;
            Ok(found.into_iter().next().and_then(Entry::versioned))
        })
    }

    fn list(&self, prefix: &str) -> Answer<'_, Listing> {
        let prefix = prefix.to_owned();
        Box::pin(async move { self.listing(&prefix, "recurse&consistent", self.patience).await })
    }

    fn txn(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Answer<'_, TxnOutcome> {
        let mut operations: Vec<Value> = guards
            .iter()
            .map(|guard| match guard {
                Guard::Absent(key) => json!({"KV": {"Verb": "check-not-exists", "Key": self.full(key)}}),
                Guard::Revision(key, revision) => {
                    json!({"KV": {"Verb": "check-index", "Key": self.full(key), "Index": revision}})
                }
            })
            .collect();
        operations.extend(changes.iter().flat_map(|change| self.operations(change)));
        operations.push(json!({"KV": {"Verb": "set", "Key": self.clock, "Value": "", "Flags": self.nonce()}}));
        let body = Value::Array(operations).to_string().into();
        let request = Request { method: "PUT", path: "/v1/txn".into(), body, again: false };
        Box::pin(async move {
            let response = self.http.call(&request, self.patience).await?;
            match response.status {
                200 => {
                    let done: Done = parsed(&response)?;
                    let revision = done.results.last().map(|result| result.kv.modify_index);
                    let revision = revision.ok_or_else(|| unreachable("Consul does not tell the index of a write"))?;
                    Ok(TxnOutcome::Committed { revision })
                }
                409 => {
                    let failed: FailedTxn = parsed(&response)?;
                    let first = failed.errors.into_iter().min_by_key(|error| error.op_index);
                    match first {
                        Some(error) if error.op_index < guards.len() => {
                            Ok(TxnOutcome::Conflict { guard: error.op_index })
                        }
                        // Such as a session that ended a moment ago.
                        Some(error) => Err(unreachable(format!("Consul did not write: {}", error.what))),
                        None => Err(unreachable("Consul gave no reason for a conflict")),
                    }
                }
                _ => Err(refused(&response)),
            }
        })
    }

    fn set(&self, key: String, value: Bytes) -> Answer<'_, ()> {
        let path = self.path(&key, &format!("flags={}", self.nonce()));
        Box::pin(async move {
            let request = Request { method: "PUT", path, body: value, again: true };
            let response = self.http.call(&request, self.patience).await?;
            if response.status == 200 { Ok(()) } else { Err(refused(&response)) }
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
            let (state, revision) = self.list(&prefix).await?.begin(&events);
            tokio::spawn(self.clone().follow(prefix, state, revision, events));
            Ok(stream)
        })
    }

    fn grant(&self, ttl: Duration) -> Answer<'_, (LeaseId, Duration)> {
        Box::pin(async move {
            let ttl = if self.refuses_short.load(Ordering::Relaxed) { ttl.max(SHORTEST_TTL) } else { ttl };
            match self.create(ttl).await {
                Ok(id) => Ok((id, ttl.max(Duration::from_secs(1)))),
                Err(error) if ttl < SHORTEST_TTL && error.to_string().contains("Invalid Session TTL") => {
                    self.refuses_short.store(true, Ordering::Relaxed);
                    Ok((self.create(SHORTEST_TTL).await?, SHORTEST_TTL))
                }
                Err(error) => Err(error),
            }
        })
    }

    fn keep(&self, lease: &str) -> Answer<'_, bool> {
        let path = format!("/v1/session/renew/{}", encode(lease, false));
        Box::pin(async move {
            let response = self.put(&path, Value::Null).await?;
            match response.status {
                200 => Ok(true),
                404 => Ok(false),
                _ => Err(refused(&response)),
            }
        })
    }

    fn revoke(&self, lease: &str) -> Answer<'_, ()> {
        let path = format!("/v1/session/destroy/{}", encode(lease, false));
        Box::pin(async move {
            let response = self.put(&path, Value::Null).await?;
            if response.status == 200 { Ok(()) } else { Err(refused(&response)) }
        })
    }
}

impl Consul {
    /// Until the engine cannot be followed any more; then the end of the stream is a gap.
    async fn follow(
        self,
        prefix: String,
        mut state: BTreeMap<String, u64>,
        mut index: u64,
        events: mpsc::Sender<WatchEvent>,
    ) {
        loop {
            let query = format!("recurse&index={}&wait={WAIT}", index.max(1));
            let listing = tokio::select! {
                listing = self.listing(&prefix, &query, WAIT_PATIENCE) => listing,
                () = events.closed() => return,
            };
            let Ok(Listing { entries, revision }) = listing else { return };
            // Consul was restored, or forgot what it had deleted.
            if revision < index {
                return;
            }
            index = revision;
            for event in changes(&mut state, entries, revision) {
                if events.try_send(event).is_err() {
                    return;
                }
            }
        }
    }
}

/// What happened between `state` and a listing.
fn changes(state: &mut BTreeMap<String, u64>, entries: Vec<(String, Versioned)>, revision: u64) -> Vec<WatchEvent> {
    let now: BTreeMap<String, u64> = entries.iter().map(|(key, value)| (key.clone(), value.revision)).collect();
    let gone = state.keys().filter(|key| !now.contains_key(*key));
    let gone: Vec<WatchEvent> = gone.map(|key| WatchEvent::Del { key: key.clone(), revision }).collect();
    let mut written: Vec<(String, Versioned)> =
        entries.into_iter().filter(|(key, value)| state.get(key) != Some(&value.revision)).collect();
    written.sort_by_key(|(_, value)| value.revision);
    *state = now;
    let written = written.into_iter().map(|(key, value)| WatchEvent::Put { key, value });
    written.chain(gone).collect()
}

fn parsed<T: for<'de> Deserialize<'de>>(response: &Response) -> Result<T, ControlError> {
    serde_json::from_slice(&response.body)
        .map_err(|error| unreachable(format!("Consul does not speak as expected: {error}")))
}

fn refused(response: &Response) -> ControlError {
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(200)]).into_owned();
    ControlError::invalid(format!("Consul refuses ({}): {}", response.status, text.trim()))
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: LeaseId,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    value: Option<String>,
    modify_index: u64,
}

impl Entry {
    fn versioned(self) -> Option<Versioned> {
        let value = BASE64.decode(self.value.unwrap_or_default()).ok()?.into();
        Some(Versioned { value, revision: self.modify_index })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    results: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "KV")]
    kv: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FailedTxn {
    errors: Vec<TxnError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TxnError {
    op_index: usize,
    what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_between_two_listings_is_told_in_the_order_of_writing() {
        let value = |revision| Versioned { value: Bytes::new(), revision };
        let mut state = [("a", 1), ("b", 2), ("c", 3)].map(|(key, at)| (key.to_owned(), at)).into();
        let now = [("a", 9), ("c", 3), ("d", 7)].map(|(key, at)| (key.to_owned(), value(at))).into();
        let told = changes(&mut state, now, 10);
        let put = |key: &str, at| WatchEvent::Put { key: key.into(), value: value(at) };
        assert_eq!(told, [put("d", 7), put("a", 9), WatchEvent::Del { key: "b".into(), revision: 10 }]);
        assert_eq!(state.len(), 3);
    }
}
