//! What goes into a gate and what comes out of it: plain values.

use core::net::IpAddr;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bbq_wire::frame::{Frame, FrameError};
use bbq_wire::shared::Prefix;
use bbq_wire::{Result, frame};
use bytes::Bytes;
use smallvec::SmallVec;

use super::methods::MethodTable;
use crate::mesh::{FromGate, ToGate};

/// Names one connection; never used again after [`Input::Closed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u64);

/// Real random bytes, fresh for every connection: the id and the ticket of the session that it may open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entropy(pub [u8; 24]);

/// What happens to the gate.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// A connection was accepted; nothing of it has been read.
    Opened {
        /// The connection.
        conn: ConnId,
        /// Where it comes from.
        ip: IpAddr,
        /// For the session that it may open.
        entropy: Entropy,
    },
    /// Frames arrived.
    Frames {
        /// Over this connection.
        conn: ConnId,
        /// How many bytes they took, for statistics.
        bytes: u32,
        /// The frames, in order.
        frames: SmallVec<[Frame; 1]>,
    },
    /// Something arrived that is no frame.
    BadFrame {
        /// Over this connection.
        conn: ConnId,
        /// What is wrong with it.
        error: FrameError,
    },
    /// The connection is gone. The last input about it.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of [`Output::Send`] were taken by the socket.
    Flushed {
        /// Of this connection.
        conn: ConnId,
        /// How many.
        bytes: u32,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// From the question.
        conn: ConnId,
        /// Who it is, or why not.
        result: Result<Verified>,
    },
    /// What the games serve has changed.
    Methods(Arc<MethodTable>),
    /// From the mesh.
    Mesh(ToGate),
    /// [`super::Gate::deadline`] has come.
    Tick,
    /// Send the clients away; [`Output::Drained`] follows.
    Drain {
        /// After this time those that are still here are cut off.
        grace: Duration,
    },
}

/// What the gate wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Write these frames, in this order.
    Send {
        /// To this connection.
        conn: ConnId,
        /// The frames.
        frames: SmallVec<[Part; 1]>,
    },
    /// After a frame at which [`super::Inlet`] holds: read on.
    Read {
        /// This connection.
        conn: ConnId,
        /// What may come.
        reading: Reading,
    },
    /// Write what was sent, but do not wait long for it, then close.
    Close {
        /// This connection.
        conn: ConnId,
    },
    /// Close at once.
    Abort {
        /// This connection.
        conn: ConnId,
    },
    /// Find out who it is; answer with [`Input::Verified`].
    Verify {
        /// Goes into the answer.
        conn: ConnId,
        /// What the client claims.
        request: Box<AuthRequest>,
    },
    /// For the mesh.
    Mesh(FromGate),
    /// After [`Input::Drain`]: no session is left.
    Drained,
}

/// What may come over a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Frames of the opening, at most [`frame::LIMIT_OPENING`] bytes each.
    Opening,
    /// Frames of a session, at most so many bytes each.
    Session(u32),
}

/// One frame: bytes of its own, and bytes that other connections may share.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// First these,
    pub prefix: Prefix,
    /// then these.
    pub tail: Bytes,
}

/// A credential to be judged by the application.
#[derive(Clone, PartialEq)]
pub struct AuthRequest {
    /// How to read the token, such as `jwt`.
    pub scheme: String,
    /// The credential.
    pub token: Bytes,
    /// The device slot of the account.
    pub device: String,
    /// Where the client comes from.
    pub ip: IpAddr,
}

/// Who a client is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// The account: 1 to 64 bytes.
    pub account: String,
    /// What else is known of it, such as `("region", "eu")`.
    pub properties: Vec<(String, String)>,
}

impl Reading {
    /// Longest frame.
    #[must_use]
    pub const fn limit(self) -> u32 {
        match self {
            Self::Opening => frame::LIMIT_OPENING,
            Self::Session(limit) => limit,
        }
    }
}

impl Part {
    /// A frame that is not shared.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        Self { prefix: Prefix::EMPTY, tail: frame.to_bytes() }
    }

    /// Bytes in all.
    #[must_use]
    pub fn size(&self) -> usize {
        self.prefix.as_slice().len() + self.tail.len()
    }
}

impl Verified {
    /// An account without properties.
    #[must_use]
    pub fn account(account: impl Into<String>) -> Self {
        Self { account: account.into(), properties: Vec::new() }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthRequest")
            .field("scheme", &self.scheme)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("device", &self.device)
            .field("ip", &self.ip)
            .finish()
    }
}
