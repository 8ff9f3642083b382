/** Virtual time, pipes that can be cut, and a session machine that lives between them. */

import { BbqError } from "../dist/errors.js";
import { SESSION_DEFAULTS, type SessionConfig, type SessionEvent, type SessionOutput } from "../dist/events.js";
import { decodeFrame, PREFACE } from "../dist/frame.js";
import { Session } from "../dist/session.js";
import { Splitter } from "../dist/split.js";
import type { FakeGate, GateConnection } from "./gate.js";
import { Random } from "./random.js";

/** Runs what was planned, in order of time, then of planning. */
export class World {
  now = 1000;
  #plan: { at: number; run: () => void }[] = [];

  in(delayMs: number, run: () => void): void {
    const at = this.now + delayMs;
    let index = this.#plan.length - 1;
    while (index >= 0 && (this.#plan[index]?.at ?? 0) > at) index -= 1;
    this.#plan.splice(index + 1, 0, { at, run });
  }

  run(forMs: number): void {
    const until = this.now + forMs;
    for (let next; (next = this.#plan[0]) && next.at <= until; ) {
      this.#plan.shift();
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = until;
  }
}

/** A connection whose bytes travel for a while, both ways. */
class Wire {
  alive = true;
  gateSide: GateConnection | undefined;

  constructor(
    readonly world: World,
    readonly latencyMs: number,
    readonly client: { received(bytes: Uint8Array): void; closed(): void },
  ) {}

  toClient(bytes: Uint8Array): void {
    this.world.in(this.latencyMs, () => this.alive && this.client.received(bytes));
  }

  toGate(bytes: Uint8Array): void {
    this.world.in(this.latencyMs, () => this.alive && this.gateSide?.received(bytes));
  }

  /** What travels is lost. Both ends learn of it. */
  cut(): void {
    if (!this.alive) return;
    this.alive = false;
    this.gateSide?.closed();
    this.world.in(0, () => this.client.closed());
  }

  /** What travels arrives, then the other end learns of it. */
  closeFromClient(): void {
    this.world.in(this.latencyMs, () => {
      this.alive = false;
      this.gateSide?.closed();
    });
  }

  closeFromGate(): void {
    this.world.in(this.latencyMs, () => {
      if (!this.alive) return;
      this.alive = false;
      this.client.closed();
    });
  }
}

/** A client on a byte stream to the gate: what `client.ts` does, in virtual time. */
export class SimClient {
  readonly session: Session;
  readonly outputs: SessionOutput[] = [];
  readonly addresses: (string | undefined)[] = [];
  wire: Wire | undefined;
  latencyMs = 5;
  /** False: connecting fails. */
  reachable = true;
  token = "ann";
  /** Called with everything that concerns the application. */
  onOutput: (output: SessionOutput) => void = () => {};
  #splitter = new Splitter("stream");
  #tickAt = Infinity;

  constructor(
    readonly world: World,
    readonly gate: FakeGate,
    config: Partial<SessionConfig> = {},
    readonly random = new Random(1),
  ) {
    this.session = new Session({ ...SESSION_DEFAULTS, random: random.next, sdk: "test/1", ...config });
  }

  start(): void {
    this.handle({ type: "start" });
  }

  call(id: number, body: Uint8Array, timeoutMs = 60_000): void {
    this.handle({ type: "call", id, message: { method: 1, body }, timeoutMs });
  }

  /** False: refused. */
  notify(body: Uint8Array, unreliable = false): boolean {
    const before = this.outputs.length;
    this.handle({ type: "notify", message: { method: 2, body }, unreliable });
    return !this.outputs.slice(before).some(({ type }) => type === "refused");
  }

  /** What the application learned, by type. */
  seen<T extends SessionOutput["type"]>(type: T): Extract<SessionOutput, { type: T }>[] {
    return this.outputs.filter((output) => output.type === type) as Extract<SessionOutput, { type: T }>[];
  }

  handle(event: SessionEvent): void {
    for (const output of this.session.handle(event, this.world.now)) this.#act(output);
    this.#planTick();
  }

  /** A tick may be early, then the machine does nothing. */
  #planTick(): void {
    const { deadline } = this.session;
    if (deadline >= this.#tickAt) return;
    this.#tickAt = deadline;
    this.world.in(Math.max(0, deadline - this.world.now), () => {
      if (this.#tickAt !== deadline) return;
      this.#tickAt = Infinity;
      this.handle({ type: "tick" });
    });
  }

  #act(output: SessionOutput): void {
    switch (output.type) {
      case "askCredentials": {
        const credentials = { scheme: "dev", token: Buffer.from(this.token), device: "pc" };
        return this.world.in(1, () => this.handle({ type: "credentials", credentials }));
      }
      case "open":
        this.addresses.push(output.address);
        return this.#open();
      case "send":
        return this.wire?.toGate(output.bytes);
      case "disconnect":
        this.wire?.closeFromClient();
        this.wire = undefined;
        return;
      default:
        this.outputs.push(output);
        this.onOutput(output);
    }
  }

  #open(): void {
    if (!this.reachable) return this.world.in(1, () => this.handle({ type: "lost", reason: "unreachable" }));
    const splitter = new Splitter("stream");
    const wire: Wire = new Wire(this.world, this.latencyMs, {
      received: (bytes) => this.wire === wire && this.#received(bytes, splitter),
      closed: () => {
        if (this.wire !== wire) return;
        this.wire = undefined;
        this.handle({ type: "lost", reason: "cut" });
      },
    });
    this.wire = wire;
    this.#splitter = splitter;
    this.world.in(this.latencyMs, () => {
      if (!wire.alive || this.wire !== wire) return;
      const pipe = { send: (bytes: Uint8Array) => wire.toClient(bytes), close: () => wire.closeFromGate() };
      wire.gateSide = this.gate.accept(pipe, "stream");
      wire.toGate(PREFACE);
      this.handle({ type: "opened" });
    });
  }

  #received(bytes: Uint8Array, splitter: Splitter): void {
    splitter.push(bytes);
    while (this.#splitter === splitter && this.wire) {
      let frame;
      try {
        const content = splitter.next(this.session.maxDown);
        if (!content) return;
        frame = decodeFrame(content);
      } catch (error) {
        return this.handle({ type: "badFrame", error: error as never });
      }
      this.handle({ type: "frame", frame });
    }
  }
}

export const number = (body: Uint8Array): number => new DataView(body.buffer, body.byteOffset).getUint32(0);

export function bytesOf(value: number, padding = 0): Uint8Array {
  const body = new Uint8Array(4 + padding);
  new DataView(body.buffer).setUint32(0, value);
  return body;
}

export function wireError(code: number, message = "", retryAfterMs = 0): BbqError {
  return new BbqError(code, message, retryAfterMs);
}
