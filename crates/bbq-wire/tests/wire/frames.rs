//! Frames between client and gate.

use bbq_wire::frame::{FrameError, LIMIT_DOWN};
use bbq_wire::{Frame, Splitter};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::strategies::frame;

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was(frame in frame()) {
        let mut stream = BytesMut::new();
        frame.encode(&mut stream);
        let bytes = Splitter::new(LIMIT_DOWN).next(&mut stream).unwrap().unwrap();
        prop_assert!(stream.is_empty());
        prop_assert_eq!(Frame::decode(bytes), Ok(frame));
    }

    #[test]
    fn a_frame_that_is_cut_short_is_an_error_or_another_frame_and_never_a_panic(
        frame in frame(), at: prop::sample::Index, byte: u8
    ) {
        let bytes = frame.to_bytes();
        let at = at.index(bytes.len());
        let _ = Frame::decode(bytes.slice(..at));
        let mut changed = bytes.to_vec();
        changed[at] = byte;
        bbq_wire::fuzz::native(&changed);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(Bytes::from(bytes.clone()));
        bbq_wire::fuzz::native(&bytes);
        bbq_wire::fuzz::compat(&bytes);
        bbq_wire::fuzz::mesh(&bytes);
    }
}

#[test]
fn control_frames_grow_and_flags_do_not() {
    let grown = Bytes::from_static(&[10, 0, 5, 1, 2, 3]);
    assert_eq!(Frame::decode(grown), Ok(Frame::Ping { nonce: 5 }));
    let flagged = |kind: u8, flags: u8| Frame::decode(Bytes::from(vec![kind, flags, 1, 1, 1, 1, 1, 1]));
    assert_eq!(flagged(10, 1), Err(FrameError::BadFlags(1)));
    assert_eq!(flagged(5, 0x20), Err(FrameError::BadFlags(0x20)));
    assert_eq!(flagged(5, 0x06), Err(FrameError::BadFlags(0x06)));
    assert_eq!(flagged(6, 0x02), Err(FrameError::BadFlags(0x02)));
    assert_eq!(flagged(8, 0x08), Err(FrameError::BadFlags(0x08)));
    assert_eq!(flagged(14, 0), Err(FrameError::UnknownKind(14)));
    assert_eq!(flagged(0, 0), Err(FrameError::UnknownKind(0)));
}
