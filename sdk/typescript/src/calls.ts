/** The calls of this client that wait for an answer, by id and by the seq of their REQ, with their deadlines. */

import type { Uint } from "./codec.js";

export interface Call {
  readonly id: number;
  /** When to give up; `Infinity`: never. */
  readonly deadlineAt: number;
  /** Number of its REQ; `undefined`: it was never sent. */
  seq: number | undefined;
}

export class Calls {
  readonly #byId = new Map<number, Call>();
  readonly #bySeq = new Map<Uint, Call>();
  #earliest = Infinity;

  get size(): number {
    return this.#byId.size;
  }

  /** No deadline comes before this; it may be too early, never too late. */
  get deadline(): number {
    return this.#earliest;
  }

  add(id: number, deadlineAt: number): Call {
    const call = { id, deadlineAt, seq: undefined };
    this.#byId.set(id, call);
    this.#earliest = Math.min(this.#earliest, deadlineAt);
    return call;
  }

  /** The REQ of `call` went out as number `seq`. */
  sent(call: Call, seq: number): void {
    if (this.#byId.get(call.id) !== call) return;
    call.seq = seq;
    this.#bySeq.set(seq, call);
  }

  /** Removes the call whose REQ had the number `seq`. */
  takeAnswered(seq: Uint): Call | undefined {
    return this.#remove(this.#bySeq.get(seq));
  }

  take(id: number): Call | undefined {
    return this.#remove(this.#byId.get(id));
  }

  /** Removes the calls whose time is over. */
  takeExpired(now: number): Call[] {
    if (now < this.#earliest) return [];
    const expired = [...this.#byId.values()].filter((call) => call.deadlineAt <= now);
    for (const call of expired) this.#remove(call);
    this.#earliest = Math.min(...[...this.#byId.values()].map((call) => call.deadlineAt), Infinity);
    return expired;
  }

  takeAll(): Call[] {
    const all = [...this.#byId.values()];
    this.#byId.clear();
    this.#bySeq.clear();
    this.#earliest = Infinity;
    return all;
  }

  #remove(call: Call | undefined): Call | undefined {
    if (call) {
      this.#byId.delete(call.id);
      if (call.seq !== undefined) this.#bySeq.delete(call.seq);
    }
    return call;
  }
}
