//! The one table of error codes (`spec/errors.md`) and the error that crosses the network.

use std::fmt;

/// Result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($number:literal $constant:ident $name:literal $retry:ident $meaning:literal;)*) => {
        impl Code {
            $(#[doc = $meaning] pub const $constant: Self = Self($number);)*

            /// Every code of the framework, in numeric order: number, wire name, whether a retry can help, meaning.
            pub const TABLE: &'static [(u32, &'static str, Retry, &'static str)] =
                &[$(($number, $name, Retry::$retry, $meaning),)*];
        }
    };
}

/// A wire error code. `0..=16` are those of gRPC; applications use [`Code::APPLICATION`] and up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u32);

/// Whether the same call may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// The call was not processed; try again.
    Yes,
    /// Trying the same again fails the same way.
    No,
    /// It may have been processed: retry only what is idempotent.
    Maybe,
    /// Resume the session, then go on.
    Resume,
}

codes! {
    0 OK "OK" No "Success.";
    1 CANCELLED "CANCELLED" No "The caller gave up.";
    2 UNKNOWN "UNKNOWN" No "An error without a better code.";
    3 INVALID_ARGUMENT "INVALID_ARGUMENT" No "The request itself is wrong.";
    4 DEADLINE_EXCEEDED "DEADLINE_EXCEEDED" Maybe "Time ran out; the message says whether the call had been delivered.";
    5 NOT_FOUND "NOT_FOUND" No "What was asked for does not exist.";
    6 ALREADY_EXISTS "ALREADY_EXISTS" No "What should be created exists.";
    7 PERMISSION_DENIED "PERMISSION_DENIED" No "Authenticated, but not allowed.";
    8 RESOURCE_EXHAUSTED "RESOURCE_EXHAUSTED" Yes "A quota or limit; retry after `retry_after_ms`.";
    9 FAILED_PRECONDITION "FAILED_PRECONDITION" No "The state does not allow it.";
    10 ABORTED "ABORTED" Yes "A conflict; read again and retry.";
    11 OUT_OF_RANGE "OUT_OF_RANGE" No "Past the valid range.";
    12 UNIMPLEMENTED "UNIMPLEMENTED" No "No such method here.";
    13 INTERNAL "INTERNAL" No "A bug on our side.";
    14 UNAVAILABLE "UNAVAILABLE" Yes "Nobody can serve it now; it was not processed.";
    15 DATA_LOSS "DATA_LOSS" No "Stored data is damaged.";
    16 UNAUTHENTICATED "UNAUTHENTICATED" No "The caller did not prove who it is.";
    20 BUSY "BUSY" Yes "A bounded queue is full; not processed.";
    21 DEADLOCK "DEADLOCK" No "The call came back to an entity that waits for it.";
    22 NOT_SENT "NOT_SENT" Yes "Never left this node.";
    23 OUTCOME_UNKNOWN "OUTCOME_UNKNOWN" Maybe "Nobody can say whether the call took effect: its node died, or its state could not be stored in time.";
    24 PANICKED "PANICKED" No "The handler panicked; the entity was torn down.";
    25 FENCED "FENCED" No "A newer activation of this entity exists.";
    26 ENTITY_STOPPED "ENTITY_STOPPED" Yes "The entity stopped before the call ran.";
    27 CLIENT_GONE "CLIENT_GONE" No "The session that was called is detached or over.";
    40 BAD_FRAME "BAD_FRAME" No "The peer broke the protocol.";
    41 FRAME_TOO_LARGE "FRAME_TOO_LARGE" No "A frame is longer than the limit in force.";
    42 UNSUPPORTED_VERSION "UNSUPPORTED_VERSION" No "No common protocol version.";
    43 HANDSHAKE_TIMEOUT "HANDSHAKE_TIMEOUT" Yes "The session was not opened in time.";
    44 RESUME_FAILED "RESUME_FAILED" No "The session cannot be resumed; authenticate anew.";
    45 SLOW_CONSUMER "SLOW_CONSUMER" Resume "The client did not read fast enough.";
    46 REPLACED "REPLACED" No "The same account logged in elsewhere.";
    47 GOING_AWAY "GOING_AWAY" Yes "The gate drains.";
    48 TOO_MANY_CONNECTIONS "TOO_MANY_CONNECTIONS" Yes "The gate or the address has its fill of connections.";
    49 HEARTBEAT_TIMEOUT "HEARTBEAT_TIMEOUT" Resume "Nothing was heard from the peer for too long.";
    50 KICKED "KICKED" No "An operator or the game ended the session.";
    51 SESSION_EXPIRED "SESSION_EXPIRED" No "Detached for longer than the session is kept.";
}

impl Code {
    /// First code that belongs to applications.
    pub const APPLICATION: u32 = 1000;

    /// The name in the table, or `APPLICATION` / `UNASSIGNED` for numbers outside it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.entry() {
            Some(entry) => entry.1,
            None if self.0 >= Self::APPLICATION => "APPLICATION",
            None => "UNASSIGNED",
        }
    }

    /// Whether the same call may be tried again. Application codes say [`Retry::No`].
    #[must_use]
    pub fn retry(self) -> Retry {
        self.entry().map_or(Retry::No, |entry| entry.2)
    }

    fn entry(self) -> Option<&'static (u32, &'static str, Retry, &'static str)> {
        Self::TABLE.binary_search_by_key(&self.0, |entry| entry.0).ok().and_then(|at| Self::TABLE.get(at))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An error that crosses the network with its code, message and retry hint intact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// For people; never parsed.
    pub message: Box<str>,
    /// How long to wait before a retry; 0 = no hint.
    pub retry_after_ms: u32,
}

impl Error {
    /// An error with `code` and a message for people.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: 0 }
    }

    /// An application's own error; `code` should be at least [`Code::APPLICATION`].
    #[must_use]
    pub fn application(code: u32, message: impl Into<Box<str>>) -> Self {
        Self::new(Code(code), message)
    }

    /// The same error with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, ms: u32) -> Self {
        self.retry_after_ms = ms;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_lookup_by_number_works() {
        assert!(Code::TABLE.is_sorted_by_key(|entry| entry.0));
        assert_eq!(Code::DEADLOCK.name(), "DEADLOCK");
        assert_eq!(Code(1234).name(), "APPLICATION");
        assert_eq!(Code(99).name(), "UNASSIGNED");
    }
}
