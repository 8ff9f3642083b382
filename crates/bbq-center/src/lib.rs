//! The center role of gobbq.
