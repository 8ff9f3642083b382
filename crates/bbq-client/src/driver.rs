//! The client's task: one hand-written future that owns the connection and one timer.
//!
//! ```text
//! idle -> waiting (backoff) -> dialing -> open -> idle ..
//! ```
//! It decides nothing: it asks [`Shared`] for work, moves bytes, and reports what happened.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_wire::client::Input;
use bbq_wire::{Code, Error, Time};
use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::address::Address;
use crate::options::Options;
use crate::shared::{Connect, Request, Responder, Shared};
use crate::wire::{Lost, Wire};

/// After so many rounds the task lets others run.
const ROUNDS: u32 = 64;
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

type Dialing = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

pub(crate) struct Driver {
    shared: Arc<Shared>,
    address: Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    max_frame: u32,
    line: Line,
    frames: VecDeque<Bytes>,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends.
    armed: Time,
}

enum Line {
    Idle,
    Waiting(Connect),
    Dialing(Dialing),
    Open(Wire),
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, address: Address, options: &Options) -> Self {
        Self {
            shared,
            address,
            tls: options.tls.clone(),
            max_frame: options.max_frame,
            line: Line::Idle,
            frames: VecDeque::new(),
            sleep: Box::pin(tokio::time::sleep(FAR)),
            armed: Time::MAX,
        }
    }

    /// Takes over what the machine wants done. True: the client is over.
    fn take_work(&mut self, cx: &mut Context<'_>) -> (bool, Option<Time>) {
        let (mut work, deadline) = self.shared.take_work(cx.waker());
        self.frames.append(&mut work.frames);
        work.requests.drain(..).for_each(|(id, request)| self.serve(id, request));
        if work.disconnect {
            self.disconnect(cx);
        } else if work.cut && matches!(self.line, Line::Open(_) | Line::Dialing(_)) {
            self.lost(&io::Error::other("cut by the application"));
        }
        if let Some(connect) = work.connect {
            self.line = Line::Waiting(connect);
        }
        (work.closed, deadline)
    }

    /// What was handed in before still goes out, as far as the socket takes it.
    fn disconnect(&mut self, cx: &mut Context<'_>) {
        if let Line::Open(wire) = &mut self.line {
            let _ = wire.poll_write(cx, &mut self.frames);
            wire.close(cx);
        }
        self.frames.clear();
        self.line = Line::Idle;
    }

    fn lost(&mut self, why: &io::Error) {
        self.frames.clear();
        self.line = Line::Idle;
        self.shared.lost(why.to_string());
    }

    /// One step of the connection. True: something happened, there may be more.
    fn step(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.line {
            Line::Idle => false,
            Line::Waiting(connect) if connect.at > self.shared.now() => false,
            Line::Waiting(connect) => {
                let address = connect.address.take();
                self.dial(address.as_deref());
                true
            }
            Line::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(wire)) => {
                    self.line = Line::Open(wire);
                    self.shared.handle(Input::Connected);
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.lost(&error);
                    true
                }
            },
            Line::Open(_) => self.move_bytes(cx),
        }
    }

    fn dial(&mut self, moved: Option<&str>) {
        let address = moved.map_or_else(|| Ok(self.address.clone()), |moved| self.address.moved(moved));
        match address {
            Ok(address) => {
                self.line = Line::Dialing(Box::pin(Wire::dial(address, self.tls.clone(), self.max_frame)));
            }
            Err(error) => self.lost(&io::Error::other(error)),
        }
    }

    fn move_bytes(&mut self, cx: &mut Context<'_>) -> bool {
        let Line::Open(wire) = &mut self.line else { return false };
        if let Poll::Ready(Err(error)) = wire.poll_write(cx, &mut self.frames) {
            self.lost(&error);
            return true;
        }
        if self.shared.pushes.poll_room(cx).is_pending() {
            return false;
        }
        match wire.poll_frame(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(frame)) => self.shared.handle(Input::Frame(frame)),
            Poll::Ready(Err(Lost::BadFrame(error))) => self.shared.handle(Input::BadFrame(error)),
            Poll::Ready(Err(Lost::Gone(error))) => self.lost(&error),
        }
        true
    }

    /// Ends when the machine's deadline or the pause before a connection is over. True: it is.
    fn poll_time(&mut self, cx: &mut Context<'_>, deadline: Option<Time>) -> bool {
        let connect = match &self.line {
            Line::Waiting(connect) => connect.at,
            _ => Time::MAX,
        };
        let next = deadline.unwrap_or(Time::MAX).min(connect);
        // A deadline that moves away - most do, with every frame - leaves the timer alone; it is set anew when it ends.
        if next < self.armed {
            self.armed = next;
            let instant = self.shared.instant(next).unwrap_or_else(|| Instant::now() + FAR);
            self.sleep.as_mut().reset(instant);
        }
        if self.armed == Time::MAX || self.sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.armed = Time::MAX;
        if deadline.is_some_and(|deadline| deadline <= self.shared.now()) {
            self.shared.handle(Input::Tick);
        }
        true
    }

    /// Runs the application's handler in a task of its own.
    fn serve(&self, id: u64, request: Request) {
        let mut responder = Responder::new(self.shared.clone(), id);
        match self.shared.handler() {
            Some(handler) => drop(tokio::spawn(async move { responder.send(handler(request).await) })),
            None => responder.send(Err(Error::new(Code::UNIMPLEMENTED, "this client answers no requests"))),
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            let (closed, deadline) = this.take_work(cx);
            if closed {
                return Poll::Ready(());
            }
            let stepped = this.step(cx);
            let ticked = !stepped && this.poll_time(cx, deadline);
            if !stepped && !ticked {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A runtime that shuts down takes its clients with it; nobody keeps waiting for a reply.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.handle(Input::Close);
    }
}
