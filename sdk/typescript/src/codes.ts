// Generated from spec/errors.md by `npm run errors`. Do not edit.

/** Error codes of the framework. Applications use 1000 and up. */
export const Code = {
  OK: 0,
  /** the caller gave up */
  CANCELLED: 1,
  /** an error without a better code */
  UNKNOWN: 2,
  /** the request itself is wrong; the same request will fail again */
  INVALID_ARGUMENT: 3,
  /** time ran out; the message says whether the call had been delivered */
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  /** authenticated, but not allowed */
  PERMISSION_DENIED: 7,
  /** a quota or limit */
  RESOURCE_EXHAUSTED: 8,
  /** the state does not allow it */
  FAILED_PRECONDITION: 9,
  /** a conflict; read again and retry */
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  /** no such method here */
  UNIMPLEMENTED: 12,
  /** a bug on our side */
  INTERNAL: 13,
  /** nobody can serve it now; it was **not** processed */
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  /** who are you? */
  UNAUTHENTICATED: 16,
  /** a bounded queue (mailbox, window, ring) is full; not processed */
  BUSY: 20,
  /** A calls B calls A: the call came back to an entity that waits for it */
  DEADLOCK: 21,
  /** never left this node; safe to retry */
  NOT_SENT: 22,
  /** nobody can say whether the call took effect: the node that had it died, or it ran and its state could not be stored in time */
  OUTCOME_UNKNOWN: 23,
  /** the handler panicked; the entity was torn down */
  PANICKED: 24,
  /** a newer activation of this entity exists */
  FENCED: 25,
  /** the entity stopped before the call ran */
  ENTITY_STOPPED: 26,
  /** the session that was called is detached or over */
  CLIENT_GONE: 27,
  /** the peer broke the protocol */
  BAD_FRAME: 40,
  FRAME_TOO_LARGE: 41,
  UNSUPPORTED_VERSION: 42,
  HANDSHAKE_TIMEOUT: 43,
  /** the session cannot be resumed; authenticate anew */
  RESUME_FAILED: 44,
  /** the client did not read fast enough */
  SLOW_CONSUMER: 45,
  /** the same account logged in elsewhere */
  REPLACED: 46,
  /** the gate drains */
  GOING_AWAY: 47,
  TOO_MANY_CONNECTIONS: 48,
  HEARTBEAT_TIMEOUT: 49,
  /** an operator or the game ended the session */
  KICKED: 50,
  /** detached for longer than `resume_ms` */
  SESSION_EXPIRED: 51,
} as const;

/** Codes whose retry is not "no". */
export const RETRY: { readonly [code: number]: "yes" | "maybe" | "resume" } = {
  4: "maybe",
  8: "yes",
  10: "yes",
  14: "yes",
  20: "yes",
  22: "yes",
  23: "maybe",
  26: "yes",
  43: "yes",
  45: "resume",
  47: "yes",
  48: "yes",
  49: "resume",
};
