//! What a handler can do: its context.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Key, NodeUid, Result, Time};

use super::Shared;
use super::call::{
    Call, Caller, ClientHandle, ClientStub, ClientTarget, EntityHandle, EntityStub, ServiceHandle, ServiceStub,
};
use super::glue::Work;
use super::io::{
    ClientRef, GroupChange, GroupOp, Job, Meta, Note, Opaque, Output, SessionEvent, StopReason, StoreReply,
    StoreRequest,
};
use super::state::{Effect, Inner, Life, Message, NONE, Outcome, Repeat, Reply, TaskRef};
use crate::cron::Cron;
use crate::payload::Payload;

/// The code of the error by which a handler says that another entity answers (see [`Ctx::redirect`]).
pub(crate) const REDIRECTED: Code = Code(u32::MAX);
/// Name of the timer behind `on_tick`.
const TICK: &str = "\u{0}tick";
/// A commit that fails for a passing reason is tried this often ..
const COMMIT_TRIES: u32 = 6;
/// .. with pauses that double from here.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

/// The context of one turn or service call: who calls, what time it is, and everything a handler can ask of the world.
///
/// All of it works the same in a simulation: a handler that touches the outside only through its context replays
/// from a seed.
pub struct Ctx {
    shared: Rc<Shared>,
    task: TaskRef,
    slot: u32,
    id: Option<EntityId>,
    deadline: Time,
    meta: Option<Rc<Meta>>,
    /// Made by the first call of the turn.
    caller: OnceCell<Rc<Caller>>,
    /// Set for the context of a reentrant call, whose answer is not the turn's.
    reentrant: Cell<Option<Box<Reply>>>,
}

impl Ctx {
    pub(crate) fn new(
        shared: Rc<Shared>,
        task: TaskRef,
        slot: u32,
        id: Option<EntityId>,
        deadline: Time,
        meta: Option<Rc<Meta>>,
    ) -> Self {
        Self { shared, task, slot, id, deadline, meta, caller: OnceCell::new(), reentrant: Cell::new(None) }
    }

    fn inner<R>(&self, with: impl FnOnce(&mut Inner) -> R) -> R {
        with(&mut self.shared.inner.borrow_mut())
    }

    fn caller(&self) -> Rc<Caller> {
        let make = || {
            Rc::new(Caller {
                shared: Rc::clone(&self.shared),
                task: self.task,
                me: self.id.clone(),
                deadline: self.deadline,
                meta: self.meta.clone(),
            })
        };
        Rc::clone(self.caller.get_or_init(make))
    }

    // ---- who and when ----------------------------------------------------------------------------------------

    /// The entity whose turn this is.
    ///
    /// # Panics
    /// In a service: it has no identity.
    #[must_use]
    pub fn id(&self) -> &EntityId {
        self.id.as_ref().expect("only entities have an id")
    }

    /// Key of the entity whose turn this is.
    ///
    /// # Panics
    /// In a service: it has no identity.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.id().key
    }

    /// The node that runs this.
    #[must_use]
    pub fn node(&self) -> NodeUid {
        self.inner(|inner| inner.config.node)
    }

    /// The session whose request led here, through however many calls. Set by the gate.
    #[must_use]
    pub fn client(&self) -> Option<ClientRef> {
        self.meta.as_ref().and_then(|meta| meta.client.clone())
    }

    /// Like [`Ctx::client`], or an error to return with `?`.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when no client is behind this call.
    pub fn require_client(&self) -> Result<ClientRef> {
        self.client().ok_or_else(|| Error::new(Code::FAILED_PRECONDITION, "this call does not come from a client"))
    }

    /// Monotonic time of the node; stands still during a turn's steps.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner(|inner| inner.now)
    }

    /// Milliseconds since 1970, UTC.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.inner(|inner| inner.now.0.saturating_add(inner.config.unix_offset) / 1_000_000)
    }

    /// After this nobody waits for the answer; [`Time::MAX`] = no deadline. Calls made from here end by then.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// A random number from the world's seeded generator (SplitMix64). Not for secrets.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.inner(|inner| {
            inner.random = inner.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = inner.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    /// A random number in `0.0 .. 1.0`.
    #[must_use]
    pub fn random_unit(&self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }

    // ---- calling others --------------------------------------------------------------------------------------

    /// Typed access to an entity, wherever it lives; the first call brings it to life.
    #[must_use]
    pub fn entity<S: EntityStub>(&self, key: impl Into<Key>) -> S {
        self.entity_by_id(EntityId::new(S::DESC.type_id(), key))
    }

    /// Like [`Ctx::entity`], from a whole id. The id's type must be the stub's.
    #[must_use]
    pub fn entity_by_id<S: EntityStub>(&self, id: EntityId) -> S {
        S::bind(EntityHandle::new(self.caller(), id))
    }

    /// Typed access to a service: this world's own instance if it has one, else one chosen by load.
    #[must_use]
    pub fn service<S: ServiceStub>(&self) -> S {
        S::bind(ServiceHandle::new(self.caller(), None))
    }

    /// Typed access to a service; calls with the same `affinity` go to the same instance while it lives.
    #[must_use]
    pub fn service_for<S: ServiceStub>(&self, affinity: u64) -> S {
        S::bind(ServiceHandle::new(self.caller(), Some(affinity)))
    }

    /// Typed access to a session: `.tell()` pushes, awaiting asks the client and waits for its answer.
    #[must_use]
    pub fn client_of<S: ClientStub>(&self, client: &ClientRef) -> S {
        self.to_clients(ClientTarget::Session { client: client.clone(), unreliable: false })
    }

    /// Like [`Ctx::client_of`] for pushes that may be lost and are never resent (positions, say).
    #[must_use]
    pub fn unreliable_client_of<S: ClientStub>(&self, client: &ClientRef) -> S {
        self.to_clients(ClientTarget::Session { client: client.clone(), unreliable: true })
    }

    fn to_clients<S: ClientStub>(&self, to: ClientTarget) -> S {
        S::bind(ClientHandle::new(self.caller(), to))
    }

    /// A named group of sessions for broadcast. An entity's groups are its own (two rooms may both have "all") and
    /// end with it; those of services are shared by all services.
    #[must_use]
    pub fn group(&self, name: &str) -> Group<'_> {
        let name = match &self.id {
            Some(id) => format!("{id}/{name}").into(),
            None => name.into(),
        };
        Group { ctx: self, name, except: Vec::new(), unreliable: false }
    }

    /// Another entity (or service, or client) answers this call in our stead: `return ctx.redirect(other.say(req))`.
    /// This turn ends at once; the caller gets the other's answer.
    ///
    /// # Errors
    /// Always: the error to return.
    pub fn redirect<R>(&self, call: Call<R>) -> Result<R> {
        let mut inner = self.shared.inner.borrow_mut();
        let reply = match self.reentrant.take() {
            Some(reply) => *reply,
            None => inner
                .tasks
                .get_mut(self.task.0 as usize)
                .map(|task| std::mem::take(&mut task.reply))
                .unwrap_or_default(),
        };
        call.forward(&mut inner, reply)?;
        Err(Error::new(REDIRECTED, "answered by another"))
    }

    // ---- time ------------------------------------------------------------------------------------------------

    /// Waits. The entity stays busy: its other messages wait too; mostly a timer is the better choice.
    pub async fn sleep(&self, duration: Duration) {
        let started = self.inner(|inner| {
            let until = inner.now + duration;
            inner.start_sleep(until)
        });
        if let Ok(op) = started {
            self.wait(op).await;
        }
    }

    /// Lets others run before going on.
    pub async fn yield_now(&self) {
        let started = self.inner(|inner| {
            let op = inner.begin(Time::MAX)?;
            inner.complete(op.0, op.1, Outcome::Fired);
            Ok::<_, Error>(op)
        });
        if let Ok(op) = started {
            let mut first = true;
            std::future::poll_fn(|_| if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }).await;
            self.wait(op).await;
        }
    }

    /// `on_timer(name)` once, after `delay`. A timer with the same name is replaced.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when the entity has too many timers; `FAILED_PRECONDITION` in a service.
    pub fn after(&self, name: &str, delay: Duration) -> Result<()> {
        self.timer(name, |now, _| Some((now + delay, Repeat::Once)))
    }

    /// `on_timer(name)` every `period`, without drift; periods missed by a long turn are skipped.
    ///
    /// # Errors
    /// As [`Ctx::after`]; `INVALID_ARGUMENT` for a period of zero.
    pub fn every(&self, name: &str, period: Duration) -> Result<()> {
        if period.is_zero() {
            return Err(Error::new(Code::INVALID_ARGUMENT, "the period of a timer must be longer than zero"));
        }
        self.timer(name, |now, _| Some((now + period, Repeat::Every(period))))
    }

    /// `on_timer(name)` whenever the cron expression matches (minute hour day month weekday, UTC).
    ///
    /// # Errors
    /// As [`Ctx::after`]; `INVALID_ARGUMENT` for a malformed expression or one that never matches.
    pub fn cron(&self, name: &str, expression: &str) -> Result<()> {
        let cron = Cron::parse(expression).map_err(|why| Error::new(Code::INVALID_ARGUMENT, why))?;
        self.timer(name, |now, unix| cron.next_after(now, unix).map(|due| (due, Repeat::Cron(Box::new(cron)))))
    }

    /// `on_tick(elapsed)` every `period` from now on; replaces an earlier tick.
    ///
    /// # Errors
    /// As [`Ctx::every`].
    pub fn start_tick(&self, period: Duration) -> Result<()> {
        if period.is_zero() {
            return Err(Error::new(Code::INVALID_ARGUMENT, "the period of a tick must be longer than zero"));
        }
        self.timer(TICK, |now, _| Some((now + period, Repeat::Tick(period, now))))
    }

    /// Ends the tick.
    pub fn stop_tick(&self) {
        self.cancel(TICK);
    }

    /// Ends a timer; says whether there was one.
    pub fn cancel(&self, name: &str) -> bool {
        self.id.is_some() && self.inner(|inner| inner.cancel_timer(self.slot, name))
    }

    fn timer(&self, name: &str, first: impl FnOnce(Time, u64) -> Option<(Time, Repeat)>) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| {
            let first = first(inner.now, inner.config.unix_offset);
            let (due, repeat) =
                first.ok_or_else(|| Error::new(Code::INVALID_ARGUMENT, "this timer would never fire"))?;
            inner.set_timer(self.slot, name.into(), due, repeat)
        })
    }

    fn require_entity(&self) -> Result<()> {
        match self.id {
            Some(_) => Ok(()),
            None => Err(Error::new(Code::FAILED_PRECONDITION, "only entities can do this, not services")),
        }
    }

    // ---- the outside -----------------------------------------------------------------------------------------

    /// Runs a future of the outside world (an HTTP client, say) on the node's tokio runtime. A simulation answers it by
    /// `name` instead.
    ///
    /// # Errors
    /// `BUSY` when the world waits for too much; `INTERNAL` when the future panicked; `UNIMPLEMENTED` in a simulation
    /// that has no script for `name`.
    pub async fn external<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let future = async move { Opaque(Box::new(future.await)) };
        self.job(Job::External(name, Box::pin(future))).await
    }

    /// Runs a closure that computes for long or blocks on a thread of its own kind.
    ///
    /// # Errors
    /// `BUSY` when the world waits for too much, `INTERNAL` when the closure panicked.
    pub async fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.job(Job::Blocking(Box::new(move || Opaque(Box::new(work()))))).await
    }

    async fn job<T: 'static>(&self, job: Job) -> Result<T> {
        let op = self.inner(|inner| inner.start_job(job))?;
        match self.wait(op).await {
            Outcome::Job(result) => match result?.0.downcast::<T>() {
                Ok(value) => Ok(*value),
                Err(_) => Err(Error::new(Code::INTERNAL, "the script of this external answers with another type")),
            },
            _ => Err(Error::new(Code::INTERNAL, "a job ended with something else")),
        }
    }

    /// Runs a future in this world beside the handler, with a context of its own; nobody waits for it.
    pub fn spawn<F: Future<Output = ()> + 'static>(&self, task: impl FnOnce(Self) -> F) {
        let mut message = Message::hook(super::glue::Hook::Save);
        message.meta = self.meta.clone();
        let id = self.inner(|inner| inner.new_task(NONE, u16::MAX, &mut message));
        let ctx = Self::new(Rc::clone(&self.shared), id, NONE, None, Time::MAX, self.meta.clone());
        let future = task(ctx);
        self.inner(|inner| {
            inner.tasks[id.0 as usize].turn = Some(Box::pin(async move {
                future.await;
                None
            }));
            inner.schedule(id.0);
        });
    }

    // ---- entities and sessions that watch each other ---------------------------------------------------------

    /// From now on the notes of `subject` arrive at our `on_notify`, and its end at `on_gone`.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn watch(&self, subject: &EntityId) -> Result<()> {
        self.set_watch(subject, true)
    }

    /// Ends [`Ctx::watch`].
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn unwatch(&self, subject: &EntityId) -> Result<()> {
        self.set_watch(subject, false)
    }

    fn set_watch(&self, subject: &EntityId, on: bool) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| {
            let watching = &mut inner.extra(self.slot).watching;
            watching.retain(|other| other != subject);
            if on {
                watching.push(subject.clone());
            }
            inner.set_watch(self.id(), subject, on);
        });
        Ok(())
    }

    /// Sends a note to every entity that watches this one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn notify(&self, name: &str, body: Payload) -> Result<()> {
        self.require_entity()?;
        let name: Arc<str> = name.into();
        self.inner(|inner| {
            let Some(extra) = &inner.slots[self.slot as usize].extra else { return };
            for watcher in extra.watchers.clone() {
                let note = Note { from: self.id().clone(), name: Arc::clone(&name), body: body.clone() };
                match inner.find(&watcher) {
                    Some(index) => inner.note(index, note),
                    None => inner.effect(self.task.0, Effect::Out(Output::Note(watcher, note))),
                }
            }
        });
        Ok(())
    }

    /// From now on `on_session` tells when this session detaches, resumes or leaves.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn watch_client(&self, client: &ClientRef) -> Result<()> {
        self.set_watch_client(client, true)
    }

    /// Ends [`Ctx::watch_client`].
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn unwatch_client(&self, client: &ClientRef) -> Result<()> {
        self.set_watch_client(client, false)
    }

    fn set_watch_client(&self, client: &ClientRef, on: bool) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| {
            let clients = &mut inner.extra(self.slot).clients;
            let known = clients.iter().position(|other| other.session == client.session);
            match (known, on) {
                (None, true) => clients.push(client.clone()),
                (Some(at), false) => {
                    clients.swap_remove(at);
                }
                _ => return,
            }
            inner.outputs.push_back(Output::WatchClient(self.id().clone(), client.clone(), on));
        });
        Ok(())
    }

    /// Ends a session; the client is told why and does not come back by itself.
    pub fn kick(&self, client: &ClientRef, message: &str) {
        let error = Error::new(Code::KICKED, message);
        self.inner(|inner| inner.effect(self.task.0, Effect::Out(Output::Kick(client.clone(), error))));
    }

    // ---- lifecycle and state ---------------------------------------------------------------------------------

    /// Stops this entity after the turn: `on_destroy`, save, gone. The next call to it brings it back from its state.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a service.
    pub fn stop(&self) -> Result<()> {
        self.require_entity()?;
        self.inner(|inner| inner.stop(self.slot, StopReason::Requested));
        Ok(())
    }

    /// Stores the state at the end of this turn, whatever the save policy says.
    pub fn save(&self) {
        if self.id.is_some() {
            self.inner(|inner| inner.slots[self.slot as usize].save_requested = true);
        }
    }

    pub(crate) fn save_requested(&self) -> bool {
        self.inner(|inner| std::mem::take(&mut inner.slots[self.slot as usize].save_requested))
    }

    /// Stores the state if it differs from what is stored; waits until it is durable.
    pub(crate) async fn commit(&self, state: Payload) -> Result<()> {
        let bytes = state.into_bytes();
        let hash = super::hash_bytes(&bytes);
        let mut pause = COMMIT_PAUSE;
        for attempt in 1.. {
            let started = self.inner(|inner| {
                let slot = &inner.slots[self.slot as usize];
                if slot.saved == hash || slot.fenced {
                    return Ok(None);
                }
                let (entity, token, version) = (slot.id.clone(), slot.epoch, slot.version);
                inner.start_commit(StoreRequest::Commit { entity, token, version, state: bytes.clone() }).map(Some)
            });
            let Some(op) = started? else { return Ok(()) };
            let Outcome::Store(reply) = self.wait(op).await else { continue };
            match *reply {
                StoreReply::Committed { version } => {
                    self.inner(|inner| {
                        let slot = &mut inner.slots[self.slot as usize];
                        (slot.version, slot.saved) = (version, hash);
                    });
                    return Ok(());
                }
                StoreReply::Failed(error) if error.code == Code::UNAVAILABLE && attempt < COMMIT_TRIES => {
                    self.sleep(pause).await;
                    pause *= 2;
                }
                StoreReply::Failed(error) => {
                    if matches!(error.code, Code::FENCED | Code::ABORTED) {
                        self.inner(|inner| inner.slots[self.slot as usize].fenced = true);
                    }
                    return Err(error);
                }
                StoreReply::Claimed { .. } => {
                    return Err(Error::new(Code::INTERNAL, "the Store answered a commit with a claim"));
                }
            }
        }
        Ok(())
    }

    /// The turn is over: answer the caller, let its effects go.
    pub(crate) fn finish(&self, result: Result<Payload>) {
        self.inner(|inner| {
            let task = &mut inner.tasks[self.task.0 as usize];
            let (reply, outbox) = (std::mem::take(&mut task.reply), task.outbox.take());
            if let Some(outbox) = outbox
                && inner.slots.get(self.slot as usize).is_none_or(|slot| !slot.fenced) {
                outbox.into_iter().for_each(|effect| inner.run_effect(effect));
            }
            if let Err(error) = &result
                && inner.slots.get(self.slot as usize).is_some_and(|slot| slot.life == Life::Activating)
            {
                inner.extra(self.slot).failed = Some(error.clone());
            }
            if !matches!(&result, Err(error) if error.code == REDIRECTED) {
                inner.deliver(reply, result);
            }
        });
    }

    // ---- reentrant calls -------------------------------------------------------------------------------------

    /// The next reentrant call that waits for this entity, while it lends itself.
    pub(crate) fn take_reentrant(&self) -> Option<(Self, usize, Payload)> {
        let message = self.inner(|inner| {
            inner.tasks[self.task.0 as usize].lending = true;
            inner.slots[self.slot as usize].extra.as_mut()?.reentrant.pop_front()
        })?;
        let Work::Call { method, body } = message.work else { return None };
        let ctx = Self {
            shared: Rc::clone(&self.shared),
            task: self.task,
            slot: self.slot,
            id: self.id.clone(),
            deadline: message.deadline,
            meta: message.meta,
            caller: OnceCell::new(),
            reentrant: Cell::new(Some(Box::new(message.reply))),
        };
        Some((ctx, usize::from(method), body))
    }

    pub(crate) fn answer_reentrant(&self, result: Result<Payload>) {
        if let Some(reply) = self.reentrant.take() {
            self.inner(|inner| inner.deliver(*reply, result));
        }
    }

    pub(crate) fn end_lending(&self) {
        self.inner(|inner| inner.tasks[self.task.0 as usize].lending = false);
    }

    fn wait(&self, op: (u32, u32)) -> Wait {
        Wait { shared: Rc::clone(&self.shared), op: Some(op) }
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctx({:?}, task {:?})", self.id, self.task)
    }
}

/// Waits for an operation; dropped earlier, the outcome is discarded.
struct Wait {
    shared: Rc<Shared>,
    op: Option<(u32, u32)>,
}

impl Future for Wait {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some((op, _)) = self.op else { return Poll::Pending };
        let outcome = self.shared.inner.borrow_mut().poll_op(op, cx.waker());
        match outcome {
            None => Poll::Pending,
            Some(outcome) => {
                self.op = None;
                Poll::Ready(outcome)
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((op, generation)) = self.op {
            self.shared.inner.borrow_mut().cancel(op, generation);
        }
    }
}

/// A set of sessions that are pushed to together. The message is encoded once.
pub struct Group<'a> {
    ctx: &'a Ctx,
    name: Arc<str>,
    except: Vec<bbq_wire::SessionId>,
    unreliable: bool,
}

impl Group<'_> {
    /// Adds a session; a session that is in already stays in. It leaves by itself when it ends.
    pub fn join(&self, client: &ClientRef) {
        self.change(GroupChange::Join(client.clone()));
    }

    /// Takes a session out.
    pub fn leave(&self, client: &ClientRef) {
        self.change(GroupChange::Leave(client.clone()));
    }

    /// Ends the group. Groups of an entity end with it.
    pub fn drop_all(&self) {
        self.change(GroupChange::Drop);
    }

    /// Members that do not get the next push.
    #[must_use]
    pub fn except(mut self, client: &ClientRef) -> Self {
        self.except.push(client.session);
        self
    }

    /// Pushes through this may be lost and are never resent.
    #[must_use]
    pub fn unreliable(mut self) -> Self {
        self.unreliable = true;
        self
    }

    /// Typed access to all members: `group.client::<ChatClientRef>().said(msg).tell()`.
    #[must_use]
    pub fn client<S: ClientStub>(self) -> S {
        self.ctx.to_clients(ClientTarget::Group { group: self.name, except: self.except, unreliable: self.unreliable })
    }

    fn change(&self, change: GroupChange) {
        let joins = matches!(change, GroupChange::Join(_));
        self.ctx.inner(|inner| {
            if self.ctx.id.is_some() && joins {
                let groups = &mut inner.extra(self.ctx.slot).groups;
                if !groups.contains(&self.name) {
                    groups.push(Arc::clone(&self.name));
                }
            }
            let op = GroupOp { group: Arc::clone(&self.name), change };
            inner.effect(self.ctx.task.0, Effect::Out(Output::Group(op)));
        });
    }
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({})", self.name)
    }
}

/// How `on_session` events read in logs.
impl fmt::Display for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detached => "detached",
            Self::Resumed => "resumed",
            Self::Left => "left",
        })
    }
}
