//! Clusters with a secret: who knows it takes part, and nobody else.

use bbq_client::Code;

use crate::player::{Player, answered};
use crate::runner::Cluster;

const OURS: &str = "the secret of this cluster\n";

/// A file with a secret.
fn file(cluster: &Cluster, name: &str, secret: &str) -> [String; 2] {
    let path = cluster.path(name);
    std::fs::write(&path, secret).expect("a file can be written");
    ["--cluster-secret-file".to_owned(), path.display().to_string()]
}

fn option(file: &[String; 2]) -> Vec<&str> {
    file.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn processes_that_know_the_secret_form_a_cluster_and_others_are_told_why_they_do_not() {
    // The center needs its file before there is a cluster to put it into.
    let nowhere = Cluster::empty();
    let (ours, theirs) = (file(&nowhere, "ours", OURS), file(&nowhere, "theirs", "the secret of another cluster"));
    let ours = option(&ours);
    let (cluster, _center) = Cluster::with_center(&ours).await;
    let socket = cluster.path("proxy.sock");
    let sidecar = [&ours[..], &["--sidecar", socket.to_str().unwrap()]].concat();
    let _proxy = cluster.start("proxy", "proxy", &sidecar).await;
    let (game, _behind, gate) = tokio::join!(
        cluster.start("game", "game", &ours),
        cluster.start("game", "behind", &sidecar),
        cluster.start("gate", "gate", &ours)
    );
    let player = Player::at(&gate, "ann").await;
    answered("a service answers", || player.instance()).await;
    for key in 0..8_u64 {
        answered("an entity answers", || player.add(key, 1)).await;
    }

    let theirs = option(&theirs);
    for (name, more) in [("ignorant", &[][..]), ("wrong", &theirs)] {
        let refused = cluster.try_start("game", name, more).await.err().expect("it does not become ready");
        assert_eq!(refused.status.code(), Some(1), "{name}");
        for word in [Code::UNAUTHENTICATED.name(), "--cluster-secret-file"] {
            assert!(refused.log.contains(word), "{name}: no {word} in {}", refused.log);
        }
        // A mistake in the set-up is told at once; only a center that is away is waited for.
        assert!(!refused.log.contains("cannot be reached"), "{name}: {}", refused.log);
    }
    let log = cluster.log("center");
    assert!(log.contains("a process is refused") && log.contains(Code::UNAUTHENTICATED.name()), "{log}");
    assert!(!log.contains(OURS.trim()) && !cluster.log("game").contains(OURS.trim()), "nobody shows it");
    let place = answered("honest ones are served", || player.instance()).await;
    assert!(place.pid != 0 && game.memory_mib() < 512);
}

#[tokio::test]
async fn a_process_with_a_secret_does_not_trust_a_center_without_one() {
    let (cluster, _center) = Cluster::with_center(&[]).await;
    let ours = file(&cluster, "ours", OURS);
    let refused = cluster.try_start("game", "careful", &option(&ours)).await.err().expect("it does not become ready");
    assert!(refused.log.contains("the center has no secret"), "{}", refused.log);
    let short = file(&cluster, "short", "secret");
    let refused = cluster.try_start("game", "careless", &option(&short)).await.err().expect("it does not become ready");
    assert!(refused.log.contains("6 bytes") && refused.log.contains("16"), "{}", refused.log);
}
