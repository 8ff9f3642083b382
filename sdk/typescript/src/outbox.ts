/**
 * What this client sends reliably: frames that wait for a connection, and those that were numbered and sent.
 *
 *     submit -> waiting (no number yet) -> write -> kept by the delivery until acknowledged
 *
 * A frame gets its number when it goes out for the first time, so what waits was certainly never sent.
 */

import type { Call } from "./calls.js";
import { Delivery, type RingLimits } from "./delivery.js";
import { Kind, maxFrameLength, type MessageFrame } from "./frame.js";

/** A frame to be sent; `seq` and `ack` in it are not used. */
export interface Parcel {
  readonly frame: MessageFrame;
  readonly call?: Call | undefined;
}

export class Outbox {
  delivery = new Delivery<Parcel>();
  #waiting: Parcel[] = [];
  #waitingBytes = 0;

  constructor(private readonly limits: RingLimits) {}

  /** Whether `frame` fits beside what waits and what is kept. Replies may use twice the room: they are owed. */
  hasRoom(frame: MessageFrame): boolean {
    const { frames, bytes } = this.limits;
    const limits = frame.kind === Kind.RSP ? { frames: 2 * frames, bytes: 2 * bytes } : this.limits;
    return this.delivery.hasRoom(this.#waiting.length + 1, this.#waitingBytes + maxFrameLength(frame), limits);
  }

  /** Lets a parcel wait for a connection. */
  wait(parcel: Parcel): void {
    this.#waiting.push(parcel);
    this.#waitingBytes += maxFrameLength(parcel.frame);
  }

  /** Everything that waits, oldest first; nothing waits afterwards. */
  takeWaiting(): Parcel[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return waiting;
  }

  /** Forgets the REQ of `call` if it still waits. */
  withdraw(call: Call): void {
    for (const parcel of this.takeWaiting()) {
      if (parcel.call !== call) this.wait(parcel);
    }
  }

  /** Gives a parcel its number and keeps it. */
  number(parcel: Parcel): number {
    return this.delivery.send(parcel, maxFrameLength(parcel.frame));
  }

  /** Starts a new session; the number of NOTIFYs that may never have arrived. */
  reset(): number {
    const lost = [...this.delivery.kept, ...this.takeWaiting()];
    this.delivery = new Delivery();
    return lost.filter(({ frame }) => frame.kind === Kind.NOTIFY).length;
  }
}
