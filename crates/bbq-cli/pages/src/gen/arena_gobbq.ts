// @generated from file arena.proto. Do not edit.

import { client, entity, type HandlersOf, type StubOf } from "gobbq";
import {
  EventsSchema,
  InputRequestSchema,
  JoinReplySchema,
  JoinRequestSchema,
  ScoreboardSchema,
  SnapshotSchema,
} from "./arena_pb.js";

/** An arena, keyed by its name. */
export const Arena = entity("arena.Arena", {
  /** Puts a ship into the arena. Joining again gives the same ship. */
  join: { id: 53544330, request: JoinRequestSchema, reply: JoinReplySchema, timeoutMs: 5000 },
  /** What the pilot wants from the next step on. */
  input: { id: 250953474, request: InputRequestSchema, reply: null, oneway: true },
  /** Takes the ship out. A session that ends takes its ship with it. */
  leave: { id: 87778717, request: null, reply: null, timeoutMs: 5000 },
});
export type Arena = StubOf<typeof Arena>;

/** What an arena tells its pilots. */
export const ArenaClient = client("arena.ArenaClient", {
  /** Each step, for each cell near the own ship that has something in it. May get lost: the next one says it all again. */
  near: { id: 66727621, request: SnapshotSchema, reply: null, oneway: true },
  /** What happened in a cell near the own ship. Does not get lost. */
  happened: { id: 268290322, request: EventsSchema, reply: null, oneway: true },
  /** Once a second, to everybody. */
  scores: { id: 222210500, request: ScoreboardSchema, reply: null, oneway: true },
});
export type ArenaClient = HandlersOf<typeof ArenaClient>;
