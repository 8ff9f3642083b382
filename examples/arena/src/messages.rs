//! The simulation in the words of the protocol: fixed-point numbers, and only what a client needs.

use std::sync::Arc;

use gobbq::prelude::*;

use crate::arena::{self, Events, Pilot, Score, Scoreboard, Snapshot, event};
use crate::sim::{Contents, Event, Happening, Ship, Shot, Sim, Vector};

/// Parts of a unit in positions and speeds.
const PARTS: f32 = 4.0;
/// The name of a ship is told once in so many steps: clients meet new ships all the time, and names are long.
const NAME_STEPS: u64 = 20;
/// Length of the list of the best.
const BEST: usize = 10;

/// A coordinate in quarter units.
pub(crate) fn fixed(units: f32) -> i32 {
    (units * PARTS).round() as i32
}

/// Everything in a cell.
pub(crate) fn snapshot(tick: u64, cell: u16, contents: &Contents<'_>) -> Snapshot {
    Snapshot {
        tick: tick as u32,
        cell: u32::from(cell),
        ships: contents.ships.iter().map(|it| ship(tick, it)).collect(),
        shots: contents.shots.iter().map(|it| shot(it)).collect(),
        ..Default::default()
    }
}

fn ship(tick: u64, ship: &Ship) -> arena::Ship {
    let names = (tick + u64::from(ship.id)).is_multiple_of(NAME_STEPS);
    arena::Ship {
        id: ship.id,
        x: fixed(ship.position.x),
        y: fixed(ship.position.y),
        speed_x: fixed(ship.speed.x),
        speed_y: fixed(ship.speed.y),
        aim: i32::from(ship.aim),
        hull: ship.hull,
        input: ship.done,
        fresh: ship.is_fresh(tick),
        name: if names { ship.name.clone() } else { String::new() },
        ..Default::default()
    }
}

fn shot(shot: &Shot) -> arena::Shot {
    arena::Shot {
        id: shot.id,
        x: fixed(shot.position.x),
        y: fixed(shot.position.y),
        owner: shot.owner,
        ..Default::default()
    }
}

/// What happened in a cell.
pub(crate) fn events(tick: u64, events: &[Event]) -> Events {
    Events { tick: tick as u32, events: events.iter().map(event).collect(), ..Default::default() }
}

fn event(event: &Event) -> arena::Event {
    let kind = match event.what {
        Happening::Spawned => event::Kind::KIND_SPAWNED,
        Happening::Hit => event::Kind::KIND_HIT,
        Happening::Killed => event::Kind::KIND_KILLED,
        Happening::Left => event::Kind::KIND_LEFT,
    };
    arena::Event {
        kind: kind.into(),
        ship: event.ship,
        by: event.by,
        x: fixed(event.at.x),
        y: fixed(event.at.y),
        ..Default::default()
    }
}

/// Who is best.
pub(crate) fn scoreboard(sim: &Sim) -> Scoreboard {
    let score = |ship: &Ship| Score {
        ship: ship.id,
        name: ship.name.clone(),
        kills: ship.kills,
        deaths: ship.deaths,
        ..Default::default()
    };
    Scoreboard {
        top: sim.best(BEST).into_iter().map(score).collect(),
        ships: sim.ships().len() as u32,
        ..Default::default()
    }
}

/// A ship and its session, to be stored.
pub(crate) fn pilot(ship: &Ship, client: &ClientRef) -> Pilot {
    Pilot {
        ship: ship.id,
        name: ship.name.clone(),
        x: ship.position.x,
        y: ship.position.y,
        speed_x: ship.speed.x,
        speed_y: ship.speed.y,
        hull: ship.hull,
        kills: ship.kills,
        deaths: ship.deaths,
        session: client.session.0,
        gate_node: client.gate.node,
        gate_incarnation: client.gate.incarnation,
        account: client.account.to_string(),
        ..Default::default()
    }
}

/// The reverse of [`pilot`]: puts the ship back and says whose it is.
pub(crate) fn put_back(sim: &mut Sim, pilot: &Pilot) -> ClientRef {
    let (position, speed) = (Vector::new(pilot.x, pilot.y), Vector::new(pilot.speed_x, pilot.speed_y));
    let ship = sim.put_back(pilot.ship, pilot.name.clone(), position, speed, pilot.hull);
    (ship.kills, ship.deaths) = (pilot.kills, pilot.deaths);
    let account = Arc::from(pilot.account.as_str());
    let mut client = ClientRef { gate: Default::default(), session: Default::default(), account };
    (client.gate.node, client.gate.incarnation) = (pilot.gate_node, pilot.gate_incarnation);
    client.session.0 = pilot.session;
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pilot_is_put_back_as_it_was() {
        let mut sim = Sim::default();
        let id = sim.join("ann".to_owned(), &mut || 3 << 60).unwrap();
        let account = Arc::from("guest:ann");
        let mut client = ClientRef { gate: Default::default(), session: Default::default(), account };
        (client.gate.node, client.gate.incarnation, client.session.0) = (1, 2, 3);
        let stored = pilot(sim.ship(id).unwrap(), &client);
        let mut other = Sim::resume(sim.tick(), sim.last_ship());
        assert_eq!(put_back(&mut other, &stored), client);
        assert_eq!(pilot(other.ship(id).unwrap(), &client), stored);
    }

    #[test]
    fn each_ship_is_named_once_in_a_second() {
        let mut sim = Sim::default();
        for _ in 0..3 {
            sim.join("ann".to_owned(), &mut || 3 << 60).unwrap();
        }
        let cells = sim.cells();
        let contents = cells.values().next().unwrap();
        let mut named = [0; 3];
        for tick in 0..NAME_STEPS {
            for ship in snapshot(tick, 0, contents).ships.iter().filter(|ship| !ship.name.is_empty()) {
                named[ship.id as usize - 1] += 1;
            }
        }
        assert_eq!(named, [1, 1, 1]);
    }
}
