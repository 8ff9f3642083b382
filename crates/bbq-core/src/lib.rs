//! Every decision the servers of gobbq make: worlds, timers, mesh, directory, limits. Pure, no I/O.
