//! The `bbq` command line.
fn main() {}
