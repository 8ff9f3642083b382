//! Keeps a session: renews it, reattaches it, and says when it is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ControlError, ControlPlane, DeathCert, Load, NodeInfo, Session};

/// Where the node stands with the control plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The lease holds until then. Stop starting turns [`Session::ttl`] / 4 earlier, unless the configuration says to
    /// keep serving through an outage.
    Held {
        /// End of the lease by our clock, counted from when the last successful renewal was *sent*.
        until: Instant,
    },
    /// The control plane does not answer, or took the lease away and did not give it back yet.
    Doubtful {
        /// End of the last lease; may lie in the past.
        until: Instant,
    },
    /// The incarnation is dead. Whatever it still does is fenced; open a new one.
    Over(DeathCert),
}

/// An open session that is kept alive by a task until the value is dropped, or [`Attendance::leave`] is called.
#[derive(Debug)]
pub struct Attendance {
    control: Arc<dyn ControlPlane>,
    session: Session,
    load: watch::Sender<Load>,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for dyn ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControlPlane")
    }
}

impl Attendance {
    /// Opens a session and keeps it. `ttl`: the wanted lease; zero: the engine's default.
    ///
    /// # Errors
    /// As [`ControlPlane::open`].
    pub async fn open(control: Arc<dyn ControlPlane>, info: NodeInfo, ttl: Duration) -> Result<Self, ControlError> {
        let sent = Instant::now();
        let weight = info.weight;
        let session = control.open(info, ttl).await?;
        let (load, loads) = watch::channel(Load { weight, permille: 0 });
        let (sender, standing) = watch::channel(Standing::Held { until: sent + session.ttl() });
        let keeper = Keeper { control: control.clone(), session: session.clone(), until: sent + session.ttl() };
        let task = tokio::spawn(keeper.run(loads, sender));
        Ok(Self { control, session, load, standing, task })
    }

    /// The session as it was opened; its uid stays the same.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What the next renewals report. A changed weight is reported at once.
    pub fn report(&self, load: Load) {
        self.load.send_replace(load);
    }

    /// What [`Attendance::report`] writes to, for a task that measures.
    #[must_use]
    pub fn reports(&self) -> watch::Sender<Load> {
        self.load.clone()
    }

    /// Where the node stands.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Leaves in good order: others need not wait for the lease to end.
    ///
    /// # Errors
    /// The control plane did not answer; the lease will end by itself.
    pub async fn leave(self, why: &str) -> Result<(), ControlError> {
        self.task.abort();
        self.control.certify_dead(self.session.uid, None, why.to_owned()).await.map(drop)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    control: Arc<dyn ControlPlane>,
    session: Session,
    until: Instant,
}

impl Keeper {
    async fn run(mut self, mut loads: watch::Receiver<Load>, standing: watch::Sender<Standing>) {
        let every = self.session.ttl() / 4;
        let mut due = Instant::now() + every;
        let mut weight = loads.borrow_and_update().weight;
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                changed = loads.changed() => {
                    let new = loads.borrow_and_update().weight;
                    match changed {
                        Err(_) => return,
                        Ok(()) if new == weight => continue,
                        Ok(()) => {}
                    }
                    weight = new;
                }
            }
            let load = *loads.borrow();
            let sent = Instant::now();
            due = sent + every;
            // A renewal that hangs must not keep the next one from being tried.
            let answer = timeout_at(sent + self.session.ttl(), self.renew(load)).await;
            let now = match answer {
                Ok(Ok(())) => {
                    self.until = sent + self.session.ttl();
                    Standing::Held { until: self.until }
                }
                Ok(Err(ControlError::Lost { certificate: Some(certificate), .. })) => {
                    tracing::error!(uid = %self.session.uid, why = certificate.why, "this node was declared dead");
                    standing.send_replace(Standing::Over(certificate));
                    return;
                }
                Ok(Err(error)) => self.doubt(&error),
                Err(_) => self.doubt(&super::unreachable("no answer within the lease")),
            };
            standing.send_replace(now);
        }
    }

    async fn renew(&mut self, load: Load) -> Result<(), ControlError> {
        match self.control.renew(&self.session, load).await {
            Err(ControlError::Lost { certificate: None, .. }) => {
                self.session = self.control.reattach(&self.session).await?;
                self.control.renew(&self.session, load).await
            }
            other => other,
        }
    }

    fn doubt(&self, error: &ControlError) -> Standing {
        if Instant::now() < self.until {
            return Standing::Held { until: self.until };
        }
        tracing::warn!(uid = %self.session.uid, %error, "the lease of this node is in doubt");
        Standing::Doubtful { until: self.until }
    }
}
