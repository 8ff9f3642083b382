//! Wire formats and the session machine of gobbq: pure, stable, no I/O.
