//! The rooms in a simulated cluster: members whose connections are cut, and a node that dies.

use std::time::Duration;

use example_chat::chat::{CHAT_CLIENT, JoinRequest, Line, ROOM, RoomState, SayReply, SayRequest};
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;
use gobbq::prelude::*;
use gobbq::sim::client::{Call, Input, Output, State};
use gobbq::sim::{Faults, PlayerId, Settings, Sim};

/// Number of a method on the wire.
fn id(service: &ServiceDesc, method: &str) -> u32 {
    service.methods.iter().find(|one| one.name == method).expect("the proto has it").id
}

fn call(sim: &mut Sim, player: PlayerId, number: u64, method: &str, request: &impl Message) {
    let (method, body) = (id(&ROOM, method), request.encode_to_bytes());
    let call = Call { call: number, method, key: Some("lobby".into()), deadline_ms: Some(60_000), body };
    sim.tell_player(player, Input::Call(call));
}

fn join(sim: &mut Sim, player: PlayerId, name: &str) {
    call(sim, player, 0, "Join", &JoinRequest { name: name.to_owned(), ..Default::default() });
}

fn say(sim: &mut Sim, player: PlayerId, number: u64) {
    call(sim, player, number, "Say", &SayRequest { text: format!("line {number}"), ..Default::default() });
}

/// Texts of the lines that a member heard.
fn heard(told: &[Output]) -> Vec<String> {
    let lines = told.iter().filter_map(|output| match output {
        Output::Push { method, body, .. } if *method == id(&CHAT_CLIENT, "Said") => Line::decode_from_slice(body).ok(),
        _ => None,
    });
    lines.map(|line| line.text).collect()
}

/// Two nodes, and two members of the lobby. One of the two hears the other say 20 lines.
fn talk(seed: u64, faults: Faults) -> (Sim, Vec<String>, bool) {
    let mut sim = Sim::new(Settings { seed, nodes: 2, faults, ..Settings::default() }, &example_chat::definitions());
    let (ann, bob) = (sim.connect("ann"), sim.connect("bob"));
    join(&mut sim, ann, "ann");
    join(&mut sim, bob, "bob");
    sim.advance(Duration::from_secs(2));
    for number in 1..=20 {
        say(&mut sim, ann, number);
        sim.advance(Duration::from_secs(1));
    }
    sim.stop_faults();
    sim.advance(Duration::from_secs(30));
    let told = sim.told(bob);
    let resumed = told.iter().any(|output| matches!(output, Output::State(State::Online { resumed: true, .. })));
    (sim, heard(&told), resumed)
}

#[test]
fn a_member_whose_connection_is_cut_again_and_again_hears_every_line_once() {
    let lines: Vec<String> = (1..=20).map(|number| format!("line {number}")).collect();
    for seed in 1..=5 {
        let hangup = Some(Duration::from_millis(700));
        let (_, heard, resumed) = talk(seed, Faults { hangup, ..Faults::default() });
        assert_eq!(heard, lines, "seed {seed}");
        assert!(resumed, "seed {seed}: nothing was cut");
    }
}

#[test]
fn a_line_that_was_answered_is_still_there_after_its_node_died() {
    for seed in 1..=5 {
        let (mut sim, ..) = talk(seed, Faults::default());
        let lobby = EntityId::new(ROOM.type_id(), "lobby");
        let home = sim.copies(&lobby)[0].0;
        sim.kill(home);
        // The others notice, and the room lives elsewhere.
        sim.advance(Duration::from_secs(10));
        let ann = sim.connect("ann again");
        join(&mut sim, ann, "ann");
        sim.advance(Duration::from_secs(10));
        say(&mut sim, ann, 21);
        sim.advance(Duration::from_secs(10));
        let answered = sim.told(ann).into_iter().find_map(|output| match output {
            Output::Reply { call: 21, result } => Some(result.expect("is answered")),
            _ => None,
        });
        let reply = SayReply::decode_from_slice(&answered.expect("in time")).expect("decodes");
        assert_eq!(reply.number, 21, "seed {seed}");
        let stored = sim.stored(&lobby).expect("a room is stored");
        let state = RoomState::decode_from_slice(&stored).expect("decodes");
        assert_eq!(state.history.len(), 21, "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_evening() {
    let traces = [7, 7, 8].map(|seed| talk(seed, Faults::default()).0.trace());
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}
