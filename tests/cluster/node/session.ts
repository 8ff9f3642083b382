// A player in TypeScript, with generated stubs, against a cluster of processes:
//
//   node session.js ws://127.0.0.1:4000/bbq      (or tcp://127.0.0.1:4000)
//
// Prints one line of JSON and ends with 0 when everything held.
import assert from "node:assert/strict";

import { BbqError, Client, Code, webSocket, type Transport, type TransportEvents, type TransportFactory } from "gobbq";
import { tcp } from "gobbq/node";
import { WebSocket } from "ws";

import { ChatClient, Room } from "./chat_gobbq.js";
import { Echo, EchoClient } from "./echo_gobbq.js";
import { Ledger, Probe, ProbeClient } from "./probe_gobbq.js";

const address = process.argv[2] ?? "";
const LIMIT_MS = 60_000;
const CUTS = 40;
const WINDOW = 16;

/** A transport that can be broken as a bad network does it. */
class Line {
  #cut: (() => void) | undefined;
  readonly factory: TransportFactory;

  constructor(inner: TransportFactory) {
    this.factory = (moved) => {
      const transport = inner(moved);
      const open = transport.open.bind(transport);
      transport.open = (events: TransportEvents) => {
        let over = false;
        const once = (reason: string) => {
          if (!over) events.closed(reason);
          over = true;
        };
        this.#cut = () => {
          transport.close();
          once("cut by the test");
        };
        open({
          opened: () => over || events.opened(),
          received: (bytes) => over || events.received(bytes),
          closed: once,
        });
      };
      return transport satisfies Transport;
    };
  }

  cut(): void {
    this.#cut?.();
    this.#cut = undefined;
  }
}

/** Lets others wait until something has happened. */
class Bell {
  #waiting: (() => void)[] = [];

  ring(): void {
    this.#waiting.splice(0).forEach((resume) => resume());
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resume) => this.#waiting.push(resume));
  }
}

class Player {
  readonly line: Line;
  readonly bell = new Bell();
  readonly said: string[] = [];
  readonly added: bigint[] = [];
  resumed = 0;
  lost = 0;

  private constructor() {
    const socket = address.startsWith("ws") ? webSocket(address, { WebSocket }) : tcp(address);
    this.line = new Line(socket);
  }

  static async join(name: string): Promise<[Player, Client]> {
    const player = new Player();
    const client = await Client.connect({
      transport: player.line.factory,
      auth: { scheme: "guest", token: name },
      backoff: { baseMs: 2, maxMs: 50 },
      setup: (client) => player.#listen(client, name),
      onResume: () => (player.resumed++, player.bell.ring()),
      onResync: () => player.lost++,
    });
    return [player, client];
  }

  #listen(client: Client, name: string): void {
    client.on(ChatClient, {
      said: ({ from, text }) => (this.said.push(`${from}: ${text}`), this.bell.ring()),
      presence: () => {},
    });
    client.on(ProbeClient, {
      added: ({ value }) => (this.added.push(value), this.bell.ring()),
      heard: () => {},
      answer: async ({ value }) => ({ value: value + 1n }),
    });
    client.on(EchoClient, { sayHello: async ({ text }) => ({ text: `${name} answers ${text}` }) });
  }
}

/** A cluster needs a moment until every process sees every other. */
async function soon<T>(call: () => Promise<T>): Promise<T> {
  const passing: readonly number[] = [Code.UNAVAILABLE, Code.UNIMPLEMENTED, Code.NOT_SENT];
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof BbqError) || !passing.includes(error.code)) throw error;
      await new Promise((resume) => setTimeout(resume, 20));
    }
  }
}

async function main(): Promise<object> {
  const run = `ts-${address.split(":")[0]}`;
  const [ann, a] = await Player.join(`${run}-ann`);
  const [bob, b] = await Player.join(`${run}-bob`);

  const room = a.entity(Room, run);
  await soon(() => room.join({ name: "ann" }));
  const { history, members, name } = await b.entity(Room, run).join({ name: "ann" });
  assert.deepEqual([history.length, members, name], [0, ["ann", "ann 2"], "ann 2"]);
  const { number } = await room.say({ text: "hello" });
  await bob.bell.until(() => bob.said.length > 0);
  assert.deepEqual([number, bob.said, ann.said], [1n, ["ann: hello"], []]);

  const { text } = await a.service(Echo).sayHello({ text: "hi" });
  assert.match(text, /^ts-\w+-ann answers you said "hi" \(number 1\)$/);
  assert.equal((await b.service(Probe).ask({ value: 41n })).value, 42n);
  const stranger = a.entity(Room, `${run}-2`);
  const refused = stranger.join({ name: "" }).then(() => assert.fail("a name is needed"), (error) => error);
  assert.equal((await refused).code, Code.INVALID_ARGUMENT);

  // Numbers go up and come back while the connection breaks again and again.
  const ledger = a.entity(Ledger, run);
  const calls: Promise<void>[] = [];
  let [sent, cuts] = [0, 0];
  while (cuts < CUTS) {
    for (; sent < ann.added.length + WINDOW; sent++) {
      const value = BigInt(sent + 1);
      if (sent % 3 === 0) ledger.put({ value });
      else calls.push(ledger.add({ value }).then(({ index }) => assert.equal(index + 1n, value)));
    }
    const [heard, more] = [ann.added.length, (cuts * 7) % 9];
    await ann.bell.until(() => ann.added.length > heard + more || ann.added.length === sent);
    ann.line.cut();
    cuts++;
    await ann.bell.until(() => ann.resumed === cuts);
  }
  await Promise.all(calls);
  await ann.bell.until(() => ann.added.length >= sent);
  const numbers = Array.from({ length: sent }, (_, index) => BigInt(index + 1));
  assert.deepEqual(ann.added, numbers, "pushes come once each, and in order");
  const { values } = await ledger.read();
  assert.deepEqual(values, numbers, "requests arrive once each, and in order");
  assert.deepEqual([ann.lost, bob.lost], [0, 0]);

  a.close();
  b.close();
  return { address, numbers: sent, cuts, resumed: ann.resumed };
}

const late = setTimeout(() => finish({ error: "not done in time" }, 1), LIMIT_MS);

function finish(result: object, status: number): void {
  clearTimeout(late);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(status));
}

main().then(
  (result) => finish(result, 0),
  (error: unknown) => finish({ error: error instanceof Error ? error.stack : String(error) }, 1),
);
