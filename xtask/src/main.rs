//! Project automation: `cargo xtask ci | test | tidy | bench | sim`.
fn main() {}
