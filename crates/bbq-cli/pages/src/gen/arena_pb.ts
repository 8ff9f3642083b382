// @generated from file arena.proto (package arena, syntax proto3). Do not edit.
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file arena.proto.
 */
export const file_arena: GenFile = /*@__PURE__*/
  fileDesc("CgthcmVuYS5wcm90bxIFYXJlbmEiGwoLSm9pblJlcXVlc3QSDAoEbmFtZRgBIAEoCSJpCglKb2luUmVwbHkSCwoDeW91GAEgASgNEgwKBHNpemUYAiABKA0SDAoEY2VsbBgDIAEoDRIMCgR0aWNrGAQgASgNEg8KB3RpY2tfbXMYBSABKA0SCQoBeBgGIAEoERIJCgF5GAcgASgRIl8KDElucHV0UmVxdWVzdBIQCghzZXF1ZW5jZRgBIAEoDRIQCgh0aHJ1c3RfeBgCIAEoERIQCgh0aHJ1c3RfeRgDIAEoERILCgNhaW0YBCABKBESDAoEZmlyZRgFIAEoCCJeCghTbmFwc2hvdBIMCgR0aWNrGAEgASgNEgwKBGNlbGwYAiABKA0SGgoFc2hpcHMYAyADKAsyCy5hcmVuYS5TaGlwEhoKBXNob3RzGAQgAygLMgsuYXJlbmEuU2hvdCKRAQoEU2hpcBIKCgJpZBgBIAEoDRIJCgF4GAIgASgREgkKAXkYAyABKBESDwoHc3BlZWRfeBgEIAEoERIPCgdzcGVlZF95GAUgASgREgsKA2FpbRgGIAEoERIMCgRodWxsGAcgASgNEg0KBWlucHV0GAggASgNEg0KBWZyZXNoGAkgASgIEgwKBG5hbWUYCiABKAkiNwoEU2hvdBIKCgJpZBgBIAEoDRIJCgF4GAIgASgREgkKAXkYAyABKBESDQoFb3duZXIYBCABKA0iNAoGRXZlbnRzEgwKBHRpY2sYASABKA0SHAoGZXZlbnRzGAIgAygLMgwuYXJlbmEuRXZlbnQitgEKBUV2ZW50Eh8KBGtpbmQYASABKA4yES5hcmVuYS5FdmVudC5LaW5kEgwKBHNoaXAYAiABKA0SCgoCYnkYAyABKA0SCQoBeBgEIAEoERIJCgF5GAUgASgRIlwKBEtpbmQSFAoQS0lORF9VTlNQRUNJRklFRBAAEhAKDEtJTkRfU1BBV05FRBABEgwKCEtJTkRfSElUEAISDwoLS0lORF9LSUxMRUQQAxINCglLSU5EX0xFRlQQBCI2CgpTY29yZWJvYXJkEhkKA3RvcBgBIAMoCzIMLmFyZW5hLlNjb3JlEg0KBXNoaXBzGAIgASgNIkIKBVNjb3JlEgwKBHNoaXAYASABKA0SDAoEbmFtZRgCIAEoCRINCgVraWxscxgDIAEoDRIOCgZkZWF0aHMYBCABKA0iSwoKQXJlbmFTdGF0ZRIMCgR0aWNrGAEgASgEEhEKCWxhc3Rfc2hpcBgCIAEoDRIcCgZwaWxvdHMYAyADKAsyDC5hcmVuYS5QaWxvdCLXAQoFUGlsb3QSDAoEc2hpcBgBIAEoDRIMCgRuYW1lGAIgASgJEgkKAXgYAyABKAISCQoBeRgEIAEoAhIPCgdzcGVlZF94GAUgASgCEg8KB3NwZWVkX3kYBiABKAISDAoEaHVsbBgHIAEoDRINCgVraWxscxgIIAEoDRIOCgZkZWF0aHMYCSABKA0SDwoHc2Vzc2lvbhgKIAEoBBIRCglnYXRlX25vZGUYCyABKA0SGAoQZ2F0ZV9pbmNhcm5hdGlvbhgMIAEoBBIPCgdhY2NvdW50GA0gASgJYgZwcm90bzM");

/**
 * @generated from message arena.JoinRequest
 */
export type JoinRequest = Message<"arena.JoinRequest"> & {
  /**
   * 1 to 16 characters.
   *
   * @generated from field: string name = 1;
   */
  name: string;
};

/**
 * Describes the message arena.JoinRequest.
 * Use `create(JoinRequestSchema)` to create a new message.
 */
export const JoinRequestSchema: GenMessage<JoinRequest> = /*@__PURE__*/
  messageDesc(file_arena, 0);

/**
 * @generated from message arena.JoinReply
 */
export type JoinReply = Message<"arena.JoinReply"> & {
  /**
   * The own ship.
   *
   * @generated from field: uint32 you = 1;
   */
  you: number;

  /**
   * Length of the arena's sides, in units.
   *
   * @generated from field: uint32 size = 2;
   */
  size: number;

  /**
   * Length of a cell's sides, in units. The own cell and the eight around it are told.
   *
   * @generated from field: uint32 cell = 3;
   */
  cell: number;

  /**
   * The step that is next.
   *
   * @generated from field: uint32 tick = 4;
   */
  tick: number;

  /**
   * @generated from field: uint32 tick_ms = 5;
   */
  tickMs: number;

  /**
   * Where the own ship is.
   *
   * @generated from field: sint32 x = 6;
   */
  x: number;

  /**
   * @generated from field: sint32 y = 7;
   */
  y: number;
};

/**
 * Describes the message arena.JoinReply.
 * Use `create(JoinReplySchema)` to create a new message.
 */
export const JoinReplySchema: GenMessage<JoinReply> = /*@__PURE__*/
  messageDesc(file_arena, 1);

/**
 * @generated from message arena.InputRequest
 */
export type InputRequest = Message<"arena.InputRequest"> & {
  /**
   * Numbers the inputs of a client, from 1.
   *
   * @generated from field: uint32 sequence = 1;
   */
  sequence: number;

  /**
   * Where to push, -100 .. 100 in each direction.
   *
   * @generated from field: sint32 thrust_x = 2;
   */
  thrustX: number;

  /**
   * @generated from field: sint32 thrust_y = 3;
   */
  thrustY: number;

  /**
   * Where to look, and shoot.
   *
   * @generated from field: sint32 aim = 4;
   */
  aim: number;

  /**
   * @generated from field: bool fire = 5;
   */
  fire: boolean;
};

/**
 * Describes the message arena.InputRequest.
 * Use `create(InputRequestSchema)` to create a new message.
 */
export const InputRequestSchema: GenMessage<InputRequest> = /*@__PURE__*/
  messageDesc(file_arena, 2);

/**
 * Everything in one cell after one step.
 *
 * @generated from message arena.Snapshot
 */
export type Snapshot = Message<"arena.Snapshot"> & {
  /**
   * @generated from field: uint32 tick = 1;
   */
  tick: number;

  /**
   * Row * cells per row + column, from the top left.
   *
   * @generated from field: uint32 cell = 2;
   */
  cell: number;

  /**
   * @generated from field: repeated arena.Ship ships = 3;
   */
  ships: Ship[];

  /**
   * @generated from field: repeated arena.Shot shots = 4;
   */
  shots: Shot[];
};

/**
 * Describes the message arena.Snapshot.
 * Use `create(SnapshotSchema)` to create a new message.
 */
export const SnapshotSchema: GenMessage<Snapshot> = /*@__PURE__*/
  messageDesc(file_arena, 3);

/**
 * @generated from message arena.Ship
 */
export type Ship = Message<"arena.Ship"> & {
  /**
   * @generated from field: uint32 id = 1;
   */
  id: number;

  /**
   * @generated from field: sint32 x = 2;
   */
  x: number;

  /**
   * @generated from field: sint32 y = 3;
   */
  y: number;

  /**
   * @generated from field: sint32 speed_x = 4;
   */
  speedX: number;

  /**
   * @generated from field: sint32 speed_y = 5;
   */
  speedY: number;

  /**
   * @generated from field: sint32 aim = 6;
   */
  aim: number;

  /**
   * 1 .. 100; who has none left is not shown.
   *
   * @generated from field: uint32 hull = 7;
   */
  hull: number;

  /**
   * Sequence of the last input that has been carried out.
   *
   * @generated from field: uint32 input = 8;
   */
  input: number;

  /**
   * Cannot be hit yet.
   *
   * @generated from field: bool fresh = 9;
   */
  fresh: boolean;

  /**
   * Once a second for each ship.
   *
   * @generated from field: string name = 10;
   */
  name: string;
};

/**
 * Describes the message arena.Ship.
 * Use `create(ShipSchema)` to create a new message.
 */
export const ShipSchema: GenMessage<Ship> = /*@__PURE__*/
  messageDesc(file_arena, 4);

/**
 * @generated from message arena.Shot
 */
export type Shot = Message<"arena.Shot"> & {
  /**
   * @generated from field: uint32 id = 1;
   */
  id: number;

  /**
   * @generated from field: sint32 x = 2;
   */
  x: number;

  /**
   * @generated from field: sint32 y = 3;
   */
  y: number;

  /**
   * The ship that fired.
   *
   * @generated from field: uint32 owner = 4;
   */
  owner: number;
};

/**
 * Describes the message arena.Shot.
 * Use `create(ShotSchema)` to create a new message.
 */
export const ShotSchema: GenMessage<Shot> = /*@__PURE__*/
  messageDesc(file_arena, 5);

/**
 * @generated from message arena.Events
 */
export type Events = Message<"arena.Events"> & {
  /**
   * @generated from field: uint32 tick = 1;
   */
  tick: number;

  /**
   * @generated from field: repeated arena.Event events = 2;
   */
  events: Event[];
};

/**
 * Describes the message arena.Events.
 * Use `create(EventsSchema)` to create a new message.
 */
export const EventsSchema: GenMessage<Events> = /*@__PURE__*/
  messageDesc(file_arena, 6);

/**
 * @generated from message arena.Event
 */
export type Event = Message<"arena.Event"> & {
  /**
   * @generated from field: arena.Event.Kind kind = 1;
   */
  kind: Event_Kind;

  /**
   * @generated from field: uint32 ship = 2;
   */
  ship: number;

  /**
   * @generated from field: uint32 by = 3;
   */
  by: number;

  /**
   * @generated from field: sint32 x = 4;
   */
  x: number;

  /**
   * @generated from field: sint32 y = 5;
   */
  y: number;
};

/**
 * Describes the message arena.Event.
 * Use `create(EventSchema)` to create a new message.
 */
export const EventSchema: GenMessage<Event> = /*@__PURE__*/
  messageDesc(file_arena, 7);

/**
 * @generated from enum arena.Event.Kind
 */
export enum Event_Kind {
  /**
   * @generated from enum value: KIND_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,

  /**
   * A ship is there (again).
   *
   * @generated from enum value: KIND_SPAWNED = 1;
   */
  SPAWNED = 1,

  /**
   * `ship` was hit by a shot of `by`.
   *
   * @generated from enum value: KIND_HIT = 2;
   */
  HIT = 2,

  /**
   * `ship` was destroyed by `by`; it comes back later.
   *
   * @generated from enum value: KIND_KILLED = 3;
   */
  KILLED = 3,

  /**
   * `ship` has left the arena.
   *
   * @generated from enum value: KIND_LEFT = 4;
   */
  LEFT = 4,
}

/**
 * Describes the enum arena.Event.Kind.
 */
export const Event_KindSchema: GenEnum<Event_Kind> = /*@__PURE__*/
  enumDesc(file_arena, 7, 0);

/**
 * @generated from message arena.Scoreboard
 */
export type Scoreboard = Message<"arena.Scoreboard"> & {
  /**
   * The best ten, best first.
   *
   * @generated from field: repeated arena.Score top = 1;
   */
  top: Score[];

  /**
   * Ships in the arena.
   *
   * @generated from field: uint32 ships = 2;
   */
  ships: number;
};

/**
 * Describes the message arena.Scoreboard.
 * Use `create(ScoreboardSchema)` to create a new message.
 */
export const ScoreboardSchema: GenMessage<Scoreboard> = /*@__PURE__*/
  messageDesc(file_arena, 8);

/**
 * @generated from message arena.Score
 */
export type Score = Message<"arena.Score"> & {
  /**
   * @generated from field: uint32 ship = 1;
   */
  ship: number;

  /**
   * @generated from field: string name = 2;
   */
  name: string;

  /**
   * @generated from field: uint32 kills = 3;
   */
  kills: number;

  /**
   * @generated from field: uint32 deaths = 4;
   */
  deaths: number;
};

/**
 * Describes the message arena.Score.
 * Use `create(ScoreSchema)` to create a new message.
 */
export const ScoreSchema: GenMessage<Score> = /*@__PURE__*/
  messageDesc(file_arena, 9);

/**
 * What an arena takes along when it moves to another node. A crash forgets it: clients join again.
 *
 * @generated from message arena.ArenaState
 */
export type ArenaState = Message<"arena.ArenaState"> & {
  /**
   * @generated from field: uint64 tick = 1;
   */
  tick: bigint;

  /**
   * @generated from field: uint32 last_ship = 2;
   */
  lastShip: number;

  /**
   * @generated from field: repeated arena.Pilot pilots = 3;
   */
  pilots: Pilot[];
};

/**
 * Describes the message arena.ArenaState.
 * Use `create(ArenaStateSchema)` to create a new message.
 */
export const ArenaStateSchema: GenMessage<ArenaState> = /*@__PURE__*/
  messageDesc(file_arena, 10);

/**
 * A ship with the session that flies it.
 *
 * @generated from message arena.Pilot
 */
export type Pilot = Message<"arena.Pilot"> & {
  /**
   * @generated from field: uint32 ship = 1;
   */
  ship: number;

  /**
   * @generated from field: string name = 2;
   */
  name: string;

  /**
   * @generated from field: float x = 3;
   */
  x: number;

  /**
   * @generated from field: float y = 4;
   */
  y: number;

  /**
   * @generated from field: float speed_x = 5;
   */
  speedX: number;

  /**
   * @generated from field: float speed_y = 6;
   */
  speedY: number;

  /**
   * @generated from field: uint32 hull = 7;
   */
  hull: number;

  /**
   * @generated from field: uint32 kills = 8;
   */
  kills: number;

  /**
   * @generated from field: uint32 deaths = 9;
   */
  deaths: number;

  /**
   * @generated from field: uint64 session = 10;
   */
  session: bigint;

  /**
   * @generated from field: uint32 gate_node = 11;
   */
  gateNode: number;

  /**
   * @generated from field: uint64 gate_incarnation = 12;
   */
  gateIncarnation: bigint;

  /**
   * @generated from field: string account = 13;
   */
  account: string;
};

/**
 * Describes the message arena.Pilot.
 * Use `create(PilotSchema)` to create a new message.
 */
export const PilotSchema: GenMessage<Pilot> = /*@__PURE__*/
  messageDesc(file_arena, 11);

