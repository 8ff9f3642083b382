//! What the processes of the tests serve: the examples, a probe, and the example of the original.
//!
//! The tests are in `tests/all`; they start `cluster-node` many times and end it in every way that there is.

use gobbq::prelude::*;

gobbq::include_proto!();

mod original;
mod probing;

pub use original::definitions as original_definitions;
pub use probing::definitions as probe_definitions;

/// Everything that `cluster-node` serves.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    let mut all = example_chat::definitions();
    all.extend(example_echo::definitions());
    all.extend(example_arena::definitions());
    all.extend(probe_definitions());
    all.extend(original_definitions());
    all
}
