//! One stream: what this incarnation sends to another, and what it accepts from it, each frame once and in order, for as
//! long as both live.
//!
//! ```text
//! sender     1 .. acked | acked+1 .. sent: kept until acknowledged | not yet numbered: the outbox of the caller
//! receiver   accepts exactly seen+1; what is older is a repetition, what is newer has a gap before it
//! ```
//! Frames are numbered when they leave, and are sent again only when it is known from where: after anything that may
//! have lost frames the sender stops, asks the peer how far it has come, and goes on from there. A receiver that finds a
//! gap says so unasked. Acknowledgements ride on frames, or go out alone after [`Limits::ack_frames`] frames or
//! [`Limits::ack_wait`]. A frame that is given back (bounced) is not acknowledged before the peer has the bounce: so the
//! peer may forget what is acknowledged. It knows nothing of links and of what the frames mean.

use std::collections::VecDeque;
use std::time::Duration;

use bbq_wire::Time;
use bytes::Bytes;

use super::Limits;

/// A frame that may have to be sent again.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    /// The call that it carries.
    pub(super) call: Option<u64>,
}

/// A frame that was given back.
#[derive(Clone, Copy, Debug)]
struct Returned {
    seq: u64,
    /// The bounce is one of the frames up to this number, unless fewer leave.
    by: u64,
}

/// What a sender does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// Frames leave as they come.
    #[default]
    Open,
    /// Frames may have been lost; the peer is asked, next at this time, after which pause.
    Asking { next: Time, pause: Duration },
}

/// What to do with a frame that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It is the next one.
    Accept,
    /// It was accepted before.
    Again,
    /// Frames before it are missing; `true`: the peer must be told.
    Gap(bool),
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Due {
    /// Tell the peer how far we have come.
    pub(super) ack: bool,
    /// Ask the peer how far it has come.
    pub(super) ask: bool,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Stream {
    phase: Phase,
    sent: u64,
    acked: u64,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// When something was last acknowledged, or the first of the kept frames left.
    progress: Time,
    seen: u64,
    told: u64,
    /// Since when something accepted has not been acknowledged.
    untold: Option<Time>,
    /// Oldest first.
    returned: VecDeque<Returned>,
    /// The last gap of which the peer was told, and when.
    gap: Option<(u64, Time)>,
    /// When everything kept was last sent again.
    again: Option<Time>,
}

impl Stream {
    /// Whether a frame may leave now.
    pub(super) fn can_send(&self, limits: &Limits) -> bool {
        let room = self.kept.len() < limits.window_frames && self.kept_bytes < limits.window_bytes;
        room && self.phase == Phase::Open
    }

    /// Number and acknowledgement for the next frame; to be followed by [`Stream::keep`] if the frame leaves.
    pub(super) fn next_numbers(&self) -> (u64, u64) {
        (self.sent + 1, self.tellable())
    }

    /// How far the peer may know that we have come.
    fn tellable(&self) -> u64 {
        self.returned.front().map_or(self.seen, |first| first.seq - 1)
    }

    /// The frame accepted last will be given back, by a frame in front of which `waiting` others wait.
    pub(super) fn give_back(&mut self, waiting: usize) {
        self.returned.push_back(Returned { seq: self.seen, by: self.sent + waiting as u64 + 1 });
    }

    /// The frame numbered last leaves.
    pub(super) fn keep(&mut self, now: Time, frame: Kept) {
        if self.kept.is_empty() {
            self.progress = now;
        }
        self.sent += 1;
        self.kept_bytes += frame.bytes.len();
        self.kept.push_back(frame);
        self.told_peer();
    }

    /// Judges the number of a frame that arrived.
    pub(super) fn arrived(&mut self, now: Time, seq: u64, limits: &Limits) -> Arrival {
        if seq == self.seen + 1 {
            self.seen = seq;
            self.untold.get_or_insert(now);
            return Arrival::Accept;
        }
        if seq <= self.seen {
            // Its acknowledgement may have been lost.
            self.untold.get_or_insert(now);
            return Arrival::Again;
        }
        let tell = self.gap.is_none_or(|(at, time)| at != self.seen || now.since(time) >= limits.ask_pause);
        if tell {
            self.gap = Some((self.seen, now));
        }
        Arrival::Gap(tell)
    }

    /// The peer has accepted everything up to `seen`. Gives the calls among it, and the numbers under which they left;
    /// `None`: it cannot have, that was never sent. `waiting` parcels have not left yet.
    pub(super) fn acknowledged(&mut self, now: Time, seen: u64, waiting: usize) -> Option<Vec<(u64, u64)>> {
        if seen > self.sent {
            return None;
        }
        let mut calls = Vec::new();
        while self.acked < seen {
            self.acked += 1;
            self.progress = now;
            if let Some(kept) = self.kept.pop_front() {
                self.kept_bytes -= kept.bytes.len();
                calls.extend(kept.call.map(|call| (self.acked, call)));
            }
        }
        let all = self.kept.is_empty() && waiting == 0;
        while self.returned.front().is_some_and(|first| all || first.by <= self.acked) {
            self.returned.pop_front();
            self.untold.get_or_insert(now);
        }
        Some(calls)
    }

    /// The peer wants everything after `seen` again, which has just been [acknowledged](Stream::acknowledged). Gives
    /// what to send; nothing, if that is on its way already.
    pub(super) fn repeat(&mut self, now: Time, seen: u64, limits: &Limits) -> impl Iterator<Item = &Bytes> {
        let asked = self.phase != Phase::Open;
        let on_its_way = self.again.is_some_and(|time| now.since(time) < limits.ask_pause);
        // A late answer to an older question says less than what is known.
        let go = seen == self.acked && (asked || !on_its_way);
        if go {
            self.phase = Phase::Open;
            self.again = Some(now);
            self.progress = now;
        }
        self.kept.iter().take(if go { usize::MAX } else { 0 }).map(|kept| &kept.bytes)
    }

    /// Something happened that may have lost frames: nothing leaves until the peer has said how far it has come.
    pub(super) fn doubt(&mut self, now: Time, limits: &Limits) {
        if !self.kept.is_empty() {
            self.phase = Phase::Asking { next: now, pause: limits.ask_pause };
        }
    }

    /// What is due now, given that there is a way to the peer. It counts as done.
    pub(super) fn due(&mut self, now: Time, limits: &Limits) -> Due {
        let mut due = Due::default();
        if self.phase == Phase::Open && !self.kept.is_empty() && now.since(self.progress) >= limits.ack_timeout {
            self.doubt(now, limits);
        }
        if let Phase::Asking { next, pause } = &mut self.phase
            && *next <= now
        {
            *next = now + *pause;
            *pause = (*pause * 2).min(limits.longest_ask_pause);
            due.ask = true;
        }
        due.ack = self.ack_overdue(limits) || self.untold.is_some_and(|since| now.since(since) >= limits.ack_wait);
        if due.ack || due.ask {
            self.told_peer();
        }
        due
    }

    /// When [`Stream::due`] should be asked again.
    pub(super) fn wake_at(&self, limits: &Limits) -> Option<Time> {
        let sender = match self.phase {
            Phase::Asking { next, .. } => Some(next),
            Phase::Open => (!self.kept.is_empty()).then_some(self.progress + limits.ack_timeout),
        };
        let receiver = self.untold.map(|since| since + limits.ack_wait);
        [sender, receiver].into_iter().flatten().min()
    }

    /// How far we have come; the peer is told.
    pub(super) fn told_peer(&mut self) -> u64 {
        self.told = self.tellable().max(self.told);
        self.untold = None;
        self.told
    }

    /// The last number accepted, of which something may still have to be given back.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether so much is unacknowledged that it should not wait for the timer.
    pub(super) fn ack_overdue(&self, limits: &Limits) -> bool {
        self.tellable().saturating_sub(self.told) >= limits.ack_frames
    }

    /// Whether frames are kept.
    pub(super) fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// The peer takes nothing any more: gives the calls that it did not [acknowledge](Stream::acknowledged), and their
    /// numbers.
    pub(super) fn give_up(&mut self) -> Vec<(u64, u64)> {
        self.kept_bytes = 0;
        let numbers = self.acked + 1..;
        numbers.zip(self.kept.drain(..)).filter_map(|(seq, kept)| Some((seq, kept.call?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Kept {
        Kept { bytes: Bytes::from_static(text.as_bytes()), call: None }
    }

    fn millis(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn acks(stream: &mut Stream, now: Time, seen: u64) -> bool {
        stream.acknowledged(now, seen, 0).is_some()
    }

    fn again(stream: &mut Stream, now: Time, seen: u64) -> Vec<Bytes> {
        stream.repeat(now, seen, &Limits::default()).cloned().collect()
    }

    #[test]
    fn frames_are_accepted_once_and_in_order() {
        let (mut stream, limits) = (Stream::default(), Limits::default());
        let mut arrives = |seq| stream.arrived(millis(1), seq, &limits);
        assert_eq!(arrives(1), Arrival::Accept);
        assert_eq!(arrives(1), Arrival::Again);
        assert_eq!(arrives(3), Arrival::Gap(true));
        assert_eq!(arrives(4), Arrival::Gap(false), "one gap is told once");
        assert_eq!(arrives(2), Arrival::Accept);
        assert_eq!(arrives(3), Arrival::Accept);
        assert_eq!(arrives(5), Arrival::Gap(true), "another gap");
        assert_eq!(stream.arrived(millis(2000), 5, &limits), Arrival::Gap(true), "the answer may have been lost");
        assert_eq!(stream.arrived(millis(2000), u64::MAX, &limits), Arrival::Gap(false));
    }

    #[test]
    fn after_a_doubt_nothing_leaves_until_the_peer_has_answered() {
        let (mut stream, limits) = (Stream::default(), Limits::default());
        stream.doubt(millis(0), &limits);
        assert!(stream.can_send(&limits), "nothing was sent, nothing can be lost");
        ["a", "b", "c"].into_iter().for_each(|text| stream.keep(millis(1), frame(text)));
        stream.doubt(millis(2), &limits);
        assert!(!stream.can_send(&limits));
        assert!(stream.due(millis(2), &limits).ask);
        assert!(!stream.due(millis(2), &limits).ask, "not twice");
        assert!(stream.due(stream.wake_at(&limits).unwrap(), &limits).ask, "but again after a pause");
        assert!(acks(&mut stream, millis(9), 1));
        assert_eq!(again(&mut stream, millis(9), 1), ["b", "c"]);
        assert!(stream.can_send(&limits));
        assert_eq!(again(&mut stream, millis(9), 1), [""; 0], "the second answer repeats nothing");
        assert!(acks(&mut stream, millis(10), 3));
        assert_eq!(again(&mut stream, millis(10), 3), [""; 0]);
        assert_eq!(stream.wake_at(&limits), None, "all is quiet");
    }

    #[test]
    fn an_old_answer_and_an_impossible_one_change_nothing() {
        let mut stream = Stream::default();
        ["a", "b"].into_iter().for_each(|text| stream.keep(millis(1), frame(text)));
        assert!(acks(&mut stream, millis(2), 2));
        assert!(acks(&mut stream, millis(2), 1));
        assert_eq!(again(&mut stream, millis(2), 1), [""; 0]);
        assert!(!acks(&mut stream, millis(2), 3));
        assert!(!acks(&mut stream, millis(2), u64::MAX));
    }

    #[test]
    fn a_full_window_waits_for_acknowledgements() {
        let (mut stream, limits) = (Stream::default(), Limits { window_frames: 2, ..Limits::default() });
        stream.keep(millis(1), frame("a"));
        assert!(stream.can_send(&limits));
        stream.keep(millis(1), frame("b"));
        assert!(!stream.can_send(&limits));
        assert!(acks(&mut stream, millis(1), 1));
        assert!(stream.can_send(&limits));
        let bytes = Limits { window_bytes: 2, ..Limits::default() };
        stream.keep(millis(1), frame("c"));
        assert!(!stream.can_send(&bytes));
    }

    #[test]
    fn silence_raises_doubt() {
        let (mut stream, limits) = (Stream::default(), Limits::default());
        stream.keep(millis(1), frame("a"));
        let late = millis(1) + limits.ack_timeout;
        assert_eq!(stream.wake_at(&limits), Some(late));
        assert_eq!(stream.due(late, &limits), Due { ack: false, ask: true });
        assert!(!stream.can_send(&limits));
    }

    #[test]
    fn acknowledgements_ride_along_or_go_out_alone() {
        let (mut stream, limits) = (Stream::default(), Limits::default());
        stream.arrived(millis(1), 1, &limits);
        assert_eq!(stream.next_numbers(), (1, 1));
        stream.keep(millis(1), frame("answer"));
        assert_eq!(stream.wake_at(&limits), Some(millis(1) + limits.ack_timeout), "no ack is due");
        stream.arrived(millis(2), 2, &limits);
        assert!(!stream.due(millis(2), &limits).ack);
        assert!(stream.due(millis(2) + limits.ack_wait, &limits).ack);
        assert!(!stream.due(millis(20), &limits).ack, "told");
        (3..3 + limits.ack_frames).for_each(|seq| {
            stream.arrived(millis(30), seq, &limits);
        });
        assert!(stream.ack_overdue(&limits) && stream.due(millis(30), &limits).ack);
    }

    #[test]
    fn what_is_given_back_is_not_acknowledged_before_the_bounce_is() {
        let (mut stream, limits) = (Stream::default(), Limits::default());
        (1..=3).for_each(|seq| assert_eq!(stream.arrived(millis(1), seq, &limits), Arrival::Accept));
        stream.give_back(0);
        stream.arrived(millis(1), 4, &limits);
        assert_eq!((stream.next_numbers(), stream.told_peer()), ((1, 2), 2));
        stream.keep(millis(1), Kept { call: Some(7), ..frame("the bounce") });
        assert_eq!(stream.told_peer(), 2);
        assert_eq!(stream.acknowledged(millis(2), 1, 0), Some(vec![(1, 7)]));
        assert!(stream.due(millis(2) + limits.ack_wait, &limits).ack && stream.told_peer() == 4);
    }
}
