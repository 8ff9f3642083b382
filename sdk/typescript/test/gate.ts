/**
 * A gate for tests, written from `spec/wire.md` and sharing with the SDK only the encoding of frames. It notes every
 * breach of the protocol in `breaches`. Scripts replace its hooks to behave badly.
 */

import type { Uint } from "../dist/codec.js";
import { Code, type WireError } from "../dist/errors.js";
import { decodeFrame, encodeFrame, Kind, type Frame, type Key, type MessageFrame, type Req } from "../dist/frame.js";
import { Splitter, type Framing } from "../dist/split.js";

/** The gate's end of a connection. */
export interface Pipe {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface Sent {
  method: number;
  body?: Uint8Array;
  key?: Key;
}

const NOTHING = new Uint8Array(0);

export class FakeGate {
  readonly sessions = new Map<Uint, GateSession>();
  readonly connections: GateConnection[] = [];
  readonly breaches: string[] = [];
  heartbeatMs = 10_000;
  maxUp = 64 * 1024;
  maxDown = 1024 * 1024;
  now = (): number => Date.now();

  /** Answers AUTH: the account, or why not. */
  onAuth: (scheme: string, token: string, device: string) => string | WireError = (_, token) => token;
  /** Every frame of a client comes by here first; true: that was all. */
  intercept: (frame: Frame, connection: GateConnection) => boolean = () => false;
  /** Answers a REQ; `undefined`: later, by `session.answer`. */
  onCall: (session: GateSession, req: Req) => Uint8Array | WireError | undefined = (_, req) => req.body;
  onNotify: (session: GateSession, body: Uint8Array, method: number, key: Key | undefined) => void = () => {};

  accept(pipe: Pipe, framing: Framing): GateConnection {
    const connection = new GateConnection(this, pipe, framing);
    this.connections.push(connection);
    return connection;
  }

  get connection(): GateConnection {
    const last = this.connections.at(-1);
    if (!last) throw new Error("nobody has connected");
    return last;
  }

  get session(): GateSession {
    const last = [...this.sessions.values()].at(-1);
    if (!last) throw new Error("there is no session");
    return last;
  }

  breach(what: string): void {
    this.breaches.push(what);
  }
}

export class GateConnection {
  session: GateSession | undefined;
  readonly frames: Frame[] = [];
  #open = true;
  #preface: string;
  readonly #splitter: Splitter;

  constructor(
    readonly gate: FakeGate,
    readonly pipe: Pipe,
    framing: Framing,
  ) {
    this.#preface = framing === "stream" ? "" : "BBQ1";
    this.#splitter = new Splitter(framing);
  }

  received(bytes: Uint8Array): void {
    if (!this.#open) return;
    const head = bytes.subarray(0, 4 - this.#preface.length);
    this.#preface += Buffer.from(head).toString("latin1");
    if (!"BBQ1".startsWith(this.#preface)) this.gate.breach(`preface ${this.#preface}`);
    bytes = bytes.subarray(head.length);
    this.#splitter.push(bytes);
    for (let content; this.#open && (content = this.#splitter.next(this.session ? this.gate.maxUp : 4096)); ) {
      const frame = decodeFrame(content);
      this.frames.push(frame);
      if (!this.gate.intercept(frame, this)) this.#onFrame(frame);
    }
  }

  closed(): void {
    this.#open = false;
    if (this.session?.connection === this) this.session.connection = undefined;
  }

  send(...frames: Frame[]): void {
    if (this.#open && frames.length > 0) this.pipe.send(Buffer.concat(frames.map(encodeFrame)));
  }

  sendBytes(bytes: Uint8Array): void {
    this.pipe.send(bytes);
  }

  /** Closes as a gate does; the session stays. */
  close(error?: WireError): void {
    if (error) this.send({ kind: Kind.ERR, ...error });
    this.closed();
    this.pipe.close();
  }

  welcome(session: GateSession, resumed: boolean): void {
    session.connection?.close();
    session.connection = this;
    this.session = session;
    session.renewTicket(resumed);
    this.send({
      kind: Kind.WELCOME,
      version: 1,
      resumed,
      sid: session.sid,
      ticket: session.ticket,
      account: session.account,
      peerSeen: session.seen,
      heartbeatMs: this.gate.heartbeatMs,
      maxUp: this.gate.maxUp,
      maxDown: this.gate.maxDown,
      resumeMs: 60_000,
      timeMs: 1_767_225_600_000,
      server: "fake",
      maxCalls: 64,
    });
  }

  #onFrame(frame: Frame): void {
    switch (frame.kind) {
      case Kind.HELLO:
        return;
      case Kind.AUTH: {
        const account = this.gate.onAuth(frame.scheme, Buffer.from(frame.token).toString(), frame.device);
        if (typeof account !== "string") return this.close(account);
        const session = new GateSession(this.gate, account);
        this.gate.sessions.set(session.sid, session);
        return this.welcome(session, false);
      }
      case Kind.RESUME: {
        const session = this.gate.sessions.get(frame.sid);
        const again = session?.framesAfter(frame.ticket, Number(frame.seen));
        if (!session || !again) {
          return this.send({ kind: Kind.ERR, code: Code.RESUME_FAILED, message: "cannot resume", retryAfterMs: 0 });
        }
        this.welcome(session, true);
        return this.send(...again);
      }
    }
    if (frame.kind === Kind.BYE && this.session) {
      this.gate.sessions.delete(this.session.sid);
      return this.close();
    }
    if (this.session) return this.session.onFrame(frame, this);
    // What is queued behind a failed RESUME has no effect.
    if (frame.kind < Kind.REQ) this.gate.breach(`kind ${frame.kind} without a session`);
  }
}

let lastSid = 2n ** 53n;

export class GateSession {
  readonly sid: bigint;
  ticket: Uint8Array = NOTHING;
  #previous: Uint8Array = NOTHING;
  #tickets = 0;
  connection: GateConnection | undefined;
  seen = 0;
  sent = 0;
  ring: MessageFrame[] = [];
  readonly #requests = new Map<Uint, (body: Uint8Array, error?: WireError) => void>();
  readonly #running = new Set<Uint>();

  constructor(
    readonly gate: FakeGate,
    readonly account: string,
  ) {
    this.sid = lastSid += 1n;
  }

  /** The ticket of a resume stays good until the client shows that it got the next one. */
  renewTicket(resumed: boolean): void {
    this.#tickets += 1;
    this.#previous = resumed ? this.#presented : NOTHING;
    this.ticket = Buffer.from(`${this.sid}/${this.#tickets}`);
  }

  #presented: Uint8Array = NOTHING;

  framesAfter(ticket: Uint8Array, seen: number): MessageFrame[] | undefined {
    const known = [this.ticket, this.#previous].some((good) => good.length > 0 && Buffer.compare(good, ticket) === 0);
    const first = Number(this.ring[0]?.seq ?? this.sent + 1);
    if (!known || seen > this.sent || seen + 1 < first) return undefined;
    this.#presented = ticket.slice();
    this.#onAck(seen);
    return this.ring;
  }

  push({ method, body = NOTHING, key }: Sent): void {
    this.#send({ kind: Kind.PUSH, seq: 0, method, key, body });
  }

  pushUnreliable({ method, body = NOTHING, key }: Sent): void {
    this.connection?.send({ kind: Kind.PUSH, seq: 0, method, key, body });
  }

  request({ method, body = NOTHING, key }: Sent, done: (body: Uint8Array, error?: WireError) => void): void {
    this.#requests.set(this.sent + 1, done);
    this.#send({ kind: Kind.REQ, seq: 0, method, key, body, deadlineMs: 5000 });
  }

  answer(re: Uint, result: Uint8Array | WireError): void {
    if (!this.#running.delete(re)) this.gate.breach(`call ${re} answered twice`);
    if (result instanceof Uint8Array) this.#send({ kind: Kind.RSP, seq: 0, re, body: result });
    else this.#send({ kind: Kind.RSP, seq: 0, re, body: NOTHING, error: result });
  }

  onFrame(frame: Frame, connection: GateConnection): void {
    this.#previous = NOTHING;
    if ("ack" in frame && frame.ack !== undefined) this.#onAck(Number(frame.ack));
    switch (frame.kind) {
      case Kind.ACK:
        return this.#onAck(Number(frame.seen));
      case Kind.PING:
        return connection.send({ kind: Kind.PONG, nonce: frame.nonce, timeMs: this.gate.now() });
      case Kind.PONG:
        return;
      case Kind.NOTIFY:
        if (this.#fresh(frame)) this.gate.onNotify(this, frame.body, frame.method, frame.key);
        return;
      case Kind.RSP:
        if (this.#fresh(frame)) this.#onRsp(frame.re, frame.body, frame.error);
        return;
      case Kind.REQ: {
        if (!this.#fresh(frame)) return;
        this.#running.add(frame.seq);
        const result = this.gate.onCall(this, frame);
        if (result !== undefined) this.answer(frame.seq, result);
        return;
      }
      default:
        this.gate.breach(`kind ${frame.kind} in a session`);
    }
  }

  #onRsp(re: Uint, body: Uint8Array, error: WireError | undefined): void {
    const done = this.#requests.get(re);
    if (!done) return this.gate.breach(`a second answer, or one to nothing: ${re}`);
    this.#requests.delete(re);
    done(body, error);
  }

  #fresh({ kind, seq }: MessageFrame): boolean {
    if (seq === 0) {
      if (kind !== Kind.NOTIFY) this.gate.breach("seq 0");
      return true;
    }
    if (seq <= this.seen) return false;
    if (seq !== this.seen + 1) this.gate.breach(`gap: ${seq} after ${this.seen}`);
    this.seen = Number(seq);
    if (this.seen % 32 === 0) this.connection?.send({ kind: Kind.ACK, seen: this.seen });
    return true;
  }

  #onAck(seen: number): void {
    if (seen > this.sent) this.gate.breach(`acknowledges ${seen} of ${this.sent}`);
    this.ring = this.ring.filter(({ seq }) => seq > seen);
  }

  #send(frame: MessageFrame): void {
    this.sent += 1;
    const numbered = { ...frame, seq: this.sent };
    this.ring.push(numbered);
    this.connection?.send({ ...numbered, ack: this.seen > 0 ? this.seen : undefined });
  }
}
