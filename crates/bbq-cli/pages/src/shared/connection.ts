/** The session with the gate that served this page, and the badge that shows how it is. */

import { Client, type BbqError } from "gobbq";

import { byId, setText } from "./dom.js";
import { guestAccount } from "./player.js";

export interface ConnectionEvents {
  /** Before anything can arrive: register handlers here. */
  setup(client: Client): void;
  /** There is a new session: fetch what is shown. */
  online(client: Client): void;
  /** The connection is gone; the client reconnects by itself. */
  detached?(): void;
  /** The same session goes on; what was missed follows. */
  resumed?(): void;
  closed?(error: BbqError): void;
}

/** How long the badge says what just happened. */
const NEWS_MS = 4_000;

type Look = "wait" | "good" | "news" | "bad";

/** Connects, and keeps trying. */
export function connect(events: ConnectionEvents, badge: Badge): void {
  const secure = location.protocol === "https:";
  let current: Client | undefined;
  const connecting = Client.connect({
    url: `${secure ? "wss" : "ws"}://${location.host}/bbq`,
    auth: { scheme: "guest", token: guestAccount() },
    connectTimeoutMs: Infinity,
    backoff: { baseMs: 300, maxMs: 3_000 },
    setup: (client) => events.setup(client),
    onDetach: () => {
      badge.show("wait", "reconnecting…");
      events.detached?.();
    },
    onResume: () => {
      badge.news("resumed, nothing lost");
      events.resumed?.();
    },
    onResync: () => {
      badge.news("back, with a new session");
      if (current) events.online(current);
    },
    onClosed: (error) => {
      badge.show("bad", error.name === "REPLACED" ? "open in another tab" : `closed: ${error.message || error.name}`);
      events.closed?.(error);
    },
  });
  connecting.then(
    (client) => {
      current = client;
      badge.show("good", "online");
      events.online(client);
    },
    // `onClosed` has said it.
    () => undefined,
  );
}

/** `online · 23 ms`, `reconnecting…`, `resumed`. */
export class Badge {
  readonly #element = byId("badge");
  readonly #text = byId("badge-text");
  #latency: number | undefined;
  #newsUntil = 0;
  #online = false;

  constructor() {
    this.show("wait", "connecting…");
  }

  show(look: Look, text: string): void {
    this.#online = look === "good";
    this.#newsUntil = 0;
    this.#set(look, text);
    announce(text);
  }

  /** Says it for a while, then that all is well. */
  news(text: string): void {
    this.#online = true;
    this.#newsUntil = performance.now() + NEWS_MS;
    this.#set("news", text);
    announce(text);
    setTimeout(() => this.#refresh(), NEWS_MS + 20);
  }

  /** A new measurement of the way there and back. */
  latency(ms: number): void {
    this.#latency = this.#latency === undefined ? ms : this.#latency * 0.8 + ms * 0.2;
    this.#refresh();
  }

  #refresh(): void {
    if (!this.#online || performance.now() < this.#newsUntil) return;
    this.#set("good", this.#latency === undefined ? "online" : `online · ${Math.round(this.#latency)} ms`);
  }

  #set(look: Look, text: string): void {
    if (this.#element.dataset["look"] !== look) this.#element.dataset["look"] = look;
    setText(this.#text, text);
  }
}

/** Tells those who listen instead of looking. */
export function announce(text: string): void {
  setText(byId("live"), text);
}
