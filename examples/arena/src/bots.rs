//! Pilots that are programs: they wander, chase the nearest ship that they see, and shoot at it. They are clients like
//! any other, and know what any other client is told.

use std::collections::BTreeMap;

use bbq_client::{Client, Push};
use gobbq::codegen::ServiceDesc;
use gobbq::codegen::buffa::Message;
use gobbq::prelude::*;

use crate::arena::{ARENA, ARENA_CLIENT, InputRequest, JoinReply, JoinRequest, Ship, Snapshot};
use crate::sim::SIZE;

/// The arena that bots fly in.
pub const ARENA_KEY: &str = "main";
/// Between two inputs. Slower than a person's page, so that many bots are cheap.
const THINK: Duration = Duration::from_millis(100);
/// A bot that has not been told of its ship for so long joins again.
const LOST: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
/// A ship that was not told for so many steps is out of sight.
const FORGET_STEPS: u32 = 10;
/// Quarter units, as in messages.
const CHASE: f32 = 4.0 * 450.0;
const SHOOT: f32 = 4.0 * 380.0;
const KEEP_AWAY: f32 = 4.0 * 140.0;
const REACHED: f32 = 4.0 * 100.0;
/// What a shot flies in a second.
const SHOT_SPEED: f32 = 4.0 * 650.0;
/// How far from the middle a bot wanders.
const WANDER: f32 = 4.0 * (SIZE / 2.0 - 200.0);

/// Flies until the client is closed. `n` is its number: it makes the bot's name and its character.
///
/// # Errors
/// What closed the client, or an arena that refuses it.
pub async fn bot(client: Client, n: u64) -> Result<()> {
    let (input, near) = (method(&ARENA, "Input"), method(&ARENA_CLIENT, "Near"));
    let mut pushes = client.pushes();
    let mut mind = Mind::new(n);
    mind.you = join(&client, n).await?;
    let mut clock = tokio::time::interval(THINK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut heard = tokio::time::Instant::now();
    loop {
        tokio::select! {
            push = pushes.next() => match push {
                Some(Push { method, body, .. }) if method == near => {
                    if Snapshot::decode_from_slice(&body).is_ok_and(|snapshot| mind.see(snapshot)) {
                        heard = tokio::time::Instant::now();
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            },
            _ = clock.tick(), if client.is_online() => {
                if heard.elapsed() > LOST {
                    mind.you = join(&client, n).await?;
                    heard = tokio::time::Instant::now();
                }
                // A full ring means that the gate does not answer: the next thought will do.
                let _ = client.tell(input, Some(ARENA_KEY.into()), &mind.think());
            }
        }
    }
}

async fn join(client: &Client, n: u64) -> Result<u32> {
    let request = JoinRequest { name: name(n), ..Default::default() };
    let (join, key) = (method(&ARENA, "Join"), Some(ARENA_KEY.into()));
    let reply = client.call(join, key, request.encode_to_bytes(), ANSWER).await?;
    let reply = JoinReply::decode_from_slice(&reply);
    reply.map(|reply| reply.you).map_err(|why| Error::new(Code::INTERNAL, format!("not a JoinReply: {why}")))
}

fn name(n: u64) -> String {
    const NAMES: [&str; 16] = [
        "Vega", "Rigel", "Mira", "Altair", "Deneb", "Sirius", "Polaris", "Castor", "Atria", "Spica", "Hadar", "Izar",
        "Nashira", "Sadr", "Tarazed", "Wezen",
    ];
    // Each round starts one further on: bots with even numbers only have all the names, too.
    let (names, round) = (NAMES.len() as u64, n / NAMES.len() as u64);
    format!("{} {}", NAMES[((n + round) % names) as usize], round + 1)
}

fn method(desc: &ServiceDesc, name: &str) -> u32 {
    desc.methods.iter().find(|method| method.name == name).map_or(0, |method| method.id)
}

/// What a bot knows, and how it decides: no network, no clock.
struct Mind {
    you: u32,
    tick: u32,
    sequence: u32,
    random: u64,
    /// Ships in sight, with the step in which they were told.
    seen: BTreeMap<u32, (u32, Ship)>,
    /// Where it is going while it sees nobody.
    goal: (f32, f32),
    /// Which way round it circles.
    spin: f32,
}

/// Another ship, seen from the own one.
struct Sight {
    way: (f32, f32),
    distance: f32,
    speed: (f32, f32),
}

impl Mind {
    fn new(n: u64) -> Self {
        let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spin = if random >> 63 == 0 { 1.0 } else { -1.0 };
        Self { you: 0, tick: 0, sequence: 0, random, seen: BTreeMap::new(), goal: (0.0, 0.0), spin }
    }

    /// Takes in what is near; says whether the own ship is part of it.
    fn see(&mut self, snapshot: Snapshot) -> bool {
        // A step back by more than a little is another arena, not a late message.
        self.tick = if snapshot.tick + 100 < self.tick { snapshot.tick } else { self.tick.max(snapshot.tick) };
        let own = snapshot.ships.iter().any(|ship| ship.id == self.you);
        for ship in snapshot.ships {
            self.seen.insert(ship.id, (snapshot.tick, ship));
        }
        let tick = self.tick;
        self.seen.retain(|_, (told, _)| tick.wrapping_sub(*told) <= FORGET_STEPS);
        own
    }

    fn think(&mut self) -> InputRequest {
        self.sequence += 1;
        let sequence = self.sequence;
        let Some((_, own)) = self.seen.get(&self.you) else {
            return InputRequest { sequence, ..Default::default() };
        };
        let at = (own.x as f32, own.y as f32);
        match self.nearest(at) {
            Some(Sight { way, distance, speed }) if distance < CHASE => {
                let noise = self.unit() * 0.16 - 0.08;
                let lead = distance / SHOT_SPEED;
                let aim = (way.1 + speed.1 * lead).atan2(way.0 + speed.0 * lead) + noise;
                let forward = if distance > KEEP_AWAY { 0.8 } else { -0.6 };
                let (x, y) = (way.0 / distance, way.1 / distance);
                let thrust = (x * forward - y * 0.5 * self.spin, y * forward + x * 0.5 * self.spin);
                input(sequence, thrust, aim, distance < SHOOT)
            }
            _ => {
                let way = (self.goal.0 - at.0, self.goal.1 - at.1);
                if way.0.hypot(way.1) < REACHED || self.unit() < 0.01 {
                    self.goal = ((self.unit() * 2.0 - 1.0) * WANDER, (self.unit() * 2.0 - 1.0) * WANDER);
                }
                let distance = way.0.hypot(way.1).max(1.0);
                input(sequence, (way.0 / distance * 0.6, way.1 / distance * 0.6), way.1.atan2(way.0), false)
            }
        }
    }

    fn nearest(&self, at: (f32, f32)) -> Option<Sight> {
        let others = self.seen.values().map(|(_, ship)| ship).filter(|ship| ship.id != self.you && !ship.fresh);
        let sights = others.map(|ship| {
            let way = (ship.x as f32 - at.0, ship.y as f32 - at.1);
            let speed = (ship.speed_x as f32, ship.speed_y as f32);
            Sight { way, distance: way.0.hypot(way.1).max(1.0), speed }
        });
        sights.min_by(|a, b| a.distance.total_cmp(&b.distance))
    }

    /// SplitMix64, in `0.0 .. 1.0`.
    fn unit(&mut self) -> f32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

fn input(sequence: u32, thrust: (f32, f32), angle: f32, fire: bool) -> InputRequest {
    InputRequest {
        sequence,
        thrust_x: (thrust.0 * 100.0) as i32,
        thrust_y: (thrust.1 * 100.0) as i32,
        aim: (angle / std::f32::consts::TAU * 1024.0) as i32,
        fire,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ship(id: u32, x: i32, y: i32) -> Ship {
        Ship { id, x, y, hull: 100, ..Default::default() }
    }

    fn mind(ships: Vec<Ship>) -> Mind {
        let mut mind = Mind::new(1);
        mind.you = 1;
        assert!(mind.see(Snapshot { tick: 1, ships, ..Default::default() }));
        mind
    }

    #[test]
    fn a_bot_shoots_at_the_nearest_ship() {
        let input = mind(vec![ship(1, 0, 0), ship(2, 1000, 0), ship(3, -1400, 0)]).think();
        assert!(input.fire && input.aim.abs() < 20 && input.thrust_x > 0, "{input:?}");
    }

    #[test]
    fn a_bot_that_sees_nobody_wanders_and_does_not_shoot() {
        let input = mind(vec![ship(1, 3000, 0), ship(2, -3000, 0)]).think();
        assert!(!input.fire && input.thrust_x < 0, "{input:?}");
    }

    #[test]
    fn a_bot_forgets_what_it_is_no_longer_told() {
        let mut mind = mind(vec![ship(1, 0, 0), ship(2, 1000, 0)]);
        mind.see(Snapshot { tick: 50, ships: vec![ship(1, 0, 0)], ..Default::default() });
        assert!(!mind.think().fire);
    }
}
