//! Serves the echo example: one process, or one of many, as its environment says.

#[tokio::main(flavor = "current_thread")]
async fn main() -> gobbq::Result<()> {
    let app = gobbq::App::from_env()?.descriptor(example_echo::DESCRIPTOR);
    example_echo::definitions().into_iter().fold(app, gobbq::App::add).run().await
}
