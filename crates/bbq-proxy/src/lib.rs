//! The proxy role of gobbq.
