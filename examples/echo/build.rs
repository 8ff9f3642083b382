//! Generates the messages, traits and references of `proto/echo.proto`.

fn main() -> Result<(), bbq_gen::Error> {
    bbq_gen::build(&["proto/echo.proto"], &["proto"])
}
