//! Keeps a session: renews it, reattaches it, and says when it is over. What to do when is decided by
//! [`bbq_core::control::Keeper`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bbq_core::control::{Keeper, Note, Task};
use bbq_wire::Time;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::{ClusterView, ControlError, ControlPlane, DeathCert, Load, NodeInfo, Request, Response, Session, Standing};
use crate::rpc::BoxFuture;

/// What the node knows of the cluster, once it is told where to look.
type Views = Arc<OnceLock<watch::Receiver<Arc<ClusterView>>>>;

/// An open session that is kept alive by a task until the value is dropped, or [`Attendance::leave`] is called.
#[derive(Debug)]
pub struct Attendance {
    control: Arc<dyn ControlPlane>,
    session: Session,
    load: watch::Sender<Load>,
    standing: watch::Receiver<Standing>,
    views: Views,
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
        let (origin, info) = (Instant::now(), super::with_start(info));
        let weight = info.weight;
        let session = control.open(info.clone(), ttl).await?;
        let (load, loads) = watch::channel(Load { weight, ..Load::default() });
        let (sender, standing) = watch::channel(Standing::Held { until: Time::ZERO + session.ttl() });
        let views = Views::default();
        let keeper = Keeper::new(info, session.clone(), Time::ZERO);
        let shell = Shell { control: control.clone(), keeper, origin, views: views.clone() };
        let task = tokio::spawn(shell.run(loads, sender));
        Ok(Self { control, session, load, standing, views, task })
    }

    /// Where to look when a control plane that lost its memory has to be told what the cluster was like. Without it the
    /// node takes part again as well, but deaths and epochs that only it knows are lost.
    pub fn remember(&self, views: watch::Receiver<Arc<ClusterView>>) {
        // The first ones are as good as any others.
        let _ = self.views.set(views);
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

type Answer = BoxFuture<'static, Result<Response, ControlError>>;

struct Shell {
    control: Arc<dyn ControlPlane>,
    keeper: Keeper,
    origin: Instant,
    views: Views,
}

impl Shell {
    async fn run(mut self, mut loads: watch::Receiver<Load>, standing: watch::Sender<Standing>) {
        let mut asking: Option<Answer> = None;
        loop {
            while let Some(task) = self.keeper.poll() {
                match task {
                    Task::Ask(request) => asking = Some(self.ask(request)),
                    Task::Rejoin => asking = Some(self.ask(Request::Rejoin(Box::new(self.memory())))),
                    Task::Standing(now) => self.tell(&standing, now),
                }
            }
            let Some(deadline) = self.keeper.deadline() else { return };
            let note = tokio::select! {
                answer = async { asking.as_mut().expect("asked").await }, if asking.is_some() => {
                    asking = None;
                    Note::Answer(answer)
                }
                changed = loads.changed() => match changed {
                    Ok(()) => Note::Load(*loads.borrow_and_update()),
                    Err(_) => return,
                },
                () = sleep_until(self.origin + deadline.since(Time::ZERO)) => Note::Tick,
            };
            self.keeper.handle(Time::ZERO + self.origin.elapsed(), note);
        }
    }

    fn ask(&self, request: Request) -> Answer {
        let control = self.control.clone();
        Box::pin(async move { control.request(request).await })
    }

    fn memory(&self) -> super::Memory {
        let view = self.views.get().map(|views| views.borrow().clone()).unwrap_or_default();
        tracing::warn!(uid = %self.keeper.session().uid, "the control plane has forgotten this node, which takes part again");
        self.keeper.memory(&view)
    }

    fn tell(&self, standing: &watch::Sender<Standing>, now: Standing) {
        let uid = self.keeper.session().uid;
        match &now {
            Standing::Held { .. } => {}
            Standing::Doubtful { .. } => tracing::warn!(%uid, "the lease of this node is in doubt"),
            Standing::Over(DeathCert { why, .. }) => tracing::error!(%uid, why, "this node was declared dead"),
        }
        standing.send_replace(now);
    }
}
