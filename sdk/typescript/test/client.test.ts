import assert from "node:assert/strict";
import { test } from "node:test";

import { BbqError, Client, Code } from "gobbq";
import { tcp } from "gobbq/node";

import { Kind } from "../dist/frame.js";
import { connect, memoryRig, tcpRig, until, webSocketRig } from "./rig.js";
import { bytesOf, number, wireError } from "./world.js";

const isCode = (code: number) => (error: unknown) => error instanceof BbqError && error.code === code;

for (const [name, makeRig] of [["memory", memoryRig], ["WebSocket", webSocketRig], ["TCP", tcpRig]] as const) {
  test(`over ${name}: calls, messages and calls of the gate, through forty cuts`, async () => {
    const rig = await makeRig();
    const got: number[] = [];
    const pushed: number[] = [];
    let resumes = 0;
    rig.gate.onNotify = (_, body) => got.push(number(body));
    const client = await connect(rig, { onResume: () => (resumes += 1), onResync: () => assert.fail("resync") });
    client.onMethod(5, (body) => (pushed.push(number(body)), new Uint8Array(0)));
    client.onMethod(7, async (body) => body);
    assert.deepEqual([client.state, client.account, client.server], ["online", "ann", "fake"]);
    const answers: Promise<Uint8Array>[] = [];
    const replies: number[] = [];
    for (let round = 0; round < 40; round += 1) {
      answers.push(client.call(1, "lobby", bytesOf(round)));
      client.notify(2, 7n, bytesOf(round, 3000));
      rig.gate.session.push({ method: 5, body: bytesOf(round, 3000) });
      rig.gate.session.request({ method: 7, body: bytesOf(round) }, (body) => replies.push(number(body)));
      if (round % 3) await new Promise((resolve) => setTimeout(resolve, round % 4));
      rig.cut();
      await until(() => client.state === "online");
    }
    const all = Array.from({ length: 40 }, (_, index) => index);
    assert.deepEqual((await Promise.all(answers)).map(number), all);
    await until(() => replies.length === 40 && pushed.length === 40);
    assert.deepEqual([got, pushed], [all, all]);
    assert.deepEqual(replies.sort((a, b) => a - b), all);
    assert.deepEqual(rig.gate.breaches, []);
    assert.ok(resumes > 0);
  });
}

test("what is sent in one turn travels in one piece", async () => {
  const rig = memoryRig();
  const client = await connect(rig);
  let pieces = 0;
  const { received } = rig.gate.connection;
  rig.gate.connection.received = function (bytes) {
    pieces += 1;
    received.call(this, bytes);
  };
  for (let count = 0; count < 20; count += 1) client.notify(2, undefined, bytesOf(count));
  await until(() => rig.gate.session.seen === 20);
  assert.equal(pieces, 1);
});

test("the error of the server reaches the caller with code, message and hint", async () => {
  const rig = memoryRig();
  rig.gate.onCall = () => wireError(1001, "no such room", 20);
  const client = await connect(rig);
  await assert.rejects(client.call(1, 5, bytesOf(1)), (error) => {
    assert.ok(error instanceof BbqError);
    assert.deepEqual([error.code, error.name, error.message, error.retryAfterMs], [1001, "APPLICATION", "no such room", 20]);
    return true;
  });
});

test("a refused login rejects, one in flight is waited for, a dead gate is given up", async () => {
  const rig = memoryRig();
  rig.gate.onAuth = () => wireError(Code.UNAUTHENTICATED, "who?");
  await assert.rejects(connect(rig), isCode(Code.UNAUTHENTICATED));
  await assert.rejects(connect(rig, { auth: () => Promise.reject(new Error("no token")) }), isCode(Code.UNAUTHENTICATED));
  await assert.rejects(connect(rig, { transport: tcp("tcp://127.0.0.1:1"), connectTimeoutMs: 60 }), isCode(Code.UNAVAILABLE));
  await assert.rejects(
    connect(rig, {
      transport: () => {
        throw new Error("no transport");
      },
      connectTimeoutMs: 60,
    }),
    isCode(Code.UNAVAILABLE),
  );
  await assert.rejects(Client.connect({ auth: { scheme: "", token: "" } }), TypeError);
});

test("a token is asked for anew when the session was lost", async () => {
  const rig = memoryRig();
  const tokens: string[] = [];
  let lost = 0;
  rig.gate.onAuth = (_, token) => (tokens.push(token), token);
  const client = await connect(rig, {
    auth: async () => ({ scheme: "dev", token: `t${tokens.length}`, device: "phone" }),
    onResync: ({ notifiesLost }) => (lost = notifiesLost),
  });
  rig.gate.sessions.clear();
  client.notify(2, undefined, bytesOf(1));
  rig.cut();
  await until(() => lost === 1);
  assert.deepEqual(tokens, ["t0", "t1"]);
  assert.equal(client.account, "t1");
});

test("a kick closes, and so does the application; calls fail then", async () => {
  const rig = memoryRig();
  const closed: number[] = [];
  const options = { onClosed: ({ code }: BbqError) => closed.push(code) };
  rig.gate.onCall = () => undefined;
  const client = await connect(rig, options);
  const call = client.call(1, undefined, bytesOf(1));
  await until(() => rig.gate.session.seen === 1);
  rig.gate.connection.send({ kind: Kind.KICK, reason: Code.KICKED, message: "out" });
  await assert.rejects(call, isCode(Code.OUTCOME_UNKNOWN));
  const other = await connect(rig, options);
  other.close();
  other.close();
  await assert.rejects(other.call(1, undefined, bytesOf(1)), isCode(Code.NOT_SENT));
  assert.throws(() => other.notify(1, undefined, bytesOf(1)), isCode(Code.NOT_SENT));
  await until(() => closed.length === 2);
  assert.deepEqual(closed, [Code.KICKED, Code.CANCELLED]);
});

test("who closes says bye, and the gate keeps nothing", async () => {
  const rig = memoryRig();
  const client = await connect(rig, {});
  assert.equal(client.maxCalls, 64);
  assert.equal(rig.gate.sessions.size, 1);
  client.close();
  await until(() => rig.gate.sessions.size === 0);
});

test("a signal gives a call up, before, while and after", async () => {
  const rig = memoryRig();
  rig.gate.onCall = () => undefined;
  const client = await connect(rig);
  const controller = new AbortController();
  const call = client.call(1, undefined, bytesOf(1), { signal: controller.signal });
  await until(() => rig.gate.session.seen === 1);
  controller.abort();
  await assert.rejects(call, isCode(Code.CANCELLED));
  await assert.rejects(client.call(1, undefined, bytesOf(1), { signal: controller.signal }), isCode(Code.CANCELLED));
  rig.gate.session.answer(1, bytesOf(1));
  await assert.rejects(client.call(1, undefined, bytesOf(1), { timeoutMs: 30 }), isCode(Code.DEADLINE_EXCEEDED));
});

test("what cannot be sent is refused with a RangeError", async () => {
  const rig = memoryRig();
  const client = await connect(rig);
  for (const key of [-1, 1.5, 2 ** 53, 1n << 64n, "x".repeat(65)]) {
    await assert.rejects(client.call(1, key, bytesOf(1)), RangeError);
  }
  assert.throws(() => client.notify(1, 1, bytesOf(1), { trace: new Uint8Array(24) }), RangeError);
});

test("silence of the gate is noticed, and a live gate is not left", async () => {
  const rig = memoryRig();
  rig.gate.heartbeatMs = 60;
  const detached: number[] = [];
  const client = await connect(rig, { onDetach: ({ code }) => detached.push(code) });
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.deepEqual(detached, []);
  assert.ok(client.rttMs !== undefined && client.rttMs < 60);
  assert.ok(Math.abs(client.serverTimeMs - Date.now()) < 60);
  const { connection } = rig.gate;
  rig.gate.intercept = (_, from) => from === connection;
  await until(() => detached.length === 1);
  assert.deepEqual(detached, [Code.HEARTBEAT_TIMEOUT]);
  await until(() => client.state === "online");
});

test("GOAWAY leads to another gate, named by host and port or by a whole URL", async () => {
  const rig = await webSocketRig();
  const other = await webSocketRig(rig.gate);
  let resumes = 0;
  const client = await connect(rig, { onResume: () => (resumes += 1), onResync: () => assert.fail("resync") });
  const goAway = (address: string): void =>
    rig.gate.connection.send({ kind: Kind.GOAWAY, afterMs: 10, reason: Code.GOING_AWAY, address });
  goAway(other.address);
  await until(() => resumes === 1);
  rig.cut();
  goAway(`ws://${rig.address}/other`);
  await until(() => resumes === 2);
  other.cut();
  assert.equal(number(await client.call(1, undefined, bytesOf(3))), 3);
  assert.equal(resumes, 2);
  other.close();
});

test("code that awaits an answer runs before the handlers of later messages", async () => {
  const rig = memoryRig();
  const order: string[] = [];
  rig.gate.onCall = (session, req) => {
    session.answer(req.seq, bytesOf(1));
    session.push({ method: 5 });
    return undefined;
  };
  const client = await connect(rig);
  client.onMethod(5, () => (order.push("push"), new Uint8Array(0)));
  const join = async (): Promise<void> => void (await client.call(1, undefined, bytesOf(1)));
  await join();
  order.push("reply");
  await until(() => order.length === 2);
  assert.deepEqual(order, ["reply", "push"]);
});

test("messages that come with WELCOME wait until the application has its client", async () => {
  const rig = memoryRig();
  rig.gate.intercept = (frame, connection) => {
    if (frame.kind !== Kind.AUTH) return false;
    setImmediate(() => rig.gate.session.push({ method: 5 }));
    const { send } = connection.pipe;
    const held: Uint8Array[] = [];
    connection.pipe.send = (bytes) => {
      held.push(bytes);
      if (held.length === 2) send.call(connection.pipe, Buffer.concat(held));
    };
    return false;
  };
  const client = await connect(rig);
  let pushes = 0;
  client.onMethod(5, () => ((pushes += 1), new Uint8Array(0)));
  await until(() => pushes === 1);
});

test("handlers: all hear a message, the last serves a call, none is UNIMPLEMENTED, errors are reported", async () => {
  const rig = memoryRig();
  const heard: string[] = [];
  const errors: unknown[] = [];
  const client = await connect(rig, {
    setup: (early) => void early.onMethod(5, () => (heard.push("one"), new Uint8Array(0))),
    onPush: (method) => heard.push(`other ${method}`),
    onError: (error) => errors.push(error),
  });
  const end = client.onMethod(5, (_, from) => {
    heard.push(`two ${from.key}`);
    if (from.deadlineMs === undefined) throw new Error("oops");
    throw new BbqError(1234, "no");
  });
  rig.gate.session.push({ method: 5, key: "lobby" });
  rig.gate.session.push({ method: 6 });
  const codes: (number | undefined)[] = [];
  for (const method of [5, 6]) rig.gate.session.request({ method }, (_, error) => codes.push(error?.code));
  await until(() => codes.length === 2);
  end();
  rig.gate.session.push({ method: 5 });
  await until(() => heard.length === 5);
  assert.deepEqual(heard, ["one", "two lobby", "other 6", "two undefined", "one"]);
  assert.deepEqual(codes, [1234, Code.UNIMPLEMENTED]);
  assert.deepEqual(errors.map(String), ["Error: oops"]);
});

test("a text message over WebSocket costs the connection", async () => {
  const rig = await webSocketRig();
  let detached = "";
  const client = await connect(rig, { onDetach: ({ message }) => (detached = message) });
  rig.gate.connection.pipe.send("text" as never);
  await until(() => detached !== "");
  assert.match(detached, /text message/);
  await until(() => client.state === "online");
});

test("the unreliable lane is shed when the transport is congested", async () => {
  const rig = memoryRig();
  let congested = false;
  const got: number[] = [];
  rig.gate.onNotify = (_, body) => got.push(number(body));
  const client = await connect(rig, {
    transport: (address) => {
      const transport = rig.transport(address);
      Object.defineProperty(transport, "bufferedBytes", { get: () => (congested ? 1e6 : 0) });
      return transport;
    },
  });
  for (const value of [1, 2, 3]) {
    congested = value === 2;
    client.notify(2, undefined, bytesOf(value), { unreliable: true });
  }
  await until(() => got.length === 2);
  assert.deepEqual(got, [1, 3]);
});
