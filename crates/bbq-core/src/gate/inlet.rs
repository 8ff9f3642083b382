//! What a connection has sent, cut into frames. Runs beside the socket, so that decoding is spread over the cores.
//!
//! ```text
//! opening --AUTH, RESUME--> held --Output::Read--> opening | session
//! ```
//! While held nothing is cut: what follows a credential waits as bytes until the gate has decided, and the shell reads
//! no more from the socket. What it keeps is therefore bounded by one frame and one read.

use bbq_wire::frame::{Frame, FrameError};
use bbq_wire::split::Splitter;
use bytes::BytesMut;

use super::io::Reading;

/// The receiving half of one connection.
#[derive(Debug)]
pub struct Inlet {
    stream: BytesMut,
    splitter: Splitter,
    stage: Stage,
    /// A WebSocket message ends where `stream` ends.
    message_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Held,
    Session,
}

impl Default for Inlet {
    fn default() -> Self {
        let splitter = Splitter::new(Reading::Opening.limit());
        Self { stream: BytesMut::new(), splitter, stage: Stage::Opening, message_ended: false }
    }
}

impl Inlet {
    /// Appends what was read.
    pub fn push(&mut self, bytes: BytesMut) {
        if self.stream.is_empty() {
            self.stream = bytes;
        } else {
            self.stream.extend_from_slice(&bytes);
        }
    }

    /// A WebSocket message ends here: a frame must not go on. Push nothing more until [`Inlet::frame`] said `None` and
    /// [`Inlet::is_held`] says no.
    pub const fn end_message(&mut self) {
        self.message_ended = true;
    }

    /// The next frame; `None`: more bytes are needed, or it is held.
    ///
    /// # Errors
    /// The stream is beyond repair.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.stage == Stage::Held {
            return Ok(None);
        }
        if let Some(bytes) = self.splitter.next(&mut self.stream)? {
            let frame = Frame::decode(bytes)?;
            if self.stage == Stage::Opening && matches!(frame, Frame::Auth(_) | Frame::Resume(_)) {
                self.stage = Stage::Held;
            }
            return Ok(Some(frame));
        }
        if std::mem::take(&mut self.message_ended) && !self.stream.is_empty() {
            return Err(FrameError::Incomplete);
        }
        self.shrink();
        Ok(None)
    }

    /// The gate has decided.
    pub const fn read_on(&mut self, reading: Reading) {
        self.splitter.set_limit(reading.limit());
        self.stage = match reading {
            Reading::Opening => Stage::Opening,
            Reading::Session(_) => Stage::Session,
        };
    }

    /// Whether the gate has yet to decide.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Held)
    }

    /// Bytes kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.stream.len()
    }

    /// A part of a frame must not keep alive what was read with it, and nothing must cost nothing.
    fn shrink(&mut self) {
        self.stream = if self.stream.is_empty() { BytesMut::new() } else { BytesMut::from(&self.stream[..]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bbq_wire::frame::{Auth, Hello, Req};

    fn bytes(frames: &[Frame]) -> BytesMut {
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut out));
        out
    }

    fn req(len: usize) -> Frame {
        Frame::Req(Req { seq: 1, method: 1, body: vec![0; len].into(), ..Req::default() })
    }

    #[test]
    fn what_follows_a_credential_waits_and_is_then_judged_by_the_limits_of_the_session() {
        let mut inlet = Inlet::default();
        inlet.push(bytes(&[Frame::Hello(Hello::default()), Frame::Auth(Auth::default()), req(10_000)]));
        assert!(matches!(inlet.frame(), Ok(Some(Frame::Hello(_)))));
        assert!(matches!(inlet.frame(), Ok(Some(Frame::Auth(_)))));
        assert_eq!(inlet.frame(), Ok(None));
        assert!(inlet.is_held() && inlet.kept() > 10_000);
        inlet.read_on(Reading::Session(64 * 1024));
        assert_eq!(inlet.frame(), Ok(Some(req(10_000))));
        assert_eq!((inlet.frame(), inlet.stream.capacity()), (Ok(None), 0));
    }

    #[test]
    fn before_the_session_a_length_is_refused_before_its_bytes_arrive() {
        let mut inlet = Inlet::default();
        inlet.push(BytesMut::from(&[0xff, 0xff, 0xff, 0x7f][..]));
        assert!(matches!(inlet.frame(), Err(FrameError::TooLarge { limit: 4096, .. })));
    }

    #[test]
    fn a_message_may_come_in_pieces_but_a_frame_must_not_span_messages() {
        let mut inlet = Inlet::default();
        let all = bytes(&[Frame::Hello(Hello::default()), Frame::Ack { seen: 1 }]);
        for byte in &all {
            inlet.push(BytesMut::from(&[*byte][..]));
            while let Ok(Some(_)) = inlet.frame() {}
        }
        inlet.end_message();
        assert_eq!(inlet.frame(), Ok(None));
        inlet.push(BytesMut::from(&all[..3]));
        inlet.end_message();
        assert_eq!(inlet.frame(), Err(FrameError::Incomplete));
    }
}
