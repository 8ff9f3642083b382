/**
 * Fields of frames: a bounded reader and a growing writer. Knows nothing of frames.
 *
 * A number that JavaScript holds exactly is a `number`; only beyond 2^53 - 1 it is a `bigint`. Both compare with each
 * other, so callers rarely care. Lengths come from the peer: they are compared, never used to reserve memory.
 */

/** An unsigned integer of up to 64 bits; `bigint` only when a `number` would lose digits. */
export type Uint = number | bigint;

/** The input is not what the field should be. The message says why. */
export class ReadError extends Error {}

const MAX_VARINT_BYTES = 10;
const MAX_U32 = 0xffff_ffff;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;

let encoder: TextEncoder | undefined;
let decoder: TextDecoder | undefined;

/** UTF-8 of a string. */
export function utf8(text: string): Uint8Array {
  encoder ??= new TextEncoder();
  return encoder.encode(text);
}

/** Reads fields from the front of a byte array. */
export class Reader {
  #at = 0;

  constructor(readonly input: Uint8Array) {}

  /** Number of bytes read so far. */
  get offset(): number {
    return this.#at;
  }

  /** Whether everything has been read. */
  get isEmpty(): boolean {
    return this.#at >= this.input.length;
  }

  /** One byte. */
  u8(): number {
    const byte = this.input[this.#at];
    if (byte === undefined) throw new ReadError("the input ends inside a field");
    this.#at += 1;
    return byte;
  }

  /** Unsigned LEB128 of at most ten bytes; the shortest form is not required. */
  varint(): Uint {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 7; count += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    return this.#longVarint(value);
  }

  /** The bytes after the seventh, which reach beyond 2^49. */
  #longVarint(low: number): Uint {
    let value = BigInt(low);
    for (let count = 7; count < MAX_VARINT_BYTES; count += 1) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte >= 0x80) continue;
      if (value > MAX_U64) break;
      return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
    }
    throw new ReadError("a varint does not fit 64 bits");
  }

  /** A varint that fits 32 bits. */
  u32(): number {
    const value = this.varint();
    if (value > MAX_U32) throw new ReadError("a number does not fit its field");
    return Number(value);
  }

  /** The next `count` bytes, not copied. */
  take(count: Uint): Uint8Array {
    if (count > this.input.length - this.#at) throw new ReadError("the input ends inside a field");
    const from = this.#at;
    this.#at += Number(count);
    return this.input.subarray(from, this.#at);
  }

  /** `len:varint` and that many bytes, not copied. */
  bytes(): Uint8Array {
    return this.take(this.varint());
  }

  /** `len:varint` and that many bytes of UTF-8. */
  string(maxBytes = Infinity): string {
    const bytes = this.bytes();
    if (bytes.length > maxBytes) throw new ReadError("a field is longer than its limit");
    decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      return decoder.decode(bytes);
    } catch {
      throw new ReadError("a string is not UTF-8");
    }
  }

  /** Everything not read yet, not copied. */
  rest(): Uint8Array {
    return this.take(this.input.length - this.#at);
  }
}

/** Appends fields to a buffer that grows. */
export class Writer {
  #buffer: Uint8Array;
  #length = 0;

  constructor(sizeHint = 64) {
    this.#buffer = new Uint8Array(sizeHint);
  }

  /** What was written, not copied. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  u8(byte: number): this {
    this.#room(1);
    this.#buffer[this.#length++] = byte;
    return this;
  }

  /** Shortest form. @throws RangeError for what is no unsigned 64-bit integer. */
  varint(value: Uint): this {
    let rest = checkedUint(value);
    while (typeof rest === "bigint" && rest > Number.MAX_SAFE_INTEGER) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    let low = Number(rest);
    while (low >= 0x80) {
      this.u8((low % 128) | 0x80);
      low = Math.floor(low / 128);
    }
    return this.u8(low);
  }

  /** Bytes without a length. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** `len:varint` and the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  /** `len:varint` and the text. */
  string(text: string): this {
    return this.bytes(utf8(text));
  }

  #room(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    larger.set(this.finish());
    this.#buffer = larger;
  }
}

/** Length of the shortest encoding of `value`; for a `bigint` it may be one too many. */
export function varintLength(value: Uint): number {
  let length = 1;
  for (let rest = Number(value); rest >= 128; rest /= 128) length += 1;
  return Math.min(length, MAX_VARINT_BYTES);
}

/** `value` if it is an integer from 0 to 2^64 - 1. @throws RangeError */
export function checkedUint(value: Uint): Uint {
  const fits = typeof value === "bigint" ? value >= 0n && value <= MAX_U64 : Number.isSafeInteger(value) && value >= 0;
  if (!fits) throw new RangeError(`${value} is not an unsigned 64-bit integer`);
  return value;
}
