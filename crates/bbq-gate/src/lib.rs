//! The gate role of gobbq.
