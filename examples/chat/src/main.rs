//! Serves the chat example: one process, or one of many, as its environment says.

#[tokio::main(flavor = "current_thread")]
async fn main() -> gobbq::Result<()> {
    let app = gobbq::App::from_env()?.descriptor(example_chat::DESCRIPTOR);
    example_chat::definitions().into_iter().fold(app, gobbq::App::add).run().await
}
