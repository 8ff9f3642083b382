//! Frames between nodes.

use bbq_wire::NodeUid;
use bbq_wire::codec::ReadError;
use bbq_wire::mesh::{MAX_CHAIN, MAX_MESH_FRAME, Mesh, MeshError, MeshFrame, Route};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::strategies::mesh_frame;

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was_and_its_route_is_readable_alone(frame in mesh_frame()) {
        let mut stream = BytesMut::new();
        frame.encode(&mut stream).unwrap();
        let whole = MeshFrame::split(&mut stream).unwrap().unwrap();
        prop_assert!(stream.is_empty());
        let Route { src, dst, seq, ack, .. } = MeshFrame::route(&whole).unwrap();
        prop_assert_eq!((src, dst, seq, ack), (frame.src, frame.dst, frame.seq, frame.ack));
        prop_assert_eq!(MeshFrame::decode(&whole).unwrap(), frame);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(frame in mesh_frame(), at: prop::sample::Index, mask in 1..=255_u8) {
        let mut bytes = BytesMut::from(&frame.to_bytes().unwrap()[..]);
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let _ = MeshFrame::decode(&bytes.clone().freeze());
        // A damaged checksum of zero would mean "unchecked"; everything else must be noticed or incomplete.
        let unchecked = bytes[4..8] == [0; 4];
        prop_assert!(unchecked || !matches!(MeshFrame::split(&mut bytes), Ok(Some(_))));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        let _ = MeshFrame::split(&mut BytesMut::from(&bytes[..]));
        if let Some(len) = bytes.len().checked_sub(4) {
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            let _ = MeshFrame::decode(&Bytes::from(bytes));
        }
    }
}

#[test]
fn a_frame_may_grow_at_its_end() {
    let frame = MeshFrame::new(NodeUid::default(), NodeUid::default(), Mesh::Ping { nonce: 5 });
    let mut bytes = frame.to_bytes().unwrap().to_vec();
    bytes.extend_from_slice(b"later");
    bytes[0] += 5;
    assert_eq!(MeshFrame::decode(&bytes.into()), Ok(frame));
}

#[test]
fn limits_hold_on_both_sides() {
    let frame = |message| MeshFrame::new(NodeUid::default(), NodeUid::default(), message);
    let body = Bytes::from(vec![0; MAX_MESH_FRAME as usize]);
    let mut out = BytesMut::from(&b"kept"[..]);
    let big = frame(Mesh::Reply { corr: 1, result: Ok(body) });
    assert!(matches!(big.encode(&mut out), Err(MeshError::TooLarge(_))));
    assert_eq!(&out[..], b"kept");

    let mut call = bytes::BytesMut::new();
    let me = bbq_wire::EntityId::new(1, 1);
    let long = bbq_wire::mesh::Call {
        corr: 1,
        target: bbq_wire::mesh::Target::Entity(me.clone()),
        method: 1,
        deadline_ms: 0,
        oneway: false,
        epoch: 0,
        chain: vec![me; MAX_CHAIN + 1],
        caller: None,
        session: None,
        trace: None,
        body: Bytes::new(),
    };
    let error = frame(Mesh::Call(long)).encode(&mut call).unwrap_err();
    assert_eq!(error, MeshError::Field(ReadError::TooLong));

    let mut stream = BytesMut::from(&[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0][..]);
    assert!(MeshFrame::split(&mut stream).unwrap_err().breaks_link());
}
