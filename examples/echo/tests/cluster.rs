//! The chain of the example over real sockets, in every shape that a cluster on one machine has.

use std::path::{Path, PathBuf};
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
    node.shutdown().await.expect("nothing is lost");
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
    game.shutdown().await.expect("nothing is lost");
    let _game = start("game", "game-2", Some(&center)).await;
    assert_eq!(say_until_answered(&client).await, "ann answers");
    client.cut();
    assert_eq!(say_until_answered(&client).await, "ann answers");
}

/// A node of a host whose processes go through the proxy at a Unix socket.
async fn start_behind(socket: &Path, role: &str, center: &Node) -> Node {
    let name = format!("{role} at {}", socket.display());
    let options = Options { name, sidecar: Some(socket.to_owned()), ..options(role, Some(center)) };
    Node::start(&options, parts()).await.unwrap_or_else(|failure| panic!("{role}: {failure}"))
}

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bbq-{name}-{}.sock", std::process::id()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_and_gates_go_through_a_sidecar() {
    let center = start("center", "center", None).await;
    let host = socket("one");
    let _proxy = start_behind(&host, "proxy", &center).await;
    let _game = start_behind(&host, "game", &center).await;
    let gate = start_behind(&host, "gate", &center).await;
    let client = client(&gate, "tcp", "bob").await;
    assert_eq!(say_until_answered(&client).await, "bob answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_two_hosts_meet_through_their_proxies_and_one_of_these_may_be_replaced() {
    let center = start("center", "center", None).await;
    let (here, there) = (socket("here"), socket("there"));
    let proxy = start_behind(&here, "proxy", &center).await;
    let gate = start_behind(&here, "gate", &center).await;
    let _other = start_behind(&there, "proxy", &center).await;
    let _game = start_behind(&there, "game", &center).await;
    let client = client(&gate, "tcp", "eve").await;
    assert_eq!(say_until_answered(&client).await, "eve answers");

    // Its slots go to the other proxy and come back; what is behind it waits for its successor.
    proxy.shutdown().await.expect("nothing is lost");
    let _successor = start_behind(&here, "proxy", &center).await;
    assert_eq!(say_until_answered(&client).await, "eve answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_named_with_the_way_out() {
    let first = start("all", "first", None).await;
    let taken = first.addresses().gate.clone().expect("a gate listens");
    let options = Options { gate_listen: taken.parse().expect("an address"), ..options("all", None) };
    let failure = Node::start(&options, parts()).await.expect_err("the port is taken");
    assert!(failure.what().contains(&taken), "{failure}");
    assert!(failure.fix().contains("--listen"), "{failure}");
}
