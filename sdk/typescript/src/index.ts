/** The client SDK of gobbq. See the README for a tour; `gobbq/node` adds TCP and TLS. */

export { Client, type AuthOptions, type ClientOptions, type Loss } from "./client.js";
export { BbqError, Code, codeName, type Retry, type WireError } from "./errors.js";
export type { Key } from "./frame.js";
export type { SessionState } from "./events.js";
export {
  client,
  entity,
  methodId,
  service,
  type BytesHandler,
  type CallOptions,
  type ClientType,
  type EntityType,
  type From,
  type Handlers,
  type HandlersOf,
  type Method,
  type Methods,
  type NotifyOptions,
  type ServiceType,
  type Stub,
  type StubMethod,
  type StubOf,
} from "./stub.js";
export {
  webSocket,
  type Transport,
  type TransportEvents,
  type TransportFactory,
  type WebSocketLike,
  type WebSocketOptions,
} from "./transport.js";
