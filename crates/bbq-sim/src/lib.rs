//! Deterministic cluster simulator for gobbq.
