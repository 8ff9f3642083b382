//! The task of one connection: reads and decodes for the machine, writes what the machine has put into the outbox.
//!
//! Between two frames it holds no buffers: reads go into the buffer of the thread, writes straight from shared bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bbq_core::gate::{ConnId, Inlet, Input, Part, Reading};
use bbq_wire::frame::{Frame, FrameError};
use bbq_wire::shared::MAX_PREFIX_BYTES;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::messages::ToMachine;
use crate::opening::{Door, Opened};
use crate::outbox::{End, Outbox, Taken};
use crate::socket::Socket;
use crate::websocket::{self, Decoder, Event, MAX_HEADER};

/// How long a connection that is to be closed may take to read what was sent before.
const LINGER: Duration = Duration::from_secs(2);
/// Most pieces of memory per write.
const MAX_PIECES: usize = 64;
/// Pieces that are no longer together are written as one.
const JOIN_BYTES: usize = 4096;
/// Payload after which a WebSocket message is full.
const MESSAGE_BYTES: usize = 32 * 1024;
/// The machine is told at once when so many bytes were flushed; otherwise with the next frames that it sends.
const MANY_BYTES: u32 = 64 * 1024;

/// Most frames in one message to the machine. A frame in memory is larger than on the wire, and the queue is bounded by
/// messages.
const MAX_FRAMES: usize = 64;
/// Room for frames, as soon as there is more than one.
const MANY_FRAMES: usize = 16;
/// Pieces that wait, above which pings are not answered: a client that does not read needs no pong.
const MAX_PONG_BACKLOG: usize = 64;

/// Everything one connection is made of.
struct Connection {
    id: ConnId,
    to_machine: mpsc::Sender<ToMachine>,
    inlet: Inlet,
    /// WebSocket: its decoder, and bytes that wait for it.
    websocket: Option<Box<Decoder>>,
    raw: BytesMut,
    /// Frames may be ready to be decoded.
    more: bool,
    writer: Writer,
}

/// The socket and what is on the way into it.
struct Writer {
    socket: Socket,
    outbox: Arc<Outbox>,
    framed: bool,
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that were written.
    written: usize,
    reading: Option<Reading>,
    end: End,
}

/// Bytes of our own and then bytes that are shared.
struct Piece {
    head: Head,
    tail: Bytes,
}

/// The header of a message and the prefix of a frame, either of which may be empty.
struct Head {
    bytes: [u8; MAX_HEADER + MAX_PREFIX_BYTES],
    len: u8,
}

/// What a read gave.
#[derive(Default)]
struct Decoded {
    frames: SmallVec<[Frame; 1]>,
    /// Comes behind the frames.
    error: Option<FrameError>,
    /// How many bytes it took.
    bytes: u32,
    /// There are more frames.
    more: bool,
}

enum Step {
    Read(BytesMut),
    ReadOn(Reading),
    Flushed(u32),
    End(End),
    Gone,
}

/// What could not be told at once.
struct Stuck {
    input: Option<ToMachine>,
    /// Comes behind the input, and ends the connection.
    error: Option<FrameError>,
}

/// Serves one connection to its end. What is rare is boxed, so that the task of an idle connection is small.
pub(crate) async fn serve(
    id: ConnId,
    stream: TcpStream,
    door: Arc<Door>,
    outbox: Arc<Outbox>,
    to_machine: mpsc::Sender<ToMachine>,
) {
    if let Some(opened) = Box::pin(open(stream, door, outbox.clone())).await {
        Connection::new(id, opened, outbox, to_machine.clone()).run().await;
    }
    // Fails only if the machine is gone.
    let _ = Box::pin(to_machine.send(ToMachine::Input(Input::Closed { conn: id }))).await;
}

async fn open(stream: TcpStream, door: Arc<Door>, outbox: Arc<Outbox>) -> Option<Opened> {
    tokio::select! {
        opened = door.open(stream) => opened.ok().flatten(),
        () = expelled(&outbox) => None,
    }
}

/// Returns when the machine does not want the connection any more, and it had time to hear why.
async fn expelled(outbox: &Outbox) {
    let end = poll_fn(|context| match outbox.watch_end(context) {
        End::No => Poll::Pending,
        end => Poll::Ready(end),
    });
    if end.await == End::Close {
        sleep(LINGER).await;
    }
}

impl Connection {
    fn new(id: ConnId, opened: Opened, outbox: Arc<Outbox>, to_machine: mpsc::Sender<ToMachine>) -> Self {
        let Opened { socket, websocket, rest } = opened;
        let writer = Writer::new(socket, outbox, websocket.is_some());
        Self { id, to_machine, inlet: Inlet::default(), websocket, raw: rest, more: false, writer }
    }

    async fn run(mut self) {
        loop {
            if let Some(stuck) = self.tell()
                && !Box::pin(self.wait(stuck)).await
            {
                return;
            }
            if std::mem::take(&mut self.more) {
                continue;
            }
            match poll_fn(|context| self.poll_step(context)).await {
                Step::Read(bytes) if self.websocket.is_some() && self.raw.is_empty() => self.raw = bytes,
                Step::Read(bytes) if self.websocket.is_some() => self.raw.extend_from_slice(&bytes),
                Step::Read(bytes) => self.inlet.push(bytes),
                Step::ReadOn(reading) => self.inlet.read_on(reading),
                Step::Flushed(bytes) => {
                    let input = Input::Flushed { conn: self.id, bytes };
                    if !Box::pin(self.hand_in(ToMachine::Input(input))).await {
                        return;
                    }
                }
                Step::End(End::Close) => {
                    let _ = Box::pin(timeout(LINGER, self.writer.finish())).await;
                    return;
                }
                Step::End(_) | Step::Gone => return,
            }
        }
    }

    /// Tells the machine everything that has arrived; what is left to be told.
    fn tell(&mut self) -> Option<Box<Stuck>> {
        let Decoded { frames, error, bytes, more } = self.decode();
        self.more = more;
        let mut input = None;
        if !frames.is_empty() {
            let frames = ToMachine::Input(Input::Frames { conn: self.id, bytes, frames });
            input = self.to_machine.try_send(frames).err().map(mpsc::error::TrySendError::into_inner);
        }
        (input.is_some() || error.is_some()).then(|| Box::new(Stuck { input, error }))
    }

    /// Tells the machine the rest; whether the connection goes on.
    async fn wait(&mut self, stuck: Box<Stuck>) -> bool {
        let Stuck { input, error } = *stuck;
        if let Some(input) = input
            && !self.hand_in(input).await
        {
            return false;
        }
        let Some(error) = error else { return true };
        // The machine answers and closes; what else the client sends is not looked at.
        if self.hand_in(ToMachine::Input(Input::BadFrame { conn: self.id, error })).await {
            let _ = timeout(LINGER, self.writer.finish_when_told()).await;
        }
        false
    }

    /// What can be done now; flushes on the way.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        self.writer.refill(context);
        if self.writer.end != End::No {
            return Poll::Ready(Step::End(self.writer.end));
        }
        if let Some(reading) = self.writer.reading.take() {
            return Poll::Ready(Step::ReadOn(reading));
        }
        match self.writer.poll_write(context) {
            Err(_) => return Poll::Ready(Step::Gone),
            Ok(Some(bytes)) => return Poll::Ready(Step::Flushed(bytes)),
            Ok(None) => {}
        }
        if self.inlet.is_held() {
            return Poll::Pending;
        }
        match self.writer.socket.poll_read(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => Poll::Ready(Step::Read(bytes)),
            Poll::Ready(_) => Poll::Ready(Step::Gone),
        }
    }

    /// Everything that can be decoded.
    fn decode(&mut self) -> Decoded {
        let before = self.raw.len() + self.inlet.kept();
        let mut decoded = Decoded::default();
        decoded.error = self.decode_into(&mut decoded.frames).err();
        decoded.more = decoded.frames.len() >= MAX_FRAMES;
        decoded.bytes = before.saturating_sub(self.raw.len() + self.inlet.kept()) as u32;
        if self.raw.is_empty() {
            self.raw = BytesMut::new();
        }
        decoded
    }

    fn decode_into(&mut self, frames: &mut SmallVec<[Frame; 1]>) -> Result<(), FrameError> {
        loop {
            while let Some(frame) = self.inlet.frame()? {
                if frames.len() == 1 {
                    // More than one: there will be many, and to grow step by step moves them each time.
                    frames.reserve(MANY_FRAMES);
                }
                frames.push(frame);
                if frames.len() >= MAX_FRAMES {
                    return Ok(());
                }
            }
            if self.inlet.is_held() || !self.unwrap_message()? {
                return Ok(());
            }
        }
    }

    /// Moves a piece of a WebSocket message to the inlet; whether there was one.
    fn unwrap_message(&mut self) -> Result<bool, FrameError> {
        if self.websocket.is_none() && !self.raw.is_empty() {
            self.inlet.push(std::mem::take(&mut self.raw));
            return Ok(true);
        }
        while let Some(decoder) = &mut self.websocket {
            match decoder.next(&mut self.raw).map_err(violation)? {
                None => return Ok(false),
                Some(Event::Data { piece, last }) => {
                    if !piece.is_empty() {
                        self.inlet.push(piece);
                    }
                    if last {
                        self.inlet.end_message();
                    }
                    return Ok(true);
                }
                Some(Event::Ping(payload)) => self.writer.push_pong(&payload),
                Some(Event::Close) => {
                    // Answered by `Writer::finish`.
                    self.writer.outbox.end(End::Close);
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// Waits for room in the machine's queue, and goes on writing meanwhile; whether the machine is there.
    async fn hand_in(&mut self, input: ToMachine) -> bool {
        let (writer, to_machine) = (&mut self.writer, &self.to_machine);
        let mut room = pin!(to_machine.reserve());
        let permit = poll_fn(|context| {
            if let Poll::Ready(permit) = room.as_mut().poll(context) {
                return Poll::Ready(permit.ok());
            }
            writer.refill(context);
            let written = writer.poll_write(context);
            if writer.end == End::Abort || written.is_err() { Poll::Ready(None) } else { Poll::Pending }
        });
        permit.await.map(|permit| permit.send(input)).is_some()
    }
}

impl Writer {
    fn new(socket: Socket, outbox: Arc<Outbox>, framed: bool) -> Self {
        let pieces = VecDeque::new();
        Self { socket, outbox, framed, pieces, written: 0, reading: None, end: End::No }
    }

    /// Takes what the machine has for us.
    fn refill(&mut self, context: &Context<'_>) {
        let Taken { parts, reading, end } = self.outbox.take(context);
        if self.framed {
            self.push_messages(&parts);
        } else {
            self.pieces.extend(parts.into_iter().map(|part| Piece::new(&[part.prefix.as_slice()], part.tail)));
        }
        self.reading = reading.or(self.reading);
        self.end = end;
    }

    /// Many frames share a WebSocket message.
    fn push_messages(&mut self, parts: &[Part]) {
        let mut rest = parts;
        while !rest.is_empty() {
            let (message, others) = rest.split_at(message_end(rest));
            let mut header = [0; MAX_HEADER];
            let used = websocket::binary_header(message.iter().map(Part::size).sum(), &mut header);
            let mut header = &header[..used];
            for part in message {
                self.pieces.push_back(Piece::new(&[header, part.prefix.as_slice()], part.tail.clone()));
                header = &[];
            }
            rest = others;
        }
    }

    fn push_pong(&mut self, payload: &[u8]) {
        if self.pieces.len() < MAX_PONG_BACKLOG {
            self.pieces.push_back(Piece::new(&[], websocket::pong(payload)));
        }
    }

    /// Writes as much as the socket takes; how much was flushed if the machine should know at once.
    fn poll_write(&mut self, context: &mut Context<'_>) -> std::io::Result<Option<u32>> {
        let mut flushed = 0_u32;
        while !self.pieces.is_empty() {
            let Poll::Ready(result) = self.poll_write_once(context) else { break };
            match result? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                bytes => flushed = flushed.saturating_add(bytes as u32),
            }
        }
        if flushed == 0 {
            return Ok(None);
        }
        if let Poll::Ready(Err(error)) = self.socket.poll_flush(context) {
            return Err(error);
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        Ok(self.outbox.count_flushed(flushed, MANY_BYTES))
    }

    fn poll_write_once(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut slices: SmallVec<[IoSlice<'_>; MAX_PIECES]> = SmallVec::new();
        let (mut skip, mut total) = (self.written, 0);
        for bytes in self.pieces.iter().flat_map(|piece| [piece.head.as_slice(), &piece.tail[..]]) {
            let rest = bytes.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(bytes.len());
            if !rest.is_empty() {
                slices.push(IoSlice::new(rest));
                total += rest.len();
            }
            if slices.len() == MAX_PIECES {
                break;
            }
        }
        let written = match total {
            // The system charges for every slice more than copying a small one costs.
            0..=JOIN_BYTES if slices.len() > 1 => self.socket.poll_write_joined(context, &slices),
            _ => self.socket.poll_write(context, &slices),
        };
        let written = std::task::ready!(written)?;
        drop(slices);
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(piece) = self.pieces.front() {
            let len = piece.head.as_slice().len() + piece.tail.len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.pieces.pop_front();
        }
    }

    /// Waits until the machine has said that it is the end, then does as [`Writer::finish`].
    async fn finish_when_told(&mut self) {
        poll_fn(|context| {
            self.refill(context);
            if self.end == End::No { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.finish().await;
    }

    /// Writes the rest, says goodbye, and reads until the peer has closed, so that it sees what was written. Nothing
    /// comes into the outbox any more.
    async fn finish(&mut self) {
        if self.framed {
            self.pieces.push_back(Piece::new(&[], websocket::close(1000)));
        }
        poll_fn(|context| match self.poll_write(context) {
            Ok(_) if !self.pieces.is_empty() => Poll::Pending,
            _ => self.socket.poll_shutdown(context).map(drop),
        })
        .await;
        while poll_fn(|context| self.socket.poll_read(context)).await.is_ok_and(|read| !read.is_empty()) {}
    }
}

impl Piece {
    fn new(heads: &[&[u8]], tail: Bytes) -> Self {
        let mut head = Head { bytes: [0; _], len: 0 };
        for bytes in heads {
            let at = usize::from(head.len);
            if let Some(room) = head.bytes.get_mut(at..at + bytes.len()) {
                room.copy_from_slice(bytes);
                head.len += bytes.len() as u8;
            }
        }
        Self { head, tail }
    }
}

impl Head {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// How many of these frames fit one message; at least one.
fn message_end(parts: &[Part]) -> usize {
    let mut len = 0;
    let fits = parts.iter().take_while(|part| {
        len += part.size();
        len <= MESSAGE_BYTES
    });
    fits.count().max(1)
}

fn violation(websocket::Violation(what): websocket::Violation) -> FrameError {
    FrameError::WebSocket(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_connection_is_small() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let door =
            Arc::new(Door { tls: None, only_tls: false, pages: crate::Pages::default(), draining: Arc::default() });
        let (to_machine, _inputs) = mpsc::channel(1);
        let task = serve(ConnId(1), stream, door, Arc::default(), to_machine);
        println!("task: {} bytes, outbox: {} bytes", size_of_val(&task), size_of::<Outbox>());
        assert!(size_of_val(&task) <= 800);
    }
}
