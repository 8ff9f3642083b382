//! The [`Call`] that handles make: how a message finds its way, and how its answer comes back.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_wire::{Code, EntityId, Error, Result, Time};

use super::Shared;
use super::answer::{Answer, Reply, Sent};
use super::glue::Work;
use super::handle::{ClientHandle, ClientTarget, EntityHandle, ServiceHandle};
use super::io::{GroupChange, GroupOp, Meta, Outgoing, Output, Target, ToClient};
use super::operation::{OpRef, Outcome, call_id};
use super::state::{Config, Inner, Message};
use super::task::Effect;
use super::turn::run_at_once;
use crate::desc::ServiceDesc;
use crate::payload::Payload;

pub(crate) enum To {
    Entity(EntityHandle),
    Service(Box<ServiceHandle>),
    Client(Box<ClientHandle>),
}

impl To {
    #[inline]
    fn shared(&self) -> &Rc<Shared> {
        match self {
            Self::Entity(handle) => handle.shared(),
            Self::Service(handle) => &handle.shared,
            Self::Client(handle) => &handle.shared,
        }
    }
}

#[derive(Clone, Copy)]
enum Progress {
    Prepared,
    Waiting(OpRef),
    Ended,
}

/// A call that has been prepared. Awaiting it sends it and waits for the answer; [`Call::tell`] sends it and does not
/// wait. Dropped before either, nothing was sent; dropped while waiting, the answer is discarded.
#[must_use = "a call is sent when it is awaited, or by .tell()"]
pub struct Call<R> {
    desc: &'static ServiceDesc,
    body: Payload,
    decode: fn(Payload) -> Result<R>,
    to: To,
    timeout: Option<Duration>,
    progress: Progress,
    method: u16,
}

impl<R> Call<R> {
    #[inline]
    pub(crate) fn new(
        desc: &'static ServiceDesc,
        method: usize,
        body: Payload,
        decode: fn(Payload) -> Result<R>,
        to: To,
    ) -> Self {
        Self { desc, body, decode, to, timeout: None, progress: Progress::Prepared, method: method as u16 }
    }

    /// Waits at most this long instead of the method's own deadline. The caller's own deadline still holds.
    #[inline]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the message one-way.
    pub fn tell(mut self) {
        let body = std::mem::take(&mut self.body);
        self.sending().tell(body);
    }

    /// Sends the call so that its answer goes to `reply` (see [`Ctx::redirect`]).
    pub(crate) fn forward(mut self, inner: &mut Inner, reply: Reply) -> Result<(), (Reply, Error)> {
        let body = std::mem::take(&mut self.body);
        self.sending().forward(inner, body, reply)
    }

    /// Everything but the type of the answer, so that sending is compiled once.
    #[inline]
    fn sending(&self) -> Sending<'_> {
        Sending { desc: self.desc, to: &self.to, timeout: self.timeout, method: self.method }
    }
}

struct Sending<'a> {
    desc: &'static ServiceDesc,
    to: &'a To,
    timeout: Option<Duration>,
    method: u16,
}

impl Sending<'_> {
    fn tell(&self, body: Payload) {
        let inner = &mut *self.to.shared().inner.borrow_mut();
        let deadline = if self.timeout.is_some() { self.bounded_deadline(inner) } else { Time::MAX };
        let task = inner.current;
        if let To::Entity(handle) = self.to
            && !inner.holds_effects(task)
            && let Some(index) = handle.find(inner)
        {
            let meta = inner.caller().and_then(|(_, row)| one_way(row.meta.as_ref()?));
            return inner.tell_here(index, self.method, body, deadline, meta);
        }
        let effect = match self.to {
            To::Client(handle) => Effect::Out(self.to_client(inner, handle, body, None, deadline)),
            _ => Effect::Tell(self.outgoing(inner, body, None, deadline), self.method),
        };
        inner.effect(task, effect);
    }

    /// Sends the call.
    fn ask(&self, body: Payload) -> Sent {
        let shared = self.to.shared();
        let mut borrowed = shared.inner.borrow_mut();
        let inner = &mut *borrowed;
        let (bound, parent, meta) = inner.parentage();
        let deadline = self.deadline(inner.now, &inner.config).min(bound);
        if deadline <= inner.now {
            return refuse(inner, too_late());
        }
        let To::Entity(handle) = self.to else { return self.ask_other(inner, body, deadline) };
        let Some(index) = handle.find(inner) else { return self.ask_other(inner, body, deadline) };
        if inner.runs_at_once(index) {
            let work = (self.method, body);
            return run_at_once(shared, borrowed, index, work, deadline, (parent, meta));
        }
        let op = match inner.begin(deadline) {
            Ok(op) => op,
            Err(error) => return refuse(inner, error),
        };
        let work = Work::Call { method: self.method, body };
        let message = Message { work, reply: Reply::Op(op), deadline, parent, meta };
        match inner.enqueue(index, self.method, message) {
            Ok(()) => Sent::Waiting(op),
            Err((_, error)) => {
                inner.cancel(op);
                refuse(inner, error)
            }
        }
    }

    /// Asks what is not an entity of this world.
    #[inline(never)]
    fn ask_other(&self, inner: &mut Inner, body: Payload, deadline: Time) -> Sent {
        if let To::Client(handle) = self.to
            && matches!(handle.to, ClientTarget::Group { .. })
        {
            let why = "a group cannot be asked: use .tell()";
            return refuse(inner, Error::new(Code::INVALID_ARGUMENT, why));
        }
        let op = match inner.begin(deadline) {
            Ok(op) => op,
            Err(error) => return refuse(inner, error),
        };
        match self.route(inner, body, deadline, Reply::Op(op), Some(op)) {
            Ok(()) => Sent::Waiting(op),
            Err((_, error)) => {
                inner.cancel(op);
                refuse(inner, error)
            }
        }
    }

    /// Into a mailbox or a service of this world, else out of it, as the operation `op` or with a new one.
    fn route(
        &self,
        inner: &mut Inner,
        body: Payload,
        deadline: Time,
        reply: Reply,
        op: Option<OpRef>,
    ) -> Result<(), (Reply, Error)> {
        let (_, parent, meta) = inner.parentage();
        let message = |body, reply| {
            let work = Work::Call { method: self.method, body };
            Message { work, reply, deadline, parent, meta }
        };
        let sent = match self.to {
            To::Client(handle) => {
                let op = op.unwrap_or_else(|| inner.begin_forward(deadline, reply));
                let output = self.to_client(inner, handle, body, Some(op), deadline);
                inner.outputs.push_back(output);
                return Ok(());
            }
            To::Service(handle) if handle.affinity.is_none() => match inner.type_of(handle.type_id) {
                Some(kind) => inner.start_service(kind, message(body, reply)),
                None => return self.send_out(inner, body, deadline, reply, op),
            },
            To::Service(_) => return self.send_out(inner, body, deadline, reply, op),
            To::Entity(handle) => match handle.find(inner) {
                Some(index) => inner.enqueue(index, self.method, message(body, reply)),
                None => return self.send_out(inner, body, deadline, reply, op),
            },
        };
        sent.map_err(|(message, error)| (message.reply, error))
    }

    fn send_out(
        &self,
        inner: &mut Inner,
        body: Payload,
        deadline: Time,
        reply: Reply,
        op: Option<OpRef>,
    ) -> Result<(), (Reply, Error)> {
        let op = op.or_else(|| match reply {
            Reply::Nobody => None,
            reply => Some(inner.begin_forward(deadline, reply)),
        });
        let call = self.outgoing(inner, body, op, deadline);
        inner.outputs.push_back(Output::Call(call));
        Ok(())
    }

    fn forward(&self, inner: &mut Inner, body: Payload, reply: Reply) -> Result<(), (Reply, Error)> {
        let deadline = self.bounded_deadline(inner);
        self.route(inner, body, deadline, reply, None)
    }

    fn bounded_deadline(&self, inner: &Inner) -> Time {
        let bound = inner.caller().map_or(Time::MAX, |(_, row)| row.deadline);
        self.deadline(inner.now, &inner.config).min(bound)
    }

    /// The call's own deadline; its caller may have less time.
    #[inline]
    fn deadline(&self, now: Time, config: &Config) -> Time {
        let own = self.desc.methods.get(usize::from(self.method)).map_or(0, |method| method.timeout_ms);
        let timeout = self.timeout.unwrap_or(match own {
            0 => config.call_timeout,
            ms => Duration::from_millis(u64::from(ms)),
        });
        now + timeout
    }

    fn method_id(&self) -> u32 {
        self.desc.methods.get(usize::from(self.method)).map_or(0, |method| method.id)
    }

    fn outgoing(&self, inner: &Inner, body: Payload, op: Option<OpRef>, deadline: Time) -> Outgoing {
        let (target, affinity) = match self.to {
            To::Entity(handle) => (Target::Entity(handle.id().clone()), None),
            To::Service(handle) => (Target::Service(handle.type_id), handle.affinity),
            To::Client(_) => unreachable!("calls on clients leave through to_client"),
        };
        let caller = inner.caller().map(|(_, row)| row);
        let chain = match caller {
            Some(caller) if op.is_some() => inner.chain(caller),
            _ => Vec::new(),
        };
        let meta = in_chain(caller.and_then(|row| row.meta.as_ref()), chain);
        Outgoing { target, method: self.method_id(), body, call: op.map(call_id), deadline, affinity, meta }
    }

    fn to_client(
        &self,
        inner: &Inner,
        handle: &ClientHandle,
        body: Payload,
        op: Option<OpRef>,
        deadline: Time,
    ) -> Output {
        let (method, from, body) = (self.method_id(), handle.me.clone(), body.into_bytes());
        match &handle.to {
            ClientTarget::Session { client, unreliable } => {
                let (client, call, unreliable) = (client.clone(), op.map(call_id), *unreliable && op.is_none());
                Output::ToClient(ToClient { client, method, from, body, call, deadline, unreliable })
            }
            ClientTarget::Group { group, except, unreliable } => {
                let (except, unreliable) = (except.clone(), *unreliable);
                let epoch = inner.epoch_of(from.as_ref());
                let change = GroupChange::Push { method, from, body, except, unreliable };
                Output::Group(GroupOp { group: Arc::clone(group), epoch, change })
            }
        }
    }
}

/// What of a caller's metadata goes with a message that nobody waits for: all but the chain.
fn one_way(meta: &Arc<Meta>) -> Option<Arc<Meta>> {
    in_chain(Some(meta), Vec::new())
}

/// A caller's metadata with this chain.
fn in_chain(meta: Option<&Arc<Meta>>, chain: Vec<EntityId>) -> Option<Arc<Meta>> {
    match meta {
        Some(meta) if meta.chain == chain => Some(Arc::clone(meta)),
        Some(meta) => Meta { client: meta.client.clone(), chain, trace: meta.trace }.shared(),
        None => Meta { chain, ..Meta::default() }.shared(),
    }
}

/// A call that was not sent.
#[cold]
fn refuse(inner: &mut Inner, error: Error) -> Sent {
    inner.answer = Answer::Err(error);
    Sent::Failed
}

#[cold]
fn too_late() -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, "the caller's deadline has passed; the call was not sent")
}

impl<R> Future for Call<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut *self;
        let op = match call.progress {
            Progress::Waiting(op) => op,
            Progress::Prepared => {
                call.progress = Progress::Ended;
                let body = std::mem::take(&mut call.body);
                match call.sending().ask(body) {
                    Sent::Answered(body) => return Poll::Ready((call.decode)(body)),
                    Sent::Failed => return Poll::Ready(Err(call.to.shared().inner.borrow_mut().take_error())),
                    Sent::Waiting(op) => {
                        call.progress = Progress::Waiting(op);
                        op
                    }
                }
            }
            Progress::Ended => panic!("a call was polled after it had ended"),
        };
        let outcome = call.to.shared().inner.borrow_mut().poll_op(op.0, cx.waker());
        match outcome {
            None => Poll::Pending,
            Some(outcome) => {
                call.progress = Progress::Ended;
                let Outcome::Reply(result) = outcome else { unreachable!("calls end with replies") };
                Poll::Ready(result.and_then(call.decode))
            }
        }
    }
}

impl<R> Unpin for Call<R> {}

impl<R> Drop for Call<R> {
    #[inline]
    fn drop(&mut self) {
        if let Progress::Waiting(op) = self.progress {
            self.to.shared().inner.borrow_mut().cancel(op);
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.desc.methods.get(usize::from(self.method)).map_or("?", |method| method.name);
        write!(f, "Call({}/{name})", self.desc.name)
    }
}

/// Sends all `calls` before it waits for the first; their answers in the same order. Costs less than combinators that
/// wake each future by itself.
///
/// ```text
/// let answers = all(players.iter().map(|player| player.score())).await;
/// ```
pub async fn all<R>(calls: impl IntoIterator<Item = Call<R>>) -> Vec<Result<R>> {
    let mut calls: Vec<_> = calls.into_iter().map(|call| (call, None)).collect();
    std::future::poll_fn(|cx| {
        calls.iter_mut().for_each(|row| row.1 = ready(Pin::new(&mut row.0).poll(cx)));
        Poll::Ready(())
    })
    .await;
    let mut answers = Vec::with_capacity(calls.len());
    for (call, answer) in calls {
        answers.push(match answer {
            Some(answer) => answer,
            None => call.await,
        });
    }
    answers
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
