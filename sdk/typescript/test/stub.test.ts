import assert from "node:assert/strict";
import { test } from "node:test";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BbqError, Code, methodId, type Methods } from "gobbq";

import { ChatClient, Room } from "./fixtures/chat_gobbq.js";
import {
  ConfirmReplySchema,
  ConfirmRequestSchema,
  JoinReplySchema,
  JoinRequestSchema,
  SaidEventSchema,
  SayRequestSchema,
} from "./fixtures/chat_pb.js";
import { connect, memoryRig, until } from "./rig.js";
import { readVectors } from "./vectors.js";

test("ids of methods are those of the vectors", () => {
  for (const { path, id } of readVectors<{ methods: { path: string; id: number }[] }>("ids.json").methods) {
    assert.equal(methodId(path), id);
  }
});

test("the sample of generated code has the ids of its paths", () => {
  for (const { name, methods } of [Room, ChatClient] as { name: string; methods: Methods }[]) {
    for (const [method, { id }] of Object.entries(methods)) {
      assert.equal(methodId(`${name}/${method[0]?.toUpperCase()}${method.slice(1)}`), id);
    }
  }
});

test("a stub calls, notifies, and speaks to the key that it was made for", async () => {
  const rig = memoryRig();
  const seen: unknown[] = [];
  rig.gate.onCall = (_, { method, key, body, deadlineMs }) => {
    seen.push([method, key, deadlineMs]);
    if (method === Room.methods.say.id) return new Uint8Array(0);
    const { name } = fromBinary(JoinRequestSchema, body);
    return toBinary(JoinReplySchema, create(JoinReplySchema, { history: [`hi ${name}`], members: 2 }));
  };
  rig.gate.onNotify = (_, body, method, key) => {
    seen.push([method, key, method === Room.methods.say.id ? fromBinary(SayRequestSchema, body).text : body.length]);
  };
  const client = await connect(rig);
  const room = client.entity(Room, "lobby");
  const reply = await room.join({ name: "ann" });
  assert.deepEqual([reply.history, reply.members], [["hi ann"], 2]);
  assert.equal(await client.entity(Room, 42n).say({ text: "hello" }, { timeoutMs: 1500 }), undefined);
  room.say.notify({ text: "bye" });
  room.leave();
  await until(() => seen.length === 4);
  assert.deepEqual(seen, [
    [Room.methods.join.id, "lobby", 3000],
    [Room.methods.say.id, 42, 1500],
    [Room.methods.say.id, "lobby", "bye"],
    [Room.methods.leave.id, "lobby", 0],
  ]);
});

test("a reply that is none is an error of the call", async () => {
  const rig = memoryRig();
  rig.gate.onCall = () => Uint8Array.of(0x0a, 0x7f);
  const client = await connect(rig);
  await assert.rejects(client.entity(Room, 1).join({}), (error) => error instanceof BbqError && error.code === Code.INVALID_ARGUMENT);
});

test("handlers of a client interface get messages and answer calls", async () => {
  const rig = memoryRig();
  const client = await connect(rig);
  const said: string[] = [];
  const end = client.on(ChatClient, {
    said: ({ from, text }, { key }) => void said.push(`${key}: ${from}: ${text}`),
    async confirm({ question }) {
      if (question === "") throw new BbqError(Code.INVALID_ARGUMENT, "no question");
      return { yes: question.endsWith("?") };
    },
  });
  const body = toBinary(SaidEventSchema, create(SaidEventSchema, { from: "ann", text: "hi" }));
  rig.gate.session.push({ method: ChatClient.methods.said.id, key: "lobby", body });
  const answers: unknown[] = [];
  const ask = (question: string): void => {
    const method = ChatClient.methods.confirm.id;
    rig.gate.session.request({ method, body: toBinary(ConfirmRequestSchema, create(ConfirmRequestSchema, { question })) }, (reply, error) =>
      answers.push(error?.message ?? fromBinary(ConfirmReplySchema, reply).yes),
    );
  };
  ask("really?");
  ask("");
  await until(() => answers.length === 2);
  end();
  ask("still?");
  await until(() => answers.length === 3);
  assert.deepEqual(said, ["lobby: ann: hi"]);
  assert.deepEqual(answers, [true, "no question", "this client does not serve the method"]);
});
