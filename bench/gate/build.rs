//! Generates the messages, traits and references of `proto/gate.proto`.

fn main() -> Result<(), bbq_gen::Error> {
    bbq_gen::build(&["proto/gate.proto"], &["proto"])
}
