// @generated from file chat/chat.proto. Do not edit.

import { client, entity, service, type HandlersOf, type StubOf } from "gobbq";
import { JoinReplySchema, JoinRequestSchema, SaidSchema, SayRequestSchema } from "./chat_pb.js";
import { NamesSchema } from "./common_pb.js";

/**
 * A chat room.
 *
 * Rooms are created by the first who joins:
 *
 *     join("lobby")
 *
 * and see <https://example.com> or [RFC 1459].
 */
export const Room = entity("chat.Room", {
  /** Joins the room. */
  join: { id: 7, request: JoinRequestSchema, reply: JoinReplySchema, timeoutMs: 3000 },
  /** Says something to all. */
  say: { id: 29855728, request: SayRequestSchema, reply: null },
  leave: { id: 173588720, request: null, reply: null, oneway: true },
});
export type Room = StubOf<typeof Room>;

/** Finds rooms. */
export const Lobby = service("chat.Lobby", {
  listHTTPRooms: { id: 64905870, request: null, reply: NamesSchema },
});
export type Lobby = StubOf<typeof Lobby>;

/** What the server pushes. */
export const ChatClient = client("chat.ChatClient", {
  /** Somebody said something. */
  said: { id: 90488338, request: SaidSchema, reply: null, oneway: true },
  confirm: { id: 78699721, request: SayRequestSchema, reply: JoinReplySchema },
});
export type ChatClient = HandlersOf<typeof ChatClient>;
