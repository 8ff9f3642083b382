//! The rules of the arena, pure: a [`Sim`] and its steps. It knows no session, no clock and no message, and the same
//! inputs with the same random numbers give the same fight.
//!
//! Lengths are in units, times in steps of [`TICK`]. The middle of the arena is the origin; x grows to the right, y
//! down. Directions are 1/1024 of a turn, clockwise from the x axis.
//!
//! The pages of the demo repeat the motion of ships (`steer` in `arena/model.ts`) to show the own ship at once: change both.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One step.
pub const TICK: Duration = Duration::from_millis(50);
/// One step, in seconds.
const STEP: f32 = 0.05;
/// Length of the arena's sides.
pub const SIZE: f32 = 3000.0;
/// Length of a cell's sides.
pub const CELL: f32 = 500.0;
/// Cells in a row, and in a column.
pub const CELLS: u16 = 6;
/// Ships beyond this are refused.
pub const MAX_SHIPS: usize = 2000;
/// Steps of a turn.
pub const TURN: u16 = 1024;

const HALF: f32 = SIZE / 2.0;
/// Units per second, per second.
const THRUST: f32 = 500.0;
/// What is left of the speed after a step; with [`THRUST`] it makes a top speed of 332 units per second.
const DRAG: f32 = 0.93;
/// What a wall gives back of the speed.
const BOUNCE: f32 = 0.5;
const SHIP_RADIUS: f32 = 16.0;
/// Units per second.
const SHOT_SPEED: f32 = 650.0;
const SHOT_STEPS: u64 = 16;
const RELOAD_STEPS: u64 = 5;
const HULL: u32 = 100;
const DAMAGE: u32 = 20;
/// A hull mends by one in so many steps.
const MEND_STEPS: u64 = 5;
const RESPAWN_STEPS: u64 = 40;
/// How long a ship that is new cannot be hit. Shooting ends it.
const FRESH_STEPS: u64 = 30;
/// New ships keep this distance from the walls.
const SPAWN_MARGIN: f32 = 150.0;
/// Inputs of one ship that wait for their steps. The oldest is dropped beyond it.
const MAX_INPUTS: usize = 4;
/// An input that has been waiting behind others for so many steps in a row is one too many: it only makes the ship
/// answer later. One is skipped then. Inputs that come in bursts are not: each has its step.
const LATE_STEPS: u32 = 10;

/// A position, or a speed.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Vector {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// What a pilot wants.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Input {
    /// Number that the client gave it.
    pub sequence: u32,
    /// Where to push; at most 1 long.
    pub thrust: Vector,
    /// Where to look and shoot.
    pub aim: u16,
    /// Whether to shoot as soon as possible.
    pub fire: bool,
}

/// One ship, alive or waiting to come back.
#[derive(Clone, PartialEq, Debug)]
pub struct Ship {
    /// Its number; numbers are not used again.
    pub id: u32,
    /// What its pilot is called.
    pub name: String,
    /// Where it is, or was destroyed.
    pub position: Vector,
    /// Units per second.
    pub speed: Vector,
    /// Where it looks.
    pub aim: u16,
    /// 0 while it is destroyed.
    pub hull: u32,
    /// Ships that it destroyed.
    pub kills: u32,
    /// How often it was destroyed.
    pub deaths: u32,
    /// Sequence of the last input that was carried out.
    pub done: u32,
    /// Cannot be hit before this step.
    fresh_until: u64,
    loaded_at: u64,
    respawn_at: u64,
    held: Input,
    waiting: VecDeque<Input>,
    /// For how many steps there has been more than one input waiting.
    late: u32,
}

/// Something that was fired.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shot {
    /// Its number, used again after 2^32 shots.
    pub id: u32,
    /// The ship that fired.
    pub owner: u32,
    /// Where it is.
    pub position: Vector,
    speed: Vector,
    ends_at: u64,
}

/// What can happen to a ship.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    /// It is there (again).
    Spawned,
    /// A shot hit it.
    Hit,
    /// A shot destroyed it.
    Killed,
    /// Its pilot has left.
    Left,
}

/// Something that happened in a step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event {
    /// What.
    pub what: Happening,
    /// To whom.
    pub ship: u32,
    /// Who did it; the ship itself when nobody did.
    pub by: u32,
    /// Where.
    pub at: Vector,
}

/// What one cell holds.
#[derive(Clone, Debug, Default)]
pub struct Contents<'a> {
    /// Ships that are not destroyed.
    pub ships: Vec<&'a Ship>,
    /// Shots in flight.
    pub shots: Vec<&'a Shot>,
}

/// The arena.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sim {
    tick: u64,
    last_ship: u32,
    last_shot: u32,
    ships: BTreeMap<u32, Ship>,
    shots: Vec<Shot>,
    /// What happened between steps.
    events: Vec<Event>,
}

impl Vector {
    /// From its parts.
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    fn plus(self, other: Self, times: f32) -> Self {
        Self::new(self.x + other.x * times, self.y + other.y * times)
    }

    fn times(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }

    fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// One unit in a direction.
    fn towards(aim: u16) -> Self {
        let angle = f32::from(aim % TURN) * (std::f32::consts::TAU / f32::from(TURN));
        Self::new(angle.cos(), angle.sin())
    }
}

impl Input {
    /// From what a client sent: thrust in hundredths, cut to a length of 1; any aim.
    #[must_use]
    pub fn new(sequence: u32, thrust_x: i32, thrust_y: i32, aim: i32, fire: bool) -> Self {
        let part = |hundredths: i32| hundredths.clamp(-100, 100) as f32 / 100.0;
        let thrust = Vector::new(part(thrust_x), part(thrust_y));
        let length = thrust.length();
        let thrust = if length > 1.0 { thrust.times(1.0 / length) } else { thrust };
        Self { sequence, thrust, aim: aim.rem_euclid(i32::from(TURN)) as u16, fire }
    }
}

impl Ship {
    /// Whether it takes part.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        self.hull > 0
    }

    /// Whether it cannot be hit at step `tick`.
    #[must_use]
    pub const fn is_fresh(&self, tick: u64) -> bool {
        tick < self.fresh_until
    }

    /// The input for the next step: the one that waits longest, else the last one again.
    fn next_input(&mut self) -> Input {
        self.late = if self.waiting.len() > 1 { self.late + 1 } else { 0 };
        if self.late == LATE_STEPS {
            self.late = 0;
            self.waiting.pop_front();
        }
        if let Some(input) = self.waiting.pop_front() {
            self.held = input;
            self.done = input.sequence;
        }
        self.held
    }

    fn fly(&mut self, input: Input) {
        self.aim = input.aim;
        self.speed = self.speed.plus(input.thrust, THRUST * STEP).times(DRAG);
        self.position = self.position.plus(self.speed, STEP);
        bounce(&mut self.position.x, &mut self.speed.x);
        bounce(&mut self.position.y, &mut self.speed.y);
    }
}

fn bounce(position: &mut f32, speed: &mut f32) {
    let wall = HALF - SHIP_RADIUS;
    if position.abs() > wall {
        *position = position.clamp(-wall, wall);
        *speed *= -BOUNCE;
    }
}

/// The cell of a position. Positions outside belong to the nearest cell.
#[must_use]
pub fn cell_of(position: Vector) -> u16 {
    row_of(position.y) * CELLS + row_of(position.x)
}

fn row_of(coordinate: f32) -> u16 {
    (((coordinate + HALF) / CELL).max(0.0) as u16).min(CELLS - 1)
}

/// A cell and those that touch it, in ascending order.
pub fn around(cell: u16) -> impl Iterator<Item = u16> {
    let near = |at: u16| at.saturating_sub(1)..=(at + 1).min(CELLS - 1);
    let columns = near(cell % CELLS);
    near(cell / CELLS).flat_map(move |row| columns.clone().map(move |column| row * CELLS + column))
}

impl Sim {
    /// An arena that goes on from step `tick`, with ship numbers that come after `last_ship`.
    #[must_use]
    pub fn resume(tick: u64, last_ship: u32) -> Self {
        Self { tick, last_ship, ..Self::default() }
    }

    /// Steps made so far.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.tick
    }

    /// The largest ship number given so far.
    #[must_use]
    pub const fn last_ship(&self) -> u32 {
        self.last_ship
    }

    /// All ships, destroyed ones included.
    pub fn ships(&self) -> impl ExactSizeIterator<Item = &Ship> {
        self.ships.values()
    }

    /// The ship with this number.
    #[must_use]
    pub fn ship(&self, id: u32) -> Option<&Ship> {
        self.ships.get(&id)
    }

    /// A new ship at a random place, or nothing when the arena is full.
    pub fn join(&mut self, name: String, random: &mut impl FnMut() -> u64) -> Option<u32> {
        if self.ships.len() >= MAX_SHIPS {
            return None;
        }
        self.last_ship += 1;
        let id = self.last_ship;
        let ship = Ship {
            id,
            name,
            position: Vector::default(),
            speed: Vector::default(),
            aim: 0,
            hull: 0,
            kills: 0,
            deaths: 0,
            done: 0,
            fresh_until: 0,
            loaded_at: 0,
            respawn_at: 0,
            held: Input::default(),
            waiting: VecDeque::new(),
            late: 0,
        };
        self.ships.insert(id, ship);
        self.spawn(id, random);
        Some(id)
    }

    /// Puts back a ship that was in the arena when it stopped.
    pub fn put_back(&mut self, ship: u32, name: String, position: Vector, speed: Vector, hull: u32) -> &mut Ship {
        let back = Ship {
            id: ship,
            name,
            position,
            speed,
            aim: 0,
            hull,
            kills: 0,
            deaths: 0,
            done: 0,
            fresh_until: self.tick + FRESH_STEPS,
            loaded_at: self.tick,
            respawn_at: self.tick + RESPAWN_STEPS,
            held: Input::default(),
            waiting: VecDeque::new(),
            late: 0,
        };
        self.last_ship = self.last_ship.max(ship);
        self.ships.entry(ship).insert_entry(back).into_mut()
    }

    /// Takes a ship out; its shots stay.
    pub fn leave(&mut self, id: u32) {
        if let Some(ship) = self.ships.remove(&id) {
            self.events.push(Event { what: Happening::Left, ship: id, by: id, at: ship.position });
        }
    }

    /// What the pilot of a ship wants from its next free step on. Inputs that are older than one seen are dropped.
    pub fn steer(&mut self, id: u32, input: Input) {
        let Some(ship) = self.ships.get_mut(&id) else { return };
        let last = ship.waiting.back().map_or(ship.done, |input| input.sequence);
        if input.sequence <= last {
            return;
        }
        if ship.waiting.len() == MAX_INPUTS {
            ship.waiting.pop_front();
        }
        ship.waiting.push_back(input);
    }

    /// Lets a ship drift until the next input, which may have any sequence: its pilot is away.
    pub fn let_go(&mut self, id: u32) {
        if let Some(ship) = self.ships.get_mut(&id) {
            ship.waiting.clear();
            ship.held = Input { aim: ship.aim, ..Input::default() };
        }
    }

    /// As [`Sim::let_go`], and the client counts its inputs from 1 again.
    pub fn take_over(&mut self, id: u32) {
        self.let_go(id);
        if let Some(ship) = self.ships.get_mut(&id) {
            ship.done = 0;
        }
    }

    /// One step of [`TICK`]. Returns what has happened since the last one.
    pub fn step(&mut self, random: &mut impl FnMut() -> u64) -> Vec<Event> {
        self.tick += 1;
        let back: Vec<u32> = self.ships.values().filter(|ship| self.comes_back(ship)).map(|ship| ship.id).collect();
        for id in back {
            self.spawn(id, random);
        }
        self.fly();
        self.shoot();
        self.move_shots();
        std::mem::take(&mut self.events)
    }

    /// What each cell holds; cells with nothing in them are left out.
    #[must_use]
    pub fn cells(&self) -> BTreeMap<u16, Contents<'_>> {
        let mut cells: BTreeMap<u16, Contents<'_>> = BTreeMap::new();
        for ship in self.ships.values().filter(|ship| ship.is_alive()) {
            cells.entry(cell_of(ship.position)).or_default().ships.push(ship);
        }
        for shot in &self.shots {
            cells.entry(cell_of(shot.position)).or_default().shots.push(shot);
        }
        cells
    }

    /// The best ships: many kills, few deaths, early numbers.
    #[must_use]
    pub fn best(&self, count: usize) -> Vec<&Ship> {
        let mut ships: Vec<&Ship> = self.ships.values().collect();
        ships.sort_by_key(|ship| (std::cmp::Reverse(ship.kills), ship.deaths, ship.id));
        ships.truncate(count);
        ships
    }

    const fn comes_back(&self, ship: &Ship) -> bool {
        !ship.is_alive() && ship.respawn_at <= self.tick
    }

    fn spawn(&mut self, id: u32, random: &mut impl FnMut() -> u64) {
        let mut place = || {
            let unit = (random() >> 40) as f32 / (1_u64 << 24) as f32;
            (unit - 0.5) * 2.0 * (HALF - SPAWN_MARGIN)
        };
        let position = Vector::new(place(), place());
        let Some(ship) = self.ships.get_mut(&id) else { return };
        ship.position = position;
        ship.speed = Vector::default();
        ship.hull = HULL;
        ship.fresh_until = self.tick + FRESH_STEPS;
        self.events.push(Event { what: Happening::Spawned, ship: id, by: id, at: position });
    }

    fn fly(&mut self) {
        let mends = self.tick.is_multiple_of(MEND_STEPS);
        for ship in self.ships.values_mut() {
            let input = ship.next_input();
            if ship.is_alive() {
                ship.fly(input);
                ship.hull = (ship.hull + u32::from(mends)).min(HULL);
            }
        }
    }

    fn shoot(&mut self) {
        let tick = self.tick;
        let ready = |ship: &&mut Ship| ship.is_alive() && ship.held.fire && ship.loaded_at <= tick;
        for ship in self.ships.values_mut().filter(ready) {
            ship.loaded_at = tick + RELOAD_STEPS;
            ship.fresh_until = tick;
            let ahead = Vector::towards(ship.aim);
            self.last_shot = self.last_shot.wrapping_add(1);
            self.shots.push(Shot {
                id: self.last_shot,
                owner: ship.id,
                position: ship.position.plus(ahead, SHIP_RADIUS),
                speed: ahead.times(SHOT_SPEED),
                ends_at: tick + SHOT_STEPS,
            });
        }
    }

    fn move_shots(&mut self) {
        let rows = self.rows();
        let mut shots = std::mem::take(&mut self.shots);
        shots.retain_mut(|shot| {
            let from = shot.position;
            shot.position = from.plus(shot.speed, STEP);
            let target = self.target(&rows, shot, from);
            if let Some(target) = target {
                self.hit(target, shot);
            }
            let inside = shot.position.x.abs() < HALF && shot.position.y.abs() < HALF;
            target.is_none() && inside && self.tick < shot.ends_at
        });
        self.shots = shots;
    }

    /// Ships that can be hit, by cell.
    fn rows(&self) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); usize::from(CELLS * CELLS)];
        for ship in self.ships.values().filter(|ship| ship.is_alive() && !ship.is_fresh(self.tick)) {
            rows[usize::from(cell_of(ship.position))].push(ship.id);
        }
        rows
    }

    /// The ship that a shot meets first on its way from `from`.
    fn target(&self, rows: &[Vec<u32>], shot: &Shot, from: Vector) -> Option<u32> {
        let (low, high) = (bounds(from, shot.position, f32::min, -1.0), bounds(from, shot.position, f32::max, 1.0));
        let columns = row_of(low.x)..=row_of(high.x);
        let cells = (row_of(low.y)..=row_of(high.y)).flat_map(|row| columns.clone().map(move |at| row * CELLS + at));
        let ships = cells.flat_map(|cell| &rows[usize::from(cell)]).filter_map(|id| self.ships.get(id));
        let met = ships.filter(|ship| ship.id != shot.owner && ship.is_alive()).filter_map(|ship| {
            let way = meets(from, shot.position, ship.position)?;
            Some((way, ship.id))
        });
        met.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, id)| id)
    }

    fn hit(&mut self, target: u32, shot: &Shot) {
        let Some(ship) = self.ships.get_mut(&target) else { return };
        ship.hull = ship.hull.saturating_sub(DAMAGE);
        let killed = !ship.is_alive();
        if killed {
            ship.deaths += 1;
            ship.respawn_at = self.tick + RESPAWN_STEPS;
        }
        let what = if killed { Happening::Killed } else { Happening::Hit };
        self.events.push(Event { what, ship: target, by: shot.owner, at: ship.position });
        if killed && let Some(owner) = self.ships.get_mut(&shot.owner) {
            owner.kills += 1;
        }
    }
}

fn bounds(from: Vector, to: Vector, pick: fn(f32, f32) -> f32, side: f32) -> Vector {
    Vector::new(pick(from.x, to.x) + side * SHIP_RADIUS, pick(from.y, to.y) + side * SHIP_RADIUS)
}

/// How far along the way `from` .. `to` (0 .. 1) it comes closest to `centre`, if that is within a ship.
fn meets(from: Vector, to: Vector, centre: Vector) -> Option<f32> {
    let way = to.plus(from, -1.0);
    let offset = centre.plus(from, -1.0);
    let at = (offset.dot(way) / way.dot(way).max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
    (offset.plus(way, -at).length() <= SHIP_RADIUS).then_some(at)
}

#[cfg(test)]
mod tests;
