//! What a handler can do: its context.

use std::cell::OnceCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Key, NodeUid, Result, Time};
use buffa::Message;

use super::Shared;
use super::answer::Reply;
use super::call::Call;
use super::glue::Body;
use super::group::Group;
use super::handle::{ClientHandle, ClientStub, ClientTarget, EntityHandle, EntityStub, ServiceHandle, ServiceStub};
use super::io::{ClientRef, Job, Meta, Opaque};
use super::operation::{OpRef, Outcome};
use super::state::{Inner, NONE};
use super::time::Repeat;
use crate::cron::Cron;
use crate::payload::Payload;

/// The code of the error by which a handler says that another entity answers (see [`Ctx::redirect`]).
pub(crate) const REDIRECTED: Code = Code(u32::MAX);
/// Name of the timer behind `on_tick`.
const TICK: &str = "\u{0}tick";

/// The context of one turn or service call: who calls, what time it is, and everything a handler can ask of the world.
///
/// All of it works the same in a simulation: a handler that touches the outside only through its context replays
/// from a seed.
pub struct Ctx {
    pub(crate) shared: Rc<Shared>,
    /// The task that is polled.
    pub(crate) task: u32,
    /// The row that has caller, deadline and session: that of the task, or of a reentrant call within it.
    pub(crate) call: u32,
    pub(crate) slot: u32,
    /// How many more messages this turn's future may handle.
    batch: u32,
    /// Copied when it is first asked for.
    id: OnceCell<EntityId>,
    /// How many effects waited for a commit when this call began.
    pub(crate) held: usize,
}

/// What a turn's future does after a message.
pub(crate) enum Step {
    /// The next call.
    Next(u16, Payload),
    /// It ends, with the answer to its last message.
    Last(Payload),
}

impl Ctx {
    /// The context of no task yet.
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        Self { shared, task: NONE, call: NONE, slot: NONE, batch: 0, id: OnceCell::new(), held: 0 }
    }

    /// Becomes the context of a turn, in place: contexts are reused, and never moved while a turn has them.
    #[inline]
    pub(crate) fn begin(&mut self, task: u32, slot: u32, batch: u32) {
        (self.task, self.call) = (task, task);
        self.slot = slot;
        self.batch = batch;
    }

    /// Lets go of what belongs to a turn that has ended.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.id.take();
    }

    /// The entity whose turn this is; a service has no identity.
    pub(crate) fn me(&self) -> Option<&EntityId> {
        match self.slot {
            NONE => None,
            slot => Some(self.id.get_or_init(|| self.inner(|inner| inner.slots[slot as usize].id.clone()))),
        }
    }

    /// Goes on with the next message of the mailbox within this turn's future, if it may.
    #[inline]
    pub(crate) fn next(&mut self, answer: Payload) -> Step {
        if self.batch == 0 { Step::Last(answer) } else { self.go_on(answer) }
    }

    fn go_on(&mut self, answer: Payload) -> Step {
        self.batch -= 1;
        self.shared.inner.borrow_mut().next_message(self.slot, self.task, answer)
    }

    /// Ends this turn: the answer goes to the caller, the entity back into its slot.
    pub(crate) fn end(self: Box<Self>, entity: Option<Body>, answer: Payload) {
        let shared = Rc::clone(&self.shared);
        shared.inner.borrow_mut().end_turn(self, entity, answer);
    }

    /// Ends this turn with an error.
    #[cold]
    pub(crate) fn fail(self: Box<Self>, entity: Option<Body>, error: Error) {
        let shared = Rc::clone(&self.shared);
        shared.inner.borrow_mut().end_special_turn(self, entity, Err(error));
    }

    /// The context of a reentrant call within this turn.
    pub(crate) fn within(&self, call: u32, held: usize) -> Self {
        let (task, slot) = (self.task, self.slot);
        Self { shared: Rc::clone(&self.shared), task, call, slot, batch: 0, id: OnceCell::new(), held }
    }

    pub(crate) fn inner<R>(&self, with: impl FnOnce(&mut Inner) -> R) -> R {
        with(&mut self.shared.inner.borrow_mut())
    }

    fn meta(&self) -> Option<Arc<Meta>> {
        self.inner(|inner| inner.tasks.get(self.call)?.meta.clone())
    }

    // ---- who and when ----------------------------------------------------------------------------------------

    /// The entity whose turn this is.
    ///
    /// # Panics
    /// In a service: it has no identity.
    #[must_use]
    pub fn id(&self) -> &EntityId {
        self.me().expect("only entities have an id")
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
        self.meta().and_then(|meta| meta.client.clone())
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
        self.inner(|inner| inner.tasks.get(self.call).map_or(Time::MAX, |row| row.deadline))
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

    /// The answer of this call, which is not even boxed when nobody waits for one. For generated code.
    #[must_use]
    pub fn answer<M: Message + Clone + Send + 'static>(&self, message: M) -> Payload {
        let awaited =
            |inner: &mut Inner| inner.tasks.get(self.call).is_some_and(|row| !matches!(row.reply, Reply::Nobody));
        if self.inner(awaited) { Payload::of(message) } else { Payload::EMPTY }
    }

    // ---- calling others --------------------------------------------------------------------------------------

    /// Typed access to an entity, wherever it lives; the first call brings it to life.
    #[must_use]
    pub fn entity<S: EntityStub>(&self, key: impl Into<Key>) -> S {
        self.entity_by_id(EntityId::new(const { S::DESC.type_id() }, key))
    }

    /// Like [`Ctx::entity`], from a whole id. The id's type must be the stub's.
    #[must_use]
    pub fn entity_by_id<S: EntityStub>(&self, id: EntityId) -> S {
        S::bind(EntityHandle::new(Rc::clone(&self.shared), id))
    }

    /// Typed access to a service: this world's own instance if it has one, else one chosen by load.
    #[must_use]
    pub fn service<S: ServiceStub>(&self) -> S {
        S::bind(ServiceHandle::new(Rc::clone(&self.shared), const { S::DESC.type_id() }, None))
    }

    /// Typed access to a service; calls with the same `affinity` go to the same instance while it lives.
    #[must_use]
    pub fn service_for<S: ServiceStub>(&self, affinity: u64) -> S {
        S::bind(ServiceHandle::new(Rc::clone(&self.shared), const { S::DESC.type_id() }, Some(affinity)))
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

    pub(crate) fn to_clients<S: ClientStub>(&self, to: ClientTarget) -> S {
        S::bind(ClientHandle::new(Rc::clone(&self.shared), self.me().cloned(), to))
    }

    /// A named group of sessions for broadcast. An entity's groups are its own (two rooms may both have "all") and
    /// end with it; those of services are shared by all services.
    #[must_use]
    pub fn group(&self, name: &str) -> Group<'_> {
        let name = match self.me() {
            Some(id) => format!("{id}/{name}").into(),
            None => name.into(),
        };
        Group::new(self, name)
    }

    /// Another entity (or service, or client) answers this call in our stead: `return ctx.redirect(other.say(req))`.
    /// This turn ends at once; the caller gets the other's answer.
    ///
    /// # Errors
    /// Always: the error to return.
    pub fn redirect<R>(&self, call: Call<R>) -> Result<R> {
        let mut inner = self.shared.inner.borrow_mut();
        let reply = inner.hand_over_reply(self.call);
        if let Err((reply, error)) = call.forward(&mut inner, reply) {
            inner.deliver(reply, Err(error));
        }
        Err(Error::new(REDIRECTED, "answered by another"))
    }

    // ---- time ------------------------------------------------------------------------------------------------

    /// Waits. The entity stays busy: its other messages wait too; mostly a timer is the better choice.
    pub async fn sleep(&self, duration: Duration) {
        if let Ok(op) = self.inner(|inner| inner.start_sleep(duration)) {
            self.wait(op).await;
        }
    }

    /// Lets others run before going on.
    pub async fn yield_now(&self) {
        let started = self.inner(|inner| {
            let op = inner.begin(Time::MAX)?;
            inner.complete(op, Outcome::Fired);
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
        self.slot != NONE && self.inner(|inner| inner.cancel_timer(self.slot, name))
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

    pub(crate) fn require_entity(&self) -> Result<()> {
        match self.slot {
            NONE => Err(Error::new(Code::FAILED_PRECONDITION, "only entities can do this, not services")),
            _ => Ok(()),
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
        let meta = self.meta();
        let id = self.inner(|inner| {
            let generation = inner.next_generation();
            inner.tasks.begin(generation, Time::MAX, (NONE, 0), meta).0
        });
        let mut ctx = Self::new(Rc::clone(&self.shared));
        ctx.begin(id, NONE, 0);
        let future = task(ctx);
        let shared = Rc::clone(&self.shared);
        self.inner(|inner| {
            inner.tasks[id].turn = Some(Box::pin(async move {
                future.await;
                shared.inner.borrow_mut().end_spawned(id);
            }));
            inner.schedule(id);
        });
    }

    pub(crate) fn wait(&self, op: OpRef) -> Wait {
        Wait { shared: Rc::clone(&self.shared), op: Some(op) }
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctx({:?}, task {:?})", self.id.get(), self.task)
    }
}

/// Waits for an operation; dropped earlier, the outcome is discarded.
pub(crate) struct Wait {
    shared: Rc<Shared>,
    op: Option<OpRef>,
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
        if let Some(op) = self.op {
            self.shared.inner.borrow_mut().cancel(op);
        }
    }
}
