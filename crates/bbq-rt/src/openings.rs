//! Connections that were accepted, and have not said yet who they are.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// See [`Seldom`].
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Openings at a time. When there are more, the oldest is given up for the newest: who means it is through within
/// milliseconds, and who only holds connections open holds nobody else up.
#[derive(Debug)]
pub(crate) struct Openings<T> {
    tasks: JoinSet<T>,
    /// In the order in which they came.
    order: VecDeque<AbortHandle>,
    limit: usize,
}

impl<T: Send + 'static> Openings<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { tasks: JoinSet::new(), order: VecDeque::new(), limit }
    }

    /// Begins one. It ends by itself, or when it is given up.
    pub(crate) fn admit(&mut self, opening: impl Future<Output = T> + Send + 'static) {
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(opening));
    }

    /// What the next one that ends by itself came to; waits for ever if there is none. Nothing is lost when the future
    /// is dropped.
    pub(crate) async fn next(&mut self) -> T {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                // Given up, or it panicked, which has been reported.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// What strangers can cause as often as they like is told now and then, so that they fill no disk with logs.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It happened again. `Some`: tell it, and how often it happened since the last time without being told.
    pub(crate) fn again(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_all_the_time_is_told_now_and_then_and_counted_in_between() {
        let (mut seldom, begun) = (Seldom::default(), Instant::now());
        let told: Vec<u64> = (0..1000).filter_map(|ms| seldom.again(begun + Duration::from_millis(ms))).collect();
        assert_eq!(told, [0]);
        assert_eq!(seldom.again(begun + TELL_EVERY), Some(999));
        assert_eq!(seldom.again(begun + TELL_EVERY * 3), Some(0));
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_whoever_means_it_gets_through() {
        let mut openings = Openings::new(3);
        for _ in 0..100 {
            openings.admit(std::future::pending::<u32>());
        }
        openings.admit(async { 7 });
        assert_eq!(openings.next().await, 7);
        assert!(openings.order.len() <= 3);
        // Those that were given up are gone, not waiting.
        tokio::task::yield_now().await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), openings.next()).await.is_err());
        assert_eq!(openings.tasks.len(), 2);
    }
}
