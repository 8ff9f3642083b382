//! What the rules promise.

use proptest::prelude::*;

use super::*;

/// SplitMix64.
fn seeded(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A sim with ships at given places that can be hit at once, and generators for it.
fn ships_at(places: &[(f32, f32)]) -> (Sim, impl FnMut() -> u64) {
    let mut random = seeded(1);
    let mut sim = Sim::default();
    for (x, y) in places {
        let id = sim.join("ship".to_owned(), &mut random).unwrap();
        let ship = sim.ships.get_mut(&id).unwrap();
        ship.position = Vector::new(*x, *y);
        ship.fresh_until = 0;
    }
    sim.events.clear();
    (sim, random)
}

fn fire(sequence: u32, aim: u16) -> Input {
    Input { sequence, aim, fire: true, ..Input::default() }
}

/// Steps until something of this kind happens.
fn until(sim: &mut Sim, random: &mut impl FnMut() -> u64, what: Happening) -> Event {
    for _ in 0..200 {
        if let Some(event) = sim.step(random).into_iter().find(|event| event.what == what) {
            return event;
        }
    }
    panic!("no {what:?} in 200 steps");
}

#[test]
fn a_ship_that_pushes_reaches_the_top_speed_and_one_that_does_not_comes_to_rest() {
    let (mut sim, mut random) = ships_at(&[(-1400.0, 0.0)]);
    sim.steer(1, Input::new(1, 100, 0, 0, false));
    for _ in 0..100 {
        sim.step(&mut random);
    }
    assert!((sim.ship(1).unwrap().speed.x - 332.0).abs() < 1.0, "{:?}", sim.ship(1));
    sim.let_go(1);
    for _ in 0..200 {
        sim.step(&mut random);
    }
    assert!(sim.ship(1).unwrap().speed.length() < 0.1);
}

#[test]
fn a_ship_moves_as_the_pages_predict() {
    // The same numbers as in the tests of the pages.
    let (mut sim, mut random) = ships_at(&[(-1400.0, 0.0)]);
    sim.steer(1, Input::new(1, 60, 50, 0, false));
    for _ in 0..20 {
        sim.step(&mut random);
    }
    let Vector { x, y } = sim.ship(1).unwrap().position;
    assert!((x - -1302.09).abs() < 0.1 && (y - 81.59).abs() < 0.1, "{x} {y}");
}

#[test]
fn a_shot_hits_the_ship_ahead_and_not_its_owner() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0), (200.0, 0.0), (-200.0, 0.0)]);
    sim.steer(1, fire(1, 0));
    let event = until(&mut sim, &mut random, Happening::Hit);
    assert_eq!((event.ship, event.by), (2, 1));
    assert!(sim.ship(2).unwrap().hull < HULL);
    assert_eq!(sim.ship(1).unwrap().hull, HULL);
    assert_eq!(sim.ship(3).unwrap().hull, HULL);
}

#[test]
fn the_nearer_of_two_ships_takes_the_shot() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0), (60.0, 0.0), (40.0, 0.0)]);
    sim.steer(1, fire(1, 0));
    assert_eq!(until(&mut sim, &mut random, Happening::Hit).ship, 3);
}

#[test]
fn a_shot_crosses_the_border_of_a_cell() {
    let (mut sim, mut random) = ships_at(&[(490.0, 499.0), (520.0, 501.0)]);
    sim.steer(1, fire(1, 0));
    assert_eq!(until(&mut sim, &mut random, Happening::Hit).ship, 2);
}

#[test]
fn a_shot_ends_out_of_range() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0), (700.0, 0.0)]);
    sim.steer(1, fire(1, 0));
    sim.step(&mut random);
    sim.let_go(1);
    for _ in 0..SHOT_STEPS {
        assert_eq!(sim.step(&mut random), []);
    }
    assert!(sim.shots.is_empty());
}

#[test]
fn a_destroyed_ship_counts_for_both_and_comes_back_whole() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0), (200.0, 0.0)]);
    sim.steer(1, fire(1, 0));
    let killed = until(&mut sim, &mut random, Happening::Killed);
    assert_eq!((killed.ship, killed.by), (2, 1));
    assert_eq!((sim.ship(1).unwrap().kills, sim.ship(2).unwrap().deaths), (1, 1));
    assert!(sim.cells().values().all(|cell| cell.ships.iter().all(|ship| ship.id != 2)), "it is not shown");
    sim.let_go(1);
    let before = sim.tick();
    let back = until(&mut sim, &mut random, Happening::Spawned);
    assert_eq!((back.ship, sim.tick() - before), (2, RESPAWN_STEPS));
    assert_eq!(sim.ship(2).unwrap().hull, HULL);
}

#[test]
fn a_fresh_ship_cannot_be_hit_until_it_shoots() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0), (40.0, 0.0)]);
    sim.ships.get_mut(&2).unwrap().fresh_until = 1000;
    sim.steer(1, fire(1, 0));
    for _ in 0..20 {
        assert_eq!(sim.step(&mut random), []);
    }
    sim.steer(2, fire(1, TURN / 4));
    assert_eq!(until(&mut sim, &mut random, Happening::Hit).ship, 2);
}

#[test]
fn each_input_is_carried_out_once_and_in_order() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0)]);
    for sequence in [1, 2, 2, 1] {
        sim.steer(1, Input::new(sequence, 100, 0, 0, false));
    }
    let mut done = Vec::new();
    for _ in 0..3 {
        sim.step(&mut random);
        done.push(sim.ship(1).unwrap().done);
    }
    assert_eq!(done, [1, 2, 2]);
}

#[test]
fn a_burst_of_inputs_does_not_delay_those_that_follow() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0)]);
    for sequence in 1..=100 {
        sim.steer(1, Input::new(sequence, 100, 0, 0, false));
    }
    for _ in 0..MAX_INPUTS {
        sim.step(&mut random);
    }
    assert_eq!(sim.ship(1).unwrap().done, 100);
}

#[test]
fn a_pilot_whose_inputs_always_wait_gets_back_to_being_answered_at_once() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0)]);
    sim.steer(1, Input::new(1, 100, 0, 0, false));
    sim.steer(1, Input::new(2, 100, 0, 0, false));
    for sequence in 3..40 {
        sim.steer(1, Input::new(sequence, 100, 0, 0, false));
        sim.step(&mut random);
    }
    assert_eq!(sim.ship(1).unwrap().done, 39);
}

#[test]
fn a_new_client_of_the_same_ship_counts_from_one() {
    let (mut sim, mut random) = ships_at(&[(0.0, 0.0)]);
    sim.steer(1, Input::new(500, 100, 0, 0, false));
    sim.step(&mut random);
    sim.take_over(1);
    sim.steer(1, Input::new(1, 0, 100, 0, false));
    sim.step(&mut random);
    assert_eq!(sim.ship(1).unwrap().done, 1);
}

#[test]
fn a_full_arena_refuses_ships() {
    let (mut sim, mut random) = ships_at(&[]);
    for _ in 0..MAX_SHIPS {
        assert!(sim.join(String::new(), &mut random).is_some());
    }
    assert_eq!(sim.join(String::new(), &mut random), None);
}

#[test]
fn a_ship_that_is_put_back_goes_on_and_its_number_is_not_given_again() {
    let mut random = seeded(1);
    let mut resumed = Sim::resume(77, 3);
    resumed.put_back(9, "ann".to_owned(), Vector::new(1.0, 2.0), Vector::default(), 50).kills = 4;
    assert_eq!((resumed.tick(), resumed.ship(9).map(|ship| (ship.hull, ship.kills))), (77, Some((50, 4))));
    assert_eq!(resumed.join("bob".to_owned(), &mut random), Some(10));
    // One that was destroyed when the arena stopped comes back as well.
    resumed.put_back(5, "eve".to_owned(), Vector::default(), Vector::default(), 0);
    assert_eq!(until(&mut resumed, &mut random, Happening::Spawned).ship, 10);
    assert_eq!(until(&mut resumed, &mut random, Happening::Spawned).ship, 5);
}

#[test]
fn the_middle_has_nine_cells_around_it_and_a_corner_four() {
    assert_eq!(around(0).collect::<Vec<_>>(), [0, 1, 6, 7]);
    assert_eq!(around(7).collect::<Vec<_>>(), [0, 1, 2, 6, 7, 8, 12, 13, 14]);
    assert_eq!(around(35).collect::<Vec<_>>(), [28, 29, 34, 35]);
}

/// What a client may send, however odd.
fn any_input() -> impl Strategy<Value = Input> {
    (any::<u32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<bool>())
        .prop_map(|(sequence, x, y, aim, fire)| Input::new(sequence, x, y, aim, fire))
}

#[derive(Clone, Debug)]
enum Act {
    Join,
    Leave(u32),
    Steer(u32, Input),
    LetGo(u32),
    Step(u8),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Join),
        1 => (0..12_u32).prop_map(Act::Leave),
        8 => (0..12_u32, any_input()).prop_map(|(ship, input)| Act::Steer(ship, input)),
        1 => (0..12_u32).prop_map(Act::LetGo),
        8 => (1..20_u8).prop_map(Act::Step),
    ]
}

fn play(acts: &[Act], mut check: impl FnMut(&Sim, &[Event])) -> Sim {
    let mut random = seeded(7);
    let mut sim = Sim::default();
    for act in acts {
        match act.clone() {
            Act::Join => {
                sim.join("ship".to_owned(), &mut random);
            }
            Act::Leave(ship) => sim.leave(ship),
            Act::Steer(ship, input) => sim.steer(ship, input),
            Act::LetGo(ship) => sim.let_go(ship),
            Act::Step(times) => {
                for _ in 0..times {
                    let events = sim.step(&mut random);
                    check(&sim, &events);
                }
            }
        }
    }
    sim
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ships_stay_inside_and_every_cell_holds_exactly_what_is_in_it(
        acts in proptest::collection::vec(any_act(), 1..60),
    ) {
        play(&acts, |sim, _| {
            for ship in sim.ships() {
                assert!(ship.position.x.abs() <= HALF && ship.position.y.abs() <= HALF, "{ship:?}");
                assert!(ship.hull <= HULL && ship.waiting.len() <= MAX_INPUTS, "{ship:?}");
            }
            let cells = sim.cells();
            let shown: usize = cells.values().map(|cell| cell.ships.len()).sum();
            assert_eq!(shown, sim.ships().filter(|ship| ship.is_alive()).count());
            assert_eq!(cells.values().map(|cell| cell.shots.len()).sum::<usize>(), sim.shots.len());
            for (cell, contents) in &cells {
                let left = f32::from(cell % CELLS) * CELL - HALF;
                let top = f32::from(cell / CELLS) * CELL - HALF;
                for position in contents.ships.iter().map(|ship| ship.position) {
                    assert!((left..=left + CELL).contains(&position.x), "{position:?} in cell {cell}");
                    assert!((top..=top + CELL).contains(&position.y), "{position:?} in cell {cell}");
                }
            }
        });
    }

    #[test]
    fn every_kill_is_a_death_while_nobody_leaves(acts in proptest::collection::vec(any_act(), 1..60)) {
        let acts: Vec<Act> = acts.into_iter().filter(|act| !matches!(act, Act::Leave(_))).collect();
        let mut killed = 0;
        let sim = play(&acts, |_, events| {
            killed += events.iter().filter(|event| event.what == Happening::Killed).count();
        });
        assert_eq!(sim.ships().map(|ship| ship.kills as usize).sum::<usize>(), killed);
        assert_eq!(sim.ships().map(|ship| ship.deaths as usize).sum::<usize>(), killed);
    }

    #[test]
    fn the_same_acts_give_the_same_fight(acts in proptest::collection::vec(any_act(), 1..40)) {
        assert_eq!(play(&acts, |_, _| {}), play(&acts, |_, _| {}));
    }
}
