//! The number by which the parts of a gate speak of a session.

/// Where a session is kept. Reused after its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Slot(pub(super) u32);
