//! One client of the original: bytes of its line, the bridge, and the outbox of the machine.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_core::compat::{Bridge, Login, Names, Output};
use bbq_core::gate::{ConnId, Input, Part};
use bbq_core::mesh::ToGate;
use bbq_rt::clock::Clock;
use bbq_wire::compat::CompatFrame;
use bbq_wire::{Code, Error, Frame, SessionId, Splitter};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::line::Line;
use crate::machine::ToMachine;
use crate::outbox::{End, Outbox, Taken};

/// Bytes that wait for the client, above which it is not read: it makes only itself wait.
const HIGH: usize = 64 * 1024;
/// The machine is told at once when so many bytes were flushed; otherwise with the next frames that it sends.
const MANY_BYTES: u32 = 64 * 1024;
/// How long a connection that is to be closed may take to read what was sent before.
const LINGER: Duration = Duration::from_secs(2);

/// One client.
pub(super) struct Session {
    departure: Departure,
    bridge: Bridge,
    clock: Clock,
    outbox: Arc<Outbox>,
    /// What was read and is not yet a frame.
    incoming: BytesMut,
    /// What waits for the line.
    outgoing: BytesMut,
    /// For the machine.
    frames: SmallVec<[Frame; 1]>,
    /// Bytes that the machine counts as unflushed.
    unflushed: u32,
    ended: bool,
}

/// Tells the machine that the connection is gone and with it the session - also when the task panics.
struct Departure {
    conn: ConnId,
    session: Option<SessionId>,
    to_machine: mpsc::Sender<ToMachine>,
}

impl Session {
    pub(super) fn new(
        conn: ConnId,
        outbox: Arc<Outbox>,
        to_machine: mpsc::Sender<ToMachine>,
        clock: Clock,
        names: Arc<Names>,
        login: Login,
    ) -> Self {
        Self {
            departure: Departure { conn, session: None, to_machine },
            bridge: Bridge::new(clock.now(), names, login),
            clock,
            outbox,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            frames: SmallVec::new(),
            unflushed: 0,
            ended: false,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, opening: impl Future<Output = io::Result<Option<Line>>>) {
        let opened = tokio::select! {
            opened = opening => opened.ok().flatten(),
            () = expelled(&self.outbox) => None,
        };
        let Some(mut line) = opened else { return };
        loop {
            let step = poll_fn(|context| self.poll_step(context, &mut line)).await;
            if !self.hand_in_frames().await || step.is_err() {
                return;
            }
            if self.ended {
                // What the client was told last should reach it; it may be gone, too.
                let _ = timeout(LINGER, poll_fn(|context| line.poll_close(context, &mut self.outgoing))).await;
                return;
            }
        }
    }

    /// Ready when there are frames for the machine, or the connection ends. An error: it is gone.
    fn poll_step(&mut self, context: &mut Context<'_>, line: &mut Line) -> Poll<io::Result<()>> {
        loop {
            if self.take_from_machine(context) == End::Abort {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            let written = line.poll_write(context, &mut self.outgoing)?.is_ready();
            if written {
                self.flushed();
            }
            if self.ended || !self.frames.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !written && self.outgoing.len() >= HIGH {
                return Poll::Pending;
            }
            match line.poll_read(context)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(bytes) if bytes.is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(bytes) => self.receive(&bytes)?,
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.incoming.extend_from_slice(bytes);
        let now = self.clock.now();
        let mut outputs = Vec::new();
        while let Some(frame) = CompatFrame::split(&mut self.incoming, self.bridge.limit()).map_err(io::Error::other)? {
            let frame = CompatFrame::decode(&frame).map_err(io::Error::other)?;
            self.bridge.on_original(now, frame, &mut outputs);
        }
        if self.incoming.is_empty() {
            self.incoming = BytesMut::new();
        }
        self.obey(outputs);
        Ok(())
    }

    fn take_from_machine(&mut self, context: &Context<'_>) -> End {
        let Taken { parts, end, .. } = self.outbox.take(context);
        let (now, mut outputs) = (self.clock.now(), Vec::new());
        for part in parts {
            self.unflushed = self.unflushed.saturating_add(u32::try_from(part.size()).unwrap_or(u32::MAX));
            if let Some(frame) = decode(&part) {
                self.bridge.on_native(now, frame, &mut outputs);
            }
        }
        self.departure.session = self.bridge.session().or(self.departure.session);
        self.obey(outputs);
        self.ended |= end != End::No;
        end
    }

    fn obey(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Native(frame) => self.frames.push(frame),
                Output::Original(frame) => frame.encode(&mut self.outgoing),
                Output::Close => self.ended = true,
            }
        }
    }

    /// Everything that was for the client is on its way.
    fn flushed(&mut self) {
        let bytes = std::mem::take(&mut self.unflushed);
        if bytes > 0
            && let Some(bytes) = self.outbox.count_flushed(bytes, MANY_BYTES)
        {
            let conn = self.departure.conn;
            // A full queue: the bytes are told the next time.
            if self.departure.to_machine.try_send(ToMachine::Input(Input::Flushed { conn, bytes })).is_err() {
                self.unflushed = bytes;
            }
        }
        if self.outgoing.is_empty() {
            self.outgoing = BytesMut::new();
        }
    }

    /// Waits for room in the machine's queue; whether the machine is there.
    async fn hand_in_frames(&mut self) -> bool {
        if self.frames.is_empty() {
            return true;
        }
        let (conn, frames) = (self.departure.conn, std::mem::take(&mut self.frames));
        let input = ToMachine::Input(Input::Frames { conn, bytes: 0, frames });
        self.departure.to_machine.send(input).await.is_ok()
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let Self { conn, session, to_machine } = self;
        let (conn, to_machine) = (*conn, to_machine.clone());
        let kick = session.map(|session| {
            let error = Error::new(Code::SESSION_EXPIRED, "the session ended with its connection");
            Input::Mesh(ToGate::Kick { session, error })
        });
        // Outside of a runtime everything is over.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            for input in kick.into_iter().chain([Input::Closed { conn }]) {
                // Fails only if the machine is gone.
                let _ = to_machine.send(ToMachine::Input(input)).await;
            }
        });
    }
}

/// Returns when the machine does not want the connection any more.
async fn expelled(outbox: &Outbox) {
    poll_fn(|context| match outbox.watch_end(context) {
        End::No => Poll::Pending,
        End::Close | End::Abort => Poll::Ready(()),
    })
    .await;
}

/// The machine's frames are well-formed.
fn decode(part: &Part) -> Option<Frame> {
    let mut bytes = Bytes::from([part.prefix.as_slice(), &part.tail].concat());
    let frame = Splitter::new(u32::MAX).next_in_message(&mut bytes).ok().flatten()?;
    Frame::decode(frame).ok()
}
