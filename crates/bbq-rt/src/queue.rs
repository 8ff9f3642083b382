//! A bounded queue that is filled and emptied by the batch: however much one side has, it takes one lock, and the other
//! side is woken once.
//!
//! Between the mesh, the gate and the worlds of a process thousands of small messages travel per second; a lock and a
//! wake-up for each of them would cost more than what they say.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::coop::cooperative;

/// An empty buffer with more room than this gives it back.
const ROOM_WORTH_KEEPING: usize = 4096;

/// A queue for at most `limit` values.
#[must_use]
pub fn queue<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { values: VecDeque::new(), limit, bell: None, senders: 1, over: false, crowded: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), room: Notify::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The end that fills it. What one sender puts in comes out in order.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that empties it.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// The receiver is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Rings when there is room again after there was none.
    room: Notify,
}

#[derive(Debug)]
struct State<T> {
    values: VecDeque<T>,
    limit: usize,
    /// Of a receiver that found nothing.
    bell: Option<Waker>,
    senders: usize,
    /// The receiver is gone.
    over: bool,
    /// A sender waits for room.
    crowded: bool,
}

impl<T> State<T> {
    fn room(&self) -> usize {
        self.limit.saturating_sub(self.values.len())
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Moves values from the front of `values` until the queue is full; how much room is left. When the receiver is
    /// gone, so are the values.
    pub fn offer(&self, values: &mut VecDeque<T>) -> usize {
        let mut state = self.0.lock();
        if state.over {
            values.clear();
            return state.limit;
        }
        let count = values.len().min(state.room());
        if count == values.len() && state.values.is_empty() {
            std::mem::swap(&mut state.values, values);
        } else {
            state.values.extend(values.drain(..count));
        }
        let (room, bell) = (state.room(), if count > 0 { state.bell.take() } else { None });
        drop(state);
        if let Some(bell) = bell {
            bell.wake();
        }
        room
    }

    /// How many values it would take.
    #[must_use]
    pub fn room(&self) -> usize {
        let state = self.0.lock();
        if state.over { state.limit } else { state.room() }
    }

    /// Puts one value in, waiting while the queue is full.
    ///
    /// # Errors
    /// The receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), Closed> {
        let mut one = VecDeque::from([value]);
        loop {
            self.has_room().await?;
            self.offer(&mut one);
            if one.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until there is room.
    ///
    /// # Errors
    /// The receiver is gone.
    pub async fn has_room(&self) -> Result<(), Closed> {
        let mut ring = pin!(self.0.room.notified());
        loop {
            // Before the look, so that no ring is missed.
            ring.as_mut().enable();
            {
                let mut state = self.0.lock();
                if state.over {
                    return Err(Closed);
                }
                if state.room() > 0 {
                    return Ok(());
                }
                state.crowded = true;
            }
            ring.as_mut().await;
            ring.set(self.0.room.notified());
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for values and takes all of them, behind what is in `values`; `false`: there will be no more.
    pub async fn receive(&mut self, values: &mut VecDeque<T>) -> bool {
        cooperative(poll_fn(|context| self.poll(context, values))).await
    }

    /// Waits for one value; `None`: there will be no more.
    pub async fn recv(&mut self) -> Option<T> {
        cooperative(poll_fn(|context| {
            let mut state = self.0.lock();
            match state.values.pop_front() {
                Some(value) => {
                    self.taken(state);
                    Poll::Ready(Some(value))
                }
                None => Self::wait(&mut state, context).map(|()| None),
            }
        }))
        .await
    }

    fn poll(&self, context: &Context<'_>, values: &mut VecDeque<T>) -> Poll<bool> {
        let mut state = self.0.lock();
        if state.values.is_empty() {
            return Self::wait(&mut state, context).map(|()| false);
        }
        if values.is_empty() {
            if values.capacity() > ROOM_WORTH_KEEPING {
                *values = VecDeque::new();
            }
            std::mem::swap(&mut state.values, values);
        } else {
            values.append(&mut state.values);
        }
        self.taken(state);
        Poll::Ready(true)
    }

    /// Nothing is there: ready when nothing can come.
    fn wait(state: &mut State<T>, context: &Context<'_>) -> Poll<()> {
        if state.senders == 0 {
            return Poll::Ready(());
        }
        match &mut state.bell {
            Some(bell) => bell.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn taken(&self, mut state: MutexGuard<'_, State<T>>) {
        let crowded = std::mem::take(&mut state.crowded);
        drop(state);
        if crowded {
            self.0.room.notify_waiters();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let bell = {
            let mut state = self.0.lock();
            state.senders -= 1;
            if state.senders == 0 { state.bell.take() } else { None }
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.lock();
            state.over = true;
            std::mem::take(&mut state.values)
        };
        drop(left);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: impl IntoIterator<Item = u32>) -> VecDeque<u32> {
        values.into_iter().collect()
    }

    #[tokio::test]
    async fn batches_come_out_in_order_and_what_does_not_fit_stays_with_the_sender() {
        let (sender, mut receiver) = queue(4);
        let (mut first, mut second, mut out) = (all(0..3), all(3..6), VecDeque::new());
        assert_eq!((sender.offer(&mut first), sender.offer(&mut second)), (1, 0));
        assert_eq!((first.len(), &second), (0, &all(4..6)));
        assert!(receiver.receive(&mut out).await);
        sender.offer(&mut second);
        assert!(receiver.receive(&mut out).await);
        assert_eq!(out, all(0..6));
    }

    #[tokio::test]
    async fn whoever_finds_it_full_goes_on_when_something_was_taken() {
        let (sender, mut receiver) = queue(1);
        sender.send(1).await.unwrap();
        let waiting: Vec<_> = (2..5)
            .map(|value| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(value).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(sender.room(), 0);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.extend(receiver.recv().await);
        }
        assert_eq!(seen, [1, 2, 3, 4]);
        for one in waiting {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn each_end_notices_that_the_other_is_gone() {
        let (sender, mut receiver) = queue(1);
        let other = sender.clone();
        sender.send(7).await.unwrap();
        drop((sender, other));
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(7), None));
        assert!(!receiver.receive(&mut VecDeque::new()).await);

        let (sender, receiver) = queue(1);
        sender.send(7).await.unwrap();
        let (waiting, ()) = tokio::join!(sender.send(8), async { drop(receiver) });
        assert_eq!(waiting, Err(Closed));
        let mut lost = all([9]);
        sender.offer(&mut lost);
        assert!(lost.is_empty());
    }

    #[test]
    fn threads_exchange_everything_once_and_in_order() {
        let (sender, mut receiver) = queue(64);
        let filler = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut next = 0;
                while next < 100_000 {
                    let mut batch = all(next..next + 1 + next % 100);
                    next += batch.len() as u32;
                    while !batch.is_empty() {
                        sender.has_room().await.unwrap();
                        sender.offer(&mut batch);
                    }
                }
                next
            })
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(async {
            let (mut seen, mut batch) = (0, VecDeque::new());
            while receiver.receive(&mut batch).await {
                assert!(batch.len() <= 64);
                batch.drain(..).for_each(|value| {
                    assert_eq!(value, seen);
                    seen += 1;
                });
            }
            seen
        });
        assert_eq!(seen, filler.join().unwrap());
    }
}
