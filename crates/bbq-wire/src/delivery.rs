//! Delivery within a session (`spec/wire.md`, section 4), the same at both ends.
//!
//! A sender numbers its frames 1, 2, 3 .. for the life of the session and keeps each until the peer acknowledged it; a
//! receiver accepts exactly the next one. What is kept is bounded by [`RingLimits`]. After a reconnect [`Delivery::resume`]
//! gives the frames that the peer has not seen, or says that some are no longer there. Never a silent gap.
//!
//! ```text
//! 1 .. acked | acked+1 .. dropped | the ring: dropped+1 .. sent
//! ```
//! It knows nothing of connections, time or what the frames mean.

use std::collections::VecDeque;

use crate::shared::SharedFrame;

/// Send an ACK frame after this many frames without an acknowledgement.
pub const ACK_AFTER_FRAMES: u64 = 32;
/// Send an ACK frame after this many bytes without an acknowledgement.
pub const ACK_AFTER_BYTES: u32 = 16 * 1024;

/// An empty ring gives its memory back if it has more slots than this.
const SLOTS_WORTH_KEEPING: usize = 4;

/// How much a sender keeps for a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Most frames.
    pub frames: u32,
    /// Most bytes of these frames.
    pub bytes: u32,
    /// What happens at either limit.
    pub when_full: WhenFull,
}

/// What a full ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Forget the oldest frame; a resume from before it fails. The gate's choice: it must not wait for a client.
    DropOldest,
    /// Refuse the new frame with [`Full`]. The client's choice: its application can wait.
    Refuse,
}

impl RingLimits {
    /// The gate's default.
    pub const GATE: Self = Self { frames: 256, bytes: 64 * 1024, when_full: WhenFull::DropOldest };
    /// The client's default.
    pub const CLIENT: Self = Self { when_full: WhenFull::Refuse, ..Self::GATE };
}

/// The ring is full and refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What became of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one.
    Accept,
    /// It was accepted before: drop it silently.
    Duplicate,
    /// Frames before it are missing: a protocol error.
    Gap,
}

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError {
    /// A frame that the peer has not seen is no longer kept.
    Lost,
    /// The peer claims to have seen frames that were never sent.
    Ahead,
}

/// Both directions of one session.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    sent: u64,
    acked: u64,
    seen: u64,
    told: u64,
    untold_bytes: u32,
    ring_bytes: u32,
    ring: VecDeque<SharedFrame>,
}

impl Delivery {
    /// A session in which nothing was sent. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Numbers `frame` and keeps it.
    ///
    /// # Errors
    /// [`Full`] if the limits say [`WhenFull::Refuse`].
    pub fn send(&mut self, frame: SharedFrame, limits: &RingLimits) -> Result<u64, Full> {
        let size = ring_size(&frame);
        if limits.when_full == WhenFull::Refuse && !self.has_room(size, limits) {
            return Err(Full);
        }
        self.sent += 1;
        self.ring_bytes = self.ring_bytes.saturating_add(size);
        self.ring.push_back(frame);
        while self.ring.len() > limits.frames as usize || self.ring_bytes > limits.bytes {
            self.forget_oldest();
        }
        Ok(self.sent)
    }

    /// Judges the number of a frame of `bytes` bytes that arrived. Not for `seq = 0`, the unreliable lane.
    pub fn on_seq(&mut self, seq: u64, bytes: usize) -> Arrival {
        if seq <= self.seen {
            return Arrival::Duplicate;
        }
        if seq != self.seen + 1 {
            return Arrival::Gap;
        }
        self.seen = seq;
        self.untold_bytes = self.untold_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        Arrival::Accept
    }

    /// The peer has accepted everything up to `seen`: forget it.
    ///
    /// # Errors
    /// [`ResumeError::Ahead`]: a protocol error.
    pub fn on_ack(&mut self, seen: u64) -> Result<(), ResumeError> {
        if seen > self.sent {
            return Err(ResumeError::Ahead);
        }
        self.acked = self.acked.max(seen);
        while self.dropped() < seen {
            self.forget_oldest();
        }
        if self.ring.is_empty() && self.ring.capacity() > SLOTS_WORTH_KEEPING {
            self.ring = VecDeque::new();
        }
        Ok(())
    }

    /// Whether so much is unacknowledged that an ACK frame should go out now.
    #[must_use]
    pub const fn ack_due(&self) -> bool {
        self.seen - self.told >= ACK_AFTER_FRAMES || self.untold_bytes >= ACK_AFTER_BYTES
    }

    /// What to acknowledge with a frame that goes out now; none when the peer has been told.
    pub fn take_ack(&mut self) -> Option<u64> {
        (self.seen > self.told).then(|| self.tell_seen())
    }

    /// Highest number accepted, for RESUME or WELCOME; counts as an acknowledgement.
    pub const fn tell_seen(&mut self) -> u64 {
        self.told = self.seen;
        self.untold_bytes = 0;
        self.seen
    }

    /// Highest number accepted.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Highest number sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes kept.
    #[must_use]
    pub const fn kept_bytes(&self) -> u32 {
        self.ring_bytes
    }

    /// Frames kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.ring.len()
    }

    /// Whether a session whose peer has accepted everything up to `peer_seen` can go on.
    ///
    /// # Errors
    /// Why not.
    pub fn can_resume(&self, peer_seen: u64) -> Result<(), ResumeError> {
        if peer_seen > self.sent {
            Err(ResumeError::Ahead)
        } else if peer_seen < self.dropped() {
            Err(ResumeError::Lost)
        } else {
            Ok(())
        }
    }

    /// The frames to send again, with their old numbers, to a peer that has accepted everything up to `peer_seen`.
    ///
    /// # Errors
    /// As [`Delivery::can_resume`]; nothing changes then.
    pub fn resume(
        &mut self,
        peer_seen: u64,
    ) -> Result<impl Iterator<Item = (u64, SharedFrame)> + use<'_>, ResumeError> {
        self.can_resume(peer_seen)?;
        self.on_ack(peer_seen)?;
        let first = self.dropped() + 1;
        Ok((first..).zip(self.ring.iter().cloned()))
    }

    /// Whether a frame of `size` kept bytes fits.
    fn has_room(&self, size: u32, limits: &RingLimits) -> bool {
        self.ring.len() < limits.frames as usize && self.ring_bytes.saturating_add(size) <= limits.bytes
    }

    /// Highest number no longer kept, acknowledged or not.
    fn dropped(&self) -> u64 {
        self.sent - self.ring.len() as u64
    }

    fn forget_oldest(&mut self) {
        if let Some(frame) = self.ring.pop_front() {
            self.ring_bytes = self.ring_bytes.saturating_sub(ring_size(&frame));
        }
    }
}

/// What a frame counts towards [`RingLimits::bytes`].
pub(crate) fn ring_size(frame: &SharedFrame) -> u32 {
    u32::try_from(frame.max_frame_len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> SharedFrame {
        SharedFrame::push(1, None, &vec![0; len])
    }

    #[test]
    fn an_idle_delivery_is_tiny() {
        println!("Delivery: {} bytes", size_of::<Delivery>());
        assert!(size_of::<Delivery>() <= 96);
        assert_eq!(Delivery::new().ring.capacity(), 0);
    }

    #[test]
    fn a_ring_that_was_emptied_gives_its_memory_back() {
        let mut delivery = Delivery::new();
        (0..100).for_each(|_| assert!(delivery.send(frame(10), &RingLimits::GATE).is_ok()));
        delivery.on_ack(99).unwrap();
        assert_eq!(delivery.kept(), 1);
        delivery.on_ack(100).unwrap();
        assert_eq!((delivery.ring.capacity(), delivery.kept_bytes()), (0, 0));
    }

    #[test]
    fn the_gate_drops_the_oldest_and_then_resumes_only_past_it() {
        let limits = RingLimits { frames: 3, ..RingLimits::GATE };
        let mut delivery = Delivery::new();
        (1..=5).for_each(|seq| assert_eq!(delivery.send(frame(1), &limits), Ok(seq)));
        assert_eq!(delivery.can_resume(1), Err(ResumeError::Lost));
        assert_eq!(delivery.can_resume(6), Err(ResumeError::Ahead));
        assert!(delivery.resume(1).is_err() && delivery.resume(6).is_err());
        let seqs: Vec<u64> = delivery.resume(2).unwrap().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, [3, 4, 5]);
        assert_eq!(delivery.resume(5).unwrap().count(), 0);
    }

    #[test]
    fn a_frame_larger_than_the_ring_is_not_kept() {
        let mut delivery = Delivery::new();
        delivery.send(frame(100_000), &RingLimits::GATE).unwrap();
        assert_eq!(delivery.kept(), 0);
        assert_eq!(delivery.can_resume(0), Err(ResumeError::Lost));
        assert_eq!(delivery.can_resume(1), Ok(()));
    }

    #[test]
    fn the_client_is_told_that_its_ring_is_full() {
        let limits = RingLimits { bytes: 200, ..RingLimits::CLIENT };
        let mut delivery = Delivery::new();
        assert_eq!(delivery.send(frame(100), &limits), Ok(1));
        assert_eq!(delivery.send(frame(100), &limits), Err(Full));
        delivery.on_ack(1).unwrap();
        assert_eq!(delivery.send(frame(100), &limits), Ok(2));
        assert_eq!(delivery.on_ack(3), Err(ResumeError::Ahead));
    }

    #[test]
    fn acknowledgements_ride_along_or_go_out_after_32_frames_or_16_kib() {
        let mut delivery = Delivery::new();
        assert_eq!(delivery.take_ack(), None);
        (1..=31).for_each(|seq| assert_eq!(delivery.on_seq(seq, 1), Arrival::Accept));
        assert!(!delivery.ack_due());
        assert_eq!(delivery.on_seq(31, 1), Arrival::Duplicate);
        assert_eq!(delivery.on_seq(33, 1), Arrival::Gap);
        assert_eq!(delivery.on_seq(32, 1), Arrival::Accept);
        assert!(delivery.ack_due());
        assert_eq!(delivery.take_ack(), Some(32));
        assert_eq!(delivery.take_ack(), None);
        assert_eq!(delivery.on_seq(33, 20_000), Arrival::Accept);
        assert!(delivery.ack_due());
    }
}
