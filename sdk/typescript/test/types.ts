/** Checked by the compiler only: what generated code makes of types, and what it must refuse. Never run. */

import { client as clientType, service, type Client, type Stub } from "gobbq";

import { ChatClient, Room } from "./fixtures/chat_gobbq.js";
import { JoinReplySchema, type JoinReply } from "./fixtures/chat_pb.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

const Shop = service("shop.Shop", {
  list: { id: 1, request: null, reply: JoinReplySchema },
  reset: { id: 2, request: null, reply: null },
});

export async function types(client: Client): Promise<void> {
  const room = client.entity(Room, "lobby");
  same<typeof room, Room>(true);
  same<Room, Stub<(typeof Room)["methods"]>>(true);

  const reply = await room.join({ name: "ann" }, { timeoutMs: 500, signal: new AbortController().signal });
  same<typeof reply, JoinReply>(true);
  same<typeof reply.history, string[]>(true);
  same<Awaited<ReturnType<typeof room.say>>, void>(true);
  same<ReturnType<typeof room.leave>, void>(true);
  room.say.notify({ text: "x" }, { unreliable: true });
  room.leave();
  room.leave(null, { unreliable: true });

  client.entity(Room, 1);
  client.entity(Room, 1n);
  client.entity(Room);
  const shop = client.service(Shop);
  same<Awaited<ReturnType<typeof shop.list>>, JoinReply>(true);
  await shop.list(null, { timeoutMs: 1 });
  await shop.reset();
  shop.reset.notify();

  // @ts-expect-error: no such field
  await room.join({ nme: "ann" });
  // @ts-expect-error: a number is no string
  await room.join({ name: 1 });
  // @ts-expect-error: the argument is missing
  await room.join();
  // @ts-expect-error: a call has no lane
  await room.join({}, { unreliable: true });
  // @ts-expect-error: no such method
  room.shout({ text: "x" });
  // @ts-expect-error: a oneway method has no second form
  room.leave.notify();
  // @ts-expect-error: there is nothing to pass
  await shop.reset({ text: "x" });
  // @ts-expect-error: a service has no key
  client.service(Shop, 1);
  // @ts-expect-error: a service is no entity
  client.entity(Shop, 1);
  // @ts-expect-error: an entity is not served by clients
  client.on(Room, {});
  // @ts-expect-error: no such kind of key
  client.entity(Room, true);

  client.on(ChatClient, {
    said(message, from) {
      same<typeof message.text, string>(true);
      same<typeof from.key, string | number | bigint | undefined>(true);
    },
    confirm: async ({ question }) => ({ yes: question.length > 3 }),
  });
  client.on(ChatClient, { said: async () => 5, confirm: () => ({}) });
  const handlers: ChatClient = { confirm: ({ question }) => ({ yes: question === "" }) };
  client.on(ChatClient, handlers);
  // @ts-expect-error: a wrong reply
  client.on(ChatClient, { confirm: () => ({ yes: "no" }) });
  // @ts-expect-error: no reply
  client.on(ChatClient, { confirm: () => {} });
  // @ts-expect-error: no such method
  client.on(ChatClient, { sad: () => {} });

  const Empty = clientType("a.B", { c: { id: 1, request: null, reply: null } });
  client.on(Empty, { c: (message) => same<typeof message, null>(true) });
}
