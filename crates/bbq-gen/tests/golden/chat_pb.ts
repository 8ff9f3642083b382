// @generated from file chat/chat.proto (package chat, syntax proto3). Do not edit.
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Mood } from "./common_pb.js";
import { file_chat_common } from "./common_pb.js";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { file_google_protobuf_duration, file_google_protobuf_timestamp } from "@bufbuild/protobuf/wkt";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file chat/chat.proto.
 */
export const file_chat_chat: GenFile = /*@__PURE__*/
  fileDesc("Cg9jaGF0L2NoYXQucHJvdG8SBGNoYXQiLgoLSm9pblJlcXVlc3QSDAoEbmFtZRgBIAEoCRIRCglwbGF5ZXJfaWQYAiABKAQidQoJSm9pblJlcGx5Eg8KB21lbWJlcnMYASADKAkSKQoFc2luY2UYAiABKAsyGi5nb29nbGUucHJvdG9idWYuVGltZXN0YW1wEiwKBXF1aWV0GAMgASgLMhkuZ29vZ2xlLnByb3RvYnVmLkR1cmF0aW9uQgIYASL/AgoKU2F5UmVxdWVzdBIMCgR0ZXh0GAEgASgJEhAKBnBsYXllchgCIAEoBEgAEg4KBG5pY2sYAyABKAlIABIlCgRwYXJ0GAQgASgLMhUuY2hhdC5TYXlSZXF1ZXN0LlBhcnRIABIkCgdmZWVsaW5nGAUgASgOMhEuY2hhdC5jb21tb24uTW9vZEgAEg8KAmF0GAYgASgDSAGIAQESEQoEbG91ZBgHIAEoCEgCiAEBEg8KB3BpY3R1cmUYCCABKAwakAEKBFBhcnQSDAoEdGV4dBgBIAEoCRIkCgVwYXJ0cxgCIAMoCzIVLmNoYXQuU2F5UmVxdWVzdC5QYXJ0EioKBXN0eWxlGAMgASgOMhsuY2hhdC5TYXlSZXF1ZXN0LlBhcnQuU3R5bGUiKAoFU3R5bGUSDwoLU1RZTEVfUExBSU4QABIOCgpTVFlMRV9CT0xEEAFCCAoGdGFyZ2V0QgUKA19hdEIHCgVfbG91ZEoECAkQCkoECAwQD1IGY29sb3VyImYKBFNhaWQSDAoEZnJvbRgBIAEoBBIMCgR0ZXh0GAIgASgJEh8KBG1vb2QYAyABKA4yES5jaGF0LmNvbW1vbi5Nb29kEiEKB3JlcXVlc3QYBCABKAsyEC5jaGF0LlNheVJlcXVlc3QinAQKCVJvb21TdGF0ZRItCgdtZW1iZXJzGAEgAygLMhwuY2hhdC5Sb29tU3RhdGUuTWVtYmVyc0VudHJ5Ei8KCHBpY3R1cmVzGAIgAygLMh0uY2hhdC5Sb29tU3RhdGUuUGljdHVyZXNFbnRyeRIpCgVtb29kcxgDIAMoCzIaLmNoYXQuUm9vbVN0YXRlLk1vb2RzRW50cnkSDwoHaGlzdG9yeRgEIAMoAxISCgZzY29yZXMYBSADKAFCAhAAEg0KBWRlbHRhGAYgASgREg0KBXN0YW1wGAcgASgGEg4KBm9mZnNldBgIIAEoDxINCgVyYXRpbxgJIAEoAhIlCgVvd25lchgKIAEoCzIWLmNoYXQuUm9vbVN0YXRlLk1lbWJlchpGCgxNZW1iZXJzRW50cnkSCwoDa2V5GAEgASgEEiUKBXZhbHVlGAIgASgLMhYuY2hhdC5Sb29tU3RhdGUuTWVtYmVyOgI4ARovCg1QaWN0dXJlc0VudHJ5EgsKA2tleRgBIAEoCRINCgV2YWx1ZRgCIAEoDDoCOAEaPwoKTW9vZHNFbnRyeRILCgNrZXkYASABKAUSIAoFdmFsdWUYAiABKA4yES5jaGF0LmNvbW1vbi5Nb29kOgI4ARpBCgZNZW1iZXISDAoEbmFtZRgBIAEoCRIpCgVzaW5jZRgCIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5UaW1lc3RhbXBiBnByb3RvMw", [file_chat_common, file_google_protobuf_duration, file_google_protobuf_timestamp]);

/**
 * @generated from message chat.JoinRequest
 */
export type JoinRequest = Message<"chat.JoinRequest"> & {
  /**
   * @generated from field: string name = 1;
   */
  name: string;

  /**
   * @generated from field: uint64 player_id = 2;
   */
  playerId: bigint;
};

/**
 * Describes the message chat.JoinRequest.
 * Use `create(JoinRequestSchema)` to create a new message.
 */
export const JoinRequestSchema: GenMessage<JoinRequest> = /*@__PURE__*/
  messageDesc(file_chat_chat, 0);

/**
 * What one gets for joining.
 *
 * @generated from message chat.JoinReply
 */
export type JoinReply = Message<"chat.JoinReply"> & {
  /**
   * Who is there.
   *
   * @generated from field: repeated string members = 1;
   */
  members: string[];

  /**
   * @generated from field: google.protobuf.Timestamp since = 2;
   */
  since?: Timestamp | undefined;

  /**
   * @generated from field: google.protobuf.Duration quiet = 3 [deprecated = true];
   * @deprecated
   */
  quiet?: Duration | undefined;
};

/**
 * Describes the message chat.JoinReply.
 * Use `create(JoinReplySchema)` to create a new message.
 */
export const JoinReplySchema: GenMessage<JoinReply> = /*@__PURE__*/
  messageDesc(file_chat_chat, 1);

/**
 * @generated from message chat.SayRequest
 */
export type SayRequest = Message<"chat.SayRequest"> & {
  /**
   * @generated from field: string text = 1;
   */
  text: string;

  /**
   * @generated from oneof chat.SayRequest.target
   */
  target: {
    /**
     * To one player only.
     *
     * @generated from field: uint64 player = 2;
     */
    value: bigint;
    case: "player";
  } | {
    /**
     * @generated from field: string nick = 3;
     */
    value: string;
    case: "nick";
  } | {
    /**
     * @generated from field: chat.SayRequest.Part part = 4;
     */
    value: SayRequest_Part;
    case: "part";
  } | {
    /**
     * @generated from field: chat.common.Mood feeling = 5;
     */
    value: Mood;
    case: "feeling";
  } | { case: undefined; value?: undefined };

  /**
   * @generated from field: optional int64 at = 6;
   */
  at?: bigint | undefined;

  /**
   * @generated from field: optional bool loud = 7;
   */
  loud?: boolean | undefined;

  /**
   * @generated from field: bytes picture = 8;
   */
  picture: Uint8Array;
};

/**
 * Describes the message chat.SayRequest.
 * Use `create(SayRequestSchema)` to create a new message.
 */
export const SayRequestSchema: GenMessage<SayRequest> = /*@__PURE__*/
  messageDesc(file_chat_chat, 2);

/**
 * A part of what is said.
 *
 * @generated from message chat.SayRequest.Part
 */
export type SayRequest_Part = Message<"chat.SayRequest.Part"> & {
  /**
   * @generated from field: string text = 1;
   */
  text: string;

  /**
   * @generated from field: repeated chat.SayRequest.Part parts = 2;
   */
  parts: SayRequest_Part[];

  /**
   * @generated from field: chat.SayRequest.Part.Style style = 3;
   */
  style: SayRequest_Part_Style;
};

/**
 * Describes the message chat.SayRequest.Part.
 * Use `create(SayRequest_PartSchema)` to create a new message.
 */
export const SayRequest_PartSchema: GenMessage<SayRequest_Part> = /*@__PURE__*/
  messageDesc(file_chat_chat, 2, 0);

/**
 * @generated from enum chat.SayRequest.Part.Style
 */
export enum SayRequest_Part_Style {
  /**
   * @generated from enum value: STYLE_PLAIN = 0;
   */
  PLAIN = 0,

  /**
   * @generated from enum value: STYLE_BOLD = 1;
   */
  BOLD = 1,
}

/**
 * Describes the enum chat.SayRequest.Part.Style.
 */
export const SayRequest_Part_StyleSchema: GenEnum<SayRequest_Part_Style> = /*@__PURE__*/
  enumDesc(file_chat_chat, 2, 0, 0);

/**
 * @generated from message chat.Said
 */
export type Said = Message<"chat.Said"> & {
  /**
   * @generated from field: uint64 from = 1;
   */
  from: bigint;

  /**
   * @generated from field: string text = 2;
   */
  text: string;

  /**
   * @generated from field: chat.common.Mood mood = 3;
   */
  mood: Mood;

  /**
   * @generated from field: chat.SayRequest request = 4;
   */
  request?: SayRequest | undefined;
};

/**
 * Describes the message chat.Said.
 * Use `create(SaidSchema)` to create a new message.
 */
export const SaidSchema: GenMessage<Said> = /*@__PURE__*/
  messageDesc(file_chat_chat, 3);

/**
 * @generated from message chat.RoomState
 */
export type RoomState = Message<"chat.RoomState"> & {
  /**
   * @generated from field: map<uint64, chat.RoomState.Member> members = 1;
   */
  members: { [key: string]: RoomState_Member };

  /**
   * @generated from field: map<string, bytes> pictures = 2;
   */
  pictures: { [key: string]: Uint8Array };

  /**
   * @generated from field: map<int32, chat.common.Mood> moods = 3;
   */
  moods: { [key: number]: Mood };

  /**
   * @generated from field: repeated int64 history = 4;
   */
  history: bigint[];

  /**
   * @generated from field: repeated double scores = 5 [packed = false];
   */
  scores: number[];

  /**
   * @generated from field: sint32 delta = 6;
   */
  delta: number;

  /**
   * @generated from field: fixed64 stamp = 7;
   */
  stamp: bigint;

  /**
   * @generated from field: sfixed32 offset = 8;
   */
  offset: number;

  /**
   * @generated from field: float ratio = 9;
   */
  ratio: number;

  /**
   * @generated from field: chat.RoomState.Member owner = 10;
   */
  owner?: RoomState_Member | undefined;
};

/**
 * Describes the message chat.RoomState.
 * Use `create(RoomStateSchema)` to create a new message.
 */
export const RoomStateSchema: GenMessage<RoomState> = /*@__PURE__*/
  messageDesc(file_chat_chat, 4);

/**
 * @generated from message chat.RoomState.Member
 */
export type RoomState_Member = Message<"chat.RoomState.Member"> & {
  /**
   * @generated from field: string name = 1;
   */
  name: string;

  /**
   * Joined at.
   *
   * @generated from field: google.protobuf.Timestamp since = 2;
   */
  since?: Timestamp | undefined;
};

/**
 * Describes the message chat.RoomState.Member.
 * Use `create(RoomState_MemberSchema)` to create a new message.
 */
export const RoomState_MemberSchema: GenMessage<RoomState_Member> = /*@__PURE__*/
  messageDesc(file_chat_chat, 4, 0);

