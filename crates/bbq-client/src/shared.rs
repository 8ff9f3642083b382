//! The session machine and everything that the application and the client's task both touch, behind one lock.
//!
//! Whoever hands something in drains the machine at once: replies, pushes and events go straight to the application;
//! what needs the socket waits in [`Work`] for the task.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bbq_wire::client::{Call, ClientSession, Input, Output, State as SessionState};
use bbq_wire::{Code, Error, Key, Result, SessionId, Time};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::options::Options;
use crate::queue::Queue;

/// Most events kept for an application that does not read them; the newest win.
const EVENTS: usize = 64;

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// Which method.
    pub method: u32,
    /// The entity that speaks.
    pub key: Option<Key>,
    /// The encoded argument.
    pub body: Bytes,
}

/// What the server asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which method.
    pub method: u32,
    /// The entity that asks.
    pub key: Option<Key>,
    /// How long it waits.
    pub deadline: Option<Duration>,
    /// The encoded argument.
    pub body: Bytes,
}

/// What became of the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Calls flow.
    Online {
        /// The session goes on: nothing was lost or doubled.
        resumed: bool,
    },
    /// The connection is gone; the client reconnects.
    Detached,
    /// The session could not be resumed: pushes and notifications may be lost, calls in flight have failed with
    /// `OUTCOME_UNKNOWN`. A new session follows; load your state anew.
    Resync,
    /// Over; nothing follows.
    Closed(Error),
}

/// The answer to a [`Request`], some time later.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;
/// Answers requests.
pub(crate) type Handler = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) pushes: Arc<Queue<Push>>,
    pub(crate) events: Arc<Queue<Event>>,
    origin: Instant,
}

struct State {
    machine: ClientSession,
    work: Work,
    replies: BTreeMap<u64, oneshot::Sender<Result<Bytes>>>,
    next_call: u64,
    /// Who waits for the first session.
    opening: Option<oneshot::Sender<Result<()>>>,
    handler: Option<Handler>,
    /// Why the last notification was not taken.
    refused: Option<Error>,
    account: String,
    /// Why the last connection failed.
    failure: Option<String>,
    driver: Option<Waker>,
}

/// What the task must do: write the frames, then disconnect, then connect anew.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) frames: VecDeque<Bytes>,
    pub(crate) disconnect: bool,
    pub(crate) connect: Option<Connect>,
    pub(crate) requests: VecDeque<(u64, Request)>,
    /// The application wants the connection to break.
    pub(crate) cut: bool,
    pub(crate) closed: bool,
}

/// When and where to connect.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) at: Time,
    pub(crate) address: Option<String>,
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Self {
        let state = State {
            machine: ClientSession::new(options.config()),
            work: Work::default(),
            replies: BTreeMap::new(),
            next_call: 0,
            opening: None,
            handler: None,
            refused: None,
            account: String::new(),
            failure: None,
            driver: None,
        };
        Self {
            state: Mutex::new(state),
            pushes: Queue::new(options.push_queue),
            events: Queue::new(EVENTS),
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    pub(crate) fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(time.since(Time::ZERO))
    }

    /// Hands something to the machine and does what comes out.
    pub(crate) fn handle(&self, input: Input) {
        let mut state = self.lock();
        state.machine.handle(self.now(), input);
        self.drain(state);
    }

    /// Starts a call; the receiver gets its outcome.
    pub(crate) fn call(
        &self,
        method: u32,
        key: Option<Key>,
        body: Bytes,
        timeout: Duration,
    ) -> oneshot::Receiver<Result<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        let deadline_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        let mut state = self.lock();
        let call = state.next_call;
        state.next_call += 1;
        state.replies.insert(call, sender);
        let input = Input::Call(Call { call, method, key, deadline_ms: Some(deadline_ms), body });
        state.machine.handle(self.now(), input);
        self.drain(state);
        receiver
    }

    pub(crate) fn notify(&self, method: u32, key: Option<Key>, body: Bytes) -> Result<()> {
        let mut state = self.lock();
        state.machine.handle(self.now(), Input::Notify { method, key, body });
        state.dispatch(self);
        let refused = state.refused.take();
        self.wake_driver(state);
        refused.map_or(Ok(()), Err)
    }

    /// Who asks learns how the first session came about.
    pub(crate) fn on_first_session(&self) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        self.lock().opening = Some(sender);
        receiver
    }

    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.work.cut = true;
        self.wake_driver(state);
    }

    pub(crate) fn set_handler(&self, handler: Handler) {
        self.lock().handler = Some(handler);
    }

    pub(crate) fn handler(&self) -> Option<Handler> {
        self.lock().handler.clone()
    }

    pub(crate) fn sid(&self) -> Option<SessionId> {
        self.lock().machine.sid()
    }

    pub(crate) fn max_calls(&self) -> Option<u32> {
        self.lock().machine.max_calls()
    }

    pub(crate) fn is_online(&self) -> bool {
        self.lock().machine.is_online()
    }

    pub(crate) fn has_room(&self, body_len: usize) -> bool {
        self.lock().machine.has_room(body_len)
    }

    pub(crate) fn account(&self) -> String {
        self.lock().account.clone()
    }

    /// The connection failed or is gone, with everything that was about to be written to it.
    pub(crate) fn lost(&self, why: String) {
        let mut state = self.lock();
        state.failure = Some(why);
        state.work.frames.clear();
        state.machine.handle(self.now(), Input::Disconnected);
        self.drain(state);
    }

    pub(crate) fn failure(&self) -> String {
        self.lock().failure.clone().unwrap_or_else(|| "the gate does not answer".to_owned())
    }

    /// What there is to do, and when the machine wants a tick. More work wakes `waker`.
    pub(crate) fn take_work(&self, waker: &Waker) -> (Work, Option<Time>) {
        let mut state = self.lock();
        state.dispatch(self);
        match &mut state.driver {
            Some(driver) => driver.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        let closed = state.work.closed;
        let work = std::mem::take(&mut state.work);
        state.work.closed = closed;
        (work, state.machine.deadline())
    }

    fn drain(&self, mut state: MutexGuard<'_, State>) {
        state.dispatch(self);
        self.wake_driver(state);
    }

    fn wake_driver(&self, mut state: MutexGuard<'_, State>) {
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn dispatch(&mut self, shared: &Shared) {
        while let Some(output) = self.machine.poll() {
            self.on_output(shared, output);
        }
    }

    fn on_output(&mut self, shared: &Shared, output: Output) {
        match output {
            Output::Send(frame) => self.work.frames.push_back(frame),
            Output::Disconnect => self.work.disconnect = true,
            Output::Connect { after, address } => {
                self.work.connect = Some(Connect { at: shared.now() + after, address });
            }
            Output::Reply { call, result } => {
                // Nobody waits any more when the caller's future was dropped.
                let _ = self.replies.remove(&call).map(|reply| reply.send(result));
            }
            Output::Push { method, key, body } => shared.pushes.push(Push { method, key, body }),
            Output::Request { request, method, key, deadline_ms, body } => {
                let deadline = deadline_ms.map(|ms| Duration::from_millis(ms.into()));
                self.work.requests.push_back((request, Request { method, key, deadline, body }));
            }
            Output::NotifyRefused { error, .. } => self.refused = Some(error),
            Output::State(state) => self.on_state(shared, state),
        }
    }

    fn on_state(&mut self, shared: &Shared, state: SessionState) {
        let event = match state {
            SessionState::Connecting => return,
            SessionState::Online { resumed, account } => {
                self.account = account;
                self.opened(Ok(()));
                Event::Online { resumed }
            }
            SessionState::Detached => Event::Detached,
            SessionState::Resync => Event::Resync,
            SessionState::Closed(error) => {
                self.work.closed = true;
                self.opened(Err(error.clone()));
                Event::Closed(error)
            }
        };
        let over = matches!(event, Event::Closed(_));
        shared.events.push_latest(event);
        if over {
            shared.events.close();
            shared.pushes.close();
        }
    }

    fn opened(&mut self, result: Result<()>) {
        // `Client::connect` may have given up.
        let _ = self.opening.take().map(|opening| opening.send(result));
    }
}

/// Answers a request of the server exactly once, whatever becomes of the handler.
pub(crate) struct Responder {
    shared: Arc<Shared>,
    request: Option<u64>,
}

impl Responder {
    pub(crate) const fn new(shared: Arc<Shared>, request: u64) -> Self {
        Self { shared, request: Some(request) }
    }

    pub(crate) fn send(&mut self, result: Result<Bytes>) {
        if let Some(request) = self.request.take() {
            self.shared.handle(Input::Reply { request, result });
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.send(Err(Error::new(Code::PANICKED, "the client's handler ended without an answer")));
    }
}
