//! What can be measured: three functions, each of which does a load of work and says how long it took.
//!
//! A function sets up its actors before it starts its clock, and checks the answers.

use std::time::Duration;

/// One thing to measure.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// gobbq's own: it has an aim, and the best of the others is put beside it.
    pub(crate) ours: bool,
    /// `asks` round trips to one actor, one after the other.
    pub(crate) ask: fn(&Load) -> Duration,
    /// `tells` messages to one actor; after every `tell_window` of them a question.
    pub(crate) tell: fn(&Load) -> Duration,
    /// `fan_rounds` times: ask all of `fan_actors` actors, then wait for all answers.
    pub(crate) fan: fn(&Load) -> Duration,
}

/// How much work.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) asks: u64,
    pub(crate) tells: u64,
    pub(crate) tell_window: u64,
    pub(crate) fan_actors: u64,
    pub(crate) fan_rounds: u64,
}
