/** What goes into the session machine and what comes out of it: plain values. The machine is `session.ts`. */

import type { BackoffLimits } from "./backoff.js";
import type { RingLimits } from "./delivery.js";
import type { BbqError, WireError } from "./errors.js";
import type { Frame, FrameError, Key } from "./frame.js";

export type SessionState = "connecting" | "online" | "detached" | "closed";

export interface SessionConfig {
  /** Name and version of the SDK, for the logs of the gate. */
  readonly sdk: string;
  /** From 0 to 1, as `Math.random`. */
  readonly random: () => number;
  readonly ring: RingLimits;
  readonly backoff: BackoffLimits;
  /** From opening a transport to WELCOME. */
  readonly openTimeoutMs: number;
  /** Give up when the first session takes longer than this. */
  readonly connectTimeoutMs: number;
  /** Give up when a session stays detached for longer than this. */
  readonly reconnectTimeoutMs: number;
  /** Most calls that wait for an answer; more fail with BUSY. */
  readonly maxCalls: number;
  /** Most calls of the gate that are served at a time; more are answered BUSY. */
  readonly maxServed: number;
}

export const SESSION_DEFAULTS: Omit<SessionConfig, "sdk" | "random"> = {
  ring: { frames: 256, bytes: 64 * 1024 },
  backoff: { baseMs: 500, maxMs: 10_000 },
  openTimeoutMs: 10_000,
  connectTimeoutMs: 20_000,
  reconnectTimeoutMs: Infinity,
  maxCalls: 1024,
  maxServed: 64,
};

/** What AUTH carries. */
export interface Credentials {
  readonly scheme: string;
  readonly token: Uint8Array;
  readonly device: string;
}

/** A message to or from the gate. */
export interface Message {
  readonly method: number;
  readonly key?: Key | undefined;
  readonly trace?: Uint8Array | undefined;
  readonly body: Uint8Array;
}

export type SessionEvent =
  | { type: "start" }
  | { type: "credentials"; credentials: Credentials }
  | { type: "noCredentials"; error: BbqError }
  /** The transport is open. */
  | { type: "opened" }
  /** Bytes came that do not make a whole frame yet. */
  | { type: "heard" }
  | { type: "frame"; frame: Frame }
  | { type: "badFrame"; error: FrameError }
  /** The transport has closed by itself. */
  | { type: "lost"; reason: string }
  /** `deadline` has come. */
  | { type: "tick" }
  /** `id` is chosen by the shell; answered by one `answer`, unless cancelled. */
  | { type: "call"; id: number; message: Message; timeoutMs: number }
  | { type: "cancel"; id: number }
  | { type: "notify"; message: Message; unreliable: boolean }
  /** The answer to `request`. */
  | { type: "reply"; call: number; body: Uint8Array; error?: WireError | undefined }
  | { type: "close"; error: BbqError };

export type SessionOutput =
  /** Answer with `credentials` or `noCredentials`. */
  | { type: "askCredentials" }
  /** Open a transport, to `address` if there is one; forget any earlier transport. */
  | { type: "open"; address: string | undefined }
  | { type: "send"; bytes: Uint8Array; unreliable: boolean }
  /** Close the transport after what was sent; hand in nothing more from it. */
  | { type: "disconnect" }
  | { type: "answer"; id: number; body: Uint8Array; error?: BbqError | undefined }
  /** The gate calls; answer with `reply`. */
  | { type: "request"; call: number; message: Message; deadlineMs: number | undefined }
  | { type: "push"; message: Message }
  /** A `notify` was not taken. */
  | { type: "refused"; error: BbqError }
  /** The first session is open. */
  | { type: "online" }
  | { type: "detached"; error: BbqError }
  /** The session goes on; nothing was lost. */
  | { type: "resumed" }
  /** A new session replaces the one that was lost. */
  | { type: "resynced"; error: BbqError; notifiesLost: number }
  | { type: "closed"; error: BbqError };
