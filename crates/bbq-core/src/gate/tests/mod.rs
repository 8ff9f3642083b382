//! What the gate promises.
