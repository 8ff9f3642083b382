import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "../dist/errors.js";
import { decodeFrame, encodeFrame, FrameError, Kind } from "../dist/frame.js";
import { Splitter } from "../dist/split.js";
import { Random } from "./random.js";

const ping = (nonce: number) => encodeFrame({ kind: Kind.PING, nonce });

test("a stream gives the same frames however it is cut", () => {
  const random = new Random(3);
  const frames = Array.from({ length: 300 }, (_, nonce) =>
    nonce % 3 ? ping(nonce) : encodeFrame({ kind: Kind.PUSH, seq: nonce, method: 7, body: random.bytes(random.below(3000)) }),
  );
  const stream = Buffer.concat(frames);
  const splitter = new Splitter("stream");
  const seen: number[] = [];
  for (let at = 0; at < stream.length; ) {
    const size = 1 + random.below(random.chance(0.5) ? 3 : 5000);
    splitter.push(stream.subarray(at, at + size));
    at += size;
    for (let content; (content = splitter.next(4096)); ) {
      const frame = decodeFrame(content);
      seen.push(Number(frame.kind === Kind.PING ? frame.nonce : frame.kind === Kind.PUSH ? frame.seq : -1));
    }
  }
  assert.deepEqual(seen, frames.map((_, nonce) => nonce));
});

test("a length is refused before its bytes arrive", () => {
  const splitter = new Splitter("stream");
  splitter.push(Uint8Array.of(0xff, 0xff, 0x7f));
  assert.throws(() => splitter.next(4096), (error) => error instanceof FrameError && error.code === Code.FRAME_TOO_LARGE);
});

test("a frame does not span messages", () => {
  const splitter = new Splitter("message");
  splitter.push(Buffer.concat([ping(1), ping(2)]));
  assert.ok(splitter.next(99));
  assert.ok(splitter.next(99));
  assert.equal(splitter.next(99), undefined);
  splitter.push(ping(3).subarray(0, 2));
  assert.throws(() => splitter.next(99), /a message ends 2 bytes before its frame does/);
  const cut = new Splitter("message");
  cut.push(Uint8Array.of(0x80));
  assert.throws(() => cut.next(99), /a message ends within the length of a frame/);
});
