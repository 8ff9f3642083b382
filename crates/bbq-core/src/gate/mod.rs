//! The gate: holds the sessions of clients, routes their requests into the mesh, and what entities say to them.
//!
//! ```text
//!              ┌── admission    who may connect at all
//!  connections │   opening      from the first frame to a session; resume
//!  ──────────► │   session      sessions outlive connections; who watches them
//!  ◄────────── │   requests     method -> checks -> target -> mesh, and the reply back
//!              │   backend      pushes, calls, groups and kicks from the mesh
//!              └── drain        sends everybody away
//! ```
//! [`Inlet`] cuts and decodes beside the sockets; the protocol of one session is [`bbq_wire::gate::GateSession`].
//! Frames to one connection are collected and leave as one [`Output::Send`] per poll or flush; a broadcast is encoded
//! once and its bytes are shared.
//!
//! Invariants: who a client is (`meta.client`) is set here and never taken from a frame; every request is answered
//! exactly once; after a watcher was told `Detached` it is told `Resumed` or `Left`, once; no client makes another
//! wait; every table has a limit in [`Limits`] or [`bbq_wire::gate::GateConfig`].
//! What this module never does: read a clock, a socket or a random number, decode a body, judge a credential.

mod config;
mod methods;
mod io;
mod inlet;
mod stats;
mod admission;
mod slot;
mod groups;
mod session;
mod connection;
mod requests;
mod sessions;
mod opening;
mod backend;
mod drain;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bbq_wire::gate::{GateInput, GateOutput};
use bbq_wire::{SessionId, Time};

pub use config::{Config, DuplicateLogin, Limits};
pub use inlet::Inlet;
pub use io::{AuthRequest, ConnId, Entropy, Input, Output, Part, Reading, Verified};
pub use methods::{Conflict, Method, MethodTable};
pub use stats::Stats;

use admission::Admission;
use connection::{Connections, Urgency};
use groups::Groups;
use requests::Calls;
use session::Sessions;
use slot::Slot;

use crate::timer::Wheel;

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Gate {
    config: Config,
    methods: Arc<MethodTable>,
    admission: Admission,
    connections: Connections,
    sessions: Sessions,
    groups: Groups,
    calls: Calls,
    timers: Wheel<Timer>,
    /// When frames that wait for a flush are written.
    flush_at: Option<Time>,
    drain: Option<drain::Drain>,
    /// Refused connections that may still read why.
    refusals: usize,
    stats: Stats,
    outputs: VecDeque<Output>,
    /// Reused by [`Gate::drive`].
    scratch: Vec<GateOutput>,
}

/// What a timer is about.
#[derive(Clone, Copy, Debug)]
enum Timer {
    Opening(ConnId),
    Session(Slot),
    Calls,
    Drain,
}

/// What is known of one session, for consoles.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionView {
    /// The session.
    pub session: SessionId,
    /// Who authenticated.
    pub account: Arc<str>,
    /// On which device.
    pub device: String,
    /// What the verifier said of the account.
    pub properties: Vec<(String, String)>,
    /// Whether a connection carries it.
    pub attached: bool,
    /// Bytes handed out and not yet taken by its socket.
    pub unflushed: u32,
}

impl Gate {
    /// A gate without connections that knows no methods.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            methods: Arc::default(),
            admission: Admission::default(),
            connections: Connections::default(),
            sessions: Sessions::default(),
            groups: Groups::default(),
            calls: Calls::default(),
            timers: Wheel::default(),
            flush_at: None,
            drain: None,
            refusals: 0,
            stats: Stats::default(),
            outputs: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Opened { conn, ip, entropy } => self.opened(now, conn, ip, entropy),
            Input::Frames { conn, bytes, frames } => self.received(now, conn, bytes, frames),
            Input::BadFrame { conn, error } => self.bad_frame(now, conn, error),
            Input::Closed { conn } => self.closed(now, conn),
            Input::Flushed { conn, bytes } => self.flushed(now, conn, bytes),
            Input::Verified { conn, result } => self.verified(now, conn, result),
            Input::Methods(methods) => self.methods = methods,
            Input::Mesh(message) => self.on_mesh(now, message),
            Input::Tick => {}
            Input::Drain { grace } => self.start_drain(now, grace),
        }
        self.pass_time(now);
        self.check_drained();
    }

    /// The next thing to do; drain it to `None` after a `handle`, or after a batch of them.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front().or_else(|| self.connections.poll());
        if let Some(Output::Send { frames, .. }) = &output {
            self.stats.bytes_out += frames.iter().map(|part| part.size() as u64).sum::<u64>();
        }
        output
    }

    /// When to hand in [`Input::Tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        [self.timers.next(), self.flush_at].into_iter().flatten().min()
    }

    /// What it has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        let (groups, members) = self.groups.len();
        stats.connections = self.connections.len() as u64;
        stats.detached = (self.sessions.len() as u64).saturating_sub(stats.attached);
        (stats.groups, stats.members, stats.calls) = (groups as u64, members as u64, self.calls.len() as u64);
        stats.draining = self.drain.is_some();
        stats
    }

    /// The sessions of an account, oldest first.
    #[must_use]
    pub fn sessions_of(&self, account: &str) -> Vec<SessionView> {
        let slots = self.sessions.of_account(account);
        slots.into_iter().filter_map(|slot| self.sessions.get(slot)).map(|session| session.view()).collect()
    }

    fn pass_time(&mut self, now: Time) {
        if self.timers.next().is_some_and(|next| next <= now) {
            let mut due = Vec::new();
            self.timers.advance(now, |timer| due.push(timer));
            for timer in due {
                match timer {
                    Timer::Opening(conn) => self.opening_timed_out(now, conn),
                    Timer::Session(slot) => self.session_timer(now, slot),
                    Timer::Calls => self.sweep_calls(now),
                    Timer::Drain => self.end_drain(now),
                }
            }
        }
        if self.flush_at.is_some_and(|at| at <= now) {
            self.connections.flush();
            self.flush_at = None;
        } else if self.flush_at.is_none() && self.connections.wants_flush() {
            self.flush_at = Some(now + self.config.flush);
        }
    }

    /// Writes what waits for a connection, then closes it.
    fn close(&mut self, conn: ConnId) {
        self.outputs.extend(self.connections.take(conn));
        self.outputs.push_back(Output::Close { conn });
    }

    /// How long the frames of `input` may wait.
    fn urgency(&self, input: &GateInput) -> Urgency {
        let may_wait = matches!(input, GateInput::Push(..)) && !self.config.flush.is_zero();
        if may_wait { Urgency::Flush } else { Urgency::Now }
    }
}
