//! Frames of the original, checked against bytes that its own client (`gobbq-ts` 1.0.18) made.

use bbq_wire::compat::{
    CallType, CompatError, CompatFrame, GATE_SERVICE, Header, MAX_COMPAT_FRAME, RequestType, ServiceType,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::strategies::{bytes, number, text};
use crate::vectors::{from_hex, to_hex};

const REGISTER: &str = "5300000053000000122436663164396135322d353461352d346130652d396130652d316432633362346135\
    663630188827280\
    14a126761746570622e4761746553657276696365520e5265676973746572436c69656e74";
const EVERYTHING: &str = "6300000060000000080112017218ac022001300138ffffffffffffffffff014080808080104a0b6578616d7062\
    2e4563686f520853617948656c6c6f600168ffffffff0f72070a016112020102720078fdffffffffffffffff018201077765673a20c3bc\
    090807";

fn check(hex: &str, frame: &CompatFrame) {
    let raw = Bytes::from(from_hex(hex));
    let mut stream = BytesMut::from(&raw[..]);
    let whole = CompatFrame::split(&mut stream, MAX_COMPAT_FRAME).unwrap().unwrap();
    assert_eq!(CompatFrame::decode(&whole).as_ref(), Ok(frame));
    assert_eq!(to_hex(&frame.to_bytes()), hex);
}

#[test]
fn the_original_client_registers_itself() {
    let header = Header {
        request_id: "6f1d9a52-54a5-4a0e-9a0e-1d2c3b4a5f60".into(),
        timeout_ms: 5000,
        service_type: ServiceType::Service,
        service: GATE_SERVICE.into(),
        method: "RegisterClient".into(),
        ..Header::default()
    };
    let response = header.response();
    assert_eq!((response.request_type, &response.request_id), (RequestType::Response, &header.request_id));
    check(&REGISTER.replace(' ', ""), &CompatFrame { header, body: Bytes::new() });
    check("0400000004000000", &CompatFrame::default());
}

#[test]
fn every_field_is_where_the_original_has_it() {
    let header = Header {
        version: 1,
        request_id: "r".into(),
        timeout_ms: 300,
        request_type: RequestType::Response,
        service_type: ServiceType::Entity,
        call_type: CallType::OneWay,
        src_entity: u64::MAX,
        dst_entity: 1 << 32,
        service: "exampb.Echo".into(),
        method: "SayHello".into(),
        content_type: 0,
        compress_type: 1,
        flags: u32::MAX,
        trans_info: vec![("a".into(), Bytes::from_static(&[1, 2])), (String::new(), Bytes::new())],
        error_code: -3,
        error_message: "weg: ü".into(),
    };
    check(EVERYTHING, &CompatFrame { header, body: Bytes::from_static(&[9, 8, 7]) });
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let split = |bytes: &[u8]| CompatFrame::split(&mut BytesMut::from(bytes), 100);
    assert_eq!(split(&[3, 0, 0, 0]), Err(CompatError::BadLength));
    assert_eq!(split(&[0xff; 4]), Err(CompatError::TooLarge { len: u32::MAX, limit: 100 }));
    assert_eq!(split(&[4, 0, 0, 0, 4]), Ok(None));
    let decode = |bytes: &'static [u8]| CompatFrame::decode(&Bytes::from_static(bytes));
    assert_eq!(decode(&[4, 0, 0, 0, 3, 0, 0, 0]), Err(CompatError::BadLength));
    assert_eq!(decode(&[4, 0, 0, 0, 5, 0, 0, 0]), Err(CompatError::BadLength));
    assert_eq!(decode(&[5, 0, 0, 0, 4, 0, 0, 0]), Err(CompatError::BadLength));
}

fn frame() -> impl Strategy<Value = CompatFrame> {
    let numbers = (any::<[u32; 5]>(), number(), number(), any::<i32>(), any::<[bool; 3]>());
    let texts = (text(), text(), text(), text(), prop::collection::vec((text(), bytes()), 0..4));
    (numbers, texts, bytes()).prop_map(|((u, src_entity, dst_entity, error_code, b), t, body)| {
        let header = Header {
            version: u[0],
            request_id: t.0,
            timeout_ms: u[1],
            request_type: if b[0] { RequestType::Request } else { RequestType::Response },
            service_type: if b[1] { ServiceType::Entity } else { ServiceType::Service },
            call_type: if b[2] { CallType::Unary } else { CallType::OneWay },
            src_entity,
            dst_entity,
            service: t.1,
            method: t.2,
            content_type: u[2],
            compress_type: u[3],
            flags: u[4],
            trans_info: t.4,
            error_code,
            error_message: t.3,
        };
        CompatFrame { header, body }
    })
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was(frame in frame()) {
        prop_assert_eq!(CompatFrame::decode(&frame.to_bytes()), Ok(frame));
    }

    #[test]
    fn damage_never_panics(frame in frame(), at: prop::sample::Index, byte: u8) {
        let mut bytes = frame.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = CompatFrame::decode(&Bytes::from(bytes));
    }
}
