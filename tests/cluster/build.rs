//! Generates the messages, traits and references of `proto/`.

fn main() -> Result<(), bbq_gen::Error> {
    bbq_gen::build(&["proto/probe.proto", "proto/exampb.proto"], &["proto"])
}
