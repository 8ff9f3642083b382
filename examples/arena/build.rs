//! Generates the messages, traits and references of `proto/arena.proto`.

fn main() -> Result<(), bbq_gen::Error> {
    bbq_gen::build(&["proto/arena.proto"], &["proto"])
}
