//! From proto files to code and findings. `BLESS=1 cargo test -p bbq-gen` writes the expected files anew.

mod codegen;
mod compiled;
mod errors;
mod findings;
mod golden;
mod released;
mod typescript;
