//! Generates the messages, traits and references of `proto/chat.proto`.

fn main() -> Result<(), bbq_gen::Error> {
    bbq_gen::build(&["proto/chat.proto"], &["proto"])
}
