//! The chat over real sockets: people who come, talk, lose their connection, and whose room moves under them.

use std::sync::Arc;
use std::time::Duration;

use bbq_client::{Client, Code, Options as ClientOptions, Push, Receiver};
use example_chat::chat::presence_change::Kind;
use example_chat::chat::{
    CHAT_CLIENT, DIRECTORY, JoinReply, JoinRequest, Line, PresenceChange, ROOM, RoomList, SayReply, SayRequest,
};
use gobbq::Options;
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;
use gobbq::node::{Node, Parts};
use gobbq::options::roles;

/// Anything that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let parts = Arc::new(Parts { definitions: example_chat::definitions(), ..Parts::default() });
    Node::start(&options, parts).await.unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn id(desc: &ServiceDesc, name: &str) -> u32 {
    desc.methods.iter().find(|method| method.name == name).expect("a method").id
}

struct Person {
    client: Client,
    pushes: Receiver<Push>,
}

impl Person {
    async fn at(gate: &Node, name: &str) -> Self {
        let address = gate.addresses().gate.clone().expect("a gate listens");
        let options = ClientOptions::new(format!("ws://{address}/bbq")).guest(name);
        let options = options.backoff(Duration::from_millis(5), Duration::from_millis(100));
        let client = Client::connect(options).await.expect("connects");
        Self { pushes: client.pushes(), client }
    }

    /// Enters a room; a cluster needs a moment to see all its nodes.
    async fn enter(&self, room: &str, name: &str) -> JoinReply {
        let join = JoinRequest { name: name.to_owned(), ..Default::default() };
        soon("a room lets one in", async {
            loop {
                if let Ok(reply) = self.client.ask(id(&ROOM, "Join"), Some(room.into()), &join).await {
                    return reply;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    async fn say(&self, room: &str, text: &str) -> Result<SayReply, bbq_client::Error> {
        let say = SayRequest { text: text.to_owned(), ..Default::default() };
        self.client.ask(id(&ROOM, "Say"), Some(room.into()), &say).await
    }

    async fn hears<M: Message>(&mut self, method: &str) -> M {
        let push = soon("a push", async {
            loop {
                let push = self.pushes.next().await.expect("the client is open");
                if push.method == id(&CHAT_CLIENT, method) {
                    return push;
                }
            }
        });
        M::decode_from_slice(&push.await.body).expect("a message")
    }

    async fn sees(&mut self, kind: Kind, name: &str) {
        let change: PresenceChange = self.hears("Presence").await;
        assert_eq!((change.kind, &*change.name), (kind.into(), name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_come_talk_go_away_come_back_and_leave() {
    let node = start("all", "one", None).await;
    let (mut ann, bob) = (Person::at(&node, "ann").await, Person::at(&node, "bob").await);
    assert_eq!(ann.enter("lobby", "ann").await.members, ["ann"]);
    assert_eq!(bob.enter("lobby", "bob").await.members, ["ann", "bob"]);
    ann.sees(Kind::KIND_JOINED, "bob").await;
    let said = bob.say("lobby", "hello").await.expect("it is said");
    let line: Line = ann.hears("Said").await;
    assert_eq!((line.number, &*line.from, &*line.text), (said.number, "bob", "hello"));

    bob.client.cut();
    ann.sees(Kind::KIND_AWAY, "bob").await;
    ann.sees(Kind::KIND_BACK, "bob").await;
    bob.say("lobby", "I am back").await.expect("the session is the same");
    assert_eq!(ann.hears::<Line>("Said").await.text, "I am back");

    let rooms: RoomList =
        ann.client.ask(id(&DIRECTORY, "List"), Some("all".into()), &Nothing::default()).await.unwrap();
    assert!(rooms.rooms.iter().any(|room| room.room == "lobby" && room.members == 2), "{rooms:?}");
    bob.client.close();
    ann.sees(Kind::KIND_LEFT, "bob").await;
    node.shutdown().await.expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_join_is_not_heard_and_bad_names_are_refused() {
    let node = start("all", "one", None).await;
    let person = Person::at(&node, "eve").await;
    person.enter("lobby", "eve").await;
    let error = person.say("elsewhere", "let me in").await.expect_err("not a member");
    assert_eq!(error.code, Code::FAILED_PRECONDITION);
    for (room, name) in [("lobby", ""), ("lobby", "a\u{7}"), ("No Room", "eve")] {
        let join = JoinRequest { name: name.to_owned(), ..Default::default() };
        let other = Person::at(&node, "other").await;
        let refused = other.client.ask::<_, JoinReply>(id(&ROOM, "Join"), Some(room.into()), &join).await;
        assert_eq!(refused.expect_err("refused").code, Code::INVALID_ARGUMENT, "{room}: {name:?}");
    }
    node.shutdown().await.expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_whose_game_ends_wakes_up_elsewhere_with_its_lines_and_members() {
    let center = start("center,proxy", "center", None).await;
    let first = start("game", "game-1", Some(&center)).await;
    let gate = start("gate", "gate", Some(&center)).await;
    let (mut ann, bob) = (Person::at(&gate, "ann").await, Person::at(&gate, "bob").await);
    ann.enter("lobby", "ann").await;
    bob.enter("lobby", "bob").await;
    bob.say("lobby", "before").await.expect("it is said");
    assert_eq!(ann.hears::<Line>("Said").await.text, "before");

    let _second = start("game", "game-2", Some(&center)).await;
    first.shutdown().await.expect("nothing is lost");
    // Nobody joins again: the members came along, and so did the group.
    let passing = [Code::UNAVAILABLE, Code::ENTITY_STOPPED, Code::NOT_SENT, Code::BUSY, Code::ABORTED];
    let number = soon("the room goes on", async {
        loop {
            match bob.say("lobby", "after").await {
                Ok(said) => return said.number,
                Err(error) => assert!(passing.contains(&error.code), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    });
    let number = number.await;
    let line: Line = ann.hears("Said").await;
    assert_eq!((line.number, &*line.text), (number, "after"));
    let history = ann.enter("lobby", "ann").await.history;
    assert_eq!(history.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["before", "after"]);
}

/// `google.protobuf.Empty`.
type Nothing = SayRequest;
