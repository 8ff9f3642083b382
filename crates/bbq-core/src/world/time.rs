//! Time: timers of entities, idle entities, saves that are due.

use std::sync::Arc;
use std::time::Duration;

use bbq_wire::{Code, Error, Result, Time};

use super::entity::Life;
use super::glue::Hook;
use super::io::StopReason;
use super::operation::{OpRef, Outcome};
use super::state::{Inner, Message, NONE};
use super::task::TaskRef;
use crate::cron::Cron;
use crate::desc::Save;
use crate::timer::TimerKey;

/// Deadlines of calls are looked at no more often than this: they end at most this late.
const DEADLINE_GRAIN: u64 = 1 << 23;

/// A timer of an entity.
pub(crate) struct TimerRow {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) key: TimerKey,
    pub(crate) due: Time,
    pub(crate) repeat: Repeat,
    /// Its message waits in the mailbox: a second one is not added.
    pub(crate) pending: bool,
}

#[derive(Clone)]
pub(crate) enum Repeat {
    Once,
    Every(Duration),
    Cron(Box<Cron>),
    /// `on_tick`; the time of the last one.
    Tick(Duration, Time),
}

/// What the wheel of a world remembers.
#[derive(Clone, Copy)]
pub(crate) enum Alarm {
    Op(OpRef),
    Timer(u32, u32, u32),
    Idle(u32, u32),
    Save(u32, u32),
    /// The turn has run, its commit takes long, and its caller has little time left.
    Warn(TaskRef),
    /// A drain may not take longer.
    GiveUp,
}

impl Inner {
    pub(crate) fn deadline(&self) -> Option<Time> {
        let calls = (self.first_deadline != Time::MAX).then(|| round_up(self.first_deadline));
        [calls, self.wheel.next()].into_iter().flatten().min()
    }

    pub(crate) fn set_timer(&mut self, index: u32, name: Arc<str>, due: Time, repeat: Repeat) -> Result<()> {
        self.cancel_timer(index, &name);
        let (limit, generation) = (self.config.max_timers as usize, self.slots[index as usize].generation);
        if self.extra(index).timers.len() >= limit {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, format!("an entity may have {limit} timers")));
        }
        let extra = self.extra(index);
        extra.next_timer = extra.next_timer.wrapping_add(1);
        let id = extra.next_timer;
        let key = self.wheel.insert(due, Alarm::Timer(index, generation, id));
        self.extra(index).timers.push(TimerRow { id, name, key, due, repeat, pending: false });
        Ok(())
    }

    pub(crate) fn cancel_timer(&mut self, index: u32, name: &str) -> bool {
        let Some(extra) = &mut self.slots[index as usize].extra else { return false };
        let Some(at) = extra.timers.iter().position(|timer| &*timer.name == name) else { return false };
        let timer = extra.timers.swap_remove(at);
        self.wheel.cancel(timer.key);
        true
    }

    /// The message of a timer leaves the mailbox: the next period may add another.
    pub(crate) fn timer_taken(&mut self, index: u32, name: &str) {
        let Some(extra) = &mut self.slots[index as usize].extra else { return };
        if let Some(at) = extra.timers.iter().position(|timer| &*timer.name == name) {
            extra.timers[at].pending = false;
            if matches!(extra.timers[at].repeat, Repeat::Once) {
                extra.timers.swap_remove(at);
            }
        }
    }

    pub(crate) fn arm_idle(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let idle = self.desc(slot.kind).idle_ms;
        if idle > 0 {
            let at = slot.last_turn + Duration::from_millis(u64::from(idle));
            self.wheel.insert(at, Alarm::Idle(index, slot.generation));
        }
    }

    pub(crate) fn arm_save(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if let Some(state) = self.desc(slot.kind).state
            && let Save::Interval(ms) = state.save
            && !slot.save_armed
        {
            let alarm = Alarm::Save(index, slot.generation);
            self.wheel.insert(self.now + Duration::from_millis(u64::from(ms)), alarm);
            self.slots[index as usize].save_armed = true;
        }
    }

    /// Moves the clock and does what has become due.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if round_up(self.first_deadline) <= self.now {
            self.end_overdue_calls();
        }
        let mut due = Vec::new();
        if self.wheel.next().is_some_and(|next| next <= self.now) {
            self.wheel.advance(self.now, |alarm| due.push(alarm));
        }
        for alarm in due {
            self.fire(alarm);
        }
    }

    fn fire(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Op(op) => self.complete(op, Outcome::Fired),
            Alarm::Timer(index, generation, id) => {
                if self.alive(index, generation) {
                    self.fire_timer(index, generation, id);
                }
            }
            Alarm::Idle(index, generation) => {
                if self.alive(index, generation) {
                    self.check_idle(index);
                }
            }
            Alarm::Warn(call) => self.warn_caller(call),
            Alarm::GiveUp => self.give_up(),
            Alarm::Save(index, generation) => {
                if self.alive(index, generation) {
                    self.slots[index as usize].save_armed = false;
                    self.push(index, Message::hook(Hook::Save));
                }
            }
        }
    }

    fn alive(&self, index: u32, generation: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.generation == generation)
    }

    fn fire_timer(&mut self, index: u32, generation: u32, id: u32) {
        let (now, unix) = (self.now, self.config.unix_offset);
        let Some(extra) = &mut self.slots[index as usize].extra else { return };
        let Some(timer) = extra.timers.iter_mut().find(|timer| timer.id == id) else { return };
        let hook = match &mut timer.repeat {
            Repeat::Tick(_, last) if !timer.pending => Some(Hook::Tick(now.since(std::mem::replace(last, now)))),
            _ if timer.pending => None,
            _ => Some(Hook::Timer(Arc::clone(&timer.name))),
        };
        timer.pending = true;
        let next = match &timer.repeat {
            Repeat::Once => None,
            // From when it was due, not from now: no drift. Periods that were missed are skipped.
            Repeat::Every(period) | Repeat::Tick(period, _) => {
                let next = timer.due + *period;
                Some(if next > now { next } else { now + *period })
            }
            Repeat::Cron(cron) => cron.next_after(now, unix),
        };
        if let Some(next) = next {
            timer.due = next;
            timer.key = self.wheel.insert(next, Alarm::Timer(index, generation, id));
        }
        if let Some(hook) = hook {
            self.push(index, Message::hook(hook));
        }
    }

    fn check_idle(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let idle = Duration::from_millis(u64::from(self.desc(slot.kind).idle_ms));
        let quiet = slot.task == NONE && slot.mailbox.len == 0 && slot.life == Life::Running;
        if quiet && self.now.since(slot.last_turn) >= idle {
            self.stop(index, StopReason::Idle);
        } else {
            let slot = &mut self.slots[index as usize];
            slot.last_turn = slot.last_turn.max(self.now - idle + Duration::from_millis(1));
            self.arm_idle(index);
        }
    }
}

fn round_up(time: Time) -> Time {
    Time(time.0.checked_next_multiple_of(DEADLINE_GRAIN).unwrap_or(u64::MAX))
}
