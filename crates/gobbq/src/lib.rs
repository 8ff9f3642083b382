//! gobbq: the game backend framework. This is the crate that games depend on.
