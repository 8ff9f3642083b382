/**
 * The frames between a client and a gate (`spec/wire.md`, section 2) as plain values.
 *
 *     frame := len:varint kind:u8 flags:u8 fields
 *
 * `encodeFrame` writes a whole frame, `decodeFrame` reads what follows `len`. Cutting input into frames is `split.ts`.
 */

import { checkedUint, Reader, ReadError, utf8, varintLength, Writer, type Uint } from "./codec.js";
import { Code, type WireError } from "./errors.js";

/** The version that this SDK speaks. */
export const VERSION = 1;
/** What a client sends first on a byte stream: `BBQ1`. */
export const PREFACE = new Uint8Array([0x42, 0x42, 0x51, 0x31]);
/** Longest frame to the gate until WELCOME says otherwise (bytes after `len`). */
export const LIMIT_UP = 64 * 1024;
/** Longest frame from the gate until WELCOME says otherwise. */
export const LIMIT_DOWN = 1024 * 1024;
/** Longest text key, in bytes. */
export const MAX_KEY_BYTES = 64;
/** A W3C trace context: trace id (16), span id (8), flags (1). */
export const TRACE_BYTES = 25;

export const Kind = {
  HELLO: 1,
  WELCOME: 2,
  AUTH: 3,
  RESUME: 4,
  REQ: 5,
  RSP: 6,
  NOTIFY: 7,
  PUSH: 8,
  ACK: 9,
  PING: 10,
  PONG: 11,
  GOAWAY: 12,
  KICK: 13,
  ERR: 15,
  BYE: 16,
} as const;
type Kinds = typeof Kind;

const Flag = { ACK: 0x01, KEY_U64: 0x02, KEY_STR: 0x04, DEADLINE: 0x08, TRACE: 0x10 } as const;
const KEYS = Flag.KEY_U64 | Flag.KEY_STR;
const NOTE_FLAGS = Flag.ACK | KEYS | Flag.TRACE;

/** Which entity: a number or bigint is sent as KEY_U64, a string as KEY_STR. */
export type Key = Uint | string;

export interface Hello {
  kind: Kinds["HELLO"];
  version: number;
  features: Uint;
  sdk: string;
}
export interface Welcome {
  kind: Kinds["WELCOME"];
  version: number;
  resumed: boolean;
  sid: Uint;
  ticket: Uint8Array;
  account: string;
  peerSeen: Uint;
  heartbeatMs: number;
  maxUp: number;
  maxDown: number;
  resumeMs: number;
  timeMs: Uint;
  server: string;
  /** Most calls of the client that may run at a time; 0: an older gate did not say. */
  maxCalls: number;
}
export interface Auth {
  kind: Kinds["AUTH"];
  scheme: string;
  token: Uint8Array;
  device: string;
}
export interface Resume {
  kind: Kinds["RESUME"];
  sid: Uint;
  ticket: Uint8Array;
  seen: Uint;
}
/** What REQ, NOTIFY and PUSH have in common. */
interface Addressed {
  seq: Uint;
  ack?: Uint | undefined;
  method: number;
  key?: Key | undefined;
  trace?: Uint8Array | undefined;
  body: Uint8Array;
}
export interface Req extends Addressed {
  kind: Kinds["REQ"];
  deadlineMs?: number | undefined;
}
/** A failure when `error` is there; `body` is empty then. */
export interface Rsp {
  kind: Kinds["RSP"];
  seq: Uint;
  ack?: Uint | undefined;
  re: Uint;
  error?: WireError | undefined;
  body: Uint8Array;
}
/** `seq` 0: the unreliable lane. */
export interface Notify extends Addressed {
  kind: Kinds["NOTIFY"];
}
/** `seq` 0: the unreliable lane. `key` is the entity that speaks. */
export interface Push extends Addressed {
  kind: Kinds["PUSH"];
}
export interface Ack {
  kind: Kinds["ACK"];
  seen: Uint;
}
export interface Ping {
  kind: Kinds["PING"];
  nonce: Uint;
}
export interface Pong {
  kind: Kinds["PONG"];
  nonce: Uint;
  timeMs: Uint;
}
export interface GoAway {
  kind: Kinds["GOAWAY"];
  afterMs: number;
  reason: number;
  address: string;
}
export interface Bye {
  kind: Kinds["BYE"];
}
export interface Kick {
  kind: Kinds["KICK"];
  reason: number;
  message: string;
}
export interface Err extends WireError {
  kind: Kinds["ERR"];
}

/** Frames that carry messages and have a `seq`. */
export type MessageFrame = Req | Rsp | Notify | Push;
export type Frame =
  | MessageFrame
  | Hello
  | Welcome
  | Auth
  | Resume
  | Ack
  | Ping
  | Pong
  | GoAway
  | Kick
  | Bye
  | Err;

/** Bytes that are not a frame; `code` is BAD_FRAME or FRAME_TOO_LARGE. */
export class FrameError extends Error {
  constructor(
    message: string,
    readonly code: number = Code.BAD_FRAME,
  ) {
    super(message);
  }
}

/** The whole frame, `len` included. */
export function encodeFrame(frame: Frame): Uint8Array {
  const fields = new Writer("body" in frame ? frame.body.length + 64 : 64);
  fields.u8(frame.kind).u8(flagsOf(frame));
  writeFields(frame, fields);
  const content = fields.finish();
  return new Writer(content.length + 5).varint(content.length).raw(content).finish();
}

/**
 * Reads one frame from the bytes that follow its `len`. Byte fields are views of `content`, not copies.
 * @throws FrameError for whatever the specification does not allow
 */
export function decodeFrame(content: Uint8Array): Frame {
  const [kind, flags] = content;
  if (kind === undefined || flags === undefined) throw new FrameError("bad frame length");
  const allowed = allowedFlags(kind);
  if (allowed === undefined) throw new FrameError(`unknown frame kind ${kind}`);
  if ((flags & ~allowed) !== 0 || (flags & KEYS) === KEYS) throw new FrameError(`bad frame flags ${flags}`);
  const reader = new Reader(content);
  reader.take(2);
  try {
    return allowed === 0 ? readControl(kind, reader) : readMessage(kind, flags, reader);
  } catch (error) {
    throw error instanceof ReadError ? new FrameError(error.message) : error;
  }
}

/** Most bytes after `len` that a message frame can have, whatever its numbers and its deadline. */
export function maxFrameLength(frame: MessageFrame): number {
  const numbers = 22;
  if (frame.kind === Kind.RSP) {
    const status = frame.error ? 15 + utf8(frame.error.message).length : 1;
    return numbers + varintLength(frame.re) + status + frame.body.length;
  }
  const deadline = frame.kind === Kind.REQ ? 5 : 0;
  const trace = frame.trace ? TRACE_BYTES : 0;
  return numbers + varintLength(frame.method) + keyLength(frame.key) + deadline + trace + frame.body.length;
}

/** `key` if it can be sent. @throws RangeError */
export function checkedKey(key: Key | undefined): Key | undefined {
  if (typeof key === "string") {
    if (utf8(key).length > MAX_KEY_BYTES) throw new RangeError(`a key has at most ${MAX_KEY_BYTES} bytes`);
  } else if (key !== undefined) {
    checkedUint(key);
  }
  return key;
}

function keyLength(key: Key | undefined): number {
  if (key === undefined) return 0;
  return typeof key === "string" ? 1 + utf8(key).length : varintLength(key);
}

/** The flags that a kind may have; `undefined`: no such kind. Control frames have none. */
function allowedFlags(kind: number): number | undefined {
  if (kind === Kind.REQ) return NOTE_FLAGS | Flag.DEADLINE;
  if (kind === Kind.NOTIFY || kind === Kind.PUSH) return NOTE_FLAGS;
  if (kind === Kind.RSP) return Flag.ACK;
  return (kind >= Kind.HELLO && kind <= Kind.KICK) || kind === Kind.ERR || kind === Kind.BYE ? 0 : undefined;
}

function flagsOf(frame: Frame): number {
  let flags = 0;
  if ("ack" in frame && frame.ack !== undefined) flags |= Flag.ACK;
  if (!("method" in frame)) return flags;
  if (frame.key !== undefined) flags |= typeof frame.key === "string" ? Flag.KEY_STR : Flag.KEY_U64;
  if (frame.kind === Kind.REQ && frame.deadlineMs !== undefined) flags |= Flag.DEADLINE;
  if (frame.trace !== undefined) flags |= Flag.TRACE;
  return flags;
}

function writeFields(frame: Frame, out: Writer): void {
  switch (frame.kind) {
    case Kind.HELLO:
      return void out.varint(frame.version).varint(frame.features).string(frame.sdk);
    case Kind.WELCOME:
      out.varint(frame.version).varint(frame.resumed ? 1 : 0).varint(frame.sid).bytes(frame.ticket);
      out.string(frame.account).varint(frame.peerSeen).varint(frame.heartbeatMs).varint(frame.maxUp);
      out.varint(frame.maxDown).varint(frame.resumeMs).varint(frame.timeMs).string(frame.server);
      return void out.varint(frame.maxCalls);
    case Kind.AUTH:
      return void out.string(frame.scheme).bytes(frame.token).string(frame.device);
    case Kind.RESUME:
      return void out.varint(frame.sid).bytes(frame.ticket).varint(frame.seen);
    case Kind.BYE:
      return;
    case Kind.ACK:
      return void out.varint(frame.seen);
    case Kind.PING:
      return void out.varint(frame.nonce);
    case Kind.PONG:
      return void out.varint(frame.nonce).varint(frame.timeMs);
    case Kind.GOAWAY:
      return void out.varint(frame.afterMs).varint(frame.reason).string(frame.address);
    case Kind.KICK:
      return void out.varint(frame.reason).string(frame.message);
    case Kind.ERR:
      return writeError(frame.code, frame, out);
    default:
      return writeMessage(frame, out);
  }
}

function writeMessage(frame: MessageFrame, out: Writer): void {
  out.varint(frame.seq);
  if (frame.ack !== undefined) out.varint(frame.ack);
  if (frame.kind === Kind.RSP) {
    out.varint(frame.re);
    if (!frame.error) return void out.varint(0).raw(frame.body);
    // OK would look like a reply.
    return writeError(frame.error.code || Code.UNKNOWN, frame.error, out);
  }
  out.varint(frame.method);
  if (typeof frame.key === "string") out.string(frame.key);
  else if (frame.key !== undefined) out.varint(frame.key);
  if (frame.kind === Kind.REQ && frame.deadlineMs !== undefined) out.varint(frame.deadlineMs);
  if (frame.trace) out.raw(frame.trace);
  out.raw(frame.body);
}

/** `code message retry_after_ms`, the same in ERR and in a failed RSP. */
function writeError(code: number, error: WireError, out: Writer): void {
  out.varint(code).string(error.message).varint(error.retryAfterMs);
}

function readControl(kind: number, reader: Reader): Frame {
  switch (kind) {
    case Kind.HELLO:
      return { kind, version: reader.u32(), features: reader.varint(), sdk: reader.string() };
    case Kind.WELCOME:
      return {
        kind,
        version: reader.u32(),
        resumed: reader.varint() !== 0,
        sid: reader.varint(),
        ticket: reader.bytes(),
        account: reader.string(),
        peerSeen: reader.varint(),
        heartbeatMs: reader.u32(),
        maxUp: reader.u32(),
        maxDown: reader.u32(),
        resumeMs: reader.u32(),
        timeMs: reader.varint(),
        server: reader.string(),
        maxCalls: reader.isEmpty ? 0 : reader.u32(),
      };
    case Kind.AUTH:
      return { kind, scheme: reader.string(), token: reader.bytes(), device: reader.string() };
    case Kind.RESUME:
      return { kind, sid: reader.varint(), ticket: reader.bytes(), seen: reader.varint() };
    case Kind.ACK:
      return { kind, seen: reader.varint() };
    case Kind.PING:
      return { kind, nonce: reader.varint() };
    case Kind.PONG:
      return { kind, nonce: reader.varint(), timeMs: reader.varint() };
    case Kind.GOAWAY:
      return { kind, afterMs: reader.u32(), reason: reader.u32(), address: reader.string() };
    case Kind.BYE:
      return { kind };
    case Kind.KICK:
      return { kind, reason: reader.u32(), message: reader.string() };
    default:
      return { kind: Kind.ERR, ...readError(reader.u32(), reader) };
  }
}

function readMessage(kind: number, flags: number, reader: Reader): MessageFrame {
  const seq = reader.varint();
  const ack = flags & Flag.ACK ? reader.varint() : undefined;
  if (kind === Kind.RSP) {
    const re = reader.varint();
    const status = reader.u32();
    if (status === 0) return { kind, seq, ack, re, body: reader.rest() };
    return { kind, seq, ack, re, error: readError(status, reader), body: new Uint8Array(0) };
  }
  const method = reader.u32();
  const key = readKey(flags, reader);
  const deadlineMs = flags & Flag.DEADLINE ? reader.u32() : undefined;
  const trace = flags & Flag.TRACE ? reader.take(TRACE_BYTES) : undefined;
  const addressed = { seq, ack, method, key, trace, body: reader.rest() };
  if (kind === Kind.REQ) return { kind, ...addressed, deadlineMs };
  return { kind: kind === Kind.NOTIFY ? kind : Kind.PUSH, ...addressed };
}

function readKey(flags: number, reader: Reader): Key | undefined {
  if (flags & Flag.KEY_U64) return reader.varint();
  return flags & Flag.KEY_STR ? reader.string(MAX_KEY_BYTES) : undefined;
}

function readError(code: number, reader: Reader): WireError {
  return { code, message: reader.string(), retryAfterMs: reader.u32() };
}
