//! WebSocket frames (RFC 6455), as far as a server needs them. Sans I/O.
//!
//! Payload is handed on as it arrives, so that nothing is kept but the header of the current frame: a message may be
//! as long as it wants, its frames are bounded by [`bbq_core::gate::Inlet`]. Decoding runs inside the connection task,
//! on the buffer that was read into.

use bytes::{Buf, Bytes, BytesMut};

/// Longest header that a server writes.
pub(crate) const MAX_HEADER: usize = 10;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What arrived.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// A piece of a binary message.
    Data {
        /// The bytes.
        piece: BytesMut,
        /// The message ends with it.
        last: bool,
    },
    /// To be answered with [`pong`].
    Ping(Bytes),
    /// The peer closes; to be answered with [`close`].
    Close,
}

/// The peer does not speak the protocol as we need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Violation(pub(crate) &'static str);

/// Reads what a client sends.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    mask: [u8; 4],
    /// Payload of the current data frame that has not arrived.
    left: u64,
    in_frame: bool,
    in_message: bool,
    last_frame: bool,
}

struct Header {
    opcode: u8,
    last: bool,
    mask: [u8; 4],
    len: u64,
    size: usize,
}

impl Decoder {
    /// The next event; `None`: more bytes are needed.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            if self.in_frame {
                return Ok(self.payload(input));
            }
            let Some(header) = header(input)? else { return Ok(None) };
            if header.opcode >= CLOSE {
                match control(&header, input)? {
                    Some(Event::Data { .. }) => {}
                    other => return Ok(other),
                }
            } else {
                self.start_frame(&header)?;
                input.advance(header.size);
            }
        }
    }

    fn start_frame(&mut self, header: &Header) -> Result<(), Violation> {
        match (header.opcode, self.in_message) {
            (BINARY, false) | (CONTINUATION, true) => {}
            (TEXT, false) => return Err(Violation("text messages are not spoken here")),
            _ => return Err(Violation("fragments out of order")),
        }
        (self.mask, self.left, self.last_frame) = (header.mask, header.len, header.last);
        (self.in_frame, self.in_message) = (true, true);
        Ok(())
    }

    fn payload(&mut self, input: &mut BytesMut) -> Option<Event> {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        if here == 0 && self.left > 0 {
            return None;
        }
        let mut piece = input.split_to(here);
        unmask(&mut piece, self.mask);
        self.mask.rotate_left(here % 4);
        self.left -= here as u64;
        let last = self.left == 0 && self.last_frame;
        if self.left == 0 {
            self.in_frame = false;
            self.in_message = !last;
        }
        Some(Event::Data { piece, last })
    }
}

/// The header of a binary message of `len` bytes; how many of the bytes are used.
pub(crate) fn binary_header(len: usize, out: &mut [u8; MAX_HEADER]) -> usize {
    out[0] = 0x80 | BINARY;
    if len < 126 {
        out[1] = len as u8;
        2
    } else if let Ok(len) = u16::try_from(len) {
        out[1] = 126;
        out[2..4].copy_from_slice(&len.to_be_bytes());
        4
    } else {
        out[1] = 127;
        out[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        10
    }
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 2);
    out.extend_from_slice(&[0x80 | PONG, payload.len() as u8]);
    out.extend_from_slice(payload);
    out.freeze()
}

/// A close with a status code.
pub(crate) fn close(status: u16) -> Bytes {
    let [high, low] = status.to_be_bytes();
    Bytes::copy_from_slice(&[0x80 | CLOSE, 2, high, low])
}

fn header(input: &[u8]) -> Result<Option<Header>, Violation> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation("reserved bits are set"));
    }
    if second & 0x80 == 0 {
        return Err(Violation("a client must mask"));
    }
    let (len, rest, extra) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 2),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest, 8),
        (126 | 127, _) => return Ok(None),
        (len, rest) => (u64::from(len), rest, 0),
    };
    if len >> 63 != 0 {
        return Err(Violation("bad length"));
    }
    let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
    Ok(Some(Header { opcode: first & 0x0f, last: first & 0x80 != 0, mask: *mask, len, size: 6 + extra }))
}

/// Takes a whole control frame off `input`; an empty [`Event::Data`] stands for nothing to do.
fn control(header: &Header, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
    let len = header.len as usize;
    if len > 125 || !header.last {
        return Err(Violation("a control frame is short and whole"));
    }
    if input.len() < header.size + len {
        return Ok(None);
    }
    input.advance(header.size);
    let mut payload = input.split_to(len);
    unmask(&mut payload, header.mask);
    match header.opcode {
        PING => Ok(Some(Event::Ping(payload.freeze()))),
        PONG => Ok(Some(Event::Data { piece: BytesMut::new(), last: false })),
        CLOSE => Ok(Some(Event::Close)),
        _ => Err(Violation("unknown opcode")),
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 1, 250, 33];
        let mut out = vec![first];
        match payload.len() {
            len @ 0..126 => out.push(0x80 | len as u8),
            len @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    /// Feeds `wire` in steps of `step` bytes; messages as they ended, and control events.
    fn decode(wire: &[u8], step: usize) -> Result<(Vec<Vec<u8>>, Vec<Event>), Violation> {
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
        let (mut messages, mut message, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in wire.chunks(step) {
            input.extend_from_slice(chunk);
            while let Some(event) = decoder.next(&mut input)? {
                match event {
                    Event::Data { piece, last } => {
                        message.extend_from_slice(&piece);
                        if last {
                            messages.push(std::mem::take(&mut message));
                        }
                    }
                    other => others.push(other),
                }
            }
        }
        Ok((messages, others))
    }

    #[test]
    fn messages_of_every_length_arrive_however_they_are_cut() {
        for len in [0, 1, 7, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            for step in [1, 3, 1000, 100_000] {
                let wire = client_frame(0x82, &payload);
                assert_eq!(decode(&wire, step).unwrap().0, std::slice::from_ref(&payload), "{len} by {step}");
            }
        }
    }

    #[test]
    fn fragments_make_one_message_and_control_frames_may_come_between() {
        let wire = [
            client_frame(0x02, b"ab"),
            client_frame(0x89, b"ping"),
            client_frame(0x8a, b"pong"),
            client_frame(0x00, b""),
            client_frame(0x80, b"cd"),
            client_frame(0x88, b""),
        ]
        .concat();
        for step in 1..20 {
            let (messages, others) = decode(&wire, step).unwrap();
            assert_eq!(messages, [b"abcd"]);
            assert_eq!(others, [Event::Ping(Bytes::from_static(b"ping")), Event::Close]);
        }
    }

    #[test]
    fn what_a_client_must_not_send_is_refused() {
        let unmasked = [0x82, 1, 0];
        let endless = [0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        let bad: [&[u8]; 9] = [
            &unmasked,
            &endless,
            &client_frame(0x81, b"text"),
            &client_frame(0xc2, b"compressed"),
            &client_frame(0x80, b"goes on without a start"),
            &[client_frame(0x02, b"a"), client_frame(0x82, b"b")].concat(),
            &client_frame(0x09, b"a ping in parts"),
            &client_frame(0x89, &[0; 126]),
            &client_frame(0x8b, b"unknown"),
        ];
        for wire in bad {
            assert!(decode(wire, 1).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_length_reserves_nothing() {
        let mut input = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4, 5][..]);
        let mut decoder = Decoder::default();
        assert!(matches!(decoder.next(&mut input), Ok(Some(Event::Data { last: false, .. }))));
        assert_eq!(decoder.next(&mut input), Ok(None));
        assert!(input.capacity() < 64);
    }
}
