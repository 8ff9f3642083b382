/**
 * Cuts byte streams and WebSocket messages into frames. A frame exists when its bytes have arrived: memory grows with
 * what was received, never because of a length field.
 */

import { Reader, ReadError } from "./codec.js";
import { Code } from "./errors.js";
import { FrameError } from "./frame.js";

const MAX_LENGTH_BYTES = 10;

/** How a transport delivers bytes: cut anywhere, or as messages of whole frames. */
export type Framing = "stream" | "message";

/** Takes bytes in and gives frames (without their `len`) out. */
export class Splitter {
  #buffer = new Uint8Array(0);
  #from = 0;
  #to = 0;

  constructor(readonly framing: Framing) {}

  /** Appends what arrived. */
  push(bytes: Uint8Array): void {
    const left = this.#to - this.#from;
    if (left === 0) {
      this.#from = this.#to = 0;
    } else if (this.#to + bytes.length > this.#buffer.length && this.#from > 0) {
      this.#buffer.copyWithin(0, this.#from, this.#to);
      this.#from = 0;
      this.#to = left;
    }
    if (this.#to + bytes.length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.#to + bytes.length, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, this.#to));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  /**
   * The next whole frame, a copy; `undefined`: more bytes are needed. `limit` is the most bytes after `len`.
   * @throws FrameError: the input is beyond repair
   */
  next(limit: number): Uint8Array | undefined {
    const input = this.#buffer.subarray(this.#from, this.#to);
    const prefix = input.length === 0 ? undefined : readLength(input, limit);
    if (prefix && prefix.size + prefix.length <= input.length) {
      const end = prefix.size + prefix.length;
      this.#from += end;
      return input.slice(prefix.size, end);
    }
    if (this.framing === "message" && input.length > 0) {
      if (!prefix) throw new FrameError("a message ends within the length of a frame");
      const missing = prefix.size + Number(prefix.length) - input.length;
      throw new FrameError(`a message ends ${missing} bytes before its frame does`);
    }
    return undefined;
  }
}

/** Size of the length field and what it says; `undefined`: it has not arrived completely. */
function readLength(input: Uint8Array, limit: number): { size: number; length: number } | undefined {
  const reader = new Reader(input);
  let length;
  try {
    length = reader.varint();
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    if (input.length < MAX_LENGTH_BYTES) return undefined;
    throw new FrameError("bad frame length");
  }
  if (length < 2) throw new FrameError("bad frame length");
  if (length > limit) throw new FrameError(`frame of ${length} bytes, limit ${limit}`, Code.FRAME_TOO_LARGE);
  return { size: reader.offset, length: Number(length) };
}
