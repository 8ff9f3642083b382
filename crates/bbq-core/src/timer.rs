//! A hierarchical timer wheel (Varghese and Lauck, 1987): insert, cancel and expire in O(1), next deadline in O(levels).
//!
//! Seven levels of 64 slots over ticks of 2^20 ns (about 1.05 ms). A timer never fires early and at most one tick late.
//! Timers of the same tick fire in the order in which they were set.

use bbq_wire::Time;
use slab::Slab;

const TICK_BITS: u32 = 20;
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 7;
const LAST_TICK: u64 = (1 << (LEVEL_BITS * LEVELS as u32)) - 1;
const NONE: u32 = u32::MAX;

/// Names a pending timer. Using it after the timer fired or was cancelled does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    generation: u32,
    list: u16,
    previous: u32,
    next: u32,
    value: T,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

/// A set of timers, each carrying a `T`.
#[derive(Debug)]
pub struct Wheel<T> {
    now: u64,
    generation: u32,
    entries: Slab<Entry<T>>,
    occupied: [u64; LEVELS],
    lists: Box<[List]>,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self {
            now: 0,
            generation: 0,
            entries: Slab::new(),
            occupied: [0; LEVELS],
            lists: vec![List { head: NONE, tail: NONE }; LEVELS * SLOTS].into_boxed_slice(),
        }
    }
}

impl<T> Wheel<T> {
    /// Number of pending timers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets a timer. One whose deadline has passed fires at the next [`Wheel::advance`].
    pub fn insert(&mut self, deadline: Time, value: T) -> TimerKey {
        let tick = deadline.0.div_ceil(1 << TICK_BITS).min(LAST_TICK).max(self.now);
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = Entry { tick, generation, list: 0, previous: NONE, next: NONE, value };
        let index = self.entries.insert(entry) as u32;
        self.link(index);
        TimerKey { index, generation }
    }

    /// Takes a pending timer out again.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        self.unlink(key.index);
        Some(self.entries.remove(key.index as usize).value)
    }

    /// When [`Wheel::advance`] has something to do next: never later than the earliest deadline, at most one tick.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.next_slot().map(|(_, tick)| Time(tick << TICK_BITS))
    }

    /// Moves to `now` and hands every due timer to `fire`, earliest first.
    pub fn advance(&mut self, now: Time, mut fire: impl FnMut(T)) {
        let target = now.0 >> TICK_BITS;
        while let Some((list, tick)) = self.next_slot() {
            if tick > target {
                break;
            }
            self.now = self.now.max(tick);
            let mut at = self.take(list);
            while at != NONE {
                let next = self.entries[at as usize].next;
                if self.entries[at as usize].tick <= self.now {
                    fire(self.entries.remove(at as usize).value);
                } else {
                    self.link(at);
                }
                at = next;
            }
        }
        self.now = self.now.max(target);
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let level = ((63 - ((self.now ^ tick) | 63).leading_zeros()) / LEVEL_BITS) as usize;
        let slot = (tick >> (LEVEL_BITS * level as u32)) as usize & (SLOTS - 1);
        let list = level * SLOTS + slot;
        let tail = self.lists[list].tail;
        let entry = &mut self.entries[index as usize];
        (entry.list, entry.previous, entry.next) = (list as u16, tail, NONE);
        match tail {
            NONE => self.lists[list].head = index,
            tail => self.entries[tail as usize].next = index,
        }
        self.lists[list].tail = index;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Entry { list, previous, next, .. } = self.entries[index as usize];
        let list = usize::from(list);
        match previous {
            NONE => self.lists[list].head = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[list].tail = previous,
            next => self.entries[next as usize].previous = previous,
        }
        if self.lists[list].head == NONE {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    fn take(&mut self, list: usize) -> u32 {
        self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        std::mem::replace(&mut self.lists[list], List { head: NONE, tail: NONE }).head
    }

    /// The occupied list that starts earliest, and that tick. Lower levels always come before higher ones.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = LEVEL_BITS * level as u32;
        let here = (self.now >> shift) as u32 & (SLOTS as u32 - 1);
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) as usize & (SLOTS - 1);
        let tick = ((self.now >> shift) + u64::from(ahead)) << shift;
        Some((level * SLOTS + slot, tick.max(self.now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(wheel: &mut Wheel<u32>, now: Time) -> Vec<u32> {
        let mut all = Vec::new();
        wheel.advance(now, |value| all.push(value));
        all
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut wheel = Wheel::default();
        wheel.insert(Time::from_millis(100), 1);
        assert_eq!(fired(&mut wheel, Time::from_millis(99)), []);
        assert_eq!(fired(&mut wheel, Time::from_millis(102)), [1]);
        assert_eq!(fired(&mut wheel, Time::from_millis(1_000_000)), []);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_key_is_dead() {
        let mut wheel = Wheel::default();
        let key = wheel.insert(Time::from_millis(5), 1);
        assert_eq!(wheel.cancel(key), Some(1));
        let other = wheel.insert(Time::from_millis(5), 2);
        assert_eq!(wheel.cancel(key), None, "the slot was reused, the key was not");
        assert_eq!(wheel.cancel(other), Some(2));
        assert!(wheel.is_empty() && wheel.next().is_none());
    }

    proptest! {
        #[test]
        fn it_fires_what_a_sorted_list_would(
            steps in prop::collection::vec((0u64..200_000, 0u64..70_000, any::<bool>()), 1..200)
        ) {
            let mut wheel = Wheel::default();
            let mut model: Vec<(u64, u32, TimerKey)> = Vec::new();
            let mut now = 0;
            for (id, (delay, step, cancel)) in steps.into_iter().enumerate() {
                let deadline = Time::from_millis(now + delay);
                let key = wheel.insert(deadline, id as u32);
                model.push((deadline.0.div_ceil(1 << TICK_BITS), id as u32, key));
                if cancel && model.len() > 2 {
                    let (_, value, key) = model.swap_remove(model.len() / 2);
                    prop_assert_eq!(wheel.cancel(key), Some(value));
                }
                now += step;
                let tick = Time::from_millis(now).0 >> TICK_BITS;
                let mut due: Vec<_> = model.iter().filter(|entry| entry.0 <= tick).map(|entry| entry.1).collect();
                model.retain(|entry| entry.0 > tick);
                let mut got = fired(&mut wheel, Time::from_millis(now));
                due.sort_unstable();
                got.sort_unstable();
                prop_assert_eq!(due, got);
                let earliest = model.iter().map(|entry| entry.0).min();
                let next = wheel.next().map(|time| time.0 >> TICK_BITS);
                prop_assert!(next.is_some() == earliest.is_some() && next <= earliest);
            }
        }
    }
}
