/**
 * What the page knows of the arena, without drawing or network: ships as the server told them, shown a little late so
 * that there are always two snapshots to draw between; and the own ship, moved at once as the server will move it.
 *
 * Lengths are units, times milliseconds; a position is that after a step of the server.
 */

import { Event_Kind, type Events, type JoinReply, type Ship, type Snapshot } from "../gen/arena_pb.js";

/** Parts of a unit in messages. */
const PARTS = 4;
/** Directions in messages are parts of a turn. */
export const TURN = 1024;
/** How far behind the server everything but the own ship is shown. */
export const DELAY_MS = 100;
/** What was not told for so many steps is gone, or out of sight. */
const FORGET_STEPS = 8;
/** Samples kept of each thing. */
const SAMPLES = 12;
/** Inputs without an answer that are kept; at 20 a second, a second and a half. */
const MAX_PENDING = 30;
/** A correction larger than this is a jump: the ship was spawned again. */
const JUMP = 150;
/** A prediction that is off by less was right: messages are rounded. */
const RIGHT = 1.5;
/** In this time a correction shrinks to a third. */
const SMOOTH_MS = 100;

// The motion of ships: the same numbers as in the server's `sim.rs`.
const STEP = 0.05;
const THRUST = 500;
const DRAG = 0.93;
const BOUNCE = 0.5;
export const SHIP_RADIUS = 16;

export interface Vector {
  x: number;
  y: number;
}

/** What the pilot wants: thrust of at most 1, a direction in parts of a turn. */
export interface Wish {
  thrust: Vector;
  aim: number;
  fire: boolean;
}

interface Motion extends Vector {
  speedX: number;
  speedY: number;
}

interface Sample extends Motion {
  tick: number;
  aim: number;
}

interface Track {
  samples: Sample[];
  hull: number;
  fresh: boolean;
  name: string;
  owner: number;
}

/** Something to draw. */
export interface Shown extends Vector {
  id: number;
  /** Radians. */
  angle: number;
  /** Units per step. */
  speed: Vector;
  hull: number;
  fresh: boolean;
  name: string;
  owner: number;
}

export interface Happened {
  tick: number;
  kind: Event_Kind;
  ship: number;
  by: number;
  x: number;
  y: number;
}

interface Pending {
  sequence: number;
  wish: Wish;
  sentAt: number;
  /** Where the own ship should be when it has been carried out. */
  after: Motion | undefined;
}

/** One step of a ship, as the server makes it. */
export function steer(ship: Motion, wish: Wish, size: number): Motion {
  const wall = size / 2 - SHIP_RADIUS;
  // What the server is told are hundredths.
  const [thrustX, thrustY] = [Math.trunc(wish.thrust.x * 100) / 100, Math.trunc(wish.thrust.y * 100) / 100];
  const speedX = (ship.speedX + thrustX * THRUST * STEP) * DRAG;
  const speedY = (ship.speedY + thrustY * THRUST * STEP) * DRAG;
  const [x, y] = [ship.x + speedX * STEP, ship.y + speedY * STEP];
  return {
    x: Math.min(wall, Math.max(-wall, x)),
    y: Math.min(wall, Math.max(-wall, y)),
    speedX: Math.abs(x) > wall ? -speedX * BOUNCE : speedX,
    speedY: Math.abs(y) > wall ? -speedY * BOUNCE : speedY,
  };
}

export class Model {
  you = 0;
  size = 3000;
  cell = 500;
  stepMs = 50;
  /** Measured from an input to the snapshot that carries it out, without the wait for the step. */
  latencyMs: number | undefined;

  readonly #ships = new Map<number, Track>();
  readonly #shots = new Map<number, Track>();
  readonly #names = new Map<number, string>();
  #happened: Happened[] = [];

  /** Smallest difference seen lately between the clock and the server's step, in ms: the fastest snapshot. */
  #offset: number | undefined;
  #lastTick = 0;
  #heardAt = -Infinity;

  #sequence = 0;
  #pending: Pending[] = [];
  #own: { before: Motion; now: Motion; steppedAt: number } | undefined;
  /** The last step in which the own ship was told of, and that in which it was destroyed. */
  #ownTold = 0;
  #ownLost = -1;
  #correction: Vector = { x: 0, y: 0 };
  #correctedAt = 0;

  /** A ship of one's own: all that was known is of another life. */
  join(reply: JoinReply, now: number): void {
    this.you = reply.you;
    this.size = reply.size;
    this.cell = reply.cell;
    this.stepMs = reply.tickMs;
    this.forget();
    this.#heardAt = now;
    const at = { x: reply.x / PARTS, y: reply.y / PARTS, speedX: 0, speedY: 0 };
    this.#own = { before: at, now: at, steppedAt: now };
  }

  /** Drops what is shown; the next snapshots fill it again. */
  forget(): void {
    this.#ships.clear();
    this.#shots.clear();
    this.#happened = [];
    this.#pending = [];
    this.#offset = undefined;
    this.#own = undefined;
    this.#lastTick = 0;
    this.#ownLost = -1;
  }

  /** Nobody looks: what is in flight will be old when somebody does. */
  rest(): void {
    this.#pending = [];
    this.#happened = [];
    this.#ships.forEach((track) => (track.samples = track.samples.slice(-1)));
    this.#shots.clear();
    this.#offset = undefined;
  }

  /** Since when no snapshot came. */
  silentSince(): number {
    return this.#heardAt;
  }

  /** Whether the ship has a name, or is the own one. */
  knows(ship: number): boolean {
    return ship === this.you || this.#names.has(ship);
  }

  nameOf(ship: number): string {
    return this.#names.get(ship) ?? "somebody";
  }

  learnName(ship: number, name: string): void {
    if (name) this.#names.set(ship, name);
  }

  // -- What the server tells ----------------------------------------------------------------------------------------

  near(snapshot: Snapshot, now: number): void {
    const { tick } = snapshot;
    this.#heardAt = now;
    this.#clock(tick, now);
    for (const ship of snapshot.ships) {
      this.learnName(ship.id, ship.name);
      const track = this.#track(this.#ships, ship.id, tick, motionOf(ship), ship.aim);
      if (!track) continue;
      track.hull = ship.hull;
      track.fresh = ship.fresh;
      track.name = this.#names.get(ship.id) ?? "";
      if (ship.id === this.you) this.#reconcile(ship, tick, now);
    }
    for (const shot of snapshot.shots) {
      const at = { x: shot.x / PARTS, y: shot.y / PARTS, speedX: 0, speedY: 0 };
      const track = this.#track(this.#shots, shot.id, tick, at, 0);
      if (track) track.owner = shot.owner;
    }
  }

  happened(events: Events): void {
    for (const { kind, ship, by, x, y } of events.events) {
      if (ship === this.you && kind === Event_Kind.KILLED) this.#ownLost = events.tick;
      this.#happened.push({ tick: events.tick, kind, ship, by, x: x / PARTS, y: y / PARTS });
    }
  }

  /** What has happened by the time that is shown, once each. */
  takeHappened(now: number): Happened[] {
    const shown = this.#shownTick(now);
    const due = this.#happened.filter((event) => event.tick <= shown || event.ship === this.you);
    if (due.length > 0) this.#happened = this.#happened.filter((event) => !due.includes(event));
    return due;
  }

  #clock(tick: number, now: number): void {
    const offset = now - tick * this.stepMs;
    if (this.#offset === undefined || Math.abs(offset - this.#offset) > 1_000) this.#offset = offset;
    // Follows a faster way at once, and a slower one by 2 % of the difference with each snapshot.
    this.#offset = Math.min(offset, this.#offset + (offset - this.#offset) * 0.02);
    // Another arena counts its steps anew.
    this.#lastTick = tick + 100 < this.#lastTick ? tick : Math.max(this.#lastTick, tick);
  }

  #track(tracks: Map<number, Track>, id: number, tick: number, motion: Motion, aim: number): Track | undefined {
    const track = tracks.get(id) ?? { samples: [], hull: 100, fresh: false, name: "", owner: 0 };
    const last = track.samples.at(-1);
    if (last && last.tick >= tick && last.tick < tick + 100) return undefined;
    // A ship that comes back far away does not fly there, and one that was out of sight begins anew.
    const jumped = last && (Math.hypot(motion.x - last.x, motion.y - last.y) > JUMP || tick - last.tick > FORGET_STEPS);
    if (jumped || (last && last.tick >= tick)) track.samples = [];
    track.samples.push({ ...motion, tick, aim });
    if (track.samples.length > SAMPLES) track.samples.shift();
    tracks.set(id, track);
    return track;
  }

  // -- What is shown ------------------------------------------------------------------------------------------------

  #shownTick(now: number): number {
    return this.#offset === undefined ? -1 : (now - DELAY_MS - this.#offset) / this.stepMs;
  }

  ships(now: number): Shown[] {
    return this.#shown(this.#ships, now).filter((ship) => ship.id !== this.you);
  }

  shots(now: number): Shown[] {
    return this.#shown(this.#shots, now);
  }

  #shown(tracks: Map<number, Track>, now: number): Shown[] {
    const shown: Shown[] = [];
    const tick = this.#shownTick(now);
    for (const [id, track] of tracks) {
      const last = track.samples.at(-1);
      if (!last || this.#lastTick - last.tick > FORGET_STEPS) {
        tracks.delete(id);
        continue;
      }
      const at = between(track.samples, tick);
      if (at) shown.push({ id, ...at, hull: track.hull, fresh: track.fresh, name: track.name, owner: track.owner });
    }
    return shown;
  }

  // -- The own ship -------------------------------------------------------------------------------------------------

  /** One step of what the pilot wants. Returns the number under which it is sent. */
  wish(wish: Wish, now: number): number {
    this.#sequence += 1;
    if (this.#own) {
      this.#own = { before: this.#own.now, now: steer(this.#own.now, wish, this.size), steppedAt: now };
    }
    this.#pending.push({ sequence: this.#sequence, wish, sentAt: now, after: this.#own?.now });
    if (this.#pending.length > MAX_PENDING) this.#pending.shift();
    return this.#sequence;
  }

  /** Where the own ship is now; nothing while it is destroyed. */
  own(now: number): (Vector & { speed: Vector; hull: number; fresh: boolean }) | undefined {
    const track = this.#ships.get(this.you);
    if (!this.#own || !track || this.#ownTold <= this.#ownLost) return undefined;
    if (this.#lastTick - this.#ownTold > FORGET_STEPS) return undefined;
    const { before, now: after, steppedAt } = this.#own;
    const part = Math.min(1, (now - steppedAt) / this.stepMs);
    const fade = Math.exp(-(now - this.#correctedAt) / SMOOTH_MS);
    return {
      x: before.x + (after.x - before.x) * part + this.#correction.x * fade,
      y: before.y + (after.y - before.y) * part + this.#correction.y * fade,
      speed: { x: after.speedX * STEP, y: after.speedY * STEP },
      hull: track.hull,
      fresh: track.fresh,
    };
  }

  /** If the prediction was wrong: starts from what the server says, and makes the steps that it has not made yet. */
  #reconcile(ship: Ship, tick: number, now: number): void {
    this.#ownTold = tick;
    const told = motionOf(ship);
    const answered = this.#pending.find((one) => one.sequence === ship.input);
    this.#pending = this.#pending.filter((one) => one.sequence > ship.input);
    if (answered) {
      this.latencyMs = Math.max(0, now - answered.sentAt - this.stepMs / 2);
      if (answered.after && isNear(answered.after, told)) return;
    }
    const shown = this.own(now);
    let before = { ...told, x: told.x - told.speedX * STEP, y: told.y - told.speedY * STEP };
    let after = told;
    for (const one of this.#pending) {
      [before, after] = [after, steer(after, one.wish, this.size)];
      one.after = after;
    }
    this.#own = { before, now: after, steppedAt: this.#own?.steppedAt ?? now };
    this.#correction = { x: 0, y: 0 };
    const corrected = this.own(now);
    if (!shown || !corrected) return;
    const off = { x: shown.x - corrected.x, y: shown.y - corrected.y };
    if (Math.hypot(off.x, off.y) > JUMP) return;
    this.#correction = off;
    this.#correctedAt = now;
  }
}

function isNear(a: Motion, b: Motion): boolean {
  return Math.hypot(a.x - b.x, a.y - b.y) < RIGHT && Math.hypot(a.speedX - b.speedX, a.speedY - b.speedY) < 10 * RIGHT;
}

function motionOf(ship: Ship): Motion {
  return { x: ship.x / PARTS, y: ship.y / PARTS, speedX: ship.speedX / PARTS, speedY: ship.speedY / PARTS };
}

/** The state at `tick`, which may lie between two samples, or a little after the last. */
function between(samples: readonly Sample[], tick: number): Pick<Shown, "x" | "y" | "angle" | "speed"> | undefined {
  const next = samples.findIndex((sample) => sample.tick >= tick);
  const after = samples[next === -1 ? samples.length - 1 : next];
  const before = samples[next === -1 ? samples.length - 2 : next - 1] ?? after;
  if (!before || !after) return undefined;
  // It was not there yet.
  if (next === 0 && after.tick - tick > 1) return undefined;
  const span = after.tick - before.tick;
  const part = span === 0 ? 0 : Math.min(1.5, Math.max(0, (tick - before.tick) / span));
  const turned = ((((after.aim - before.aim) % TURN) + TURN * 1.5) % TURN) - TURN / 2;
  return {
    x: before.x + (after.x - before.x) * part,
    y: before.y + (after.y - before.y) * part,
    angle: ((before.aim + turned * Math.min(1, part)) / TURN) * 2 * Math.PI,
    speed: span === 0 ? { x: after.speedX * STEP, y: after.speedY * STEP } : velocity(before, after, span),
  };
}

/** Units per step. */
function velocity(before: Sample, after: Sample, span: number): Vector {
  return { x: (after.x - before.x) / span, y: (after.y - before.y) / span };
}
