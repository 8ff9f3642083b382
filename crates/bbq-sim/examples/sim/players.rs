//! Players whose connections are cut all the time: what they send is heard once, what they are told arrives in order.

use std::collections::BTreeMap;
use std::time::Duration;

use bbq_core::codegen::*;
use bbq_sim::{Faults, PlayerId, Random, Settings, Sim};
use bbq_wire::client::{Call as ClientCall, Input, Output, State};
use buffa::Message;
use buffa_types::google::protobuf::UInt64Value;
use bytes::Bytes;

use super::herald::{COUNT, HAIL, HEARD, HeraldGlue, SHOUT};

const PLAYERS: u64 = 4;
const MESSAGES: u64 = 60;

/// What one run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) events: u64,
    pub(crate) resumed: u64,
    pub(crate) resynced: u64,
    pub(crate) broken: Vec<String>,
}

/// What a player has seen so far.
#[derive(Default)]
struct Diary {
    sent: u64,
    answers: BTreeMap<u64, u32>,
    refused: u64,
    last_push: u64,
    pushes: u64,
    resumed: u64,
    resynced: u64,
    count: Option<u64>,
}

fn body(value: u64) -> Bytes {
    UInt64Value { value, ..Default::default() }.encode_to_bytes()
}

fn number(bytes: &Bytes) -> u64 {
    UInt64Value::decode_from_slice(bytes).map_or(0, |value| value.value)
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Report {
    let mut dice = Random::new(seed ^ 0x9a7e);
    let hangup = Some(dice.between(Duration::from_millis(20), Duration::from_millis(600)));
    let faults = Faults { hangup, ..Faults::default() };
    let nodes = 1 + dice.below(3) as usize;
    let settings = Settings { seed, nodes, scatter: true, faults, ..Settings::default() };
    let mut sim = Sim::new(settings, &[Definition::entity::<HeraldGlue>()]);
    sim.advance(Duration::from_millis(200));
    let players: Vec<PlayerId> = (0..PLAYERS).map(|player| sim.connect(&format!("player-{player}"))).collect();
    let mut diaries: Vec<Diary> = players.iter().map(|_| Diary::default()).collect();
    let mut report = Report::default();
    for turn in 1..=MESSAGES {
        sim.advance(dice.between(Duration::ZERO, Duration::from_millis(100)));
        for (player, diary) in players.iter().zip(&mut diaries) {
            // One herald for each player: the numbers that it pushes are that player's alone.
            let key = Some(Key::from(player.0 as u64));
            let input = match dice.below(3) {
                0 => Input::Notify { method: SHOUT, key, body: body(turn) },
                _ => Input::Call(ClientCall {
                    call: turn,
                    method: HAIL,
                    key,
                    deadline_ms: Some(60_000),
                    body: body(turn),
                }),
            };
            diary.sent += 1;
            sim.tell_player(*player, input);
            listen(&mut sim, *player, diary, &mut report);
        }
    }
    sim.stop_faults();
    sim.advance(Duration::from_secs(40));
    for (player, diary) in players.iter().zip(&mut diaries) {
        let key = Some(Key::from(player.0 as u64));
        let count = ClientCall { call: u64::MAX, method: COUNT, key, deadline_ms: Some(10_000), body: Bytes::new() };
        sim.tell_player(*player, Input::Call(count));
        sim.advance(Duration::from_secs(5));
        listen(&mut sim, *player, diary, &mut report);
        judge(*player, diary, &mut report);
    }
    report.trace = sim.trace();
    report.events = sim.events();
    report
}

fn listen(sim: &mut Sim, player: PlayerId, diary: &mut Diary, report: &mut Report) {
    for told in sim.told(player) {
        match told {
            Output::Reply { call: u64::MAX, result } => diary.count = result.ok().map(|bytes| number(&bytes)),
            Output::Reply { call, result: Ok(bytes) } => {
                *diary.answers.entry(call).or_default() += 1;
                if number(&bytes) != call {
                    report.broken.push(format!("{player:?}: call {call} got the answer {}", number(&bytes)));
                }
            }
            Output::Reply { call, result: Err(error) } => {
                diary.refused += 1;
                if diary.resynced == 0 {
                    report.broken.push(format!("{player:?}: call {call} failed without a resync: {error}"));
                }
            }
            Output::Push { method: HEARD, body, .. } => {
                let pushed = number(&body);
                diary.pushes += 1;
                // After a resync pushes may be missing, but never come twice or out of order.
                if pushed <= diary.last_push || (diary.resynced == 0 && pushed != diary.last_push + 1) {
                    report.broken.push(format!("{player:?}: push {pushed} came after {}", diary.last_push));
                }
                diary.last_push = pushed;
            }
            Output::State(State::Online { resumed: true, .. }) => diary.resumed += 1,
            Output::State(State::Resync) => diary.resynced += 1,
            Output::State(State::Closed(error)) => report.broken.push(format!("{player:?} was closed: {error}")),
            _ => {}
        }
    }
}

fn judge(player: PlayerId, diary: &Diary, report: &mut Report) {
    report.resumed += diary.resumed;
    report.resynced += diary.resynced;
    let mut broken = |what: String| report.broken.push(format!("{player:?}: {what}"));
    match diary.count {
        None => broken("cannot be served though all is well".to_owned()),
        Some(count) => {
            let (twice, once) = (count >> 32, count & 0xffff_ffff);
            if twice > 0 {
                broken(format!("{twice} messages were heard twice"));
            }
            if diary.resynced == 0 && once != diary.sent {
                broken(format!("{once} of {} messages were heard", diary.sent));
            }
            if diary.resynced == 0 && diary.pushes != diary.sent {
                broken(format!("{} of {} pushes arrived", diary.pushes, diary.sent));
            }
        }
    }
    if let Some((call, times)) = diary.answers.iter().find(|answer| *answer.1 > 1) {
        broken(format!("call {call} was answered {times} times"));
    }
}
