/**
 * The client of an application: binds the session machine to transports, timers and promises.
 *
 * What the gate sent is handed out in the order in which it was sent: code that awaits a call sees its reply before the
 * handlers of later pushes run.
 */

import { utf8 } from "./codec.js";
import { BbqError, Code, type WireError } from "./errors.js";
import {
  SESSION_DEFAULTS,
  type Credentials,
  type Message,
  type SessionConfig,
  type SessionEvent,
  type SessionOutput,
  type SessionState,
} from "./events.js";
import { checkedKey, TRACE_BYTES, type Key } from "./frame.js";
import { Link } from "./link.js";
import { Session } from "./session.js";
import {
  makeStub,
  serveBytes,
  type BytesHandler,
  type Caller,
  type CallOptions,
  type ClientType,
  type EntityType,
  type From,
  type Handlers,
  type Methods,
  type NotifyOptions,
  type ServiceType,
  type Stub,
} from "./stub.js";
import { webSocket, type TransportFactory } from "./transport.js";

export const SDK_NAME = "gobbq-ts/0.1.0";

/** Who the player is. */
export interface AuthOptions {
  /** How the gate reads the token, such as `jwt`. */
  scheme: string;
  token: string | Uint8Array;
  /** The device slot of the account; default: none. */
  device?: string;
}

export interface ClientOptions extends Partial<Pick<SessionConfig, SessionSettings>> {
  /** Of a WebSocket; or give a `transport`. */
  url?: string;
  transport?: TransportFactory;
  /** A function is asked anew whenever a session is opened, so that tokens may be short-lived. */
  auth: AuthOptions | (() => AuthOptions | Promise<AuthOptions>);
  /** How long a call waits for its answer unless it says so itself. Default: 10 s. */
  callTimeoutMs?: number;
  /** Registers handlers before the first message can arrive. */
  setup?: (client: Client) => void;
  /** The connection is gone; the client reconnects by itself. Calls wait meanwhile. */
  onDetach?: (error: BbqError) => void;
  /** The same session goes on; nothing was lost. */
  onResume?: () => void;
  /** A new session has replaced the old one: the application fetches its state again. */
  onResync?: (loss: Loss) => void;
  /** The client is of no use any more: kicked, refused, given up, or closed by the application (CANCELLED). */
  onClosed?: (error: BbqError) => void;
  /** Messages for which there is no handler. */
  onPush?: (method: number, body: Uint8Array, from: From) => void;
  /** A handler of a message failed. Default: `console.error`. */
  onError?: (error: unknown) => void;
}
type SessionSettings =
  | "ring"
  | "backoff"
  | "openTimeoutMs"
  | "connectTimeoutMs"
  | "reconnectTimeoutMs"
  | "maxCalls"
  | "maxServed"
  | "random";

/** What a resync means. */
export interface Loss {
  /** Why the old session is gone. */
  error: BbqError;
  /** How many `notify` may never have arrived. Calls have failed by themselves: NOT_SENT or OUTCOME_UNKNOWN. */
  notifiesLost: number;
}

const CALL_TIMEOUT_MS = 10_000;
/** Longest time that timers can take. */
const MAX_TIMER_MS = 0x7fff_ffff;
/** How many turns of the microtask queue code gets that awaited an answer, before the next message is handed out. */
const SETTLING_TURNS = 4;

interface Waiting {
  resolve(body: Uint8Array): void;
  reject(error: BbqError): void;
}

export class Client implements Caller {
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly #transport: TransportFactory;
  #link: Link | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;

  #lastCall = 0;
  readonly #calls = new Map<number, Waiting>();
  readonly #handlers = new Map<number, BytesHandler[]>();
  #connecting: { resolve(client: Client): void; reject(error: BbqError): void } | undefined;

  #inbox: SessionOutput[] = [];
  #handingOut = false;

  /** Opens a session. Rejects with a `BbqError` when the gate refuses or cannot be reached in time. */
  static connect(options: ClientOptions): Promise<Client> {
    return new Promise((resolve, reject) => {
      const client = new Client(options);
      client.#connecting = { resolve, reject };
      options.setup?.(client);
      client.#handle({ type: "start" });
    });
  }

  private constructor(options: ClientOptions) {
    const { url, transport } = options;
    if (!transport && !url) throw new TypeError("Client.connect needs a url or a transport");
    this.#options = options;
    this.#transport = transport ?? webSocket(url ?? "");
    this.#session = new Session({ ...SESSION_DEFAULTS, random: Math.random, ...options, sdk: SDK_NAME });
  }

  get state(): SessionState {
    return this.#session.state;
  }

  /** The account that the gate found in the token. */
  get account(): string {
    return this.#session.welcome?.account ?? "";
  }

  /** Name of the gate, for logs. */
  get server(): string {
    return this.#session.welcome?.server ?? "";
  }

  /** Most calls that the gate runs at a time for this client; more are answered BUSY. `undefined`: it did not say. */
  get maxCalls(): number | undefined {
    return this.#session.welcome?.maxCalls || undefined;
  }

  /** Round trip of the last heartbeat; they are sent only over idle connections. */
  get rttMs(): number | undefined {
    return this.#session.rttMs;
  }

  /** The clock of the gate, Unix milliseconds. */
  get serverTimeMs(): number {
    return now() + (this.#session.clockOffsetMs ?? 0);
  }

  /** Functions to call the entity of this type and key; without a key, the one whose key is the account. */
  entity<M extends Methods>(type: EntityType<M>, key?: Key): Stub<M> {
    return makeStub(type.methods, checkedKey(key), this);
  }

  /** Functions to call a service. */
  service<M extends Methods>(type: ServiceType<M>): Stub<M> {
    return makeStub(type.methods, undefined, this);
  }

  /** Serves what the server calls on clients. Returns a function that ends it. */
  on<M extends Methods>(type: ClientType<M>, handlers: Handlers<M>): () => void {
    const ends = Object.entries(type.methods).map(([name, method]) => {
      const handler = handlers[name];
      return handler && this.onMethod(method.id, serveBytes(method, handler.bind(handlers) as typeof handler));
    });
    return () => ends.forEach((end) => end?.());
  }

  /**
   * Serves one method with bytes. Messages go to all handlers of a method; a call that wants an answer goes to the one
   * that was added last.
   */
  onMethod(method: number, handler: BytesHandler): () => void {
    this.#handlers.set(method, [...(this.#handlers.get(method) ?? []), handler]);
    return () => {
      const others = this.#handlers.get(method)?.filter((other) => other !== handler) ?? [];
      if (others.length > 0) this.#handlers.set(method, others);
      else this.#handlers.delete(method);
    };
  }

  /**
   * Calls a method with bytes. While the client is detached, the call waits for the connection.
   * Rejects with a `BbqError`: that of the server, DEADLINE_EXCEEDED, CANCELLED (by `signal`), BUSY, FRAME_TOO_LARGE,
   * NOT_SENT or OUTCOME_UNKNOWN (the session was lost).
   */
  call(method: number, key: Key | undefined, body: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { signal, timeoutMs = this.#options.callTimeoutMs ?? CALL_TIMEOUT_MS } = options;
    return new Promise((resolve, reject) => {
      const message = checkedMessage(method, key, body, options.trace);
      if (signal?.aborted) return reject(cancelled());
      const id = (this.#lastCall += 1);
      const onAbort = (): void => {
        this.#calls.delete(id);
        this.#handle({ type: "cancel", id });
        reject(cancelled());
      };
      const settle = (): void => signal?.removeEventListener("abort", onAbort);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#calls.set(id, {
        resolve: (reply) => (settle(), resolve(reply)),
        reject: (error) => (settle(), reject(error)),
      });
      this.#handle({ type: "call", id, message, timeoutMs });
    });
  }

  /**
   * Sends a message with bytes that wants no answer.
   * @throws BbqError BUSY (too much on its way), FRAME_TOO_LARGE or NOT_SENT (closed)
   */
  notify(method: number, key: Key | undefined, body: Uint8Array, options: NotifyOptions = {}): void {
    const message = checkedMessage(method, key, body, options.trace);
    const refused = this.#handle({ type: "notify", message, unreliable: options.unreliable ?? false });
    if (refused) throw refused;
  }

  /**
   * Ends this client; calls that wait fail. A gate that is connected forgets the session at once; otherwise it does when
   * nobody has come back for it within its resume window.
   */
  close(): void {
    this.#handle({ type: "close", error: new BbqError(Code.CANCELLED, "closed by the application") });
  }

  // -- The session machine and the world ----------------------------------------------------------------------------

  /** Hands an event to the machine and does what it says. Returns why a `notify` was refused. */
  #handle(event: SessionEvent): BbqError | undefined {
    let refused: BbqError | undefined;
    for (const output of this.#session.handle(event, now())) {
      if (output.type === "refused") refused = output.error;
      else this.#act(output);
    }
    this.#setTimer();
    return refused;
  }

  #act(output: SessionOutput): void {
    switch (output.type) {
      case "askCredentials":
        return void this.#askCredentials();
      case "open":
        return this.#open(output.address);
      case "send":
        return this.#link?.send(output.bytes, output.unreliable);
      case "disconnect":
        this.#link?.close();
        this.#link = undefined;
        return;
      default:
        this.#inbox.push(output);
        void this.#handOut();
    }
  }

  #open(address: string | undefined): void {
    const link = new Link(this.#made(address), {
      opened: () => this.#handle({ type: "opened" }),
      frame: (frame) => this.#handle({ type: "frame", frame }),
      heard: () => this.#handle({ type: "heard" }),
      badFrame: (error) => this.#handle({ type: "badFrame", error }),
      lost: (reason) => this.#handle({ type: "lost", reason }),
      limit: () => this.#session.maxDown,
    });
    this.#link = link;
    // Not at once: a transport that fails while it opens would come back into the machine.
    queueMicrotask(() => link.open());
  }

  /** A transport; one that only fails where the factory throws. */
  #made(address: string | undefined): ReturnType<TransportFactory> {
    try {
      return this.#transport(address);
    } catch (error) {
      const open: ReturnType<TransportFactory>["open"] = (events) => events.closed(String(error));
      return { framing: "message", open, send() {}, close() {} };
    }
  }

  async #askCredentials(): Promise<void> {
    const { auth } = this.#options;
    try {
      const { scheme, token, device = "" } = typeof auth === "function" ? await auth() : auth;
      const credentials: Credentials = { scheme, token: typeof token === "string" ? utf8(token) : token, device };
      this.#handle({ type: "credentials", credentials });
    } catch (error) {
      this.#handle({ type: "noCredentials", error: BbqError.from(error, Code.UNAUTHENTICATED) });
    }
  }

  /** The timer may be early, then the machine does nothing. */
  #setTimer(): void {
    const at = this.#session.deadline;
    if (at >= this.#timerAt && this.#session.state !== "closed") return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      this.#handle({ type: "tick" });
    }, Math.min(Math.max(0, Math.ceil(at - now())), MAX_TIMER_MS));
  }

  // -- Handing out --------------------------------------------------------------------------------------------------

  async #handOut(): Promise<void> {
    if (this.#handingOut) return;
    this.#handingOut = true;
    // Leaves the machine and whoever called it first.
    await undefined;
    for (let at = 0; at < this.#inbox.length; at += 1) {
      const settles = this.#deliver(this.#inbox[at] as SessionOutput);
      for (let turn = 0; settles && turn < SETTLING_TURNS; turn += 1) await undefined;
    }
    this.#inbox = [];
    this.#handingOut = false;
  }

  /** Returns whether somebody may have awaited this. */
  #deliver(output: SessionOutput): boolean {
    const { onDetach, onResume, onResync, onClosed } = this.#options;
    switch (output.type) {
      case "answer":
        this.#answer(output.id, output.body, output.error);
        return true;
      case "online":
        this.#connecting?.resolve(this);
        this.#connecting = undefined;
        return true;
      case "push":
        this.#push(output.message);
        return false;
      case "request":
        void this.#serve(output.call, output.message, output.deadlineMs);
        return false;
      case "detached":
        this.#report(() => onDetach?.(output.error));
        return false;
      case "resumed":
        this.#report(() => onResume?.());
        return false;
      case "resynced":
        this.#report(() => onResync?.({ error: output.error, notifiesLost: output.notifiesLost }));
        return false;
      case "closed":
        this.#connecting?.reject(output.error);
        this.#connecting = undefined;
        this.#report(() => onClosed?.(output.error));
        return false;
      default:
        return false;
    }
  }

  #answer(id: number, body: Uint8Array, error: BbqError | undefined): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call?.reject(error);
    else call?.resolve(body);
  }

  #push({ method, body, key, trace }: Message): void {
    const from: From = { key, trace, deadlineMs: undefined };
    const handlers = this.#handlers.get(method);
    if (!handlers) return this.#report(() => this.#options.onPush?.(method, body, from));
    for (const handler of handlers) this.#report(() => handler(body, from));
  }

  async #serve(call: number, { method, body, key, trace }: Message, deadlineMs: number | undefined): Promise<void> {
    let reply = new Uint8Array(0) as Uint8Array;
    let error: WireError | undefined;
    const handler = this.#handlers.get(method)?.at(-1);
    try {
      if (!handler) throw new BbqError(Code.UNIMPLEMENTED, "this client does not serve the method");
      reply = await handler(body, { key, trace, deadlineMs });
    } catch (thrown) {
      error = BbqError.from(thrown);
    }
    this.#handle({ type: "reply", call, body: reply, error });
  }

  /** Runs code of the application; what it throws, now or later, is reported and stops nothing. */
  #report(run: () => unknown): void {
    const onError = this.#options.onError ?? ((error: unknown) => console.error(error));
    // What `onError` throws is nobody's but the platform's.
    const fail = (error: unknown): void => void Promise.resolve(error).then(onError);
    try {
      const running = run();
      if (running instanceof Promise) running.catch(fail);
    } catch (error) {
      fail(error);
    }
  }
}

function now(): number {
  return typeof performance === "undefined" ? Date.now() : performance.now();
}

function cancelled(): BbqError {
  return new BbqError(Code.CANCELLED, "the caller gave up");
}

/** @throws RangeError for what cannot be sent */
function checkedMessage(method: number, key: Key | undefined, body: Uint8Array, trace?: Uint8Array): Message {
  if (trace && trace.length !== TRACE_BYTES) throw new RangeError(`a trace context has ${TRACE_BYTES} bytes`);
  return { method, key: checkedKey(key), trace, body };
}
