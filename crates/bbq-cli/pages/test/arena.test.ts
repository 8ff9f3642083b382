import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";

import { Event_Kind, EventsSchema, JoinReplySchema, SnapshotSchema } from "../src/gen/arena_pb.js";
import { DELAY_MS, Model, steer, type Wish } from "../src/arena/model.js";

const SIZE = 3000;
const STEP_MS = 50;
const RIGHT: Wish = { thrust: { x: 1, y: 0 }, aim: 0, fire: false };
const REST: Wish = { thrust: { x: 0, y: 0 }, aim: 0, fire: false };

/** A server with the own ship (1) and another (2), and the way from it to the page. */
class Server {
  tick = 100;
  own = { x: 0, y: 0, speedX: 0, speedY: 0 };
  input = 0;
  other = { x: 100, y: 0 };

  constructor(readonly model: Model) {
    model.join(create(JoinReplySchema, { you: 1, size: SIZE, cell: 500, tick: this.tick, tickMs: STEP_MS }), this.now);
  }

  get now(): number {
    return this.tick * STEP_MS;
  }

  /** Carries out `wish`, which the page sent as number `input`. */
  step(wish: Wish, input: number): void {
    this.tick += 1;
    this.own = steer(this.own, wish, SIZE);
    this.input = input;
    this.other.x += 10;
  }

  tell(late = 0): void {
    const q = (value: number): number => Math.round(value * 4);
    const { x, y, speedX, speedY } = this.own;
    const own = { id: 1, x: q(x), y: q(y), speedX: q(speedX), speedY: q(speedY), hull: 100, input: this.input };
    const other = { id: 2, x: q(this.other.x), y: q(this.other.y), aim: 512, hull: 100, name: "ann" };
    this.model.near(create(SnapshotSchema, { tick: this.tick, ships: [own, other] }), this.now + late);
  }
}

test("ships move as on the server", () => {
  // The same numbers as in the tests of the simulation.
  let ship = { x: -1400, y: 0, speedX: 0, speedY: 0 };
  for (let step = 0; step < 20; step += 1) ship = steer(ship, { ...RIGHT, thrust: { x: 0.6, y: 0.5 } }, SIZE);
  assert.ok(Math.hypot(ship.x - -1302.09, ship.y - 81.59) < 0.1, `${ship.x} ${ship.y}`);
  for (let step = 0; step < 400; step += 1) ship = steer(ship, RIGHT, SIZE);
  assert.ok(Math.abs(ship.x) <= SIZE / 2);
});

test("the own ship moves at once, and a right prediction is not corrected", () => {
  const model = new Model();
  const server = new Server(model);
  server.tell();
  const places: number[] = [];
  // What is wished now is carried out two steps later.
  const sent: number[] = [];
  for (let step = 0; step < 40; step += 1) {
    sent.push(model.wish(RIGHT, server.now));
    const input = sent[step - 2] ?? 0;
    server.step(input ? RIGHT : REST, input);
    server.tell();
    places.push(model.own(server.now)?.x ?? NaN);
  }
  assert.ok((places[1] ?? 0) > 0, "it does not wait for the server");
  const steps = places.slice(1).map((x, at) => x - (places[at] ?? 0));
  for (const [at, way] of steps.entries()) {
    assert.ok(way > 0 && way < 17, `jumped ${way} in step ${at}`);
    assert.ok(at < 1 || way > (steps[at - 1] ?? 0) - 0.6, `went back in step ${at}: ${steps.join(" ")}`);
  }
});

test("a wrong prediction is mended little by little", () => {
  const model = new Model();
  const server = new Server(model);
  server.tell();
  const input = model.wish(REST, server.now);
  server.step(REST, input);
  server.own.x += 60;
  server.tell();
  const at = (ms: number): number => model.own(server.now + ms)?.x ?? NaN;
  assert.ok(at(0) < 10, `${at(0)}`);
  assert.ok(at(100) > 25 && at(100) < 50, `${at(100)}`);
  assert.ok(Math.abs(at(1000) - 60) < 1, `${at(1000)}`);
});

test("a ship that was destroyed is gone at once, and there again when it is told", () => {
  const model = new Model();
  const server = new Server(model);
  server.tell();
  assert.ok(model.own(server.now));
  const events = [{ kind: Event_Kind.KILLED, ship: 1, by: 2 }];
  model.happened(create(EventsSchema, { tick: server.tick, events }));
  assert.equal(model.own(server.now), undefined);
  assert.deepEqual(model.takeHappened(server.now).map((event) => event.by), [2]);
  server.step(REST, 0);
  server.tell();
  assert.ok(model.own(server.now));
});

test("others are shown a little late, between what was told, whatever the jitter", () => {
  const model = new Model();
  const server = new Server(model);
  const told = server.tick;
  for (let step = 0; step < 10; step += 1) {
    server.step(REST, 0);
    server.tell(step % 3 === 0 ? 0 : 20);
  }
  const late = server.now - DELAY_MS;
  const [ann] = model.ships(server.now);
  assert.equal(ann?.name, "ann");
  assert.ok(Math.abs((ann?.x ?? 0) - (100 + (late / STEP_MS - told) * 10)) < 5, `${ann?.x}`);
  assert.ok(Math.abs((ann?.angle ?? 0) - Math.PI) < 0.01);
});

test("what is no longer told is no longer shown", () => {
  const model = new Model();
  const server = new Server(model);
  server.tell();
  for (let step = 0; step < 20; step += 1) server.step(REST, 0);
  model.near(create(SnapshotSchema, { tick: server.tick }), server.now);
  assert.deepEqual(model.ships(server.now), []);
  assert.equal(model.own(server.now), undefined);
});

test("an arena that starts its count anew is followed", () => {
  const model = new Model();
  const server = new Server(model);
  server.tick = 5000;
  server.tell();
  server.tick = 3;
  for (let step = 0; step < 5; step += 1) {
    server.step(REST, 0);
    server.tell();
  }
  assert.equal(model.ships(server.now).length, 1);
});
