//! The generated code of the sample, compiled and used.

use std::collections::BTreeMap;

use buffa::{EnumValue, Message as _, MessageField};

use crate::codegen::{
    ClientStub as _, Ctx, EntityId, EntityStub as _, Handle, Kind, Payload, Rate, Restart, Result, Save,
    ServiceStub as _, run,
};

pub(crate) mod generated {
    include!("../golden/chat.rs");
}
use generated::chat::common::{Mood, Names, Number};
use generated::chat::*;

/// A room whose state is what was said.
struct TestRoom {
    id: EntityId,
    state: RoomState,
}

impl RoomEntity for TestRoom {
    fn new(id: &EntityId, state: RoomState) -> Self {
        Self { id: id.clone(), state }
    }

    fn state(&self) -> &RoomState {
        &self.state
    }

    async fn on_init(&mut self, _: &Ctx) -> Result<()> {
        self.state.delta += 1;
        Ok(())
    }

    async fn on_timer(&mut self, _: &Ctx, name: &str) -> Result<()> {
        assert_eq!(name, "bell");
        self.state.delta += 10;
        Ok(())
    }

    async fn join(&mut self, _: &Ctx, req: JoinRequest) -> Result<JoinReply> {
        let member = room_state::Member { name: req.name.clone(), ..Default::default() };
        self.state.members.insert(req.player_id, member);
        Ok(JoinReply { members: vec![self.id.0.clone(), req.name], ..Default::default() })
    }

    async fn say(&mut self, _: &Ctx, req: SayRequest) -> Result<()> {
        self.state.owner = MessageField::some(room_state::Member { name: req.text, ..Default::default() });
        Ok(())
    }

    async fn leave(&mut self, _: &Ctx) -> Result<()> {
        Err("nobody leaves".into())
    }

    async fn members(&mut self, ctx: &Ctx) -> Result<Names> {
        let lobby = LobbyRef::bind(Handle { reply: Payload::of(names(&["lent"])), ..Handle::default() });
        self.lend(ctx, lobby.list_http_rooms()).await
    }

    async fn r#match(&mut self, _: &Ctx, req: say_request::Part) -> Result<JoinReply> {
        Ok(JoinReply { members: vec![req.text], ..Default::default() })
    }
}

fn names(names: &[&str]) -> Names {
    Names { names: names.iter().map(|name| (*name).to_owned()).collect(), ..Default::default() }
}

#[test]
fn an_entity_is_created_called_and_stored() {
    let room = RoomRef::entity::<TestRoom>();
    assert_eq!(room.desc.name, "chat.Room");
    let join = JoinRequest { name: "ann".into(), player_id: 7, ..Default::default() };
    let (reply, state) = (room.serve)(0, Payload::of(join), Payload::EMPTY).expect("it joins");
    assert_eq!(reply.take::<JoinReply>().expect("it is a reply").members, ["key", "ann"]);
    let say = SayRequest { text: "hi".into(), ..Default::default() };
    let (reply, state) = (room.serve)(1, Payload::of(say), state).expect("it says");
    assert_eq!(reply, Payload::EMPTY);
    let state: RoomState = state.take().expect("it is a state");
    assert_eq!(state.members[&7].name, "ann");
    assert_eq!(state.owner.name, "hi");
    assert_eq!(state.delta, 22, "hooks ran twice");
}

#[test]
fn errors_and_unknown_methods_come_back() {
    let room = RoomRef::entity::<TestRoom>();
    assert_eq!((room.serve)(2, Payload::EMPTY, Payload::EMPTY).map(|_| ()), Err("nobody leaves".into()));
    let unknown = (room.serve)(9, Payload::EMPTY, Payload::EMPTY).map(|_| ());
    assert_eq!(unknown, Err("chat.Room has no method with index 9".into()));
    let (reply, _) = (room.serve)(3, Payload::EMPTY, Payload::EMPTY).expect("it lends itself");
    assert_eq!(reply.take::<Names>(), Ok(names(&["lent"])));
}

struct TestCounter;

impl CounterEntity for TestCounter {
    fn new(_: &EntityId) -> Self {
        Self
    }

    async fn add(&mut self, _: &Ctx, req: Number) -> Result<Number> {
        Ok(Number { value: req.value + 1, ..Default::default() })
    }
}

#[test]
fn an_entity_without_state_stores_nothing() {
    let counter = CounterRef::entity::<TestCounter>();
    let (reply, state) =
        (counter.serve)(0, Payload::of(Number { value: 4, ..Default::default() }), Payload::EMPTY).expect("it adds");
    assert_eq!(reply.take::<Number>().map(|number| number.value), Ok(5));
    assert_eq!(state, Payload::EMPTY);
}

#[derive(Clone)]
struct TestLobby(&'static str);

impl LobbyService for TestLobby {
    async fn list_http_rooms(&self, _: &Ctx) -> Result<Names> {
        Ok(names(&[self.0]))
    }

    async fn create(&self, _: &Ctx, req: JoinRequest) -> Result<JoinReply> {
        Ok(JoinReply { members: vec![req.name], ..Default::default() })
    }
}

#[test]
fn a_service_serves_an_instance() {
    let lobby = LobbyRef::service(TestLobby("main"));
    let (reply, _) = (lobby.serve)(0, Payload::EMPTY, Payload::EMPTY).expect("it lists");
    assert_eq!(reply.take::<Names>(), Ok(names(&["main"])));
}

#[test]
fn references_send_what_the_methods_take() {
    let handle = Handle { reply: Payload::of(names(&["a"])), ..Handle::default() };
    let room = RoomRef::bind(handle.clone());
    assert_eq!(run(room.members()), Ok(names(&["a"])));
    let say = SayRequest { text: "hi".into(), ..Default::default() };
    assert_eq!(run(room.say(say.clone())), Ok(()));
    let client = ChatClientRef::bind(handle.clone());
    assert_eq!(run(client.said(Said { from: 3, ..Default::default() })), Ok(()));
    let sent = handle.sent.borrow();
    let paths: Vec<&str> = sent.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["chat.Room/Members", "chat.Room/Say", "chat.ChatClient/Said"]);
    assert_eq!(sent[1].1.clone().take::<SayRequest>(), Ok(say));
    assert!(std::rc::Rc::ptr_eq(&room.handle().sent, &handle.sent));
}

#[test]
fn descriptors_say_what_the_proto_says() {
    assert_eq!(ROOM.kind, Kind::Entity);
    assert_eq!(ROOM.state.map(|state| (state.message, state.save)), Some(("chat.RoomState", Save::Interval(5000))));
    assert_eq!((ROOM.mailbox, ROOM.idle_ms, ROOM.restart), (64, 600_000, Restart::Stop));
    let [join, say, leave, members, matching] = ROOM.methods else { panic!("five methods") };
    assert_eq!((join.id, join.client, join.timeout_ms), (7, true, 3000));
    assert_eq!(join.rate, Some(Rate { per_second: 5.0, burst: 5 }));
    assert_eq!((say.id, say.max_bytes), (bbq_gen::method_id("chat.Room/Say"), 4096));
    assert_eq!(say.rate, Some(Rate { per_second: 5.0, burst: 20 }));
    assert_eq!((leave.oneway, leave.rate), (true, None));
    assert_eq!((members.reentrant, members.client, matching.name), (true, false, "Match"));
    assert_eq!((LOBBY.kind, LOBBY.mailbox, CHAT_CLIENT.kind), (Kind::Service, 1024, Kind::Client));
    let names: Vec<&str> = generated::SERVICES.iter().map(|desc| desc.name).collect();
    assert_eq!(names, ["chat.Room", "chat.Counter", "chat.Lobby", "chat.ChatClient"]);
    assert_eq!(generated::DESCRIPTOR, crate::golden::sample().descriptor);
}

#[test]
fn messages_keep_their_fields_and_what_they_do_not_know() {
    let part =
        say_request::Part { text: "part".into(), style: say_request::part::Style::Bold.into(), ..Default::default() };
    let request = SayRequest {
        text: "hi".into(),
        target: Some(say_request::Target::from(part)),
        at: Some(-1),
        picture: bytes::Bytes::from_static(b"png"),
        ..Default::default()
    };
    assert_eq!(SayRequest::decode_from_slice(&request.encode_to_vec()), Ok(request.clone()));
    let state = RoomState {
        moods: BTreeMap::from([(1, EnumValue::from(Mood::MOOD_HAPPY)), (2, EnumValue::from(99))]),
        pictures: BTreeMap::from([("a".into(), bytes::Bytes::from_static(b"1"))]),
        history: vec![i64::MIN, i64::MAX],
        scores: vec![0.5],
        ..Default::default()
    };
    assert_eq!(RoomState::decode_from_slice(&state.encode_to_vec()), Ok(state));
    // A `Number` has no field 8 and gives it back.
    let unknown = Number::decode_from_slice(&request.encode_to_vec());
    let only_picture = SayRequest { picture: request.picture, ..Default::default() };
    let number = Number::decode_from_slice(&only_picture.encode_to_vec()).expect("unknown fields are no error");
    assert_eq!(number.encode_to_vec(), only_picture.encode_to_vec());
    assert!(unknown.is_err(), "field 1 has another wire type");
}
