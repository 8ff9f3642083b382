//! Serves the arena example: one process, or one of many, as its environment says.

#[tokio::main(flavor = "current_thread")]
async fn main() -> gobbq::Result<()> {
    let app = gobbq::App::from_env()?.descriptor(example_arena::DESCRIPTOR);
    example_arena::definitions().into_iter().fold(app, gobbq::App::add).run().await
}
