/**
 * Delivery within a session (`spec/wire.md`, section 4), the same at both ends.
 *
 * A sender numbers its frames 1, 2, 3 .. for the life of the session and keeps each until the peer acknowledged it; a
 * receiver accepts exactly the next one. What is kept is bounded, and a full ring refuses.
 *
 *     1 .. acked | acked+1 .. sent: the ring
 *
 * It knows nothing of connections, of time, or of what the frames mean.
 */

import type { Uint } from "./codec.js";

/** Send an ACK frame after this many frames without an acknowledgement, */
export const ACK_AFTER_FRAMES = 32;
/** or after this many bytes. */
export const ACK_AFTER_BYTES = 16 * 1024;

/** How much a sender keeps for a resume. */
export interface RingLimits {
  readonly frames: number;
  readonly bytes: number;
}

/** What became of a frame that arrived: the next one, seen before (drop it silently), or after a gap (an error). */
export type Arrival = "accept" | "duplicate" | "gap";

/** Both directions of one session; `T` is what the ring keeps. */
export class Delivery<T> {
  #ring: { item: T; bytes: number }[] = [];
  #ringBytes = 0;
  #sent = 0;
  #seen = 0;
  #told = 0;
  #untoldBytes = 0;

  /** Highest number given to a frame. */
  get sent(): number {
    return this.#sent;
  }

  /** Highest number that the peer has accepted. */
  get acked(): number {
    return this.#sent - this.#ring.length;
  }

  /** Highest number accepted from the peer. */
  get seen(): number {
    return this.#seen;
  }

  /** What is kept, oldest first. */
  get kept(): T[] {
    return this.#ring.map(({ item }) => item);
  }

  /** Whether `frames` more, of `bytes` together, would fit. */
  hasRoom(frames: number, bytes: number, limits: RingLimits): boolean {
    return this.#ring.length + frames <= limits.frames && this.#ringBytes + bytes <= limits.bytes;
  }

  /** Keeps `item` and gives it its number. Ask `hasRoom` first. */
  send(item: T, bytes: number): number {
    this.#ring.push({ item, bytes });
    this.#ringBytes += bytes;
    this.#sent += 1;
    return this.#sent;
  }

  /** Judges the number of a frame that arrived. Not for `seq` 0, the unreliable lane. */
  onSeq(seq: Uint, bytes: number): Arrival {
    if (seq <= this.#seen) return "duplicate";
    if (seq > this.#seen + 1) return "gap";
    this.#seen += 1;
    this.#untoldBytes += bytes;
    return "accept";
  }

  /** The peer has accepted everything up to `seen`: forget it. False: it never got so much, a protocol error. */
  onAck(seen: Uint): boolean {
    if (seen > this.#sent) return false;
    const count = Number(seen) - this.acked;
    if (count > 0) {
      for (const { bytes } of this.#ring.splice(0, count)) this.#ringBytes -= bytes;
    }
    return true;
  }

  /** Whether so much is unacknowledged that an ACK frame should go out now. */
  get ackDue(): boolean {
    return this.#seen - this.#told >= ACK_AFTER_FRAMES || this.#untoldBytes >= ACK_AFTER_BYTES;
  }

  /** What to acknowledge with a frame that goes out now; `undefined`: the peer knows. */
  takeAck(): number | undefined {
    return this.#seen > this.#told ? this.tellSeen() : undefined;
  }

  /** Highest number accepted, for RESUME; counts as an acknowledgement. */
  tellSeen(): number {
    this.#told = this.#seen;
    this.#untoldBytes = 0;
    return this.#seen;
  }

  /**
   * What to send again, with its old numbers, to a peer that has accepted everything up to `peerSeen`. `undefined`: it
   * claims what cannot be, and the session cannot go on.
   */
  resume(peerSeen: Uint): { seq: number; item: T }[] | undefined {
    if (peerSeen < this.acked || !this.onAck(peerSeen)) return undefined;
    return this.#ring.map(({ item }, index) => ({ seq: this.acked + 1 + index, item }));
  }
}
