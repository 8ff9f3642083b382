//! What nodes ask of a center, and how it travels in bodies.

use bbq_core::control::{self, ControlError, Versioned, WatchEvent, decode_named, encode_named};
use bbq_core::store::{self, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// A part of a snapshot is sent when it has this many bytes: a snapshot may be larger than a frame.
const PART_BYTES: usize = 2 << 20;

/// The body of a call or of a watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Call {
    /// For the control plane. A watch carries [`control::Request::Watch`]; its id is not looked at.
    Control(control::Request),
    /// For the Store.
    Store(store::Request),
}

/// The body of an answer, and of the first item of a watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// From the control plane.
    Control(Result<control::Response, ControlError>),
    /// From the Store.
    Store(Result<store::Response, StoreError>),
    /// The call could not be understood: it is newer than the center, or no call at all.
    Unknown(String),
}

/// The body of an item of a watch after the first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Item {
    /// The first entries of a snapshot that follows.
    Part(Vec<(String, Versioned)>),
    /// An event, or the rest of a snapshot.
    Event(WatchEvent),
}

impl Call {
    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_named(self)
    }

    /// The reverse of [`Call::encode`].
    ///
    /// # Errors
    /// What to answer.
    pub fn decode(body: &[u8]) -> Result<Self, Answer> {
        decode_named(body).map_err(|error| Answer::Unknown(error.to_string()))
    }
}

impl Answer {
    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_named(self)
    }

    /// The reverse of [`Answer::encode`].
    #[must_use]
    pub fn decode(body: &[u8]) -> Self {
        decode_named(body).unwrap_or_else(|error| Self::Unknown(error.to_string()))
    }
}

impl Item {
    /// One event as one or more bodies, none larger than a frame.
    #[must_use]
    pub fn encode(event: WatchEvent) -> Vec<Bytes> {
        let WatchEvent::Snapshot { entries, revision } = event else { return vec![encode_named(&Self::Event(event))] };
        let (mut bodies, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (key, value) in entries {
            bytes += key.len() + value.value.len();
            part.push((key, value));
            if bytes >= PART_BYTES {
                bodies.push(encode_named(&Self::Part(std::mem::take(&mut part))));
                bytes = 0;
            }
        }
        bodies.push(encode_named(&Self::Event(WatchEvent::Snapshot { entries: part, revision })));
        bodies
    }

    /// Turns the bodies of a watch back into events. Returns when either end is gone, or when a body is not an item.
    pub async fn decode_all(mut bodies: mpsc::Receiver<Bytes>, events: mpsc::Sender<WatchEvent>) {
        let mut parts = Vec::new();
        loop {
            let body = tokio::select! {
                body = bodies.recv() => body,
                () = events.closed() => return,
            };
            let Some(body) = body else { return };
            let event = match decode_named(&body) {
                Ok(Self::Part(entries)) => {
                    parts.extend(entries);
                    continue;
                }
                Ok(Self::Event(WatchEvent::Snapshot { entries, revision })) => {
                    parts.extend(entries);
                    WatchEvent::Snapshot { entries: std::mem::take(&mut parts), revision }
                }
                Ok(Self::Event(event)) => event,
                // From a newer center: as good as missed.
                Err(_) => return,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}
