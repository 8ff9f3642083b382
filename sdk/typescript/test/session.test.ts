import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "../dist/errors.js";
import { Kind, type Frame } from "../dist/frame.js";
import type { SessionConfig } from "../dist/events.js";
import { FakeGate } from "./gate.js";
import { Random } from "./random.js";
import { bytesOf, number, SimClient, wireError, World } from "./world.js";

function setUp(config: Partial<SessionConfig> = {}): { world: World; gate: FakeGate; client: SimClient } {
  const world = new World();
  const gate = new FakeGate();
  gate.now = () => Math.floor(world.now);
  return { world, gate, client: new SimClient(world, gate, config) };
}

function online(config: Partial<SessionConfig> = {}): ReturnType<typeof setUp> {
  const all = setUp(config);
  all.client.start();
  all.world.run(100);
  assert.equal(all.client.session.state, "online");
  return all;
}

const kinds = (frames: Frame[]): number[] => frames.map(({ kind }) => kind);
const codes = (client: SimClient): number[] => client.seen("answer").map(({ error }) => error?.code ?? 0);

test("HELLO and AUTH go out in one flight, WELCOME opens the session", () => {
  const { gate, client } = online();
  const [hello, auth] = gate.connection.frames;
  assert.deepEqual(hello, { kind: Kind.HELLO, version: 1, features: 0, sdk: "test/1" });
  assert.ok(auth?.kind === Kind.AUTH && auth.scheme === "dev" && auth.device === "pc");
  assert.equal(client.session.welcome?.account, "ann");
  assert.equal(client.seen("online").length, 1);
  assert.deepEqual(gate.breaches, []);
});

test("wrong credentials close the client for good", () => {
  const { world, gate, client } = setUp();
  gate.onAuth = () => wireError(Code.UNAUTHENTICATED, "who?");
  client.start();
  world.run(60_000);
  assert.equal(client.seen("closed")[0]?.error.code, Code.UNAUTHENTICATED);
  assert.equal(gate.connections.length, 1);
});

test("credentials that no gate would take are not sent", () => {
  const { world, gate, client } = setUp();
  client.token = "x".repeat(5000);
  client.start();
  world.run(1000);
  assert.equal(client.seen("closed")[0]?.error.code, Code.INVALID_ARGUMENT);
  assert.deepEqual(gate.connection.frames, []);
});

test("a full gate is asked again, not before it said", () => {
  const { world, gate, client } = setUp();
  gate.onAuth = () => wireError(Code.UNAVAILABLE, "full", 3000);
  client.start();
  world.run(2900);
  assert.equal(gate.connections.length, 1);
  gate.onAuth = () => "ann";
  world.run(1000);
  assert.equal(client.session.state, "online");
});

test("a gate that cannot be reached is tried ever more rarely, then given up", () => {
  const { world, client } = setUp({ random: () => 1, connectTimeoutMs: 60_000 });
  client.reachable = false;
  client.start();
  world.run(30_000);
  // 0.5, 1, 2, 4, 8, 10 s between the attempts
  assert.equal(client.addresses.length, 7);
  world.run(60_000);
  assert.equal(client.seen("closed")[0]?.error.code, Code.UNAVAILABLE);
});

test("a gate that says nothing is left after the time for opening", () => {
  const { world, gate, client } = setUp({ openTimeoutMs: 2000 });
  gate.intercept = () => gate.connections.length === 1;
  client.start();
  world.run(1900);
  assert.equal(gate.connections.length, 1);
  world.run(1500);
  assert.equal(client.session.state, "online");
});

test("a call that was cut in the middle is answered after the resume, and ran once", () => {
  const { world, gate, client } = online();
  let runs = 0;
  gate.onCall = (_, req) => ((runs += 1), req.body);
  client.call(1, bytesOf(11));
  world.run(7);
  assert.equal(runs, 1);
  client.wire?.cut();
  world.run(1);
  assert.equal(client.session.state, "detached");
  client.call(2, bytesOf(22));
  world.run(2000);
  assert.deepEqual(client.seen("answer").map(({ body }) => number(body)), [11, 22]);
  assert.equal(runs, 2);
  assert.deepEqual([client.seen("detached").length, client.seen("resumed").length], [1, 1]);
  assert.deepEqual(gate.breaches, []);
});

test("a WELCOME that got lost is no reason to lose the session", () => {
  const { world, gate, client } = online();
  client.wire?.cut();
  let resumes = 0;
  gate.intercept = (frame) => {
    if (frame.kind === Kind.RESUME && (resumes += 1) === 1) world.in(1, () => client.wire?.cut());
    return false;
  };
  world.run(5000);
  assert.equal(resumes, 2);
  assert.deepEqual([client.seen("resumed").length, client.seen("resynced").length], [1, 0]);
});

test("RESUME_FAILED leads to a new session on the same connection, and every call learns its fate", () => {
  const { world, gate, client } = online();
  gate.onCall = () => undefined;
  client.call(1, bytesOf(1));
  client.notify(bytesOf(2));
  world.run(20);
  client.wire?.cut();
  world.run(1);
  gate.sessions.clear();
  client.call(2, bytesOf(3));
  client.notify(bytesOf(4));
  world.run(5000);
  assert.equal(gate.connections.length, 2);
  assert.deepEqual(codes(client), [Code.OUTCOME_UNKNOWN, Code.NOT_SENT]);
  assert.deepEqual(client.seen("resynced").map(({ notifiesLost, error }) => [notifiesLost, error.code]), [[2, Code.RESUME_FAILED]]);
  gate.onCall = (_, req) => req.body;
  client.call(3, bytesOf(5));
  world.run(100);
  assert.equal(codes(client).at(-1), 0);
  assert.equal(gate.session.seen, 1);
  assert.deepEqual(gate.breaches, []);
});

test("a call made while a session is being replaced fails like those before it", () => {
  const { world, gate, client } = online();
  client.wire?.cut();
  gate.sessions.clear();
  client.onOutput = (output) => {
    if (output.type !== "detached") return;
    gate.intercept = (frame) => {
      if (frame.kind === Kind.AUTH) client.call(9, bytesOf(9));
      return false;
    };
  };
  world.run(5000);
  assert.deepEqual(codes(client), [Code.NOT_SENT]);
  assert.equal(gate.session.seen, 0);
});

test("duplicates are dropped, a gap is not accepted", () => {
  const { world, gate, client } = online();
  for (const value of [1, 2, 3]) gate.session.push({ method: 5, body: bytesOf(value) });
  gate.connection.send(...gate.session.ring);
  world.run(50);
  assert.deepEqual(client.seen("push").map(({ message }) => number(message.body)), [1, 2, 3]);
  gate.connection.send({ kind: Kind.PUSH, seq: 9, method: 5, body: bytesOf(9) });
  world.run(50);
  assert.equal(client.seen("detached")[0]?.error.code, Code.BAD_FRAME);
  world.run(2000);
  assert.equal(client.seen("resumed").length, 1);
  assert.equal(client.seen("push").length, 3);
});

test("bad frames cost the connection, then the session, then the client", () => {
  const { world, gate, client } = online();
  for (let round = 0; round < 2; round += 1) {
    gate.connection.sendBytes(Uint8Array.of(2, 14, 0));
    world.run(1500);
  }
  assert.deepEqual([client.seen("resumed").length, client.seen("resynced").length], [1, 1]);
  gate.connection.sendBytes(Uint8Array.of(2, 14, 0));
  world.run(1500);
  assert.equal(client.seen("closed")[0]?.error.code, Code.BAD_FRAME);
});

test("after a good connection bad frames count anew", () => {
  const { world, gate, client } = online();
  for (let round = 0; round < 5; round += 1) {
    world.run(5000);
    gate.connection.sendBytes(Uint8Array.of(2, 14, 0));
    world.run(1500);
  }
  assert.equal(client.seen("resumed").length, 5);
});

test("a frame over the limit of WELCOME is refused", () => {
  const all = setUp();
  all.gate.maxDown = 2000;
  all.client.start();
  all.world.run(100);
  all.gate.session.push({ method: 5, body: new Uint8Array(1900) });
  all.world.run(20);
  assert.equal(all.client.seen("push").length, 1);
  all.gate.session.push({ method: 5, body: new Uint8Array(2000) });
  all.world.run(20);
  assert.equal(all.client.seen("detached")[0]?.error.code, Code.FRAME_TOO_LARGE);
});

test("frames that a gate must not send, or not yet, cost the connection", () => {
  const { world, gate, client } = online();
  gate.connection.send({ kind: Kind.NOTIFY, seq: 1, method: 1, body: new Uint8Array(0) });
  world.run(20);
  assert.equal(client.seen("detached").length, 1);
  gate.intercept = (frame, connection) => {
    if (frame.kind === Kind.RESUME) connection.send({ kind: Kind.PUSH, seq: 1, method: 1, body: new Uint8Array(0) });
    return frame.kind === Kind.RESUME;
  };
  world.run(700);
  assert.equal(client.seen("push").length, 0);
});

test("an acknowledgement of what was never sent costs the connection", () => {
  const { world, gate, client } = online();
  gate.connection.send({ kind: Kind.ACK, seen: 1 });
  world.run(20);
  assert.equal(client.seen("detached")[0]?.error.code, Code.BAD_FRAME);
});

test("a gate that forgot what it had seen gets a new session, not a silent gap", () => {
  const { world, gate, client } = online();
  client.call(1, bytesOf(1));
  world.run(50);
  gate.session.seen = 0;
  client.wire?.cut();
  world.run(5000);
  assert.equal(client.session.state, "online");
  assert.equal(client.seen("resynced")[0]?.error.code, Code.BAD_FRAME);
});

test("GOAWAY moves the client within the given time, and it comes back if the new address is dead", () => {
  const { world, gate, client } = online();
  gate.connection.send({ kind: Kind.GOAWAY, afterMs: 4000, reason: Code.GOING_AWAY, address: "ws://b.example/bbq" });
  world.run(5000);
  assert.deepEqual(client.addresses, [undefined, "ws://b.example/bbq"]);
  assert.equal(client.seen("detached")[0]?.error.code, Code.GOING_AWAY);
  assert.equal(client.seen("resumed").length, 1);
  client.reachable = false;
  client.wire?.cut();
  world.run(1500);
  client.reachable = true;
  world.run(10_000);
  assert.equal(client.addresses.at(2), "ws://b.example/bbq");
  assert.equal(client.addresses.at(-1), undefined);
  assert.equal(client.seen("resumed").length, 2);
});

test("KICK is the end: no reconnect, calls fail, later ones are refused", () => {
  const { world, gate, client } = online();
  gate.onCall = () => undefined;
  client.call(1, bytesOf(1));
  world.run(20);
  gate.connection.send({ kind: Kind.KICK, reason: Code.REPLACED, message: "elsewhere" });
  world.run(60_000);
  assert.equal(client.seen("closed")[0]?.error.code, Code.REPLACED);
  client.call(2, bytesOf(2));
  assert.equal(client.notify(bytesOf(3)), false);
  assert.deepEqual(codes(client), [Code.OUTCOME_UNKNOWN, Code.NOT_SENT]);
  assert.equal(gate.connections.length, 1);
  assert.equal(client.session.deadline, Infinity);
});

test("ERR within a session is no end: SLOW_CONSUMER resumes, SESSION_EXPIRED starts anew", () => {
  const { world, gate, client } = online();
  gate.connection.close(wireError(Code.SLOW_CONSUMER));
  world.run(2000);
  assert.equal(client.seen("resumed").length, 1);
  gate.connection.close(wireError(Code.SESSION_EXPIRED));
  world.run(3000);
  assert.equal(client.seen("resynced").length, 1);
});

test("a silent connection is probed, an acknowledgement ahead, and measured", () => {
  const { world, gate, client } = online();
  gate.session.push({ method: 5 });
  world.run(10_050);
  assert.deepEqual(kinds(gate.connection.frames).slice(2), [Kind.ACK, Kind.PING]);
  assert.equal(client.session.rttMs, 10);
  assert.equal(Math.round(client.session.clockOffsetMs ?? NaN), 0);
  assert.deepEqual(gate.session.ring, []);
  world.run(60_000);
  assert.equal(client.seen("detached").length, 0);
});

test("a dead connection is dropped after 2.5 heartbeats and resumed", () => {
  const { world, gate, client } = online();
  gate.intercept = () => gate.connections.length === 1;
  world.run(24_500);
  assert.equal(client.seen("detached").length, 0);
  world.run(1000);
  assert.equal(client.seen("detached")[0]?.error.code, Code.HEARTBEAT_TIMEOUT);
  world.run(2000);
  assert.equal(client.seen("resumed").length, 1);
});

test("PING is answered by what was seen, and PONG", () => {
  const { world, gate } = online();
  gate.session.push({ method: 5 });
  gate.connection.send({ kind: Kind.PING, nonce: 2n ** 60n });
  world.run(20);
  const answers = gate.connection.frames.slice(2);
  assert.deepEqual(answers, [{ kind: Kind.ACK, seen: 1 }, { kind: Kind.PONG, nonce: 2n ** 60n, timeMs: 0 }]);
});

test("32 pushes, or 16 KiB, are acknowledged without being asked", () => {
  const { world, gate } = online();
  for (let count = 0; count < 70; count += 1) gate.session.push({ method: 5 });
  world.run(20);
  assert.deepEqual(gate.connection.frames.slice(2), [{ kind: Kind.ACK, seen: 32 }, { kind: Kind.ACK, seen: 64 }]);
  gate.session.push({ method: 5, body: new Uint8Array(17_000) });
  world.run(20);
  assert.deepEqual(gate.connection.frames.at(-1), { kind: Kind.ACK, seen: 71 });
});

test("a full ring says BUSY, and takes more after an acknowledgement", () => {
  const { world, client } = online({ ring: { frames: 40, bytes: 64 * 1024 } });
  const taken = Array.from({ length: 50 }, (_, index) => client.notify(bytesOf(index))).filter(Boolean).length;
  assert.equal(taken, 40);
  client.call(1, bytesOf(1));
  assert.deepEqual(codes(client), [Code.BUSY]);
  world.run(20);
  assert.equal(client.notify(bytesOf(1)), true);
});

test("what is too large for the gate is refused at once", () => {
  const { client } = online();
  client.call(1, new Uint8Array(64 * 1024));
  assert.deepEqual(codes(client), [Code.FRAME_TOO_LARGE]);
  assert.equal(client.notify(new Uint8Array(64 * 1024), true), false);
});

test("no more calls wait than allowed", () => {
  const { gate, client } = online({ maxCalls: 2 });
  gate.onCall = () => undefined;
  [1, 2, 3].forEach((id) => client.call(id, bytesOf(id)));
  assert.deepEqual(codes(client), [Code.BUSY]);
});

test("a call that runs out of time says what is known of it", () => {
  const { world, gate, client } = online();
  gate.onCall = () => undefined;
  client.call(1, bytesOf(1), 500);
  world.run(20);
  gate.connection.send({ kind: Kind.ACK, seen: 1 });
  client.call(2, bytesOf(2), 500);
  world.run(10);
  client.reachable = false;
  client.wire?.cut();
  world.run(1);
  client.call(3, bytesOf(3), 100);
  world.run(1000);
  assert.deepEqual(
    client.seen("answer").map(({ id, error }) => [id, error?.code, error?.message]),
    [
      [3, Code.DEADLINE_EXCEEDED, "time ran out: never sent"],
      [1, Code.DEADLINE_EXCEEDED, "time ran out: delivered, but not answered"],
      [2, Code.DEADLINE_EXCEEDED, "time ran out: sent; not known to be delivered"],
    ],
  );
  client.reachable = true;
  world.run(20_000);
  assert.equal(gate.session.seen, 2, "the call that was never sent is never sent");
});

test("a deadline shrinks while a call waits", () => {
  const { world, gate, client } = online();
  client.wire?.cut();
  client.call(1, bytesOf(1), 60_000);
  client.call(2, bytesOf(1), Infinity);
  world.run(2000);
  const [first, second] = gate.connection.frames.slice(2);
  assert.ok(first?.kind === Kind.REQ && first.deadlineMs && first.deadlineMs < 60_000 && first.deadlineMs > 58_000);
  assert.ok(second?.kind === Kind.REQ && second.deadlineMs === undefined);
});

test("a cancelled call is not sent if it was not, and its answer is ignored if it was", () => {
  const { world, gate, client } = online();
  client.call(1, bytesOf(1));
  client.handle({ type: "cancel", id: 1 });
  client.wire?.cut();
  world.run(1);
  client.call(2, bytesOf(2));
  client.handle({ type: "cancel", id: 2 });
  world.run(2000);
  assert.equal(client.seen("answer").length, 0);
  assert.equal(gate.session.seen, 1);
});

test("calls of the gate are answered, no more at a time than allowed", () => {
  const { world, gate, client } = online({ maxServed: 2 });
  const answers: (number | string)[] = [];
  for (const value of [1, 2, 3]) {
    gate.session.request({ method: 7, body: bytesOf(value) }, (body, error) => answers.push(error?.code ?? number(body)));
  }
  world.run(20);
  const requests = client.seen("request");
  assert.deepEqual(requests.map(({ message }) => number(message.body)), [1, 2]);
  assert.equal(requests[0]?.deadlineMs, 5000);
  requests.forEach(({ call, message }) => client.handle({ type: "reply", call, body: message.body }));
  requests.forEach(({ call, message }) => client.handle({ type: "reply", call, body: message.body }));
  world.run(20);
  assert.deepEqual(answers, [Code.BUSY, 1, 2]);
  assert.deepEqual(gate.breaches, []);
});

test("an answer to a session that is gone is not sent to the next one", () => {
  const { world, gate, client } = online();
  gate.session.request({ method: 7 }, () => assert.fail("answered"));
  world.run(20);
  client.wire?.cut();
  gate.sessions.clear();
  world.run(3000);
  const [request] = client.seen("request");
  client.handle({ type: "reply", call: request?.call ?? -1, body: new Uint8Array(0) });
  world.run(20);
  assert.equal(gate.session.seen, 0);
});

test("the unreliable lane is not numbered and not kept", () => {
  const { world, gate, client } = online();
  const got: number[] = [];
  gate.onNotify = (_, body) => got.push(number(body));
  client.notify(bytesOf(1), true);
  world.run(20);
  client.wire?.cut();
  world.run(1);
  client.notify(bytesOf(2), true);
  gate.session.pushUnreliable({ method: 5 });
  world.run(2000);
  gate.session.pushUnreliable({ method: 5 });
  world.run(20);
  assert.deepEqual([got, gate.session.seen, client.seen("push").length], [[1], 0, 1]);
});

test("a session that stays detached for too long is given up if the application said so", () => {
  const { world, client } = online({ reconnectTimeoutMs: 5000 });
  client.reachable = false;
  client.wire?.cut();
  world.run(6000);
  assert.equal(client.seen("closed")[0]?.error.code, Code.UNAVAILABLE);
});

/** Traffic in all four directions while the connection is cut again and again; then everything must have arrived. */
function storm(seed: number, cuts: number): void {
  const random = new Random(seed);
  const world = new World();
  const gate = new FakeGate();
  const client = new SimClient(world, gate, { backoff: { baseMs: 10, maxMs: 40 } }, random);
  const sent = { notifies: 0, calls: 0, pushes: 0, requests: 0 };
  const got = { notifies: [] as number[], runs: [] as number[], pushes: [] as number[], requests: [] as number[] };
  const answered: number[] = [];
  const replied: number[] = [];
  gate.onNotify = (_, body) => got.notifies.push(number(body));
  gate.onCall = (session, req) => {
    got.runs.push(number(req.body));
    if (random.chance(0.5)) return req.body;
    const body = req.body.slice();
    world.in(random.below(30), () => session.answer(req.seq, body));
    return undefined;
  };
  client.onOutput = (output) => {
    if (output.type === "push") got.pushes.push(number(output.message.body));
    if (output.type === "answer") {
      assert.equal(output.error?.code ?? 0, 0);
      assert.equal(number(output.body), output.id);
      answered.push(output.id);
    }
    if (output.type === "request") {
      const { call, message } = output;
      got.requests.push(number(message.body));
      world.in(random.below(30), () => client.handle({ type: "reply", call, body: message.body }));
    }
  };
  client.start();
  world.run(100);
  const { session } = gate;
  const step = (): void => {
    const padding = random.chance(0.1) ? random.below(2000) : random.below(20);
    const kind = random.below(4);
    if (kind === 0 && client.notify(bytesOf(sent.notifies + 1, padding))) sent.notifies += 1;
    if (kind === 1) client.call((sent.calls += 1), bytesOf(sent.calls, padding));
    if (kind === 2) session.push({ method: 5, body: bytesOf((sent.pushes += 1), padding) });
    if (kind === 3) session.request({ method: 7, body: bytesOf((sent.requests += 1), padding) }, (body) => replied.push(number(body)));
  };
  for (let cut = 0; cut < cuts; cut += 1) {
    for (let count = random.below(25); count > 0; count -= 1) world.in(random.below(60), step);
    world.run(random.below(60));
    client.latencyMs = 1 + random.below(8);
    client.wire?.cut();
  }
  world.run(30_000);
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
  const sorted = (numbers: number[]): number[] => [...numbers].sort((a, b) => a - b);
  assert.deepEqual(gate.breaches, []);
  assert.equal(client.session.state, "online");
  assert.equal(client.seen("resynced").length, 0);
  assert.equal(gate.sessions.size, 1);
  assert.deepEqual(got.notifies, upTo(sent.notifies));
  assert.deepEqual(got.runs, upTo(sent.calls));
  assert.deepEqual(got.pushes, upTo(sent.pushes));
  assert.deepEqual(got.requests, upTo(sent.requests));
  assert.deepEqual(sorted(answered), upTo(sent.calls));
  assert.deepEqual(sorted(replied), upTo(sent.requests));
  assert.ok(sent.calls > cuts && sent.notifies > cuts && client.seen("resumed").length > cuts / 4);
}

test("10,000 cuts of a busy session: nothing lost, doubled or out of order, calls run once", () => {
  for (let seed = 1; seed <= 50; seed += 1) storm(seed, 200);
});
