//! What a node does to keep its session: when to renew, what to try when the lease is lost, and when all is over.
//!
//! ```text
//!            a quarter of the lease        Lost, no certificate    the same: the engine forgot the node
//! waiting ─────────────────────────► Renew ───────────────────► Reattach ───────────────────► Rejoin
//!    ▲                                 │                           │ Session                    │ Session
//!    └── Done ◄────────────────────────┴─────── Renew ◄────────────┴────────────────────────────┘
//!    └── no answer: try again after the next quarter     Lost with a certificate: Over
//! ```
//! A silent control plane ends nothing: an outage of the engine is not an outage of the game.

use std::time::Duration;

use bbq_wire::Time;

use super::node::{DeathCert, Load, Memory, NodeInfo, Session};
use super::protocol::{ControlError, Request, Response};

/// Where a node stands with the control plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The lease holds until then, counted from when the last successful renewal was *sent*.
    Held {
        /// End of the lease by the clock of the node.
        until: Time,
    },
    /// The control plane does not answer, or took the lease away and did not give it back yet.
    Doubtful {
        /// End of the last lease; may lie in the past.
        until: Time,
    },
    /// The incarnation is dead.
    Over(DeathCert),
}

/// What happens to a [`Keeper`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// The deadline passed.
    Tick,
    /// What the next renewals report. A changed weight is reported at once.
    Load(Load),
    /// The answer to the request that was asked last.
    Answer(Result<Response, ControlError>),
}

/// What a [`Keeper`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// Ask this; an answer to an earlier question is not wanted any more.
    Ask(Request),
    /// Ask [`Request::Rejoin`] with what the node knows: [`Memory::of`].
    Rejoin,
    /// This is where the node stands now.
    Standing(Standing),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Nothing,
    Renew,
    Reattach,
    Rejoin,
}

/// The machine. It ends with [`Standing::Over`].
#[derive(Debug)]
pub struct Keeper {
    info: NodeInfo,
    session: Session,
    load: Load,
    until: Time,
    due: Time,
    asked: Asked,
    /// When the round that is under way began.
    sent: Time,
    over: bool,
    tasks: std::collections::VecDeque<Task>,
}

impl Keeper {
    /// Keeps a session that was asked for at `sent`.
    #[must_use]
    pub fn new(info: NodeInfo, session: Session, sent: Time) -> Self {
        let load = Load { weight: info.weight, ..Load::default() };
        let (until, due) = (sent + session.ttl(), sent + session.ttl() / 4);
        let tasks = std::collections::VecDeque::new();
        Self { info, session, load, until, due, asked: Asked::Nothing, sent, over: false, tasks }
    }

    /// Takes in one input.
    pub fn handle(&mut self, now: Time, note: Note) {
        if self.over {
            return;
        }
        match note {
            Note::Tick if self.deadline().is_some_and(|deadline| deadline <= now) => {
                if self.asked != Asked::Nothing {
                    self.doubt(now);
                }
                self.begin(now);
            }
            Note::Tick => {}
            Note::Load(load) => {
                let weighs_anew = load.weight != self.load.weight;
                self.load = load;
                if weighs_anew {
                    self.begin(now);
                }
            }
            Note::Answer(answer) => self.answered(now, answer),
        }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// When to call [`Keeper::handle`] with [`Note::Tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match (self.over, self.asked) {
            (true, _) => None,
            (false, Asked::Nothing) => Some(self.due),
            // A question that hangs must not keep the next one from being asked.
            (false, _) => Some(self.sent + self.session.ttl()),
        }
    }

    /// The session in force; its uid stays the same.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What the node knows, for [`Task::Rejoin`].
    #[must_use]
    pub fn memory(&self, view: &super::ClusterView) -> Memory {
        Memory::of(self.session.uid, self.info.clone(), self.session.ttl_ms, view)
    }

    fn begin(&mut self, now: Time) {
        (self.sent, self.due) = (now, now + self.session.ttl() / 4);
        self.renew();
    }

    fn renew(&mut self) {
        self.asked = Asked::Renew;
        self.tasks.push_back(Task::Ask(Request::Renew { uid: self.session.uid, load: self.load }));
    }

    fn answered(&mut self, now: Time, answer: Result<Response, ControlError>) {
        match (self.asked, answer) {
            (Asked::Nothing, _) => {}
            (_, Err(ControlError::Lost { certificate: Some(certificate), .. })) => {
                (self.over, self.asked) = (true, Asked::Nothing);
                self.tasks.push_back(Task::Standing(Standing::Over(certificate)));
            }
            (Asked::Renew, Ok(Response::Done)) => {
                self.asked = Asked::Nothing;
                self.until = self.sent + self.session.ttl();
                self.tasks.push_back(Task::Standing(Standing::Held { until: self.until }));
            }
            (Asked::Renew, Err(ControlError::Lost { .. })) => {
                self.asked = Asked::Reattach;
                self.tasks.push_back(Task::Ask(Request::Reattach { uid: self.session.uid }));
            }
            (Asked::Reattach, Err(ControlError::Lost { .. })) => {
                self.asked = Asked::Rejoin;
                self.tasks.push_back(Task::Rejoin);
            }
            (Asked::Reattach | Asked::Rejoin, Ok(Response::Session(session))) => {
                self.session = session;
                self.renew();
            }
            (_, _) => {
                self.asked = Asked::Nothing;
                self.due = self.due.max(now + Duration::from_millis(1));
                self.doubt(now);
            }
        }
    }

    fn doubt(&mut self, now: Time) {
        let until = self.until;
        let standing = if now < until { Standing::Held { until } } else { Standing::Doubtful { until } };
        self.tasks.push_back(Task::Standing(standing));
    }
}
