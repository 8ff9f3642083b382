/** What carries bytes to a gate and back. One transport is one connection; a reconnect asks for a new one. */

import type { Framing } from "./split.js";

export interface TransportEvents {
  opened(): void;
  received(bytes: Uint8Array): void;
  /** It could not be opened, or is gone; nothing follows. Not needed after `close()`. */
  closed(reason: string): void;
}

/** Implement this for sockets that are neither WebSocket nor TCP. */
export interface Transport {
  /** "message": what is sent arrives as one piece, and so it comes in. "stream": bytes, cut anywhere. */
  readonly framing: Framing;
  /** Bytes that were sent and still wait, if known: the unreliable lane is shed when they are many. */
  readonly bufferedBytes?: number;
  /** Called once. */
  open(events: TransportEvents): void;
  /** Called only while it is open. */
  send(bytes: Uint8Array): void;
  close(): void;
}

/** Makes a transport; `address` is where a gate sent its clients with GOAWAY, if it did. */
export type TransportFactory = (address: string | undefined) => Transport;

/** The part of a WebSocket class that is used. The global one fits, and that of npm `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface WebSocketOptions {
  /** The class to use where there is no global one, as in Node before 22. */
  WebSocket?: new (url: string) => WebSocketLike;
}

/** Transports over WebSocket to `url`, such as `wss://play.example/bbq`. */
export function webSocket(url: string, options: WebSocketOptions = {}): TransportFactory {
  return (address) => new WebSocketTransport(address ? moved(url, address) : url, options);
}

/** A URL replaces the old one; a mere `host:port` replaces that part of it. */
function moved(url: string, address: string): string {
  return address.includes("://") ? address : url.replace(/^(\w+:\/\/)[^/?#]*/, `$1${address}`);
}

class WebSocketTransport implements Transport {
  readonly framing = "message";
  #socket: WebSocketLike | undefined;

  constructor(
    readonly url: string,
    readonly options: WebSocketOptions,
  ) {}

  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  open(events: TransportEvents): void {
    const Socket = this.options.WebSocket ?? (globalThis.WebSocket as WebSocketOptions["WebSocket"]);
    if (!Socket) return events.closed("there is no global WebSocket: pass one, or another transport");
    const socket = new Socket(this.url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => events.opened();
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (data instanceof ArrayBuffer) return events.received(new Uint8Array(data));
      this.close();
      events.closed("the gate sent a text message");
    };
    // Says nothing that `onclose` would not say.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }: { code?: number; reason?: string }) =>
      events.closed(`WebSocket closed: ${code ?? "no code"} ${reason ?? ""}`.trim());
  }

  send(bytes: Uint8Array): void {
    this.#socket?.send(bytes as Uint8Array<ArrayBuffer>);
  }

  close(): void {
    this.#socket?.close();
  }
}
