//! The chain of the example over real sockets, in every shape that a cluster on one machine has.

use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Client, Options as ClientOptions};
use example_echo::echo::{ECHO, ECHO_CLIENT, Hello};
use gobbq::Options;
use gobbq::node::{Node, Parts};
use gobbq::options::roles;

/// Anything that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(20);

fn parts() -> Arc<Parts> {
    Arc::new(Parts { definitions: example_echo::definitions(), ..Parts::default() })
}

/// Everything on ports that the system chooses.
fn options(role: &str, center: Option<&Node>) -> Options {
    let any = "127.0.0.1:0".parse().expect("an address");
    Options {
        roles: roles(role).expect("roles"),
        name: format!("{role}-{}", std::process::id()),
        center: center.map(|node| node.addresses().center.clone().expect("a center listens")),
        center_listen: any,
        gate_listen: any,
        mesh_listen: any,
        worlds: 2,
        ..Options::default()
    }
}

async fn start(role: &str, name: &str, center: Option<&Node>) -> Node {
    let options = Options { name: name.to_owned(), ..options(role, center) };
    Node::start(&options, parts()).await.unwrap_or_else(|failure| panic!("{role}: {failure}"))
}

/// A client that answers the question inside its own call.
async fn client(gate: &Node, scheme: &str, name: &str) -> Client {
    let address = gate.addresses().gate.clone().expect("a gate listens");
    let url = if scheme == "ws" { format!("ws://{address}/bbq") } else { format!("{scheme}://{address}") };
    let client = Client::connect(ClientOptions::new(url).guest(name)).await.expect("connects");
    let answer = format!("{name} answers");
    client.on_request(move |request| {
        let answer = answer.clone();
        async move {
            assert_eq!(request.method, ECHO_CLIENT.methods[0].id);
            let hello = Hello { text: answer, ..Default::default() };
            Ok(gobbq::codegen::buffa::Message::encode_to_bytes(&hello))
        }
    });
    client
}

async fn say(client: &Client) -> Result<String, bbq_client::Error> {
    let hello = Hello { text: "hi".into(), ..Default::default() };
    client.ask::<Hello, Hello>(ECHO.methods[0].id, None, &hello).await.map(|reply| reply.text)
}

/// A cluster needs a moment to see all its nodes.
async fn say_until_answered(client: &Client) -> String {
    let answered = async {
        loop {
            match say(client).await {
                Ok(text) => return text,
                Err(error) => tracing::info!(%error, "not yet"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("is answered in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_serves_tcp_and_websocket_clients() {
    let node = start("all", "one", None).await;
    for scheme in ["tcp", "ws"] {
        let client = client(&node, scheme, scheme).await;
        assert_eq!(say_until_answered(&client).await, format!("{scheme} answers"));
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_worth_of_nodes_find_each_other_through_the_center() {
    let center = start("center", "center", None).await;
    let _proxy = start("proxy", "proxy", Some(&center)).await;
    let game = start("game", "game", Some(&center)).await;
    let gate = start("gate", "gate", Some(&center)).await;
    let client = client(&gate, "ws", "ann").await;
    assert_eq!(say_until_answered(&client).await, "ann answers");

    // The game goes, another comes: the client's session never notices more than a pause.
    game.shutdown().await;
    let _game = start("game", "game-2", Some(&center)).await;
    assert_eq!(say_until_answered(&client).await, "ann answers");
    client.cut();
    assert_eq!(say_until_answered(&client).await, "ann answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_and_gates_go_through_a_sidecar() {
    let center = start("center", "center", None).await;
    let socket = std::env::temp_dir().join(format!("bbq-sidecar-{}.sock", std::process::id()));
    let with = |role: &str, name: &str| Options {
        name: name.to_owned(),
        sidecar: Some(socket.clone()),
        ..options(role, Some(&center))
    };
    let _proxy = Node::start(&with("proxy", "proxy"), parts()).await.expect("the proxy starts");
    let _game = Node::start(&with("game", "game"), parts()).await.expect("the game starts");
    let gate = Node::start(&with("gate", "gate"), parts()).await.expect("the gate starts");
    let client = client(&gate, "tcp", "bob").await;
    assert_eq!(say_until_answered(&client).await, "bob answers");
}
