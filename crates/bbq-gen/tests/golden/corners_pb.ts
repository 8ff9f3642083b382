// @generated from file chat/corners.proto (package chat.corners, syntax proto3). Do not edit.
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Mood } from "./common_pb.js";
import { file_chat_common } from "./common_pb.js";
import type { Any, BoolValue, Int32Value, Timestamp, Value } from "@bufbuild/protobuf/wkt";
import { file_google_protobuf_any, file_google_protobuf_struct, file_google_protobuf_timestamp, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import type { JsonObject, Message as Message$1 } from "@bufbuild/protobuf";

/**
 * Describes the file chat/corners.proto.
 */
export const file_chat_corners: GenFile = /*@__PURE__*/
  fileDesc("ChJjaGF0L2Nvcm5lcnMucHJvdG8SDGNoYXQuY29ybmVycyJ+CgdNZXNzYWdlEhMKC2NvbnN0cnVjdG9yGAEgASgJEhEKCXRvX3N0cmluZxgCIAEoBRIRCgljYW1lbENhc2UYAyABKAkSFQoNc25ha2VfY2FzZV8yZBgEIAEoCRIQCghfbGVhZGluZxgFIAEoCRIPCgdkZWZhdWx0GAYgASgIIqEICgdTcGVjaWFsEiUKBHRyZWUYASABKAsyFy5nb29nbGUucHJvdG9idWYuU3RydWN0EiYKBXRyZWVzGAIgAygLMhcuZ29vZ2xlLnByb3RvYnVmLlN0cnVjdBIlCgV2YWx1ZRgDIAEoCzIWLmdvb2dsZS5wcm90b2J1Zi5WYWx1ZRIpCgNiaWcYBCABKAsyHC5nb29nbGUucHJvdG9idWYuVUludDY0VmFsdWUSKgoEdGV4dBgFIAEoCzIcLmdvb2dsZS5wcm90b2J1Zi5TdHJpbmdWYWx1ZRIpCgVmbGFncxgGIAMoCzIaLmdvb2dsZS5wcm90b2J1Zi5Cb29sVmFsdWUSLwoFdGltZXMYByADKAsyIC5jaGF0LmNvcm5lcnMuU3BlY2lhbC5UaW1lc0VudHJ5EjoKC25hbWVkX3RyZWVzGAggAygLMiUuY2hhdC5jb3JuZXJzLlNwZWNpYWwuTmFtZWRUcmVlc0VudHJ5EiEKA2FueRgJIAEoCzIULmdvb2dsZS5wcm90b2J1Zi5BbnkSLQoGbnVtYmVyGAogASgLMhsuZ29vZ2xlLnByb3RvYnVmLkludDMyVmFsdWVIABIpCgZicmFuY2gYCyABKAsyFy5nb29nbGUucHJvdG9idWYuU3RydWN0SAASDQoDcmF3GAwgASgMSAASMwoHZG91YmxlcxgNIAMoCzIiLmNoYXQuY29ybmVycy5TcGVjaWFsLkRvdWJsZXNFbnRyeRIvCgVibG9icxgOIAMoCzIgLmNoYXQuY29ybmVycy5TcGVjaWFsLkJsb2JzRW50cnkSJAoEbW9vZBgPIAEoDjIRLmNoYXQuY29tbW9uLk1vb2RIAYgBARIgCgVtb29kcxgQIAMoDjIRLmNoYXQuY29tbW9uLk1vb2QSEgoFbWF5YmUYESABKAxIAogBARIVCglhc19zdHJpbmcYEiABKARCAjABEisKB21lc3NhZ2UYEyABKAsyFS5jaGF0LmNvcm5lcnMuTWVzc2FnZVIDbXNnEhEKBXJhdGlvGBQgASgCQgIYARpICgpUaW1lc0VudHJ5EgsKA2tleRgBIAEoCBIpCgV2YWx1ZRgCIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5UaW1lc3RhbXA6AjgBGkoKD05hbWVkVHJlZXNFbnRyeRILCgNrZXkYASABKAkSJgoFdmFsdWUYAiABKAsyFy5nb29nbGUucHJvdG9idWYuU3RydWN0OgI4ARouCgxEb3VibGVzRW50cnkSCwoDa2V5GAEgASgSEg0KBXZhbHVlGAIgASgBOgI4ARosCgpCbG9ic0VudHJ5EgsKA2tleRgBIAEoBxINCgV2YWx1ZRgCIAEoDDoCOAFCBQoDb25lQgcKBV9tb29kQggKBl9tYXliZSK7AwoGT2JqZWN0EikKBWFycmF5GAEgASgLMhouY2hhdC5jb3JuZXJzLk9iamVjdC5BcnJheRIuCgVkZWVwcxgCIAMoCzIfLmNoYXQuY29ybmVycy5PYmplY3QuRGVlcHNFbnRyeRIrCgVmaXJzdBgDIAEoDjIaLmNoYXQuY29ybmVycy5PYmplY3QuRmxhZ3NIABIsCgZzZWNvbmQYBCABKAsyGi5jaGF0LmNvcm5lcnMuT2JqZWN0LkFycmF5SAAaSwoFQXJyYXkSLQoEZGVlcBgBIAEoCzIfLmNoYXQuY29ybmVycy5PYmplY3QuQXJyYXkuRGVlcBoTCgREZWVwEgsKA3llcxgBIAEoCBpNCgpEZWVwc0VudHJ5EgsKA2tleRgBIAEoCRIuCgV2YWx1ZRgCIAEoCzIfLmNoYXQuY29ybmVycy5PYmplY3QuQXJyYXkuRGVlcDoCOAEiVQoFRmxhZ3MSDgoKRkxBR1NfTk9ORRAAEg4KCkZMQUdTX1pFUk8QABILCgdGTEFHU18xEAESGwoORkxBR1NfTkVHQVRJVkUQ/v//////////ARoCEAFCCAoGY2hvaWNlIg0KB05vdGhpbmc6AhgBKjIKBUxvb3NlEggKBE5PTkUQABIOCgpTT01FX1ZBTFVFEAESDwoLY29uc3RydWN0b3IQAiowCgpsb3dlcl9jYXNlEhAKDGxvd2VyX2Nhc2VfYRAAEhAKDGxvd2VyX2Nhc2VfYhABKiAKBEdvbmUSFAoQR09ORV9VTlNQRUNJRklFRBAAGgIYAWIGcHJvdG8z", [file_chat_common, file_google_protobuf_any, file_google_protobuf_struct, file_google_protobuf_timestamp, file_google_protobuf_wrappers]);

/**
 * Names that mean something in TypeScript.
 *
 * @generated from message chat.corners.Message
 */
export type Message = Message$1<"chat.corners.Message"> & {
  /**
   * Behind the field.
   *
   * @generated from field: string constructor = 1;
   */
  constructor$: string;

  /**
   * @generated from field: int32 to_string = 2;
   */
  toString$: number;

  /**
   * @generated from field: string camelCase = 3;
   */
  camelCase: string;

  /**
   * @generated from field: string snake_case_2d = 4;
   */
  snakeCase2d: string;

  /**
   * @generated from field: string _leading = 5;
   */
  Leading: string;

  /**
   * @generated from field: bool default = 6;
   */
  default: boolean;
};

/**
 * Describes the message chat.corners.Message.
 * Use `create(MessageSchema)` to create a new message.
 */
export const MessageSchema: GenMessage<Message> = /*@__PURE__*/
  messageDesc(file_chat_corners, 0);

/**
 * Types that protobuf-es treats specially.
 *
 * @generated from message chat.corners.Special
 */
export type Special = Message$1<"chat.corners.Special"> & {
  /**
   * @generated from field: google.protobuf.Struct tree = 1;
   */
  tree?: JsonObject | undefined;

  /**
   * @generated from field: repeated google.protobuf.Struct trees = 2;
   */
  trees: JsonObject[];

  /**
   * @generated from field: google.protobuf.Value value = 3;
   */
  value?: Value | undefined;

  /**
   * @generated from field: google.protobuf.UInt64Value big = 4;
   */
  big?: bigint | undefined;

  /**
   * @generated from field: google.protobuf.StringValue text = 5;
   */
  text?: string | undefined;

  /**
   * @generated from field: repeated google.protobuf.BoolValue flags = 6;
   */
  flags: BoolValue[];

  /**
   * @generated from field: map<bool, google.protobuf.Timestamp> times = 7;
   */
  times: { [key: string]: Timestamp };

  /**
   * @generated from field: map<string, google.protobuf.Struct> named_trees = 8;
   */
  namedTrees: { [key: string]: JsonObject };

  /**
   * @generated from field: google.protobuf.Any any = 9;
   */
  any?: Any | undefined;

  /**
   * @generated from oneof chat.corners.Special.one
   */
  one: {
    /**
     * @generated from field: google.protobuf.Int32Value number = 10;
     */
    value: Int32Value;
    case: "number";
  } | {
    /**
     * @generated from field: google.protobuf.Struct branch = 11;
     */
    value: JsonObject;
    case: "branch";
  } | {
    /**
     * @generated from field: bytes raw = 12;
     */
    value: Uint8Array;
    case: "raw";
  } | { case: undefined; value?: undefined };

  /**
   * @generated from field: map<sint64, double> doubles = 13;
   */
  doubles: { [key: string]: number };

  /**
   * @generated from field: map<fixed32, bytes> blobs = 14;
   */
  blobs: { [key: number]: Uint8Array };

  /**
   * @generated from field: optional chat.common.Mood mood = 15;
   */
  mood?: Mood | undefined;

  /**
   * @generated from field: repeated chat.common.Mood moods = 16;
   */
  moods: Mood[];

  /**
   * @generated from field: optional bytes maybe = 17;
   */
  maybe?: Uint8Array | undefined;

  /**
   * @generated from field: uint64 as_string = 18 [jstype = JS_STRING];
   */
  asString: string;

  /**
   * @generated from field: chat.corners.Message message = 19 [json_name = "msg"];
   */
  message?: Message | undefined;

  /**
   * @generated from field: float ratio = 20 [deprecated = true];
   * @deprecated
   */
  ratio: number;
};

/**
 * Describes the message chat.corners.Special.
 * Use `create(SpecialSchema)` to create a new message.
 */
export const SpecialSchema: GenMessage<Special> = /*@__PURE__*/
  messageDesc(file_chat_corners, 1);

/**
 * @generated from message chat.corners.Object
 */
export type Object$ = Message$1<"chat.corners.Object"> & {
  /**
   * @generated from field: chat.corners.Object.Array array = 1;
   */
  array?: Object_Array | undefined;

  /**
   * @generated from field: map<string, chat.corners.Object.Array.Deep> deeps = 2;
   */
  deeps: { [key: string]: Object_Array_Deep };

  /**
   * An empty oneof comment.
   *
   * @generated from oneof chat.corners.Object.choice
   */
  choice: {
    /**
     * First.
     *
     * @generated from field: chat.corners.Object.Flags first = 3;
     */
    value: Object_Flags;
    case: "first";
  } | {
    /**
     * Second *\/ tricky.
     *
     * @generated from field: chat.corners.Object.Array second = 4;
     */
    value: Object_Array;
    case: "second";
  } | { case: undefined; value?: undefined };
};

/**
 * Describes the message chat.corners.Object.
 * Use `create(ObjectSchema)` to create a new message.
 */
export const ObjectSchema: GenMessage<Object$> = /*@__PURE__*/
  messageDesc(file_chat_corners, 2);

/**
 * @generated from message chat.corners.Object.Array
 */
export type Object_Array = Message$1<"chat.corners.Object.Array"> & {
  /**
   * @generated from field: chat.corners.Object.Array.Deep deep = 1;
   */
  deep?: Object_Array_Deep | undefined;
};

/**
 * Describes the message chat.corners.Object.Array.
 * Use `create(Object_ArraySchema)` to create a new message.
 */
export const Object_ArraySchema: GenMessage<Object_Array> = /*@__PURE__*/
  messageDesc(file_chat_corners, 2, 0);

/**
 * @generated from message chat.corners.Object.Array.Deep
 */
export type Object_Array_Deep = Message$1<"chat.corners.Object.Array.Deep"> & {
  /**
   * @generated from field: bool yes = 1;
   */
  yes: boolean;
};

/**
 * Describes the message chat.corners.Object.Array.Deep.
 * Use `create(Object_Array_DeepSchema)` to create a new message.
 */
export const Object_Array_DeepSchema: GenMessage<Object_Array_Deep> = /*@__PURE__*/
  messageDesc(file_chat_corners, 2, 0, 0);

/**
 * @generated from enum chat.corners.Object.Flags
 */
export enum Object_Flags {
  /**
   * @generated from enum value: FLAGS_NONE = 0;
   */
  FLAGS_NONE = 0,

  /**
   * @generated from enum value: FLAGS_ZERO = 0;
   */
  FLAGS_ZERO = 0,

  /**
   * @generated from enum value: FLAGS_1 = 1;
   */
  FLAGS_1 = 1,

  /**
   * @generated from enum value: FLAGS_NEGATIVE = -2;
   */
  FLAGS_NEGATIVE = -2,
}

/**
 * Describes the enum chat.corners.Object.Flags.
 */
export const Object_FlagsSchema: GenEnum<Object_Flags> = /*@__PURE__*/
  enumDesc(file_chat_corners, 2, 0);

/**
 * @generated from message chat.corners.Nothing
 * @deprecated
 */
export type Nothing = Message$1<"chat.corners.Nothing"> & {
};

/**
 * Describes the message chat.corners.Nothing.
 * Use `create(NothingSchema)` to create a new message.
 * @deprecated
 */
export const NothingSchema: GenMessage<Nothing> = /*@__PURE__*/
  messageDesc(file_chat_corners, 3);

/**
 * Without a common prefix.
 *
 * @generated from enum chat.corners.Loose
 */
export enum Loose {
  /**
   * @generated from enum value: NONE = 0;
   */
  NONE = 0,

  /**
   * @generated from enum value: SOME_VALUE = 1;
   */
  SOME_VALUE = 1,

  /**
   * @generated from enum value: constructor = 2;
   */
  constructor$ = 2,
}

/**
 * Describes the enum chat.corners.Loose.
 */
export const LooseSchema: GenEnum<Loose> = /*@__PURE__*/
  enumDesc(file_chat_corners, 0);

/**
 * @generated from enum chat.corners.lower_case
 */
export enum lower_case {
  /**
   * @generated from enum value: lower_case_a = 0;
   */
  a = 0,

  /**
   * @generated from enum value: lower_case_b = 1;
   */
  b = 1,
}

/**
 * Describes the enum chat.corners.lower_case.
 */
export const lower_caseSchema: GenEnum<lower_case> = /*@__PURE__*/
  enumDesc(file_chat_corners, 1);

/**
 * A block comment
 * with stars
 *
 * @generated from enum chat.corners.Gone
 * @deprecated
 */
export enum Gone {
  /**
   * @generated from enum value: GONE_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,
}

/**
 * Describes the enum chat.corners.Gone.
 * @deprecated
 */
export const GoneSchema: GenEnum<Gone> = /*@__PURE__*/
  enumDesc(file_chat_corners, 2);

