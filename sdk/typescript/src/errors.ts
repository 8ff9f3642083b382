/** The one error that this SDK throws and that crosses the network. The table behind it is `codes.ts`. */

import { Code, RETRY } from "./codes.js";

export { Code } from "./codes.js";

/** First code that belongs to applications. */
export const FIRST_APPLICATION_CODE = 1000;

/** Whether the same call may be tried again; "maybe": it may have run, repeat only what is idempotent. */
export type Retry = "yes" | "no" | "maybe" | "resume";

/** What an error consists of on the wire. */
export interface WireError {
  readonly code: number;
  readonly message: string;
  /** How long to wait before a retry; 0: no hint. */
  readonly retryAfterMs: number;
}

/** A failure with a code of `spec/errors.md`, or an application's own code. */
export class BbqError extends Error implements WireError {
  /** The name of the code, such as `NOT_FOUND`. */
  override readonly name: string;
  readonly code: number;
  readonly retryAfterMs: number;

  /** @param message for people; never parse it */
  constructor(code: number, message: string, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.name = codeName(code);
    this.retryAfterMs = retryAfterMs;
  }

  /** What the table says about trying again. */
  get retry(): Retry {
    return RETRY[this.code] ?? "no";
  }

  /** Whether the call was certainly not processed and may be tried again as it is. */
  get retryable(): boolean {
    return this.retry === "yes";
  }

  /** Any thrown value as a `BbqError`; what is none becomes `code`. */
  static from(thrown: unknown, code: number = Code.UNKNOWN): BbqError {
    if (thrown instanceof BbqError) return thrown;
    return new BbqError(code, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** The name in the table, or `APPLICATION` / `UNASSIGNED` for numbers outside it. */
export function codeName(code: number): string {
  for (const [name, number] of Object.entries(Code)) {
    if (number === code) return name;
  }
  return code >= FIRST_APPLICATION_CODE ? "APPLICATION" : "UNASSIGNED";
}
