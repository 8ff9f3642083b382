/**
 * One transport, seen as frames: cuts what comes in, gathers what goes out within one turn of the event loop, sends the
 * preface of byte streams. After `close` nothing comes out any more.
 */

import { decodeFrame, FrameError, PREFACE, type Frame } from "./frame.js";
import { Splitter } from "./split.js";
import type { Transport } from "./transport.js";

export interface LinkEvents {
  opened(): void;
  frame(frame: Frame): void;
  /** Bytes came, but no whole frame. */
  heard(): void;
  badFrame(error: FrameError): void;
  lost(reason: string): void;
  /** Longest frame that may come in now. */
  limit(): number;
}

/** Frames are gathered into pieces of about this many bytes. */
const PIECE_BYTES = 16 * 1024;
/** Above so many bytes that wait in the transport, the unreliable lane is shed. */
const SHED_ABOVE_BYTES = 64 * 1024;

export class Link {
  readonly #transport: Transport;
  readonly #events: LinkEvents;
  readonly #splitter: Splitter;
  #closed = false;
  #pending: Uint8Array[] = [];

  constructor(transport: Transport, events: LinkEvents) {
    this.#transport = transport;
    this.#events = events;
    this.#splitter = new Splitter(transport.framing);
  }

  open(): void {
    try {
      this.#transport.open({
        opened: () => this.#opened(),
        received: (bytes) => this.#received(bytes),
        closed: (reason) => this.#lost(reason),
      });
    } catch (error) {
      this.#lost(String(error));
    }
  }

  send(frame: Uint8Array, unreliable: boolean): void {
    if (this.#closed || (unreliable && (this.#transport.bufferedBytes ?? 0) > SHED_ABOVE_BYTES)) return;
    if (this.#pending.length === 0) queueMicrotask(() => this.#flush());
    this.#pending.push(frame);
  }

  /** Sends what was gathered, then closes. */
  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#transport.close();
  }

  #opened(): void {
    if (this.#closed) return;
    if (this.#transport.framing === "stream") this.#pending.push(PREFACE);
    this.#events.opened();
    this.#flush();
  }

  #received(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#splitter.push(bytes);
    let frames = 0;
    try {
      // The consumer of a frame may close this link, or change the limit.
      while (!this.#closed) {
        const content = this.#splitter.next(this.#events.limit());
        if (!content) break;
        frames += 1;
        this.#events.frame(decodeFrame(content));
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      return this.#events.badFrame(error);
    }
    if (frames === 0 && !this.#closed) this.#events.heard();
  }

  #lost(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.lost(reason);
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    if (this.#closed) return;
    let from = 0;
    let size = 0;
    pending.forEach((frame, index) => {
      size += frame.length;
      if (size < PIECE_BYTES && index + 1 < pending.length) return;
      this.#write(joined(pending.slice(from, index + 1), size));
      from = index + 1;
      size = 0;
    });
  }

  #write(bytes: Uint8Array): void {
    try {
      if (!this.#closed) this.#transport.send(bytes);
    } catch (error) {
      this.#lost(String(error));
    }
  }
}

function joined(parts: Uint8Array[], size: number): Uint8Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
