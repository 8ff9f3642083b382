//! From .proto to Rust and TypeScript: the code generator and linter of gobbq.
