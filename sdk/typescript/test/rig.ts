/** The whole client against the fake gate: over memory, WebSocket or TCP, in real time. */

import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach } from "node:test";

import { Client, webSocket, type ClientOptions, type Transport, type TransportEvents, type TransportFactory } from "gobbq";
import { tcp } from "gobbq/node";
import { WebSocket, WebSocketServer } from "ws";

import { FakeGate } from "./gate.js";
import { Random } from "./random.js";

/** A gate, the way to it, and scissors. */
export interface Rig {
  readonly gate: FakeGate;
  readonly transport: TransportFactory;
  /** Breaks all connections without a word. */
  cut(): void;
  close(): void;
}

/** A transport whose messages arrive in later turns of the event loop. What travels is lost in a cut. */
class MemoryTransport implements Transport {
  readonly framing = "message";
  alive = true;
  #events: TransportEvents | undefined;
  #gateSide: { received(bytes: Uint8Array): void; closed(): void } | undefined;

  constructor(readonly gate: FakeGate) {}

  open(events: TransportEvents): void {
    this.#events = events;
    this.#soon(() => {
      const send = (bytes: Uint8Array): void => this.#soon(() => events.received(bytes));
      this.#gateSide = this.gate.accept({ send, close: () => this.#soon(() => this.cut()) }, "message");
      events.opened();
    });
  }

  send(bytes: Uint8Array): void {
    this.#soon(() => this.#gateSide?.received(bytes));
  }

  close(): void {
    this.#soon(() => this.#gateSide?.closed());
  }

  cut(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#gateSide?.closed();
    this.#events?.closed("cut");
  }

  #soon(run: () => void): void {
    setImmediate(() => this.alive && run());
  }
}

export function memoryRig(): Rig {
  const gate = new FakeGate();
  const transports: MemoryTransport[] = [];
  const transport = (): Transport => {
    const made = new MemoryTransport(gate);
    transports.push(made);
    return made;
  };
  const cut = (): void => transports.splice(0).forEach((one) => one.cut());
  return { gate, transport, cut, close: cut };
}

export async function webSocketRig(gate = new FakeGate()): Promise<Rig & { address: string }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  server.on("connection", (socket) => {
    const connection = gate.accept({ send: (bytes) => socket.send(bytes), close: () => socket.close() }, "message");
    socket.on("message", (data: Buffer) => connection.received(data));
    socket.on("close", () => connection.closed());
  });
  const cut = (): void => server.clients.forEach((socket) => socket.terminate());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const transport = webSocket(`ws://${address}/bbq`, { WebSocket });
  return { gate, address, transport, cut, close: () => (cut(), server.close()) };
}

export async function tcpRig(): Promise<Rig> {
  const gate = new FakeGate();
  const random = new Random(5);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const connection = gate.accept({ send: (bytes) => socket.write(bytes), close: () => socket.end() }, "stream");
    socket.on("data", (data) => {
      // Cut anew, as the network might.
      for (let at = 0, size; at < data.length; at += size) {
        size = 1 + random.below(20);
        connection.received(data.subarray(at, at + size));
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => (sockets.delete(socket), connection.closed()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  const transport = tcp(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return { gate, transport, cut, close: () => (cut(), server.close()) };
}

const open: { close(): void }[] = [];
// So that a test that fails does not keep the process alive.
afterEach(() => open.splice(0).forEach((one) => one.close()));

export async function connect(rig: Rig, options: Partial<ClientOptions> = {}): Promise<Client> {
  open.push(rig);
  const auth = { scheme: "dev", token: "ann" };
  const client = await Client.connect({ transport: rig.transport, auth, backoff: { baseMs: 5, maxMs: 20 }, ...options });
  open.push(client);
  return client;
}

/** Waits until something is so. */
export async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 5000; !what(); ) {
    if (Date.now() > end) throw new Error(`not in time: ${what.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
