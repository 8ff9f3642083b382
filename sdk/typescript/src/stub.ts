/**
 * Typed calls for generated code: a table of methods becomes an object of functions.
 *
 *     export const Room = entity("chat.Room", { join: { id: 1, request: JoinRequestSchema, reply: JoinReplySchema } });
 *     const reply = await client.entity(Room, "lobby").join({ name: "ann" });
 *
 * `google.protobuf.Empty` is `null` in the table, and no argument or `void` in a signature.
 */

import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";

import { BbqError, Code } from "./errors.js";
import type { Key } from "./frame.js";

/** One method. */
export interface Method {
  /** `spec/wire.md`, section 6. */
  readonly id: number;
  /** Schema of the argument; `null`: google.protobuf.Empty. */
  readonly request: DescMessage | null;
  /** Schema of the reply; `null`: google.protobuf.Empty. */
  readonly reply: DescMessage | null;
  /** No reply is ever sent: a call is a NOTIFY, or a PUSH from the server. */
  readonly oneway?: boolean;
  /** How long a call waits unless it says so itself; default: `callTimeoutMs` of the client. */
  readonly timeoutMs?: number;
}

/** Methods by their names in TypeScript. */
export interface Methods {
  readonly [name: string]: Method;
}

/** A table of methods: what `entity`, `service` and `client` make. */
export interface Interface<Role extends string, M extends Methods> {
  readonly role: Role;
  /** `package.Service` */
  readonly name: string;
  readonly methods: M;
}
export type EntityType<M extends Methods = Methods> = Interface<"entity", M>;
export type ServiceType<M extends Methods = Methods> = Interface<"service", M>;
export type ClientType<M extends Methods = Methods> = Interface<"client", M>;

/** Methods of entities, which have keys. */
export function entity<const M extends Methods>(name: string, methods: M): EntityType<M> {
  return { role: "entity", name, methods };
}

/** Methods of a service, which has none. */
export function service<const M extends Methods>(name: string, methods: M): ServiceType<M> {
  return { role: "service", name, methods };
}

/** Methods that the server calls on clients. */
export function client<const M extends Methods>(name: string, methods: M): ClientType<M> {
  return { role: "client", name, methods };
}

/** The id of a method that has no `id` option: FNV-1a-32 of `package.Service/Method`, without the top four bits. */
export function methodId(path: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(path)) hash = Math.imul(hash ^ byte, 0x01000193);
  const id = hash & 0x0fff_ffff;
  return id < 1024 ? id + 1024 : id;
}

export interface NotifyOptions {
  /** May be lost, and is not kept for a resume. */
  unreliable?: boolean;
  /** A W3C trace context, 25 bytes. */
  trace?: Uint8Array;
}

export interface CallOptions {
  /** Default: that of the method, or else `callTimeoutMs` of the client. `Infinity`: wait for ever. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** A W3C trace context, 25 bytes. */
  trace?: Uint8Array;
}

type Argument<S extends DescMessage | null> = S extends DescMessage ? MessageInitShape<S> : null;
type Received<S extends DescMessage | null> = S extends DescMessage ? MessageShape<S> : null;
type Result<S extends DescMessage | null> = S extends DescMessage ? MessageShape<S> : void;
type Returned<S extends DescMessage | null> = S extends DescMessage ? MessageInitShape<S> : void;
type Arguments<S extends DescMessage | null, Options> = S extends DescMessage
  ? [request: MessageInitShape<S>, options?: Options]
  : [request?: null, options?: Options];

/** A method as a function; `notify` is the same call without an answer. */
export type StubMethod<M extends Method> = M extends { readonly oneway: true }
  ? (...args: Arguments<M["request"], NotifyOptions>) => void
  : ((...args: Arguments<M["request"], CallOptions>) => Promise<Result<M["reply"]>>) & {
      /** Wants no answer. @throws BbqError BUSY when too much is on its way */
      notify(...args: Arguments<M["request"], NotifyOptions>): void;
    };

/** What `client.entity(Room, key)` and `client.service(Shop)` give. */
export type Stub<M extends Methods> = { readonly [Name in keyof M]: StubMethod<M[Name]> };
/** The stub of an interface: `StubOf<typeof Room>`. */
export type StubOf<I> = I extends Interface<string, infer M> ? Stub<M> : never;

/** Where a message of the server comes from. */
export interface From {
  /** The entity that speaks, if one does. */
  readonly key: Key | undefined;
  /** How long the server waits for the answer; `undefined`: it wants none, or waits for ever. */
  readonly deadlineMs: number | undefined;
  readonly trace: Uint8Array | undefined;
}

/** Implementations of a client interface; what is thrown becomes the error that the server sees. */
export type Handlers<M extends Methods> = {
  [Name in keyof M]?: (
    message: Received<M[Name]["request"]>,
    from: From,
  ) => Returned<M[Name]["reply"]> | Promise<Returned<M[Name]["reply"]>> | (M[Name] extends { oneway: true } ? unknown : never);
};
/** The handlers of an interface: `HandlersOf<typeof ChatClient>`. */
export type HandlersOf<I> = I extends Interface<string, infer M> ? Handlers<M> : never;

/** Bytes in, bytes out: what a stub needs of the client. */
export interface Caller {
  call(method: number, key: Key | undefined, body: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  notify(method: number, key: Key | undefined, body: Uint8Array, options?: NotifyOptions): void;
}

/** Serves one method with bytes. */
export type BytesHandler = (body: Uint8Array, from: From) => Uint8Array | Promise<Uint8Array>;

/** The functions of an interface, for one key. */
export function makeStub<M extends Methods>(methods: M, key: Key | undefined, caller: Caller): Stub<M> {
  const stub: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(methods)) stub[name] = makeMethod(method, key, caller);
  return stub as Stub<M>;
}

function makeMethod(method: Method, key: Key | undefined, caller: Caller): unknown {
  const { id, request, reply, oneway } = method;
  const defaults: CallOptions = method.timeoutMs === undefined ? {} : { timeoutMs: method.timeoutMs };
  const notify = (argument: Argument<typeof request>, options?: NotifyOptions): void =>
    caller.notify(id, key, encode(request, argument), options);
  if (oneway) return notify;
  const call = async (argument: Argument<typeof request>, options?: CallOptions): Promise<unknown> => {
    const body = await caller.call(id, key, encode(request, argument), { ...defaults, ...options });
    return reply ? decode(reply, body) : undefined;
  };
  return Object.assign(call, { notify });
}

/** A typed handler as one of bytes. */
export function serveBytes(method: Method, handler: (message: never, from: From) => unknown): BytesHandler {
  return async (body, from) => {
    const message = method.request ? decode(method.request, body) : null;
    return encode(method.reply, await handler(message as never, from));
  };
}

function encode(schema: DescMessage | null, init: unknown): Uint8Array {
  if (!schema || init === undefined || init === null) return new Uint8Array(0);
  return toBinary(schema, create(schema, init as MessageInitShape<DescMessage>));
}

function decode(schema: DescMessage, body: Uint8Array): unknown {
  try {
    return fromBinary(schema, body);
  } catch (error) {
    throw new BbqError(Code.INVALID_ARGUMENT, `not a ${schema.typeName}: ${String(error)}`);
  }
}
