//! The arena over real sockets: pilots see each other, come back after a cut, and keep their ships when the arena moves.

use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Client, Options as ClientOptions, Push, Receiver};
use example_arena::arena::{ARENA, ARENA_CLIENT, InputRequest, JoinReply, JoinRequest, Scoreboard, Snapshot};
use gobbq::Options;
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;
use gobbq::node::{Node, Parts};
use gobbq::options::roles;

/// Anything that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "main";

async fn start(role: &str, name: &str, center: Option<&Node>) -> Node {
    let any = "127.0.0.1:0".parse().expect("an address");
    let options = Options {
        roles: roles(role).expect("roles"),
        name: name.to_owned(),
        center: center.map(|node| node.addresses().center.clone().expect("a center listens")),
        center_listen: any,
        gate_listen: any,
        mesh_listen: any,
        worlds: 1,
        ..Options::default()
    };
    let parts = Arc::new(Parts { definitions: example_arena::definitions(), ..Parts::default() });
    Node::start(&options, parts).await.unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn id(desc: &ServiceDesc, name: &str) -> u32 {
    desc.methods.iter().find(|method| method.name == name).expect("a method").id
}

struct Pilot {
    client: Client,
    pushes: Receiver<Push>,
}

impl Pilot {
    async fn at(gate: &Node, name: &str) -> Self {
        let address = gate.addresses().gate.clone().expect("a gate listens");
        let options = ClientOptions::new(format!("ws://{address}/bbq")).guest(name);
        let options = options.backoff(Duration::from_millis(5), Duration::from_millis(100));
        let client = Client::connect(options).await.expect("connects");
        Self { pushes: client.pushes(), client }
    }

    /// Takes a ship; a cluster needs a moment to see all its nodes.
    async fn board(&self, name: &str) -> u32 {
        let join = JoinRequest { name: name.to_owned(), ..Default::default() };
        soon("the arena lets one in", async {
            loop {
                match self.client.ask::<_, JoinReply>(id(&ARENA, "Join"), Some(KEY.into()), &join).await {
                    Ok(reply) => return reply.you,
                    Err(error) => tokio::time::sleep(Duration::from_millis(error.retry_after_ms.max(1).into())).await, // tidy: as the server asks
                }
            }
        })
        .await
    }

    /// Waits for a push of this kind that is as wanted.
    async fn sees<M: Message>(&mut self, method: &str, wanted: impl Fn(&M) -> bool) -> M {
        soon(method, async {
            loop {
                let push = self.pushes.next().await.expect("the client is open");
                let message = (push.method == id(&ARENA_CLIENT, method)).then(|| M::decode_from_slice(&push.body));
                if let Some(message) = message.map(|message| message.expect("a message")).filter(&wanted) {
                    return message;
                }
            }
        })
        .await
    }

    async fn sees_ship(&mut self, ship: u32) -> Snapshot {
        self.sees("Near", |near: &Snapshot| near.ships.iter().any(|other| other.id == ship)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pilot_is_told_of_its_ship_step_by_step_and_after_a_cut_again() {
    let node = start("all", "one", None).await;
    let mut ann = Pilot::at(&node, "ann").await;
    let ship = ann.board("ann").await;
    let first = ann.sees_ship(ship).await.tick;
    assert!(ann.sees_ship(ship).await.tick > first, "time goes on");
    let push = InputRequest { sequence: 1, thrust_x: 100, ..Default::default() };
    ann.client.tell(id(&ARENA, "Input"), Some(KEY.into()), &push).expect("it is told");
    ann.sees("Near", |near: &Snapshot| near.ships.iter().any(|other| other.id == ship && other.input == 1)).await;
    ann.client.cut();
    assert_eq!(ann.board("ann").await, ship, "joining again gives the same ship");
    ann.sees_ship(ship).await;
    node.shutdown().await.expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ship_leaves_with_its_session() {
    let node = start("all", "one", None).await;
    let (mut ann, bob) = (Pilot::at(&node, "ann").await, Pilot::at(&node, "bob").await);
    ann.board("ann").await;
    bob.board("bob").await;
    ann.sees("Scores", |scores: &Scoreboard| scores.ships == 2).await;
    let leave = InputRequest::default();
    bob.client.ask::<_, InputRequest>(id(&ARENA, "Leave"), Some(KEY.into()), &leave).await.expect("it leaves");
    ann.sees("Scores", |scores: &Scoreboard| scores.ships == 1).await;
    node.shutdown().await.expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pilots_keep_their_ships_when_the_arena_moves_to_another_game() {
    let center = start("center,proxy", "center", None).await;
    let first = start("game", "game-1", Some(&center)).await;
    let gate = start("gate", "gate", Some(&center)).await;
    let mut ann = Pilot::at(&gate, "ann").await;
    let ship = ann.board("ann").await;
    let before = ann.sees_ship(ship).await.tick;
    let _second = start("game", "game-2", Some(&center)).await;
    first.shutdown().await.expect("nothing is lost");
    assert_eq!(ann.board("ann").await, ship, "it is still hers");
    let after = ann.sees("Near", |near: &Snapshot| near.tick > before && near.ships.iter().any(|it| it.id == ship));
    after.await;
}
