//! What the machine has for one connection, and the bell that wakes its task.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use bbq_core::gate::{Part, Reading};
use smallvec::SmallVec;

/// Shared by the task of a connection and the task of the machine. Bounded by the machine: it stops sending to a
/// client that does not read.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// One frame needs no memory of its own.
    parts: SmallVec<[Part; 1]>,
    reading: Option<Reading>,
    end: End,
    flushed: u32,
    bell: Option<Waker>,
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum End {
    /// It does not.
    #[default]
    No,
    /// After what was sent.
    Close,
    /// At once.
    Abort,
}

/// What the task of a connection took out.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) parts: SmallVec<[Part; 1]>,
    pub(crate) reading: Option<Reading>,
    pub(crate) end: End,
}

impl Outbox {
    /// Adds frames; how many bytes of earlier ones the socket has taken since the last time.
    pub(crate) fn send(&self, parts: SmallVec<[Part; 1]>) -> u32 {
        let mut flushed = 0;
        self.change(|state| {
            flushed = std::mem::take(&mut state.flushed);
            if state.end == End::No {
                match state.parts.is_empty() {
                    true => state.parts = parts,
                    false => state.parts.extend(parts),
                }
            }
        });
        flushed
    }

    pub(crate) fn read_on(&self, reading: Reading) {
        self.change(|state| state.reading = Some(reading));
    }

    pub(crate) fn end(&self, end: End) {
        self.change(|state| state.end = state.end.max(end));
    }

    /// Counts bytes that the socket has taken and that nobody was told of; if they are many, the sum is returned to
    /// be told at once.
    pub(crate) fn count_flushed(&self, bytes: u32, many: u32) -> Option<u32> {
        let mut state = self.lock();
        state.flushed = state.flushed.saturating_add(bytes);
        (state.flushed >= many).then(|| std::mem::take(&mut state.flushed))
    }

    /// Takes everything out, and rings at the next change.
    pub(crate) fn take(&self, context: &Context<'_>) -> Taken {
        let mut state = self.lock();
        if state.bell.as_ref().is_none_or(|bell| !bell.will_wake(context.waker())) {
            state.bell = Some(context.waker().clone());
        }
        Taken { parts: std::mem::take(&mut state.parts), reading: state.reading.take(), end: state.end }
    }

    /// How the connection ends, and rings at the next change.
    pub(crate) fn watch_end(&self, context: &Context<'_>) -> End {
        let mut state = self.lock();
        state.bell = Some(context.waker().clone());
        state.end
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let bell = {
            let mut state = self.lock();
            change(&mut state);
            state.bell.take()
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
