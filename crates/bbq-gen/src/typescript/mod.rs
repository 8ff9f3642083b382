//! TypeScript for a schema.
/// x
pub fn typescript() {}
