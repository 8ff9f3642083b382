import assert from "node:assert/strict";
import { test } from "node:test";

import { Reader, ReadError, varintLength, Writer, type Uint } from "../dist/codec.js";

test("varints of every length round trip, and their length is known beforehand", () => {
  const values: Uint[] = [0];
  for (let bit = 0n; bit <= 64n; bit += 1n) {
    for (const value of [(1n << bit) - 1n, 1n << bit]) {
      if (value < 1n << 64n) values.push(value <= Number.MAX_SAFE_INTEGER ? Number(value) : value);
    }
  }
  for (const value of values) {
    const bytes = new Writer(1).varint(value).finish();
    const reader = new Reader(bytes);
    assert.equal(reader.varint(), value);
    assert.equal(reader.offset, bytes.length);
    const estimate = varintLength(value);
    assert.ok(typeof value === "number" ? estimate === bytes.length : estimate >= bytes.length, `${value}`);
  }
});

test("a small bigint is written as the number that it is", () => {
  assert.deepEqual([...new Writer().varint(300n).finish()], [0xac, 0x02]);
});

test("a long form is read, an overlong or too large one refused", () => {
  assert.equal(new Reader(Uint8Array.of(0x81, 0x80, 0)).varint(), 1);
  for (const bytes of [[0x80, 0x80], Array(10).fill(0xff), Array(11).fill(0x80), [...Array(9).fill(0xff), 2]]) {
    assert.throws(() => new Reader(Uint8Array.from(bytes)).varint(), ReadError);
  }
  assert.throws(() => new Reader(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x10)).u32(), ReadError);
});

test("a length is compared and never trusted", () => {
  const huge = new Writer().varint(2n ** 64n - 1n).finish();
  assert.throws(() => new Reader(huge).bytes(), ReadError);
  assert.throws(() => new Reader(Uint8Array.of(2, 0xc3, 0x28)).string(), ReadError);
  assert.throws(() => new Reader(Uint8Array.of(3, 97, 97, 97)).string(2), ReadError);
});

test("what is no unsigned 64-bit integer is not written", () => {
  for (const value of [-1, 1.5, NaN, Infinity, 2 ** 53, -1n, 1n << 64n]) {
    assert.throws(() => new Writer().varint(value), RangeError);
  }
});
