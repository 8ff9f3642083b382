import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "../dist/errors.js";
import { decodeFrame, encodeFrame, FrameError, Kind, maxFrameLength, type Frame, type MessageFrame } from "../dist/frame.js";
import { Splitter } from "../dist/split.js";
import { Random } from "./random.js";
import { frameOf, fromHex, plain, readVectors, type BadVector, type Vector } from "./vectors.js";

const MIB = 1024 * 1024;
const vectors = readVectors<{ valid: Vector[]; lenient: Vector[]; invalid: BadVector[] }>("client.json");

function readOne(bytes: Uint8Array, limit = MIB): Frame {
  const splitter = new Splitter("message");
  splitter.push(bytes);
  const content = splitter.next(limit);
  assert.ok(content);
  assert.equal(splitter.next(limit), undefined);
  return decodeFrame(content);
}

for (const { name, hex, fields } of vectors.valid) {
  test(`vector: ${name}`, () => {
    assert.deepEqual(plain(readOne(fromHex(hex))), plain(frameOf(fields)));
    assert.equal(Buffer.from(encodeFrame(frameOf(fields))).toString("hex"), hex);
  });
}

for (const { name, hex, fields } of vectors.lenient) {
  test(`vector read leniently: ${name}`, () => {
    assert.deepEqual(plain(readOne(fromHex(hex))), plain(frameOf(fields)));
  });
}

for (const { name, hex, limit, error } of vectors.invalid) {
  test(`vector refused: ${name}`, () => {
    assert.throws(
      () => readOne(fromHex(hex), limit),
      (thrown) => thrown instanceof FrameError && thrown.code === Code[error as keyof typeof Code],
    );
  });
}

function randomMessage(random: Random): MessageFrame {
  const seq = random.below(1 << 30);
  const ack = random.chance(0.5) ? random.below(1 << 20) : undefined;
  const body = random.bytes(random.below(40));
  const error = { code: 1 + random.below(2000), message: "ä".repeat(random.below(9)), retryAfterMs: random.below(9999) };
  if (random.chance(0.25)) {
    return { kind: Kind.RSP, seq, ack, re: random.below(999), ...(random.chance(0.5) ? { body } : { body: new Uint8Array(0), error }) };
  }
  const key = [undefined, random.below(1 << 30), 2n ** 64n - 1n - BigInt(random.below(99)), "schlüssel"][random.below(4)];
  const trace = random.chance(0.3) ? random.bytes(25) : undefined;
  const common = { seq, ack, method: random.below(1 << 28), key, trace, body };
  const deadlineMs = random.chance(0.5) ? random.below(99999) : undefined;
  return random.chance(0.5) ? { kind: Kind.REQ, ...common, deadlineMs } : { kind: random.chance(0.5) ? Kind.NOTIFY : Kind.PUSH, ...common };
}

test("random message frames round trip, and their greatest length is known beforehand", () => {
  const random = new Random(1);
  for (let round = 0; round < 5_000; round += 1) {
    const frame = randomMessage(random);
    const bytes = encodeFrame(frame);
    assert.deepEqual(plain(readOne(bytes)), plain(frame));
    assert.ok(maxFrameLength(frame) >= bytes.length - 1);
  }
});

test("random bytes are a frame or a FrameError, nothing else", () => {
  const random = new Random(2);
  let frames = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const bytes = random.bytes(random.below(40));
    if (bytes.length > 1) bytes.set([1 + random.below(15), random.chance(0.5) ? 0 : random.below(32)]);
    try {
      decodeFrame(bytes);
      frames += 1;
    } catch (error) {
      assert.ok(error instanceof FrameError);
    }
  }
  assert.ok(frames > 1000);
});
