/** How long to wait before the next attempt to connect: exponential, with full jitter. */

export interface BackoffLimits {
  /** Longest wait before the first retry; doubles with each further one, */
  readonly baseMs: number;
  /** up to this. */
  readonly maxMs: number;
}

/**
 * Anything from 0 to `baseMs * 2^attempt` (at most `maxMs`), so that many clients that lost the same gate spread out.
 * What the gate asked for (`retryAfterMs`) comes on top.
 */
export function retryDelay(limits: BackoffLimits, attempt: number, retryAfterMs: number, random: () => number): number {
  return retryAfterMs + random() * Math.min(limits.maxMs, limits.baseMs * 2 ** attempt);
}
