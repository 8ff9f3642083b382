import assert from "node:assert/strict";
import { test } from "node:test";

import { Delivery } from "../dist/delivery.js";
import { Random } from "./random.js";

const LIMITS = { frames: 8, bytes: 4096 };

test("a full ring refuses until something is acknowledged", () => {
  const delivery = new Delivery<string>();
  for (let count = 1; count <= 8; count += 1) assert.equal(delivery.send("x", 10), count);
  assert.equal(delivery.hasRoom(1, 10, LIMITS), false);
  assert.equal(delivery.onAck(3), true);
  assert.equal(delivery.acked, 3);
  assert.equal(delivery.hasRoom(3, 10, LIMITS), true);
  assert.equal(delivery.hasRoom(1, 5000, LIMITS), false);
  assert.equal(delivery.onAck(9), false);
});

test("acknowledgements ride along, or are due after 32 frames or 16 KiB", () => {
  const delivery = new Delivery<string>();
  assert.equal(delivery.takeAck(), undefined);
  for (let seq = 1; seq <= 31; seq += 1) assert.equal(delivery.onSeq(seq, 1), "accept");
  assert.equal(delivery.ackDue, false);
  assert.equal(delivery.onSeq(31, 1), "duplicate");
  assert.equal(delivery.onSeq(33, 1), "gap");
  assert.equal(delivery.onSeq(2n ** 63n, 1), "gap");
  assert.equal(delivery.onSeq(32, 1), "accept");
  assert.equal(delivery.ackDue, true);
  assert.equal(delivery.takeAck(), 32);
  assert.equal(delivery.takeAck(), undefined);
  assert.equal(delivery.onSeq(33, 20_000), "accept");
  assert.equal(delivery.ackDue, true);
});

test("a resume from where the peer cannot be is refused", () => {
  const delivery = new Delivery<string>();
  for (const item of ["a", "b", "c"]) delivery.send(item, 1);
  delivery.onAck(1);
  assert.equal(delivery.resume(0), undefined);
  assert.equal(delivery.resume(4), undefined);
  assert.deepEqual(delivery.resume(2), [{ seq: 3, item: "c" }]);
});

/** One end: what it sent, what it got, and what is under way to it. */
class End {
  readonly delivery = new Delivery<number>();
  readonly got: number[] = [];
  sent = 0;
  incoming: { seq: number; item: number; ack: number | undefined }[] = [];

  send(peer: End): void {
    if (!this.delivery.hasRoom(1, 10, LIMITS)) return;
    this.sent += 1;
    const seq = this.delivery.send(this.sent, 10);
    peer.incoming.push({ seq, item: this.sent, ack: this.delivery.takeAck() });
  }

  receive(): void {
    const frame = this.incoming.shift();
    if (!frame) return;
    if (frame.ack !== undefined) assert.ok(this.delivery.onAck(frame.ack));
    const arrival = this.delivery.onSeq(frame.seq, 10);
    assert.notEqual(arrival, "gap");
    if (arrival === "accept") this.got.push(frame.item);
  }

  resume(peer: End): void {
    const again = this.delivery.resume(peer.delivery.tellSeen());
    assert.ok(again);
    for (const { seq, item } of again) peer.incoming.push({ seq, item, ack: undefined });
  }
}

test("10,000 random cuts lose, double and reorder nothing, in either direction", () => {
  let cuts = 0;
  for (let seed = 0; seed < 100; seed += 1) {
    const random = new Random(seed);
    const [one, other] = [new End(), new End()];
    const reconnect = (): void => {
      for (const end of [one, other]) end.incoming = [];
      one.resume(other);
      other.resume(one);
    };
    for (let cut = 0; cut < 100; cut += 1) {
      for (let step = random.below(60); step > 0; step -= 1) {
        const [end, peer] = random.chance(0.5) ? [one, other] : [other, one];
        if (random.chance(0.5)) end.send(peer);
        else end.receive();
      }
      reconnect();
      cuts += 1;
    }
    while (one.incoming.length + other.incoming.length > 0) [one, other].forEach((end) => end.receive());
    const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
    assert.deepEqual(other.got, upTo(one.sent), `seed ${seed}`);
    assert.deepEqual(one.got, upTo(other.sent), `seed ${seed}`);
    assert.ok(one.sent > 100);
  }
  assert.equal(cuts, 10_000);
});
