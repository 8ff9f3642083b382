// @generated from file chat/common.proto (package chat.common, syntax proto3). Do not edit.
/* eslint-disable */

import type { GenEnum, GenFile, GenMessage } from "@bufbuild/protobuf/codegenv2";
import { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
import type { Message } from "@bufbuild/protobuf";

/**
 * Describes the file chat/common.proto.
 */
export const file_chat_common: GenFile = /*@__PURE__*/
  fileDesc("ChFjaGF0L2NvbW1vbi5wcm90bxILY2hhdC5jb21tb24iFgoFTmFtZXMSDQoFbmFtZXMYASADKAkiFwoGTnVtYmVyEg0KBXZhbHVlGAEgASgDKkAKBE1vb2QSFAoQTU9PRF9VTlNQRUNJRklFRBAAEg4KCk1PT0RfSEFQUFkQARISCgpNT09EX0FOR1JZEAIaAggBYgZwcm90bzM");

/**
 * @generated from message chat.common.Names
 */
export type Names = Message<"chat.common.Names"> & {
  /**
   * @generated from field: repeated string names = 1;
   */
  names: string[];
};

/**
 * Describes the message chat.common.Names.
 * Use `create(NamesSchema)` to create a new message.
 */
export const NamesSchema: GenMessage<Names> = /*@__PURE__*/
  messageDesc(file_chat_common, 0);

/**
 * @generated from message chat.common.Number
 */
export type Number = Message<"chat.common.Number"> & {
  /**
   * @generated from field: int64 value = 1;
   */
  value: bigint;
};

/**
 * Describes the message chat.common.Number.
 * Use `create(NumberSchema)` to create a new message.
 */
export const NumberSchema: GenMessage<Number> = /*@__PURE__*/
  messageDesc(file_chat_common, 1);

/**
 * How it was said.
 *
 * @generated from enum chat.common.Mood
 */
export enum Mood {
  /**
   * Nothing special.
   *
   * @generated from enum value: MOOD_UNSPECIFIED = 0;
   */
  UNSPECIFIED = 0,

  /**
   * @generated from enum value: MOOD_HAPPY = 1;
   */
  HAPPY = 1,

  /**
   * @generated from enum value: MOOD_ANGRY = 2 [deprecated = true];
   * @deprecated
   */
  ANGRY = 2,
}

/**
 * Describes the enum chat.common.Mood.
 */
export const MoodSchema: GenEnum<Mood> = /*@__PURE__*/
  enumDesc(file_chat_common, 0);

