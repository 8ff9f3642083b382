//! etcd behind the control plane, through the JSON gateway that every member serves at its client port.
//!
//! A lease is a lease, a revision the `mod_revision`, a transaction a transaction. Watches have a history until it is
//! compacted. etcd can revoke live leases when a leader was stuck (etcd #15247), which the session layer takes for what
//! it is: suspicion.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bbq_core::control::{ControlError, Guard, TxnOutcome, Versioned, WatchEvent};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::http::{Http, Request, Stream};
use super::keys::{Answer, Change, Keys, LeaseId, Listing};
use super::{WatchStream, unreachable};

/// Keys of one page of a listing: with values of the largest size it stays below what a member answers with.
const PAGE: usize = 64;

/// Where the state is.
#[derive(Debug)]
pub(super) struct Etcd {
    http: std::sync::Arc<Http>,
    /// Of every key, ends with a slash.
    root: String,
    patience: Duration,
}

impl Etcd {
    pub(super) fn new(servers: Vec<String>, root: &str, patience: Duration) -> Self {
        let http = std::sync::Arc::new(Http::new(servers, String::new()));
        Self { http, root: format!("{root}/"), patience }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        body: Value,
        again: bool,
    ) -> Result<T, ControlError> {
        let request = Request { method: "POST", path: path.into(), body: body.to_string().into(), again };
        let response = self.http.call(&request, self.patience).await?;
        if response.status == 200 {
            return serde_json::from_slice(&response.body)
                .map_err(|error| unreachable(format!("etcd does not speak as expected: {error}")));
        }
        let refusal: Refusal = serde_json::from_slice(&response.body).unwrap_or_default();
        Err(ControlError::invalid(format!("etcd refuses ({}): {}", response.status, refusal.error)))
    }

    async fn range(&self, from: &str, end: &[u8], limit: usize, revision: u64) -> Result<RangeResponse, ControlError> {
        let body = json!({
            "key": BASE64.encode(from), "range_end": BASE64.encode(end), "limit": limit.to_string(), "revision": revision.to_string(),
        });
        self.call("/v3/kv/range", body, true).await
    }

    fn strip(&self, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(&self.root).map(str::to_owned)
    }

    async fn conflict(&self, guards: &[Guard], ranges: Vec<RangeAnswer>) -> Result<TxnOutcome, ControlError> {
        let holds = |guard: &Guard, found: &RangeAnswer| {
            let revision = found.response_range.kvs.first().map(|kv| kv.mod_revision);
            match guard {
                Guard::Absent(_) => revision.is_none(),
                Guard::Revision(_, wanted) => revision == Some(*wanted),
            }
        };
        let failed = guards.iter().zip(&ranges).position(|(guard, found)| !holds(guard, found));
        failed
            .map(|guard| TxnOutcome::Conflict { guard })
            .ok_or_else(|| unreachable("etcd gave no reason for a conflict"))
    }
}

impl Keys for Etcd {
    fn get(&self, key: &str) -> Answer<'_, Option<Versioned>> {
        let key = self.full(key);
        Box::pin(async move {
            let found: RangeResponse = self.call("/v3/kv/range", json!({"key": BASE64.encode(key)}), true).await?;
            Ok(found.kvs.into_iter().next().map(Kv::versioned))
        })
    }

    fn list(&self, prefix: &str) -> Answer<'_, Listing> {
        let mut from = self.full(prefix);
        let end = after_prefix(from.as_bytes());
        Box::pin(async move {
            let (mut entries, mut revision) = (Vec::new(), 0);
            loop {
                let page = self.range(&from, &end, PAGE, revision).await?;
                // All pages of one revision.
                revision = if revision == 0 { page.header.revision } else { revision };
                let last = page.kvs.last().map(|kv| kv.key.clone());
                for kv in page.kvs {
                    let Some(key) = self.strip(&kv.key) else { continue };
                    entries.push((key, kv.versioned()));
                }
                match last {
                    Some(last) if page.more => from = format!("{}\0", String::from_utf8_lossy(&last)),
                    _ => return Ok(Listing { entries, revision }),
                }
            }
        })
    }

    fn txn(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Answer<'_, TxnOutcome> {
        let compare: Vec<Value> = guards
            .iter()
            .map(|guard| {
                let (key, revision) = match guard {
                    Guard::Absent(key) => (key, 0),
                    Guard::Revision(key, revision) => (key, *revision),
                };
                json!({
                    "key": BASE64.encode(self.full(key)), "target": "MOD", "result": "EQUAL",
                    "mod_revision": revision.to_string(),
                })
            })
            .collect();
        let success: Vec<Value> = changes
            .iter()
            .map(|change| match change {
                Change::Put { key, value, lease } => json!({"request_put": {
                    "key": BASE64.encode(self.full(key)), "value": BASE64.encode(value),
                    "lease": lease.as_deref().unwrap_or("0"),
                }}),
                Change::Delete { key } => json!({"request_delete_range": {"key": BASE64.encode(self.full(key))}}),
            })
            .collect();
        let failure: Vec<Value> = guards
            .iter()
            .map(|guard| {
                let (Guard::Absent(key) | Guard::Revision(key, _)) = guard;
                json!({"request_range": {"key": BASE64.encode(self.full(key))}})
            })
            .collect();
        let body = json!({"compare": compare, "success": success, "failure": failure});
        Box::pin(async move {
            let answer: TxnResponse = self.call("/v3/kv/txn", body, false).await?;
            if answer.succeeded {
                return Ok(TxnOutcome::Committed { revision: answer.header.revision });
            }
            self.conflict(&guards, answer.responses).await
        })
    }

    fn set(&self, key: String, value: Bytes) -> Answer<'_, ()> {
        let body = json!({"key": BASE64.encode(self.full(&key)), "value": BASE64.encode(value)});
        Box::pin(async move { self.call::<Value>("/v3/kv/put", body, true).await.map(drop) })
    }

    fn watch(&self, prefix: &str, from: Option<u64>) -> Answer<'_, WatchStream> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let (events, stream) = WatchStream::channel();
            let after = match from {
                Some(revision) => {
                    let now = self.range(&self.root, &[], 1, 0).await?.header.revision;
                    // One that was never given out is of an engine whose past was lost: etcd would wait for it.
                    if revision > now {
                        return Ok(stream);
                    }
                    revision
                }
                None => {
                    let (_, revision) = self.list(&prefix).await?.begin(&events);
                    revision
                }
            };
            let full = self.full(&prefix);
            let body = json!({"create_request": {
                "key": BASE64.encode(&full), "range_end": BASE64.encode(after_prefix(full.as_bytes())),
                "start_revision": (after + 1).to_string(),
            }});
            let request =
                Request { method: "POST", path: "/v3/watch".into(), body: body.to_string().into(), again: true };
            let mut answers = self.http.stream(&request, self.patience).await?;
            let mut lines = Lines::default();
            let created = tokio::time::timeout(self.patience, lines.next(&mut answers)).await;
            let created = created.map_err(|_| unreachable("etcd does not begin to watch"))?;
            let created = created.ok_or_else(|| unreachable("etcd ended a watch at once"))?;
            // Compacted already.
            if created.canceled {
                return Ok(stream);
            }
            let root = self.root.clone();
            tokio::spawn(async move {
                loop {
                    let next = tokio::select! {
                        next = lines.next(&mut answers) => next,
                        () = events.closed() => return,
                    };
                    // Compacted, ended or not understood: the end of the stream is a gap.
                    let Some(news) = next.filter(|news| !news.canceled && news.compact_revision == 0) else { return };
                    for event in news.events {
                        let Some(event) = event.told(&root) else { continue };
                        if events.try_send(event).is_err() {
                            return;
                        }
                    }
                }
            });
            Ok(stream)
        })
    }

    fn grant(&self, ttl: Duration) -> Answer<'_, (LeaseId, Duration)> {
        let seconds = ttl.as_millis().div_ceil(1000).max(1);
        Box::pin(async move {
            let lease: Lease = self.call("/v3/lease/grant", json!({"TTL": seconds.to_string()}), true).await?;
            Ok((lease.id, Duration::from_secs(lease.ttl)))
        })
    }

    fn keep(&self, lease: &str) -> Answer<'_, bool> {
        let body = json!({"ID": lease});
        Box::pin(async move {
            let answer: Streamed<Lease> = self.call("/v3/lease/keepalive", body, true).await?;
            Ok(answer.result.is_some_and(|lease| lease.ttl > 0))
        })
    }

    fn revoke(&self, lease: &str) -> Answer<'_, ()> {
        let body = json!({"ID": lease});
        Box::pin(async move {
            match self.call::<Value>("/v3/lease/revoke", body, true).await {
                // Over already.
                Ok(_) | Err(ControlError::Invalid { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

/// The first key after all that begin with `prefix`, which is UTF-8 and not empty.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    // No byte of UTF-8 is 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Answers of a stream: one JSON value per line, however the chunks are cut.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    async fn next(&mut self, stream: &mut Stream) -> Option<WatchResponse> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice::<Streamed<WatchResponse>>(&line).ok()?.result;
            }
            self.rest.extend_from_slice(&stream.next().await.ok()??);
        }
    }
}

/// Numbers of 64 bits come as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(i64),
        Text(String),
    }
    let signed = match Any::deserialize(from)? {
        Any::Number(number) => number,
        Any::Text(text) => text.parse().map_err(serde::de::Error::custom)?,
    };
    Ok(u64::try_from(signed).unwrap_or(0))
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    BASE64.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    #[serde(deserialize_with = "number")]
    revision: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kv {
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    mod_revision: u64,
}

impl Kv {
    fn versioned(self) -> Versioned {
        Versioned { value: self.value.into(), revision: self.mod_revision }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeResponse {
    header: Header,
    kvs: Vec<Kv>,
    more: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeAnswer {
    response_range: RangeResponse,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TxnResponse {
    header: Header,
    succeeded: bool,
    responses: Vec<RangeAnswer>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Lease {
    #[serde(rename = "ID")]
    id: LeaseId,
    #[serde(rename = "TTL", deserialize_with = "number")]
    ttl: u64,
}

#[derive(Deserialize)]
struct Streamed<T> {
    result: Option<T>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WatchResponse {
    canceled: bool,
    #[serde(deserialize_with = "number")]
    compact_revision: u64,
    events: Vec<Event>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    kv: Kv,
}

impl Event {
    fn told(self, root: &str) -> Option<WatchEvent> {
        let key = std::str::from_utf8(&self.kv.key).ok()?.strip_prefix(root)?.to_owned();
        Some(match self.kind.as_str() {
            "DELETE" => WatchEvent::Del { key, revision: self.kv.mod_revision },
            _ => WatchEvent::Put { key, value: self.kv.versioned() },
        })
    }
}
