/** TCP and TLS, for programs on Node: the entry `gobbq/node`. */

import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

import type { Transport, TransportEvents, TransportFactory } from "./transport.js";

/** Transports to `tcp://host:port` or `tls://host:port`. `options` go to TLS: `ca`, `servername`, .. */
export function tcp(address: string, options: ConnectionOptions = {}): TransportFactory {
  return (moved) => new TcpTransport(parse(moved ?? address, new URL(address).protocol), options);
}

/** A mere `host:port` keeps the protocol. */
function parse(address: string, protocol: string): URL {
  const url = new URL(address.includes("://") ? address : `${protocol}//${address}`);
  const known = url.protocol === "tcp:" || url.protocol === "tls:";
  if (!known || !url.port) throw new TypeError(`not tcp://host:port or tls://host:port: ${address}`);
  return url;
}

class TcpTransport implements Transport {
  readonly framing = "stream";
  #socket: Socket | undefined;

  constructor(
    readonly url: URL,
    readonly options: ConnectionOptions,
  ) {}

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  open(events: TransportEvents): void {
    const host = this.url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(this.url.port);
    const tls = this.url.protocol === "tls:";
    const socket = tls ? connectTls({ servername: host, ...this.options, host, port }) : connect({ host, port });
    this.#socket = socket;
    let reason = "connection closed";
    socket.setNoDelay(true);
    socket.once(tls ? "secureConnect" : "connect", () => events.opened());
    socket.on("data", (bytes) => events.received(bytes));
    socket.on("error", (error) => (reason = error.message));
    socket.once("close", () => events.closed(reason));
  }

  send(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  /** Half-closes, so that what was sent arrives, and does not wait for the gate for ever. */
  close(): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.end();
    setTimeout(() => socket.destroy(), 1000).unref();
  }
}
