/** The vectors of `spec/vectors/client.json` as values of this SDK. */

import { readFileSync } from "node:fs";

import type { Uint } from "../dist/codec.js";
import { Kind, type Frame } from "../dist/frame.js";

export interface Vector {
  name: string;
  hex: string;
  fields: { [name: string]: unknown };
}
export interface BadVector {
  name: string;
  hex: string;
  limit: number;
  error: string;
}

export function readVectors<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../../../spec/vectors/${file}`, import.meta.url), "utf8")) as T;
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

const HEX = new Set(["ticket", "token", "trace", "body"]);
const U64 = new Set(["seq", "ack", "re", "sid", "seen", "nonce", "features", "peer_seen", "time_ms"]);

/** Names in camelCase, u64 from decimal strings, bytes from hex, absent instead of `null`. */
export function frameOf(fields: Vector["fields"]): Frame {
  const frame: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === null) continue;
    frame[name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())] = valueOf(name, value);
  }
  frame["kind"] = Kind[fields["kind"] as keyof typeof Kind];
  if (frame["kind"] === Kind.RSP) frame["body"] ??= new Uint8Array(0);
  return frame as unknown as Frame;
}

function valueOf(name: string, value: unknown): unknown {
  if (HEX.has(name)) return fromHex(value as string);
  if (U64.has(name)) return uint(value as string);
  if (name === "key") {
    const key = value as { number: string } | { text: string };
    return "text" in key ? key.text : uint(key.number);
  }
  if (name === "error") {
    const { code, message, retry_after_ms } = value as { code: number; message: string; retry_after_ms: number };
    return { code, message, retryAfterMs: retry_after_ms };
  }
  return value;
}

function uint(decimal: string): Uint {
  const value = BigInt(decimal);
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** Without the fields that are `undefined`, and with plain byte arrays: for `deepEqual`. */
export function plain(frame: Frame): unknown {
  const entries = Object.entries(frame).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, value instanceof Uint8Array ? [...value] : value]));
}
