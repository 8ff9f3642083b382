//! One simulated client: the session machine of `bbq-wire`, its connection, and what it was told.

use std::collections::VecDeque;

use bbq_core::gate::ConnId;
use bbq_wire::client::{ClientConfig, ClientSession, Input, Output};
use bbq_wire::frame::{Frame, FrameError};
use bbq_wire::split::Splitter;
use bbq_wire::{Time, frame};
use bytes::{Bytes, BytesMut};

/// Names a client of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PlayerId(pub usize);

pub(crate) struct Player {
    pub(crate) session: ClientSession,
    /// The node whose gate it is connected to, and the connection there.
    pub(crate) conn: Option<(usize, ConnId)>,
    /// The connection that its machine believes in, until it hears otherwise.
    pub(crate) believed: Option<ConnId>,
    pub(crate) wake: Option<Time>,
    /// Nothing sent later arrives earlier, in each direction.
    pub(crate) last_up: Time,
    pub(crate) last_down: Time,
    pub(crate) told: VecDeque<Output>,
}

impl Player {
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        let config = ClientConfig {
            scheme: "guest".into(),
            token: Bytes::copy_from_slice(name.as_bytes()),
            seed,
            ..ClientConfig::default()
        };
        Self {
            session: ClientSession::new(config),
            conn: None,
            believed: None,
            wake: None,
            last_up: Time::ZERO,
            last_down: Time::ZERO,
            told: VecDeque::new(),
        }
    }

    pub(crate) fn handle(&mut self, now: Time, input: Input) {
        self.session.handle(now, input);
    }
}

/// Cuts what one end sent into frames; both directions speak the same format.
pub(crate) fn frames(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let (splitter, mut stream) = (Splitter::new(frame::LIMIT_DOWN), BytesMut::from(bytes));
    let mut frames = Vec::new();
    while let Some(body) = splitter.next(&mut stream)? {
        frames.push(Frame::decode(body)?);
    }
    Ok(frames)
}
