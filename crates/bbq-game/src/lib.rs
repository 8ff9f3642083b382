//! The game role of gobbq.
