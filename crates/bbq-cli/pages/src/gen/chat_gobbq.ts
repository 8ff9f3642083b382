// @generated from file chat.proto. Do not edit.

import { client, entity, type HandlersOf, type StubOf } from "gobbq";
import {
  JoinReplySchema,
  JoinRequestSchema,
  LineSchema,
  PresenceChangeSchema,
  RoomListSchema,
  SayReplySchema,
  SayRequestSchema,
} from "./chat_pb.js";

/** A room, keyed by its name. It is made by the first who joins, and kept in the Store. */
export const Room = entity("chat.Room", {
  /** Enters the room. Entering again is fine: it is how a client catches up after it lost its session. */
  join: { id: 163307113, request: JoinRequestSchema, reply: JoinReplySchema, timeoutMs: 5000 },
  /** Says something to everybody in the room. The reply comes when it is stored. */
  say: { id: 29855728, request: SayRequestSchema, reply: SayReplySchema, timeoutMs: 5000 },
  /** Leaves the room. A session that ends leaves by itself. */
  leave: { id: 173588720, request: null, reply: null, timeoutMs: 5000 },
});
export type Room = StubOf<typeof Room>;

/** The rooms that have somebody in them; the only one has the key "all". It remembers nothing: rooms report again. */
export const Directory = entity("chat.Directory", {
  /** The busiest rooms, most members first. */
  list: { id: 243540931, request: null, reply: RoomListSchema, timeoutMs: 3000 },
});
export type Directory = StubOf<typeof Directory>;

/** What a room tells its members. */
export const ChatClient = client("chat.ChatClient", {
  /** Somebody else said something. */
  said: { id: 90488338, request: LineSchema, reply: null, oneway: true },
  /** Somebody came or went. */
  presence: { id: 261538862, request: PresenceChangeSchema, reply: null, oneway: true },
});
export type ChatClient = HandlersOf<typeof ChatClient>;
