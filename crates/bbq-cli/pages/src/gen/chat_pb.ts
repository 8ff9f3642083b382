// @generated from file chat.proto (package chat, syntax proto3). Do not edit.
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file chat.proto.
 */
export const file_chat: GenFile = /*@__PURE__*/
  fileDesc("CgpjaGF0LnByb3RvEgRjaGF0IhsKC0pvaW5SZXF1ZXN0EgwKBG5hbWUYASABKAkiRwoJSm9pblJlcGx5EgwKBG5hbWUYASABKAkSGwoHaGlzdG9yeRgCIAMoCzIKLmNoYXQuTGluZRIPCgdtZW1iZXJzGAMgAygJIhoKClNheVJlcXVlc3QSDAoEdGV4dBgBIAEoCSIrCghTYXlSZXBseRIOCgZudW1iZXIYASABKAQSDwoHdW5peF9tcxgCIAEoBCJDCgRMaW5lEg4KBm51bWJlchgBIAEoBBIMCgRmcm9tGAIgASgJEgwKBHRleHQYAyABKAkSDwoHdW5peF9tcxgEIAEoBCKjAQoOUHJlc2VuY2VDaGFuZ2USJwoEa2luZBgBIAEoDjIZLmNoYXQuUHJlc2VuY2VDaGFuZ2UuS2luZBIMCgRuYW1lGAIgASgJIloKBEtpbmQSFAoQS0lORF9VTlNQRUNJRklFRBAAEg8KC0tJTkRfSk9JTkVEEAESDQoJS0lORF9MRUZUEAISDQoJS0lORF9BV0FZEAMSDQoJS0lORF9CQUNLEAQiKQoIUm9vbVNpemUSDAoEcm9vbRgBIAEoCRIPCgdtZW1iZXJzGAIgASgNIikKCFJvb21MaXN0Eh0KBXJvb21zGAEgAygLMg4uY2hhdC5Sb29tU2l6ZSJVCglSb29tU3RhdGUSGwoHaGlzdG9yeRgBIAMoCzIKLmNoYXQuTGluZRIMCgRuZXh0GAIgASgEEh0KB21lbWJlcnMYAyADKAsyDC5jaGF0Lk1lbWJlciJlCgZNZW1iZXISDAoEbmFtZRgBIAEoCRIPCgdzZXNzaW9uGAIgASgEEhEKCWdhdGVfbm9kZRgDIAEoDRIYChBnYXRlX2luY2FybmF0aW9uGAQgASgEEg8KB2FjY291bnQYBSABKAliBnByb3RvMw");

/**
 * @generated from message chat.JoinRequest
 */
export type JoinRequest = Message<"chat.JoinRequest"> & {
  /**
   * What one wants to be called: 1 to 24 characters.
   *
   * @generated from field: string name = 1;
   */
  name: string;
};

/**
 * Describes the message chat.JoinRequest.
 * Use `create(JoinRequestSchema)` to create a new message.
 */
export const JoinRequestSchema: GenMessage<JoinRequest> = /*@__PURE__*/
  messageDesc(file_chat, 0);

/**
 * @generated from message chat.JoinReply
 */
export type JoinReply = Message<"chat.JoinReply"> & {
  /**
   * What one is called here: the wish, with a number behind it if somebody else has that name.
   *
   * @generated from field: string name = 1;
   */
  name: string;

  /**
   * What was said last, oldest first.
   *
   * @generated from field: repeated chat.Line history = 2;
   */
  history: Line[];

  /**
   * Names of all who are here, oneself included.
   *
   * @generated from field: repeated string members = 3;
   */
  members: string[];
};

/**
 * Describes the message chat.JoinReply.
 * Use `create(JoinReplySchema)` to create a new message.
 */
export const JoinReplySchema: GenMessage<JoinReply> = /*@__PURE__*/
  messageDesc(file_chat, 1);

/**
 * @generated from message chat.SayRequest
 */
export type SayRequest = Message<"chat.SayRequest"> & {
  /**
   * 1 to 500 characters.
   *
   * @generated from field: string text = 1;
   */
  text: string;
};

/**
 * Describes the message chat.SayRequest.
 * Use `create(SayRequestSchema)` to create a new message.
 */
export const SayRequestSchema: GenMessage<SayRequest> = /*@__PURE__*/
  messageDesc(file_chat, 2);

/**
 * @generated from message chat.SayReply
 */
export type SayReply = Message<"chat.SayReply"> & {
  /**
   * Number of the line that it became.
   *
   * @generated from field: uint64 number = 1;
   */
  number: bigint;

  /**
   * @generated from field: uint64 unix_ms = 2;
   */
  unixMs: bigint;
};

/**
 * Describes the message chat.SayReply.
 * Use `create(SayReplySchema)` to create a new message.
 */
export const SayReplySchema: GenMessage<SayReply> = /*@__PURE__*/
  messageDesc(file_chat, 3);

/**
 * Something that was said.
 *
 * @generated from message chat.Line
 */
export type Line = Message<"chat.Line"> & {
  /**
   * Lines of a room are numbered 1, 2, 3 ..
   *
   * @generated from field: uint64 number = 1;
   */
  number: bigint;

  /**
   * @generated from field: string from = 2;
   */
  from: string;

  /**
   * @generated from field: string text = 3;
   */
  text: string;

  /**
   * @generated from field: uint64 unix_ms = 4;
   */
  unixMs: bigint;
};

/**
 * Describes the message chat.Line.
 * Use `create(LineSchema)` to create a new message.
 */
export const LineSchema: GenMessage<Line> = /*@__PURE__*/
  messageDesc(file_chat, 4);

/**
 * @generated from message chat.PresenceChange
 */
export type PresenceChange = Message<"chat.PresenceChange"> & {
  /**
   * @generated from field: chat.PresenceChange.Kind kind = 1;
   */
  kind: PresenceChange_Kind;

  /**
   * @generated from field: string name = 2;
   */
  name: string;
};

/**
 * Describes the message chat.PresenceChange.
 * Use `create(PresenceChangeSchema)` to create a new message.
 */
export const PresenceChangeSchema: GenMessage<PresenceChange> = /*@__PURE__*/
  messageDesc(file_chat, 5);

/**
 * @generated from enum chat.PresenceChange.Kind
 */
export enum PresenceChange_Kind {
  /**
   * @generated from enum value: KIND_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,

  /**
   * @generated from enum value: KIND_JOINED = 1;
   */
  JOINED = 1,

  /**
   * @generated from enum value: KIND_LEFT = 2;
   */
  LEFT = 2,

  /**
   * The connection is gone; the session may come back.
   *
   * @generated from enum value: KIND_AWAY = 3;
   */
  AWAY = 3,

  /**
   * @generated from enum value: KIND_BACK = 4;
   */
  BACK = 4,
}

/**
 * Describes the enum chat.PresenceChange.Kind.
 */
export const PresenceChange_KindSchema: GenEnum<PresenceChange_Kind> = /*@__PURE__*/
  enumDesc(file_chat, 5, 0);

/**
 * @generated from message chat.RoomSize
 */
export type RoomSize = Message<"chat.RoomSize"> & {
  /**
   * @generated from field: string room = 1;
   */
  room: string;

  /**
   * @generated from field: uint32 members = 2;
   */
  members: number;
};

/**
 * Describes the message chat.RoomSize.
 * Use `create(RoomSizeSchema)` to create a new message.
 */
export const RoomSizeSchema: GenMessage<RoomSize> = /*@__PURE__*/
  messageDesc(file_chat, 6);

/**
 * @generated from message chat.RoomList
 */
export type RoomList = Message<"chat.RoomList"> & {
  /**
   * @generated from field: repeated chat.RoomSize rooms = 1;
   */
  rooms: RoomSize[];
};

/**
 * Describes the message chat.RoomList.
 * Use `create(RoomListSchema)` to create a new message.
 */
export const RoomListSchema: GenMessage<RoomList> = /*@__PURE__*/
  messageDesc(file_chat, 7);

/**
 * What a room keeps.
 *
 * @generated from message chat.RoomState
 */
export type RoomState = Message<"chat.RoomState"> & {
  /**
   * The last 100 lines, oldest first.
   *
   * @generated from field: repeated chat.Line history = 1;
   */
  history: Line[];

  /**
   * Number of the next line; 0 in a room where nobody has said anything.
   *
   * @generated from field: uint64 next = 2;
   */
  next: bigint;

  /**
   * Who is in. They are kept so that a room can move to another node without anybody joining again.
   *
   * @generated from field: repeated chat.Member members = 3;
   */
  members: Member[];
};

/**
 * Describes the message chat.RoomState.
 * Use `create(RoomStateSchema)` to create a new message.
 */
export const RoomStateSchema: GenMessage<RoomState> = /*@__PURE__*/
  messageDesc(file_chat, 8);

/**
 * A session in a room.
 *
 * @generated from message chat.Member
 */
export type Member = Message<"chat.Member"> & {
  /**
   * @generated from field: string name = 1;
   */
  name: string;

  /**
   * @generated from field: uint64 session = 2;
   */
  session: bigint;

  /**
   * @generated from field: uint32 gate_node = 3;
   */
  gateNode: number;

  /**
   * @generated from field: uint64 gate_incarnation = 4;
   */
  gateIncarnation: bigint;

  /**
   * @generated from field: string account = 5;
   */
  account: string;
};

/**
 * Describes the message chat.Member.
 * Use `create(MemberSchema)` to create a new message.
 */
export const MemberSchema: GenMessage<Member> = /*@__PURE__*/
  messageDesc(file_chat, 9);

