//! What must hold for arbitrary bytes: entry points for fuzzers, and for `examples/fuzz.rs`, which needs no nightly.
//!
//! Each function takes its input for a stream of frames. Whatever can be read must come back, after it was written and
//! read again, as the same value; nothing may panic on the way.

use bytes::{Bytes, BytesMut};

use crate::codec::Sink;
use crate::compat::{CompatFrame, MAX_COMPAT_FRAME};
use crate::frame::{Frame, LIMIT_DOWN};
use crate::mesh::MeshFrame;
use crate::split::Splitter;

/// Frames between client and gate.
///
/// # Panics
/// When a frame does not survive the round trip: that is the finding.
pub fn native(input: &[u8]) {
    let mut stream = BytesMut::from(input);
    while let Ok(Some(bytes)) = Splitter::new(LIMIT_DOWN).next(&mut stream) {
        let Ok(frame) = Frame::decode(bytes) else { continue };
        let mut again = BytesMut::from(&frame.to_bytes()[..]);
        // The shortest form of a frame at the limit may not be longer than the frame was.
        let whole = Splitter::new(LIMIT_DOWN).next(&mut again).expect("what was written is within the limit");
        assert_eq!(Frame::decode(whole.expect("what was written is whole")), Ok(frame));
        assert!(again.is_empty(), "nothing is written behind the frame");
    }
}

/// Frames of the original.
///
/// # Panics
/// When a frame does not survive the round trip.
pub fn compat(input: &[u8]) {
    let mut stream = BytesMut::from(input);
    while let Ok(Some(bytes)) = CompatFrame::split(&mut stream, MAX_COMPAT_FRAME) {
        let Ok(frame) = CompatFrame::decode(&bytes) else { continue };
        assert_eq!(CompatFrame::decode(&frame.to_bytes()), Ok(frame));
    }
}

/// Frames between nodes.
///
/// # Panics
/// When a frame does not survive the round trip.
pub fn mesh(input: &[u8]) {
    let mut stream = BytesMut::from(input);
    while let Ok(Some(bytes)) = MeshFrame::split(&mut stream) {
        mesh_frame(&bytes);
    }
    // A fuzzer seldom finds the lengths: take the input for the inside of a frame, too.
    let mut framed = BytesMut::new();
    framed.u32_le(input.len() as u32 + 4);
    framed.u32_le(0);
    framed.put(input);
    mesh_frame(&framed.freeze());
}

fn mesh_frame(bytes: &Bytes) {
    let Ok(frame) = MeshFrame::decode(bytes) else { return };
    let again = frame.to_bytes().expect("what was read is within every limit");
    assert_eq!(MeshFrame::decode(&again), Ok(frame));
}
