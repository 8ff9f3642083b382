//! One process of a cluster: whatever its options say.

#[tokio::main(flavor = "current_thread")]
async fn main() -> gobbq::Result<()> {
    let app = gobbq::App::from_env()?.descriptor(cluster_tests::DESCRIPTOR).descriptor(example_chat::DESCRIPTOR);
    cluster_tests::definitions().into_iter().fold(app, gobbq::App::add).run().await
}
