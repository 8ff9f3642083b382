//! Cuts byte streams and WebSocket messages into frames.
//!
//! Never reserves memory because of a length field: a frame exists when its bytes have arrived.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{MAX_VARINT_BYTES, ReadError, Reader};
use crate::frame::FrameError;

/// Cuts a byte stream. The limit may change between frames, as it does when the session opens.
#[derive(Clone, Copy, Debug)]
pub struct Splitter {
    limit: u32,
}

impl Splitter {
    /// A splitter that refuses frames of more than `limit` bytes after `len`.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { limit }
    }

    /// The limit in force.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Applies from the next frame on.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Takes the next whole frame (without its `len`) off the front of `stream`; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The stream is beyond repair: answer, then close.
    pub fn next(&self, stream: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some((head, len)) = frame_length(stream, self.limit)? else { return Ok(None) };
        if stream.len() - head < len {
            return Ok(None);
        }
        stream.advance(head);
        Ok(Some(stream.split_to(len).freeze()))
    }

    /// Takes the next frame (without its `len`) off the front of a WebSocket message; `None`: the message is used up.
    ///
    /// # Errors
    /// As [`Splitter::next`], and [`FrameError::Incomplete`] when the message ends inside a frame.
    pub fn next_in_message(&self, message: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        if message.is_empty() {
            return Ok(None);
        }
        let (head, len) = frame_length(message, self.limit)?.ok_or(FrameError::Incomplete)?;
        if message.len() - head < len {
            return Err(FrameError::Incomplete);
        }
        message.advance(head);
        Ok(Some(message.split_to(len)))
    }
}

/// Size of the length field and what it says.
fn frame_length(input: &[u8], limit: u32) -> Result<Option<(usize, usize)>, FrameError> {
    let mut reader = Reader::new(input);
    let len = match reader.varint() {
        Ok(len) => len,
        Err(ReadError::Truncated) if input.len() < MAX_VARINT_BYTES => return Ok(None),
        Err(_) => return Err(FrameError::BadLength),
    };
    if len < 2 {
        return Err(FrameError::BadLength);
    }
    match usize::try_from(len) {
        Ok(size) if len <= u64::from(limit) => Ok(Some((input.len() - reader.len(), size))),
        _ => Err(FrameError::TooLarge { len, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    #[test]
    fn a_stream_that_arrives_byte_by_byte_gives_the_same_frames() {
        let frames = [Frame::Ping { nonce: 300 }, Frame::Ack { seen: 7 }, Frame::Ping { nonce: 1 }];
        let mut all = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut all));
        let (splitter, mut stream, mut got) = (Splitter::new(100), BytesMut::new(), Vec::new());
        for byte in all {
            stream.extend_from_slice(&[byte]);
            while let Some(frame) = splitter.next(&mut stream).unwrap() {
                got.push(Frame::decode(frame).unwrap());
            }
        }
        assert_eq!(got, frames);
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_arrive_and_reserves_nothing() {
        let mut stream = BytesMut::from(&[0xff, 0xff, 0x7f][..]);
        let before = stream.capacity();
        let error = Splitter::new(4096).next(&mut stream).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { len: 2_097_151, limit: 4096 });
        let mut stream = BytesMut::from(&[0xff, 0x1f, 1][..]);
        assert_eq!(Splitter::new(4096).next(&mut stream), Ok(None));
        assert!(stream.capacity() <= before.max(64));
        assert_eq!(Splitter::new(9).next(&mut BytesMut::from(&[1, 9][..])), Err(FrameError::BadLength));
        assert_eq!(Splitter::new(9).next(&mut BytesMut::from(&[0xff; 12][..])), Err(FrameError::BadLength));
    }

    #[test]
    fn a_message_holds_whole_frames_only() {
        let mut message = Frame::Ping { nonce: 1 }.to_bytes();
        let splitter = Splitter::new(64);
        assert!(splitter.next_in_message(&mut message).unwrap().is_some());
        assert_eq!(splitter.next_in_message(&mut message), Ok(None));
        let mut half = Frame::Ping { nonce: 1 }.to_bytes().slice(..2);
        assert_eq!(splitter.next_in_message(&mut half), Err(FrameError::Incomplete));
    }
}
