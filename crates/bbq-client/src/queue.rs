//! A bounded queue from the client's task to the application, which may or may not listen.
//!
//! Nobody listens: the newest items are kept, up to the limit, for whoever comes. Somebody listens and is slow:
//! [`Queue::poll_room`] says so, and the task reads no further from the gate.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    limit: usize,
}

struct Inner<T> {
    items: VecDeque<T>,
    /// The receiver in office; 0: none.
    claim: u64,
    claims: u64,
    consumer: Option<Waker>,
    producer: Option<Waker>,
    closed: bool,
}

/// The application's end. One at a time: when another one is asked for, the older one ends.
pub struct Receiver<T> {
    queue: Arc<Queue<T>>,
    claim: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let inner =
            Inner { items: VecDeque::new(), claim: 0, claims: 0, consumer: None, producer: None, closed: false };
        Arc::new(Self { inner: Mutex::new(inner), limit: limit.max(1) })
    }

    /// Adds an item; the oldest gives way when nobody listens.
    pub(crate) fn push(&self, item: T) {
        self.add(item, false);
    }

    /// Adds an item; the oldest gives way, whether or not somebody listens.
    pub(crate) fn push_latest(&self, item: T) {
        self.add(item, true);
    }

    /// Ready when another item may be pushed.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.claim == 0 || inner.items.len() < self.limit {
            return Poll::Ready(());
        }
        inner.producer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing follows.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        wake(inner.consumer.take(), inner);
    }

    pub(crate) fn receiver(self: &Arc<Self>) -> Receiver<T> {
        let mut inner = self.lock();
        inner.claims += 1;
        inner.claim = inner.claims;
        let claim = inner.claim;
        wake(inner.consumer.take(), inner);
        Receiver { queue: self.clone(), claim }
    }

    fn add(&self, item: T, always_bounded: bool) {
        let mut inner = self.lock();
        if inner.items.len() >= self.limit && (always_bounded || inner.claim == 0) {
            inner.items.pop_front();
        }
        inner.items.push_back(item);
        wake(inner.consumer.take(), inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes outside of the lock.
fn wake<T>(waker: Option<Waker>, inner: MutexGuard<'_, Inner<T>>) {
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Receiver<T> {
    /// The next item; none when the client is closed and everything was taken, or another receiver took over.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The next item, if it is already there.
    pub fn try_next(&mut self) -> Option<T> {
        let mut inner = self.queue.lock();
        if inner.claim != self.claim {
            return None;
        }
        let item = inner.items.pop_front();
        wake(inner.producer.take(), inner);
        item
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.queue.lock();
        if inner.claim != self.claim {
            return Poll::Ready(None);
        }
        match inner.items.pop_front() {
            Some(item) => {
                if inner.items.is_empty() {
                    inner.items = VecDeque::new();
                }
                wake(inner.producer.take(), inner);
                Poll::Ready(Some(item))
            }
            None if inner.closed => Poll::Ready(None),
            None => {
                inner.consumer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> futures_core::Stream for Receiver<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(cx)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        if inner.claim == self.claim {
            inner.claim = 0;
            wake(inner.producer.take(), inner);
        }
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("waiting", &self.queue.lock().items.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_room(queue: &Queue<u32>) -> bool {
        queue.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_newest_items_wait_for_whoever_comes() {
        let queue = Queue::new(3);
        (1..=5).for_each(|item| queue.push(item));
        assert!(has_room(&queue));
        let mut receiver = queue.receiver();
        assert!(!has_room(&queue));
        assert_eq!([receiver.try_next(), receiver.try_next()], [Some(3), Some(4)]);
        assert!(has_room(&queue));
    }

    #[test]
    fn a_slow_receiver_loses_nothing_and_leaves_when_dropped() {
        let queue = Queue::new(1);
        let mut receiver = queue.receiver();
        queue.push(1);
        assert!(!has_room(&queue));
        queue.push(2);
        assert_eq!([receiver.try_next(), receiver.try_next(), receiver.try_next()], [Some(1), Some(2), None]);
        queue.push(3);
        drop(receiver);
        assert!(has_room(&queue));
    }

    #[test]
    fn an_older_receiver_ends() {
        let queue = Queue::new(1);
        let mut old = queue.receiver();
        let mut new = queue.receiver();
        queue.push_latest(1);
        queue.push_latest(2);
        assert_eq!((old.try_next(), new.try_next()), (None, Some(2)));
        drop(old);
        queue.push(3);
        assert!(!has_room(&queue), "the new one is still there");
    }
}
