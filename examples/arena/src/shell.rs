//! The entity around the simulation: sessions in, snapshots out. It decides nothing about the game.

use std::collections::{BTreeMap, BTreeSet};

use gobbq::prelude::*;

use crate::MAX_NAME;
use crate::arena::{ArenaClientRef, ArenaEntity, ArenaState, InputRequest, JoinReply, JoinRequest};
use crate::messages::{events, fixed, pilot, put_back, scoreboard, snapshot};
use crate::sim::{CELL, Event, Input, SIZE, Sim, TICK, around, cell_of};

/// The group of everybody.
const ALL: &str = "all";
/// Steps between two scoreboards.
const SCORE_STEPS: u64 = 20;
/// An arena that was held up makes at most so many steps at once; time beyond that is lost, for all alike.
const MAX_STEPS: u32 = 5;

/// A session in the arena.
#[derive(Debug)]
struct Seat {
    client: ClientRef,
    ship: u32,
    /// The cell around which the session is told.
    cell: u16,
}

/// An arena. The state is filled when it stops; between start and stop the simulation is what counts.
#[derive(Debug)]
pub(crate) struct Arena {
    sim: Sim,
    /// By the number of the session.
    seats: BTreeMap<u64, Seat>,
    /// Time that passed without having been simulated yet.
    behind: Duration,
    state: ArenaState,
}

impl ArenaEntity for Arena {
    fn new(_: &EntityId, state: ArenaState) -> Self {
        let mut sim = Sim::resume(state.tick, state.last_ship);
        let mut seats = BTreeMap::new();
        for pilot in &state.pilots {
            let client = put_back(&mut sim, pilot);
            let cell = sim.ship(pilot.ship).map_or(0, |ship| cell_of(ship.position));
            seats.insert(client.session.0, Seat { client, ship: pilot.ship, cell });
        }
        Self { sim, seats, behind: Duration::ZERO, state }
    }

    fn state(&self) -> &ArenaState {
        &self.state
    }

    async fn on_init(&mut self, ctx: &Ctx) -> Result<()> {
        for seat in self.seats.values() {
            enter(ctx, seat)?;
        }
        if self.seats.is_empty() { Ok(()) } else { ctx.start_tick(TICK) }
    }

    async fn on_destroy(&mut self, _: &Ctx, _: StopReason) -> Result<()> {
        let pilots = self.seats.values();
        let pilots = pilots.filter_map(|seat| Some(pilot(self.sim.ship(seat.ship)?, &seat.client)));
        self.state = ArenaState {
            tick: self.sim.tick(),
            last_ship: self.sim.last_ship(),
            pilots: pilots.collect(),
            ..Default::default()
        };
        Ok(())
    }

    async fn join(&mut self, ctx: &Ctx, req: JoinRequest) -> Result<JoinReply> {
        let client = ctx.require_client()?;
        let ship = match self.seats.get(&client.session.0) {
            Some(seat) => {
                self.sim.take_over(seat.ship);
                seat.ship
            }
            None => self.admit(ctx, &client, &req.name)?,
        };
        let position = self.sim.ship(ship).map(|ship| ship.position).unwrap_or_default();
        Ok(JoinReply {
            you: ship,
            size: SIZE as u32,
            cell: CELL as u32,
            tick: self.sim.tick() as u32,
            tick_ms: TICK.as_millis() as u32,
            x: fixed(position.x),
            y: fixed(position.y),
            ..Default::default()
        })
    }

    async fn input(&mut self, ctx: &Ctx, req: InputRequest) -> Result<()> {
        let client = ctx.require_client()?;
        // Of a session that has no ship (any more), inputs say nothing: the client misses its snapshots and joins.
        if let Some(seat) = self.seats.get(&client.session.0) {
            let input = Input::new(req.sequence, req.thrust_x, req.thrust_y, req.aim, req.fire);
            self.sim.steer(seat.ship, input);
        }
        Ok(())
    }

    async fn leave(&mut self, ctx: &Ctx) -> Result<()> {
        let client = ctx.require_client()?;
        ctx.unwatch_client(&client)?;
        self.dismiss(ctx, &client);
        Ok(())
    }

    async fn on_session(&mut self, ctx: &Ctx, client: ClientRef, event: SessionEvent) -> Result<()> {
        let ship = self.seats.get(&client.session.0).map(|seat| seat.ship);
        match (event, ship) {
            (SessionEvent::Left, _) => self.dismiss(ctx, &client),
            // Nobody flies it until the session is back.
            (SessionEvent::Detached, Some(ship)) => self.sim.let_go(ship),
            _ => {}
        }
        Ok(())
    }

    async fn on_tick(&mut self, ctx: &Ctx, elapsed: Duration) -> Result<()> {
        self.behind = (self.behind + elapsed).min(TICK * MAX_STEPS);
        let mut happened = Vec::new();
        while self.behind >= TICK {
            self.behind -= TICK;
            happened.extend(self.sim.step(&mut || ctx.random()));
            if self.sim.tick().is_multiple_of(SCORE_STEPS) {
                ctx.group(ALL).client::<ArenaClientRef>().scores(scoreboard(&self.sim)).tell();
            }
        }
        self.reseat(ctx);
        self.tell(ctx, &happened);
        Ok(())
    }
}

impl Arena {
    fn admit(&mut self, ctx: &Ctx, client: &ClientRef, name: &str) -> Result<u32> {
        let name: String = name.trim().chars().filter(|char| !char.is_control()).take(MAX_NAME).collect();
        if name.is_empty() {
            return Err(Error::new(Code::INVALID_ARGUMENT, "a pilot needs a name"));
        }
        let Some(ship) = self.sim.join(name, &mut || ctx.random()) else {
            return Err(Error::new(Code::RESOURCE_EXHAUSTED, "this arena is full"));
        };
        let cell = self.sim.ship(ship).map_or(0, |ship| cell_of(ship.position));
        let seat = Seat { client: client.clone(), ship, cell };
        enter(ctx, &seat)?;
        if self.seats.is_empty() {
            self.behind = Duration::ZERO;
            ctx.start_tick(TICK)?;
        }
        self.seats.insert(client.session.0, seat);
        Ok(ship)
    }

    fn dismiss(&mut self, ctx: &Ctx, client: &ClientRef) {
        let Some(seat) = self.seats.remove(&client.session.0) else { return };
        self.sim.leave(seat.ship);
        ctx.group(ALL).leave(client);
        for cell in around(seat.cell) {
            ctx.group(&group_of(cell)).leave(client);
        }
        // An arena without pilots stands still, and stops when it has been idle for long enough.
        if self.seats.is_empty() {
            ctx.stop_tick();
        }
    }

    /// Lets the sessions of ships that crossed a border follow them. A destroyed ship stays where it was.
    fn reseat(&mut self, ctx: &Ctx) {
        for seat in self.seats.values_mut() {
            let Some(ship) = self.sim.ship(seat.ship) else { continue };
            let cell = cell_of(ship.position);
            if cell == seat.cell {
                continue;
            }
            let (old, new): (BTreeSet<u16>, BTreeSet<u16>) = (around(seat.cell).collect(), around(cell).collect());
            for gone in old.difference(&new) {
                ctx.group(&group_of(*gone)).leave(&seat.client);
            }
            for come in new.difference(&old) {
                ctx.group(&group_of(*come)).join(&seat.client);
            }
            seat.cell = cell;
        }
    }

    /// One push for each cell that has something in it and somebody to see it, whatever the number of pilots.
    fn tell(&self, ctx: &Ctx, happened: &[Event]) {
        let tick = self.sim.tick();
        let seen: BTreeSet<u16> = self.seats.values().flat_map(|seat| around(seat.cell)).collect();
        for (cell, contents) in self.sim.cells().iter().filter(|(cell, _)| seen.contains(cell)) {
            let group = ctx.group(&group_of(*cell)).unreliable();
            group.client::<ArenaClientRef>().near(snapshot(tick, *cell, contents)).tell();
        }
        let mut by_cell: BTreeMap<u16, Vec<Event>> = BTreeMap::new();
        for event in happened {
            by_cell.entry(cell_of(event.at)).or_default().push(*event);
        }
        for (cell, list) in by_cell.iter().filter(|(cell, _)| seen.contains(cell)) {
            ctx.group(&group_of(*cell)).client::<ArenaClientRef>().happened(events(tick, list)).tell();
        }
    }
}

fn enter(ctx: &Ctx, seat: &Seat) -> Result<()> {
    ctx.watch_client(&seat.client)?;
    ctx.group(ALL).join(&seat.client);
    for cell in around(seat.cell) {
        ctx.group(&group_of(cell)).join(&seat.client);
    }
    Ok(())
}

fn group_of(cell: u16) -> String {
    format!("cell{cell}")
}
