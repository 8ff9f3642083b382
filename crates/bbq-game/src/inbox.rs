//! The queue in front of a world.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use bbq_core::world::{Input, ReplyTo};
use bbq_wire::{Code, Error};

/// Most inputs that wait for one world; calls beyond it are refused with `BUSY`. Everything else is the answer to
/// something that the world asked for, which its own limits bound, and is always taken.
const INBOX_LIMIT: usize = 65_536;

/// Where inputs for a world are put. Never blocks.
#[derive(Clone, Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Input>,
    length: Arc<AtomicUsize>,
}

/// The world's end.
pub(crate) struct Receiver {
    receiver: mpsc::Receiver<Input>,
    length: Arc<AtomicUsize>,
}

pub(crate) fn inbox() -> (Inbox, Receiver) {
    #[expect(clippy::disallowed_methods, reason = "calls are bounded by INBOX_LIMIT, answers by the world's operations")]
    let (sender, receiver) = mpsc::channel();
    let length = Arc::new(AtomicUsize::new(0));
    (Inbox { sender, length: Arc::clone(&length) }, Receiver { receiver, length })
}

impl Inbox {
    /// Puts an input. A call that finds the inbox full comes back, with the error for its caller.
    pub fn offer(&self, input: Input) -> Result<(), (ReplyTo, Error)> {
        if let Input::Call(call) = &input
            && self.length.load(Ordering::Relaxed) >= INBOX_LIMIT
        {
            return Err((call.reply_to, Error::new(Code::BUSY, "the inbox of the world is full; not processed")));
        }
        self.send(input);
        Ok(())
    }

    /// Puts an input whatever the length. After the world has ended, it is dropped.
    pub fn send(&self, input: Input) {
        self.length.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(input).is_err() {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Receiver {
    /// The next input, or `None` when `until` has come.
    pub(crate) fn wait(&self, until: Instant) -> Option<Input> {
        let input = match self.receiver.try_recv() {
            Ok(input) => Some(input),
            Err(_) => self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
        };
        self.counted(input)
    }

    /// The next input if there is one.
    pub(crate) fn take(&self) -> Option<Input> {
        self.counted(self.receiver.try_recv().ok())
    }

    fn counted(&self, input: Option<Input>) -> Option<Input> {
        if input.is_some() {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bbq_core::Payload;
    use bbq_core::world::{CallId, Incoming, Meta, Target};
    use bbq_wire::Time;

    #[test]
    fn a_full_inbox_refuses_calls_and_takes_answers() {
        let (inbox, receiver) = inbox();
        let call = || {
            Input::Call(Incoming {
                target: Target::Service(1),
                method: 1,
                body: Payload::EMPTY,
                reply_to: ReplyTo::Remote(7),
                deadline: Time::MAX,
                meta: Meta::default(),
            })
        };
        for _ in 0..INBOX_LIMIT {
            inbox.offer(call()).expect("there is room");
        }
        let (to, error) = inbox.offer(call()).expect_err("full");
        assert_eq!((to, error.code), (ReplyTo::Remote(7), Code::BUSY));
        inbox.offer(Input::Reply(CallId(1), Ok(Payload::EMPTY))).expect("answers are always taken");
        assert!(receiver.take().is_some());
        assert!(receiver.take().is_some());
        inbox.offer(call()).expect("there is room again");
    }
}
