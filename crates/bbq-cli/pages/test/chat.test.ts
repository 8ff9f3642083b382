import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";

import { JoinReplySchema, LineSchema, PresenceChange_Kind, PresenceChangeSchema } from "../src/gen/chat_pb.js";
import { RoomModel } from "../src/chat/model.js";

const line = (number: number, from: string, text: string) =>
  create(LineSchema, { number: BigInt(number), from, text, unixMs: 1_000n });

function joined(...history: ReturnType<typeof line>[]): RoomModel {
  const room = new RoomModel("lobby");
  room.join(create(JoinReplySchema, { name: "ann", history, members: ["ann", "bob"] }));
  return room;
}

test("lines are in the order of their numbers, once each", () => {
  const room = joined(line(1, "bob", "a"), line(2, "bob", "b"));
  assert.equal(room.said(line(4, "bob", "d")), true);
  assert.equal(room.said(line(3, "bob", "c")), true);
  assert.equal(room.said(line(3, "bob", "c")), false);
  assert.equal(room.lines.map((said) => said.text).join(""), "abcd");
});

test("an own line is shown at once, and takes its place when the room has it", () => {
  const room = joined(line(1, "bob", "a"));
  const draft = room.draft("mine", 2_000);
  assert.equal(room.drafts.length, 1);
  room.said(line(2, "bob", "b"));
  room.confirm(draft, 3, 2_500);
  assert.equal(room.drafts.length, 0);
  assert.deepEqual(room.lines.at(-1), { number: 3, from: "ann", text: "mine", unixMs: 2_500 });
});

test("a line whose answer was lost with the session is found in the history", () => {
  const room = joined(line(1, "ann", "hello"));
  const [came, lost] = [room.draft("came", 0), room.draft("hello", 0)];
  const history = [line(1, "ann", "hello"), line(2, "ann", "came")];
  room.join(create(JoinReplySchema, { name: "ann", history, members: ["ann"] }));
  assert.deepEqual(room.drafts, [lost], "the older line with the same text is another one");
  assert.equal(room.fate(lost), "unknown");
  room.drop(came.id);
});

test("people come, go away, come back and leave", () => {
  const room = joined();
  const change = (kind: PresenceChange_Kind, name: string) => room.presence(create(PresenceChangeSchema, { kind, name }));
  change(PresenceChange_Kind.JOINED, "eve");
  change(PresenceChange_Kind.AWAY, "bob");
  assert.deepEqual([...room.members], [["ann", "here"], ["bob", "away"], ["eve", "here"]]);
  change(PresenceChange_Kind.BACK, "bob");
  change(PresenceChange_Kind.LEFT, "eve");
  assert.deepEqual([...room.members], [["ann", "here"], ["bob", "here"]]);
});

test("a room keeps the newest lines", () => {
  const room = joined();
  for (let number = 1; number <= 1_000; number += 1) room.said(line(number, "bob", `${number}`));
  assert.equal(room.lines.length, 400);
  assert.equal(room.newest, 1_000);
});
