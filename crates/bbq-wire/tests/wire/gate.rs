//! The gate's session machine, step by step.

use bbq_wire::delivery::Delivery;
use bbq_wire::frame::{LIMIT_DOWN, Note, Req, Resume, Rsp};
use bbq_wire::gate::{Attach, GateConfig, GateInput, GateOutput, GateSession, Lane};
use bbq_wire::{Code, Error, Frame, SessionId, SharedFrame, Splitter, Time};
use bytes::{Bytes, BytesMut};

struct Gate {
    session: GateSession,
    config: GateConfig,
}

impl Gate {
    fn attached(config: GateConfig) -> Self {
        let session = GateSession::new(Time::ZERO, SessionId(1), Delivery::new());
        let mut gate = Self { session, config };
        let out = gate.handle(Time::ZERO, GateInput::Attach(attach(None)));
        assert!(matches!(&sent(&out)[..], [Frame::Welcome(welcome)] if !welcome.resumed));
        gate
    }

    fn handle(&mut self, now: Time, input: GateInput) -> Vec<GateOutput> {
        let mut out = Vec::new();
        self.session.handle(now, &self.config, input, &mut out);
        out
    }

    fn frame(&mut self, frame: Frame) -> Vec<GateOutput> {
        self.handle(Time::ZERO, GateInput::Frame(frame))
    }

    fn push(&mut self, len: usize, lane: Lane) -> Vec<GateOutput> {
        self.handle(Time::ZERO, GateInput::Push(SharedFrame::push(9, None, &vec![0; len]), lane))
    }

    fn request(&mut self, call: u64, deadline_ms: Option<u32>) -> Vec<GateOutput> {
        let request = GateInput::Request { call, method: 3, key: None, deadline_ms, body: Bytes::new() };
        self.handle(Time::ZERO, request)
    }
}

fn attach(resume: Option<Resume>) -> Attach {
    Attach { resume, ticket: [7; 16], account: "ada".into() }
}

fn sent(out: &[GateOutput]) -> Vec<Frame> {
    let mut stream = BytesMut::new();
    for output in out {
        if let GateOutput::Send { prefix, tail } = output {
            stream.extend_from_slice(prefix.as_slice());
            stream.extend_from_slice(tail);
        }
    }
    std::iter::from_fn(|| Splitter::new(LIMIT_DOWN).next(&mut stream).unwrap())
        .map(|frame| Frame::decode(frame).unwrap())
        .collect()
}

fn answers(out: &[GateOutput]) -> Vec<(u64, Code)> {
    let answers = out.iter().filter_map(|output| match output {
        GateOutput::Answer { call, result: Err(error) } => Some((*call, error.code)),
        _ => None,
    });
    answers.collect()
}

fn req(seq: u64) -> Frame {
    Frame::Req(Req { seq, method: 7, ..Req::default() })
}

#[test]
fn a_call_is_handed_out_and_answered_once() {
    let mut gate = Gate::attached(GateConfig::default());
    assert!(matches!(gate.frame(req(1))[..], [GateOutput::Call { call: 1, method: 7, .. }]));
    assert_eq!(gate.frame(req(1)), [], "a duplicate is dropped");
    let reply = GateInput::Reply { call: 1, result: Ok(Bytes::from_static(b"x")) };
    let out = gate.handle(Time::ZERO, reply.clone());
    assert!(matches!(&sent(&out)[..], [Frame::Rsp(Rsp { seq: 1, ack: Some(1), re: 1, result: Ok(_) })]));
    assert_eq!(gate.handle(Time::ZERO, reply), []);
}

#[test]
fn bad_input_is_answered_and_detaches() {
    for frame in [req(2), req(0), Frame::Ack { seen: 1 }, Frame::Hello(Default::default())] {
        let mut gate = Gate::attached(GateConfig::default());
        let out = gate.frame(frame);
        assert!(matches!(&sent(&out)[..], [Frame::Err(error)] if error.code == Code::BAD_FRAME));
        assert!(matches!(&out[1..], [GateOutput::Close, GateOutput::Detached(Some(_))]));
        assert!(!gate.session.is_attached() && !gate.session.is_ended());
    }
}

#[test]
fn a_client_that_does_not_read_loses_unreliable_pushes_first_and_then_its_connection() {
    let mut gate = Gate::attached(GateConfig { max_unflushed: 1000, ..GateConfig::default() });
    gate.handle(Time::ZERO, GateInput::Flushed(u32::MAX));
    assert_eq!(sent(&gate.push(600, Lane::Unreliable)).len(), 1);
    assert_eq!(gate.push(100, Lane::Unreliable), [], "shed above half of the limit");
    assert_eq!(sent(&gate.push(100, Lane::Reliable)).len(), 1);
    let out = gate.push(400, Lane::Reliable);
    assert!(matches!(&out[..], [.., GateOutput::Close, GateOutput::Detached(Some(error))]
        if error.code == Code::SLOW_CONSUMER));
    assert!(gate.session.can_resume(&[7; 16], 0), "the session goes on");
}

#[test]
fn a_client_that_pings_and_does_not_read_fills_no_memory() {
    let mut gate = Gate::attached(GateConfig { max_unflushed: 160_000, ..GateConfig::default() });
    gate.handle(Time::ZERO, GateInput::Flushed(u32::MAX));
    let answered = (0..100_000).filter(|nonce| !gate.frame(Frame::Ping { nonce: *nonce }).is_empty()).count();
    assert!((1..2000).contains(&answered), "{answered} answers wait");
    gate.handle(Time::ZERO, GateInput::Flushed(u32::MAX));
    assert!(matches!(&sent(&gate.frame(Frame::Ping { nonce: 7 }))[..], [.., Frame::Pong { nonce: 7, .. }]));
}

#[test]
fn flushing_makes_room() {
    let mut gate = Gate::attached(GateConfig { max_unflushed: 1000, ..GateConfig::default() });
    gate.handle(Time::ZERO, GateInput::Flushed(u32::MAX));
    for _ in 0..100 {
        assert_eq!(sent(&gate.push(600, Lane::Reliable)).len(), 1);
        let size = gate.session.unflushed();
        gate.handle(Time::ZERO, GateInput::Flushed(size));
    }
}

#[test]
fn a_ticket_is_good_until_the_next_one_is_known_to_have_arrived() {
    let mut gate = Gate::attached(GateConfig::default());
    gate.push(5, Lane::Reliable);
    gate.handle(Time::ZERO, GateInput::Disconnected);
    assert!(!gate.session.can_resume(&[8; 16], 0) && !gate.session.can_resume(b"short", 0));
    let resume = Resume { sid: SessionId(1), ticket: Bytes::copy_from_slice(&[7; 16]), seen: 0 };
    let next = Attach { ticket: [8; 16], ..attach(Some(resume)) };
    let out = gate.handle(Time::ZERO, GateInput::Attach(next));
    assert!(matches!(&sent(&out)[..], [Frame::Welcome(_), Frame::Push(Note { seq: 1, .. })]));
    assert!(gate.session.can_resume(&[7; 16], 0) && gate.session.can_resume(&[8; 16], 0));
    gate.frame(Frame::Ack { seen: 1 });
    assert!(!gate.session.can_resume(&[7; 16], 1) && gate.session.can_resume(&[8; 16], 1));
}

#[test]
fn requests_have_one_outcome_whatever_happens() {
    let mut gate = Gate::attached(GateConfig { max_requests: 2, ..GateConfig::default() });
    assert!(matches!(&sent(&gate.request(10, Some(100)))[..], [Frame::Req(Req { seq: 1, .. })]));
    gate.request(11, None);
    assert_eq!(answers(&gate.request(12, None)), [(12, Code::BUSY)]);
    assert_eq!(gate.session.deadline(&gate.config), Some(Time::from_millis(100)));
    assert_eq!(answers(&gate.handle(Time::from_millis(100), GateInput::Tick)), [(10, Code::DEADLINE_EXCEEDED)]);
    let late = Rsp { seq: 1, ack: None, re: 1, result: Ok(Bytes::new()) };
    assert_eq!(gate.frame(Frame::Rsp(late)), [], "too late");
    gate.handle(Time::ZERO, GateInput::Disconnected);
    assert_eq!(answers(&gate.request(13, None)), [(13, Code::CLIENT_GONE)]);
    let out = gate.handle(Time::from_millis(60_000), GateInput::Tick);
    assert_eq!(answers(&out), [(11, Code::CLIENT_GONE)]);
    assert!(matches!(out.last(), Some(GateOutput::Ended(error)) if error.code == Code::SESSION_EXPIRED));
    assert_eq!(answers(&gate.request(14, None)), [(14, Code::CLIENT_GONE)]);
}

#[test]
fn what_is_too_long_for_the_client_is_refused_and_not_sent() {
    let mut gate = Gate::attached(GateConfig { max_down: 1000, ..GateConfig::default() });
    assert!(matches!(&gate.push(1000, Lane::Reliable)[..], [GateOutput::Refused(_)]));
    gate.frame(req(1));
    let out = gate.handle(Time::ZERO, GateInput::Reply { call: 1, result: Ok(Bytes::from(vec![0; 1000])) });
    assert!(
        matches!(&sent(&out)[..], [Frame::Rsp(Rsp { result: Err(error), .. })] if error.code == Code::FRAME_TOO_LARGE)
    );
}

#[test]
fn too_many_calls_at_a_time_are_answered_busy() {
    let mut gate = Gate::attached(GateConfig { max_calls: 1, ..GateConfig::default() });
    gate.frame(req(1));
    let out = gate.frame(req(2));
    assert!(matches!(&sent(&out)[..], [Frame::Rsp(Rsp { re: 2, result: Err(error), .. })] if error.code == Code::BUSY));
}

#[test]
fn silence_is_pinged_and_then_detached() {
    let mut gate = Gate::attached(GateConfig::default());
    let out = gate.handle(Time::from_millis(10_000), GateInput::Tick);
    assert!(matches!(sent(&out)[..], [Frame::Ping { .. }]));
    let out = gate.handle(Time::from_millis(25_000), GateInput::Tick);
    assert!(matches!(out.last(), Some(GateOutput::Detached(Some(error))) if error.code == Code::HEARTBEAT_TIMEOUT));
}

#[test]
fn a_client_that_says_bye_ends_its_session_at_once() {
    let mut gate = Gate::attached(GateConfig::default());
    gate.handle(Time::ZERO, GateInput::Frame(Frame::Req(Req { seq: 1, method: 7, ..Req::default() })));
    let out = gate.handle(Time::ZERO, GateInput::Frame(Frame::Bye));
    assert!(
        matches!(&out[..], [GateOutput::Close, GateOutput::Ended(why)] if why.code == Code::CLIENT_GONE),
        "{out:?}"
    );
    assert!(!gate.session.can_resume(&[7; 16], 0));
}

#[test]
fn a_kick_is_the_last_thing_that_the_client_hears() {
    let mut gate = Gate::attached(GateConfig::default());
    let out = gate.handle(Time::ZERO, GateInput::Kick(Error::new(Code::KICKED, "bye")));
    assert!(matches!(&sent(&out)[..], [Frame::Kick { reason: Code::KICKED, .. }]));
    assert!(matches!(&out[1..], [GateOutput::Close, GateOutput::Ended(_)]));
    assert!(!gate.session.can_resume(&[7; 16], 0));
}
