//! The client's side of a session: connects, keeps the connection alive, resumes after a cut, and starts anew when
//! that is not possible - telling the application so.
//!
//! ```text
//! waiting --Connected--> opening --WELCOME--> online
//!    ^--- backoff ---------'-----------------'           Disconnected, silence, ERR, GOAWAY
//! ```
//! Calls made while not online wait in a queue and are numbered when they are first sent. When a session cannot be
//! resumed, what was numbered has an unknown outcome; what waits in the queue goes out under the new session.
//!
//! The shell owns the socket and the clock. After [`Output::Disconnect`] it hands in nothing more from that connection.

mod machine;

use std::time::Duration;

use bytes::Bytes;

use crate::code::Error;
use crate::delivery::RingLimits;
use crate::frame::{Frame, FrameError};
use crate::id::Key;

pub use machine::ClientSession;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Scheme of the token, such as `jwt`.
    pub scheme: String,
    /// The credential.
    pub token: Bytes,
    /// Device slot of the account.
    pub device: String,
    /// Name and version of the SDK, for the gate's log.
    pub sdk: String,
    /// What is kept for a resume, and what may wait for a connection: each within these limits.
    pub ring: RingLimits,
    /// Most calls that wait for their reply.
    pub max_calls: usize,
    /// Most calls of the gate that run at a time; a gate that exceeds it breaks the protocol.
    pub max_requests: usize,
    /// Time from the connection to WELCOME.
    pub opening: Duration,
    /// First pause between connections; doubles with every failure.
    pub backoff_min: Duration,
    /// Longest pause between connections.
    pub backoff_max: Duration,
    /// Seed of the jitter. Give every client another one.
    pub seed: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            scheme: String::new(),
            token: Bytes::new(),
            device: String::new(),
            sdk: concat!("bbq-wire/", env!("CARGO_PKG_VERSION")).to_owned(),
            ring: RingLimits::CLIENT,
            max_calls: 1024,
            max_requests: 256,
            opening: Duration::from_secs(10),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(15),
            seed: 1,
        }
    }
}

/// What happens to the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The connection that [`Output::Connect`] asked for is there (and, on a byte stream, the preface was sent).
    Connected,
    /// It failed, or is gone.
    Disconnected,
    /// From the gate.
    Frame(Frame),
    /// The gate sent bytes that are no frame.
    BadFrame(FrameError),
    /// Call the server; answered by one [`Output::Reply`].
    Call(Call),
    /// Tell the server. Refused with [`Output::NotifyRefused`] when the ring is full; ask [`ClientSession::has_room`].
    Notify {
        /// Which method.
        method: u32,
        /// Which entity.
        key: Option<Key>,
        /// Encoded argument.
        body: Bytes,
    },
    /// The answer to [`Output::Request`].
    Reply {
        /// From the request.
        request: u64,
        /// The reply.
        result: Result<Bytes, Error>,
    },
    /// The credential for the next AUTH.
    Token(Bytes),
    /// [`ClientSession::deadline`] has come.
    Tick,
    /// The application is done.
    Close,
}

/// A call to the server.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Call {
    /// Chosen by the shell, comes back in the reply.
    pub call: u64,
    /// Which method.
    pub method: u32,
    /// Which entity; none: a service, or the entity that the session is bound to.
    pub key: Option<Key>,
    /// How long to wait; none: for ever.
    pub deadline_ms: Option<u32>,
    /// Encoded argument.
    pub body: Bytes,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Connect after a pause.
    Connect {
        /// The pause.
        after: Duration,
        /// Where to; none: the configured address.
        address: Option<String>,
    },
    /// Write these bytes to the connection.
    Send(Bytes),
    /// Close the connection and forget it.
    Disconnect,
    /// The outcome of a call.
    Reply {
        /// From the call.
        call: u64,
        /// The reply.
        result: Result<Bytes, Error>,
    },
    /// The server says something.
    Push {
        /// Which method.
        method: u32,
        /// The entity that speaks.
        key: Option<Key>,
        /// Encoded argument.
        body: Bytes,
    },
    /// The server calls; answer with [`Input::Reply`].
    Request {
        /// Goes into the reply.
        request: u64,
        /// Which method.
        method: u32,
        /// The entity that speaks.
        key: Option<Key>,
        /// How long the caller waits.
        deadline_ms: Option<u32>,
        /// Encoded argument.
        body: Bytes,
    },
    /// A notification was not taken.
    NotifyRefused {
        /// Its method.
        method: u32,
        /// Why.
        error: Error,
    },
    /// The state changed.
    State(State),
}

/// What the application sees of the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// On the way to the first session.
    Connecting,
    /// Calls flow.
    Online {
        /// Nothing was lost since the state before.
        resumed: bool,
        /// The account that the gate found in the token.
        account: String,
    },
    /// The connection is gone; the session may be resumed.
    Detached,
    /// The session could not be resumed: pushes and notifications may be lost, calls in flight have failed with
    /// [`crate::Code::OUTCOME_UNKNOWN`]. A new session follows; load your state anew.
    Resync,
    /// Over; nothing follows.
    Closed(Error),
}
