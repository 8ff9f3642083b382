//! What a gate has done and holds, for `bbq status` and metrics.

use std::collections::BTreeMap;

use bbq_wire::Code;

/// Counters (since the start) and gauges (now).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Open connections, now.
    pub connections: u64,
    /// Those without a session, now.
    pub handshakes: u64,
    /// Sessions with a connection, now.
    pub attached: u64,
    /// Sessions that wait for a resume, now.
    pub detached: u64,
    /// Calls that wait for an answer, now.
    pub calls: u64,
    /// Groups, now.
    pub groups: u64,
    /// Memberships in groups, now.
    pub members: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Resumes that failed.
    pub resume_failures: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Requests and notifications of clients, refused ones included.
    pub requests: u64,
    /// What was refused, by code: connections, logins, requests, notifications.
    pub refused: BTreeMap<Code, u64>,
    /// Connections that the gate gave up, by code.
    pub cut: BTreeMap<Code, u64>,
    /// Answers that came after the gate had given up waiting.
    pub late_replies: u64,
    /// Pushes to single sessions.
    pub pushes: u64,
    /// Pushes to groups.
    pub broadcasts: u64,
    /// Copies of these, one per member.
    pub broadcast_copies: u64,
    /// Pushes to sessions that are not here, or longer than clients accept.
    pub lost_pushes: u64,
    /// Joins and watches ignored because of a limit.
    pub ignored: u64,
    /// Bytes of frames from clients.
    pub bytes_in: u64,
    /// Bytes of frames to clients.
    pub bytes_out: u64,
    /// The gate sends its clients away.
    pub draining: bool,
}

impl Stats {
    pub(super) fn refuse(&mut self, code: Code) {
        *self.refused.entry(code).or_default() += 1;
    }

    pub(super) fn cut(&mut self, code: Code) {
        *self.cut.entry(code).or_default() += 1;
    }
}
