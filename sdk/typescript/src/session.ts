/**
 * The client's side of a session as a pure machine: `handle(event, now)` returns what the shell must do, in order.
 * It opens no socket, sets no timer, reads no clock: `deadline` says when to hand in the next tick.
 *
 *     connecting --WELCOME--> online --connection lost--> detached --WELCOME--> online ..
 *          \____________________ KICK, a fatal error, close ____________________/--> closed
 *
 * The connection underneath has stages of its own:
 *
 *     idle -> [credentials] -> opening -> resuming | authenticating -> attached -> idle ..
 *                                            \-- RESUME_FAILED --> reauthenticating -> authenticating
 */

import { retryDelay } from "./backoff.js";
import { Calls, type Call } from "./calls.js";
import type { Uint } from "./codec.js";
import { BbqError, Code, FIRST_APPLICATION_CODE, type WireError } from "./errors.js";
import type { Credentials, Message, SessionConfig, SessionEvent, SessionOutput, SessionState } from "./events.js";
import * as wire from "./frame.js";
import { Kind, type Frame } from "./frame.js";
import { Outbox, type Parcel } from "./outbox.js";

type Stage =
  | "idle"
  | "credentials"
  | "opening"
  | "resuming"
  | "authenticating"
  | "reauthenticating"
  | "attached";

/** Longest frame that a gate takes before there is a session. */
const LIMIT_OPENING = 4 * 1024;
/** A connection that lasted so long was a good one: the next trouble starts with the shortest wait. */
const STABLE_MS = 2_000;
/** After so many connections in a row that broke the protocol, give up; after one less, start a new session. */
const MAX_STRIKES = 3;
const DEFAULT_HEARTBEAT_MS = 10_000;
const MIN_HEARTBEAT_MS = 50;
/** The silence after which a connection counts as lost, in heartbeats. */
const LOST_AFTER_HEARTBEATS = 2.5;
/** What a message frame counts beyond its body, towards the next ACK. */
const FRAME_OVERHEAD = 16;
const MAX_U32 = 0xffff_ffff;
const NO_BYTES = new Uint8Array(0);

/** Answers to an opening that will be the same next time, as those of applications (1000 and up). */
const FATAL: ReadonlySet<number> = new Set([
  Code.INVALID_ARGUMENT,
  Code.PERMISSION_DENIED,
  Code.UNIMPLEMENTED,
  Code.UNAUTHENTICATED,
  Code.UNSUPPORTED_VERSION,
  Code.REPLACED,
  Code.KICKED,
]);

export class Session {
  #state: SessionState = "connecting";
  #stage: Stage = "idle";
  #out: SessionOutput[] = [];

  /** What WELCOME said last. */
  #welcome: wire.Welcome | undefined;
  /** Whether the session of `#welcome` is still there. */
  #resumable = false;
  /** Why the session was lost, until there is a new one. */
  #lost: { error: BbqError; notifies: number } | undefined;
  #address: string | undefined;
  /** For the AUTH of the transport that is being opened. */
  #credentials: Credentials | undefined;
  #closedBy: BbqError | undefined;

  readonly #outbox: Outbox;
  readonly #calls = new Calls();
  /** Calls of the gate that the application works on: their seq by the number that the shell knows. */
  readonly #served = new Map<number, Uint>();
  #lastServed = 0;

  #downSince = Infinity;
  #onlineSince = 0;
  #retryAt = Infinity;
  #openBy = Infinity;
  #goAwayAt = Infinity;
  #attempts = 0;
  #strikes = 0;

  #heard = 0;
  #pingedAt: number | undefined;
  #pings = 0;
  #rttMs: number | undefined;
  #clockOffsetMs: number | undefined;

  constructor(readonly config: SessionConfig) {
    this.#outbox = new Outbox(config.ring);
  }

  get state(): SessionState {
    return this.#state;
  }

  /** The account that the gate found in the token, and what else it said last. */
  get welcome(): Readonly<wire.Welcome> | undefined {
    return this.#welcome;
  }

  /** Longest frame that the gate may send now. */
  get maxDown(): number {
    return this.#welcome?.maxDown ?? wire.LIMIT_DOWN;
  }

  /** Round trip of the last PING. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** What to add to `now` for the Unix time of the gate. */
  get clockOffsetMs(): number | undefined {
    return this.#clockOffsetMs;
  }

  /** When to hand in `tick`; it may be early. `Infinity`: never. */
  get deadline(): number {
    if (this.#state === "closed") return Infinity;
    return Math.min(this.#stageDeadline(), this.#giveUpAt(), this.#calls.deadline);
  }

  /** The only way in. `now`: milliseconds of a clock that never goes back. */
  handle(event: SessionEvent, now: number): SessionOutput[] {
    if (this.#state === "closed") this.#refuse(event);
    else this.#dispatch(event, now);
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #dispatch(event: SessionEvent, now: number): void {
    switch (event.type) {
      case "start":
        this.#downSince = now;
        return this.#connect(now);
      case "credentials":
        return this.#onCredentials(event.credentials, now);
      case "noCredentials":
        return this.#close(event.error);
      case "opened":
        return this.#onOpened(now);
      case "heard":
        this.#heard = now;
        return;
      case "frame":
        return this.#onFrame(event.frame, now);
      case "badFrame":
        return this.#drop(new BbqError(event.error.code, event.error.message), now);
      case "lost":
        return this.#detach(new BbqError(Code.UNAVAILABLE, event.reason), now);
      case "tick":
        return this.#tick(now);
      case "call":
        return this.#call(event.id, event.message, event.timeoutMs, now);
      case "cancel":
        return this.#cancel(event.id);
      case "notify":
        return this.#notify(event.message, event.unreliable, now);
      case "reply":
        return this.#reply(event.call, event.body, event.error, now);
      case "close":
        if (this.#stage === "attached") this.#sendFrames([{ kind: Kind.BYE }]);
        return this.#close(event.error);
    }
  }

  // -- Opening ------------------------------------------------------------------------------------------------------

  #connect(now: number): void {
    this.#retryAt = Infinity;
    if (this.#resumable) return this.#open(now);
    this.#stage = "credentials";
    this.#emit({ type: "askCredentials" });
  }

  #onCredentials(credentials: Credentials, now: number): void {
    if (this.#stage === "credentials") {
      this.#credentials = credentials;
      this.#open(now);
    } else if (this.#stage === "reauthenticating") {
      this.#authenticate(credentials, []);
    }
  }

  #open(now: number): void {
    this.#stage = "opening";
    this.#openBy = now + this.config.openTimeoutMs;
    this.#emit({ type: "open", address: this.#address });
  }

  /** HELLO, and AUTH or RESUME, in one flight. */
  #onOpened(now: number): void {
    if (this.#stage !== "opening") return;
    this.#heard = now;
    const hello: Frame = { kind: Kind.HELLO, version: wire.VERSION, features: 0, sdk: this.config.sdk };
    if (this.#resumable && this.#welcome) {
      const { sid, ticket } = this.#welcome;
      this.#stage = "resuming";
      this.#sendFrames([hello, { kind: Kind.RESUME, sid, ticket, seen: this.#outbox.delivery.tellSeen() }]);
    } else if (this.#credentials) {
      this.#authenticate(this.#credentials, [hello]);
      this.#credentials = undefined;
    }
  }

  #authenticate(credentials: Credentials, before: Frame[]): void {
    const auth: Frame = { kind: Kind.AUTH, ...credentials };
    if (wire.encodeFrame(auth).length > LIMIT_OPENING) {
      return this.#close(new BbqError(Code.INVALID_ARGUMENT, `credentials exceed ${LIMIT_OPENING} bytes`));
    }
    this.#stage = "authenticating";
    this.#sendFrames([...before, auth]);
  }

  #onWelcome(welcome: wire.Welcome, now: number): void {
    const resuming = this.#stage === "resuming";
    const expected = resuming || this.#stage === "authenticating";
    const same = resuming === welcome.resumed && (!resuming || welcome.sid === this.#welcome?.sid);
    if (!expected || !same) return this.#drop(new BbqError(Code.BAD_FRAME, "WELCOME does not fit"), now);
    if (welcome.version !== wire.VERSION) {
      return this.#close(new BbqError(Code.UNSUPPORTED_VERSION, `the gate speaks version ${welcome.version}`));
    }
    this.#settleLost();
    const again = this.#outbox.delivery.resume(welcome.peerSeen);
    if (!again) {
      const error = new BbqError(Code.BAD_FRAME, "the gate has seen what was never sent, or forgot what it had seen");
      this.#forget(error);
      return this.#drop(error, now);
    }
    this.#welcome = welcome;
    this.#resumable = true;
    this.#clockOffsetMs = Number(welcome.timeMs) - now;
    this.#attach(now);
    for (const { seq, item } of again) this.#write(item, seq, now);
    for (const parcel of this.#outbox.takeWaiting()) this.#post(parcel, now);
  }

  #attach(now: number): void {
    const first = this.#state === "connecting";
    this.#state = "online";
    this.#stage = "attached";
    this.#heard = this.#onlineSince = now;
    this.#openBy = Infinity;
    this.#pingedAt = undefined;
    const lost = this.#lost;
    this.#lost = undefined;
    if (first) this.#emit({ type: "online" });
    else if (lost) this.#emit({ type: "resynced", error: lost.error, notifiesLost: lost.notifies });
    else this.#emit({ type: "resumed" });
  }

  // -- Frames of the gate -------------------------------------------------------------------------------------------

  #onFrame(frame: Frame, now: number): void {
    this.#heard = now;
    switch (frame.kind) {
      case Kind.WELCOME:
        return this.#onWelcome(frame, now);
      case Kind.ERR:
        return this.#onErr(new BbqError(frame.code, frame.message, frame.retryAfterMs), now);
      case Kind.KICK:
        return this.#close(new BbqError(frame.reason || Code.KICKED, frame.message));
    }
    const wrong = this.#stage === "attached" ? this.#onSessionFrame(frame, now) : "frame out of place";
    if (wrong) return this.#drop(new BbqError(Code.BAD_FRAME, wrong), now);
    if (this.#stage === "attached" && this.#outbox.delivery.ackDue) this.#acknowledge();
  }

  /** Returns what broke the protocol, or nothing. */
  #onSessionFrame(frame: Frame, now: number): string | undefined {
    switch (frame.kind) {
      case Kind.REQ:
      case Kind.RSP:
      case Kind.PUSH:
        return this.#onMessage(frame, now);
      case Kind.ACK:
        return this.#onAck(frame.seen);
      case Kind.PING:
        this.#acknowledge();
        this.#sendFrames([{ kind: Kind.PONG, nonce: frame.nonce, timeMs: 0 }]);
        return undefined;
      case Kind.PONG:
        this.#onPong(frame, now);
        return undefined;
      case Kind.GOAWAY:
        this.#goAwayAt = now + this.config.random() * frame.afterMs;
        this.#address = frame.address || this.#address;
        return undefined;
      default:
        return "frame out of place";
    }
  }

  #onMessage(frame: wire.Req | wire.Rsp | wire.Push, now: number): string | undefined {
    const wrong = frame.ack === undefined ? undefined : this.#onAck(frame.ack);
    if (wrong) return wrong;
    if (frame.seq === 0) {
      if (frame.kind !== Kind.PUSH) return "only NOTIFY and PUSH may be unreliable";
    } else {
      const arrival = this.#outbox.delivery.onSeq(frame.seq, frame.body.length + FRAME_OVERHEAD);
      if (arrival === "gap") return "gap in the sequence";
      if (arrival === "duplicate") return undefined;
    }
    if (frame.kind === Kind.PUSH) this.#emit({ type: "push", message: messageOf(frame) });
    else if (frame.kind === Kind.REQ) this.#onReq(frame, now);
    else this.#onRsp(frame);
    return undefined;
  }

  #onReq(frame: wire.Req, now: number): void {
    if (this.#served.size >= this.config.maxServed) {
      return this.#respond(frame.seq, NO_BYTES, new BbqError(Code.BUSY, "too many calls at a time"), now);
    }
    this.#lastServed += 1;
    this.#served.set(this.#lastServed, frame.seq);
    const { deadlineMs } = frame;
    this.#emit({ type: "request", call: this.#lastServed, message: messageOf(frame), deadlineMs });
  }

  #onRsp(frame: wire.Rsp): void {
    // An unknown `re` is an answer that came after its deadline.
    const call = this.#calls.takeAnswered(frame.re);
    if (!call) return;
    const { error, body } = frame;
    if (error) this.#fail(call, new BbqError(error.code, error.message, error.retryAfterMs));
    else this.#emit({ type: "answer", id: call.id, body });
  }

  #onAck(seen: Uint): string | undefined {
    return this.#outbox.delivery.onAck(seen) ? undefined : "acknowledges what was never sent";
  }

  #onPong(frame: wire.Pong, now: number): void {
    if (this.#pingedAt === undefined || frame.nonce !== this.#pings) return;
    this.#rttMs = now - this.#pingedAt;
    this.#pingedAt = undefined;
    if (frame.timeMs !== 0) this.#clockOffsetMs = Number(frame.timeMs) + this.#rttMs / 2 - now;
  }

  /** ERR closes the connection, except RESUME_FAILED, after which the gate waits for AUTH. */
  #onErr(error: BbqError, now: number): void {
    if (this.#stage === "resuming" && error.code === Code.RESUME_FAILED) {
      this.#forget(error);
      this.#stage = "reauthenticating";
      this.#openBy = now + this.config.openTimeoutMs;
      return this.#emit({ type: "askCredentials" });
    }
    if (FATAL.has(error.code) || error.code >= FIRST_APPLICATION_CODE) return this.#close(error);
    if (error.code === Code.SESSION_EXPIRED || error.code === Code.RESUME_FAILED) this.#forget(error);
    this.#drop(error, now);
  }

  // -- What the application sends -----------------------------------------------------------------------------------

  #call(id: number, message: Message, timeoutMs: number, now: number): void {
    const frame: wire.Req = { kind: Kind.REQ, seq: 0, ...message };
    const refused = this.#calls.size >= this.config.maxCalls ? busy("calls in flight") : this.#refusal(frame);
    if (refused) return this.#emit({ type: "answer", id, body: NO_BYTES, error: refused });
    this.#post({ frame, call: this.#calls.add(id, now + timeoutMs) }, now);
  }

  #cancel(id: number): void {
    const call = this.#calls.take(id);
    if (call && call.seq === undefined) this.#outbox.withdraw(call);
  }

  #notify(message: Message, unreliable: boolean, now: number): void {
    const frame: wire.Notify = { kind: Kind.NOTIFY, seq: 0, ...message };
    const error = unreliable ? this.#tooLarge(frame) : this.#refusal(frame);
    if (error) return this.#emit({ type: "refused", error });
    if (!unreliable) return this.#post({ frame }, now);
    if (this.#stage !== "attached") return;
    // Without an ack: the shell may drop it.
    this.#emit({ type: "send", bytes: wire.encodeFrame(frame), unreliable });
  }

  #reply(call: number, body: Uint8Array, error: WireError | undefined, now: number): void {
    const seq = this.#served.get(call);
    if (seq === undefined) return;
    this.#served.delete(call);
    this.#respond(seq, body, error, now);
  }

  #respond(re: Uint, body: Uint8Array, error: WireError | undefined, now: number): void {
    let frame: wire.Rsp = { kind: Kind.RSP, seq: 0, re, body, error };
    const tooLarge = this.#tooLarge(frame);
    if (tooLarge) frame = { ...frame, body: NO_BYTES, error: tooLarge };
    if (!this.#outbox.hasRoom(frame) && this.#stage === "attached") this.#drop(busy("replies to the gate"), now);
    this.#post({ frame }, now);
  }

  #tooLarge(frame: wire.MessageFrame): BbqError | undefined {
    const limit = this.#welcome?.maxUp ?? wire.LIMIT_UP;
    if (wire.maxFrameLength(frame) <= limit) return undefined;
    return new BbqError(Code.FRAME_TOO_LARGE, `a message may have ${limit} bytes, overhead included`);
  }

  #refusal(frame: wire.MessageFrame): BbqError | undefined {
    return this.#tooLarge(frame) ?? (this.#outbox.hasRoom(frame) ? undefined : busy("messages on their way"));
  }

  /** Sends a parcel now, or lets it wait for a connection. */
  #post(parcel: Parcel, now: number): void {
    if (this.#stage !== "attached") return this.#outbox.wait(parcel);
    const seq = this.#outbox.number(parcel);
    if (parcel.call) this.#calls.sent(parcel.call, seq);
    this.#write(parcel, seq, now);
  }

  #write({ frame, call }: Parcel, seq: number, now: number): void {
    const numbered: Frame = { ...frame, seq, ack: this.#outbox.delivery.takeAck() };
    if (numbered.kind === Kind.REQ && call) {
      const leftMs = Math.max(1, Math.ceil(call.deadlineAt - now));
      numbered.deadlineMs = leftMs <= MAX_U32 ? leftMs : undefined;
    }
    this.#sendFrames([numbered]);
  }

  #acknowledge(): void {
    const seen = this.#outbox.delivery.takeAck();
    if (seen !== undefined) this.#sendFrames([{ kind: Kind.ACK, seen }]);
  }

  #sendFrames(frames: Frame[]): void {
    for (const frame of frames) this.#emit({ type: "send", bytes: wire.encodeFrame(frame), unreliable: false });
  }

  // -- Time ---------------------------------------------------------------------------------------------------------

  #stageDeadline(): number {
    if (this.#stage === "idle") return this.#retryAt;
    if (this.#stage === "credentials") return Infinity;
    if (this.#stage !== "attached") return this.#openBy;
    return Math.min(this.#goAwayAt, this.#pingedAt === undefined ? this.#pingAt() : this.#lostAt());
  }

  #giveUpAt(): number {
    if (this.#state === "connecting") return this.#downSince + this.config.connectTimeoutMs;
    return this.#state === "detached" ? this.#downSince + this.config.reconnectTimeoutMs : Infinity;
  }

  get #heartbeatMs(): number {
    return Math.max(this.#welcome?.heartbeatMs || DEFAULT_HEARTBEAT_MS, MIN_HEARTBEAT_MS);
  }

  #pingAt(): number {
    return this.#heard + this.#heartbeatMs;
  }

  #lostAt(): number {
    return this.#heard + LOST_AFTER_HEARTBEATS * this.#heartbeatMs;
  }

  #tick(now: number): void {
    for (const call of this.#calls.takeExpired(now)) this.#expire(call);
    if (now >= this.#giveUpAt()) {
      return this.#close(new BbqError(Code.UNAVAILABLE, "no connection to a gate in time"));
    }
    if (this.#stage === "idle") {
      if (now >= this.#retryAt) this.#connect(now);
    } else if (this.#stage === "attached") {
      this.#tickAttached(now);
    } else if (this.#stage !== "credentials" && now >= this.#openBy) {
      this.#drop(new BbqError(Code.HANDSHAKE_TIMEOUT, "no WELCOME in time"), now);
    }
  }

  #tickAttached(now: number): void {
    if (now >= this.#lostAt()) {
      this.#drop(new BbqError(Code.HEARTBEAT_TIMEOUT, "nothing heard from the gate"), now);
    } else if (now >= this.#goAwayAt) {
      this.#drop(new BbqError(Code.GOING_AWAY, "the gate asked to reconnect"), now);
      this.#retryAt = now;
    } else if (now >= this.#pingAt() && this.#pingedAt === undefined) {
      this.#pings += 1;
      this.#pingedAt = now;
      this.#acknowledge();
      this.#sendFrames([{ kind: Kind.PING, nonce: this.#pings }]);
    }
  }

  #expire(call: Call): void {
    let fate = "never sent";
    if (call.seq === undefined) this.#outbox.withdraw(call);
    else fate = call.seq <= this.#outbox.delivery.acked ? "delivered, but not answered" : "sent; not known to be delivered";
    this.#fail(call, new BbqError(Code.DEADLINE_EXCEEDED, `time ran out: ${fate}`));
  }

  // -- Endings ------------------------------------------------------------------------------------------------------

  /** Lets go of the connection, which may still be open. */
  #drop(error: BbqError, now: number): void {
    if (this.#stage === "idle") return;
    this.#emit({ type: "disconnect" });
    this.#detach(error, now);
  }

  /** There is no connection any more: plan the next one. */
  #detach(error: BbqError, now: number): void {
    const opening = this.#stage !== "attached";
    if (this.#stage === "idle" || this.#stage === "credentials") return;
    this.#stage = "idle";
    this.#openBy = this.#goAwayAt = Infinity;
    this.#pingedAt = undefined;
    if (opening) {
      // The address of a GOAWAY was no good: back to the one that the application knows.
      this.#address = undefined;
    } else {
      this.#state = "detached";
      this.#downSince = now;
      if (now - this.#onlineSince >= STABLE_MS) this.#attempts = this.#strikes = 0;
      this.#emit({ type: "detached", error });
    }
    if (error.code === Code.BAD_FRAME || error.code === Code.FRAME_TOO_LARGE) this.#strikes += 1;
    if (this.#strikes >= MAX_STRIKES) return this.#close(error);
    if (this.#strikes === MAX_STRIKES - 1) this.#forget(error);
    this.#retryAt = now + retryDelay(this.config.backoff, this.#attempts, error.retryAfterMs, this.config.random);
    this.#attempts += 1;
  }

  /** The session is lost: nothing of it will be answered or sent again. */
  #forget(error: BbqError): void {
    if (!this.#resumable) return;
    this.#resumable = false;
    this.#served.clear();
    this.#lost = { error, notifies: 0 };
    this.#settleLost();
  }

  /** Fails what belongs to a lost session, and what was sent since: the application did not know of the loss. */
  #settleLost(): void {
    if (!this.#lost) return;
    this.#failCalls(this.#lost.error);
    this.#lost.notifies += this.#outbox.reset();
  }

  #close(error: BbqError): void {
    if (this.#stage !== "idle" && this.#stage !== "credentials") this.#emit({ type: "disconnect" });
    this.#state = "closed";
    this.#closedBy = error;
    this.#stage = "idle";
    this.#failCalls(error);
    this.#served.clear();
    this.#outbox.reset();
    this.#emit({ type: "closed", error });
  }

  #refuse(event: SessionEvent): void {
    const error = new BbqError(Code.NOT_SENT, `the client is closed (${reasonOf(this.#closedBy)})`);
    if (event.type === "call") this.#emit({ type: "answer", id: event.id, body: NO_BYTES, error });
    if (event.type === "notify") this.#emit({ type: "refused", error });
  }

  #failCalls(why: BbqError): void {
    for (const call of this.#calls.takeAll()) {
      const [code, fate] =
        call.seq === undefined ? [Code.NOT_SENT, "it was never sent"] : [Code.OUTCOME_UNKNOWN, "it may have run"];
      this.#fail(call, new BbqError(code, `the session is over (${reasonOf(why)}); ${fate}`));
    }
  }

  #fail(call: Call, error: BbqError): void {
    this.#emit({ type: "answer", id: call.id, body: NO_BYTES, error });
  }

  #emit(output: SessionOutput): void {
    this.#out.push(output);
  }
}

function busy(what: string): BbqError {
  return new BbqError(Code.BUSY, `too many ${what}`);
}

function reasonOf(error: BbqError | undefined): string {
  return error ? `${error.name}: ${error.message}` : "";
}

function messageOf({ method, key, trace, body }: wire.Req | wire.Push): Message {
  return { method, key, trace, body };
}
