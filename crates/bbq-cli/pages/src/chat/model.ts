/** What the page knows of its rooms, without page or network. */

import { PresenceChange_Kind, type JoinReply, type Line, type PresenceChange } from "../gen/chat_pb.js";

/** Lines kept of a room; the oldest are dropped. */
const MAX_LINES = 400;

export interface Said {
  number: number;
  from: string;
  text: string;
  unixMs: number;
}

/** A line of one's own that the room has not confirmed. */
export interface Draft {
  readonly id: number;
  readonly text: string;
  readonly unixMs: number;
  /** Why it could not be said; none: it is on its way. */
  failure?: string | undefined;
}

/** The session was lost while a line was on its way: only the room knows whether it came. */
export type Fate = "sent" | "unknown";

export class RoomModel {
  /** What one is called here; the server may have changed it. */
  me = "";
  joined = false;
  unread = 0;
  drafts: Draft[] = [];
  readonly members = new Map<string, "here" | "away">();
  #lines = new Map<number, Said>();
  #lastDraft = 0;
  /** Number of the newest line known when the draft was sent, by draft. */
  readonly #knownThen = new Map<number, number>();

  constructor(readonly name: string) {}

  /** Oldest first. */
  get lines(): Said[] {
    return [...this.#lines.values()].sort((a, b) => a.number - b.number);
  }

  get newest(): number {
    return Math.max(0, ...this.#lines.keys());
  }

  /** Entered, for the first time or again: what was missed is added to what is there. */
  join(reply: JoinReply): void {
    this.me = reply.name;
    this.joined = true;
    for (const line of reply.history) this.#add(line);
    this.members.clear();
    for (const name of reply.members) this.members.set(name, "here");
    // What was said in another session, and whose reply was lost, is in the history.
    for (const draft of this.drafts) if (this.fate(draft) === "sent") this.drop(draft.id);
  }

  /** Returns whether it was new. */
  said(line: Line): boolean {
    return this.#add(line);
  }

  presence({ kind, name }: PresenceChange): void {
    if (kind === PresenceChange_Kind.LEFT) this.members.delete(name);
    else if (kind === PresenceChange_Kind.AWAY) this.members.set(name, "away");
    else this.members.set(name, "here");
  }

  /** A line that is shown at once. */
  draft(text: string, unixMs: number): Draft {
    this.#lastDraft += 1;
    const draft: Draft = { id: this.#lastDraft, text, unixMs };
    this.#knownThen.set(draft.id, this.newest);
    this.drafts.push(draft);
    return draft;
  }

  /** The room has it. */
  confirm(draft: Draft, number: number, unixMs: number): void {
    this.drop(draft.id);
    this.#set({ number, from: this.me, text: draft.text, unixMs });
  }

  drop(id: number): void {
    this.drafts = this.drafts.filter((draft) => draft.id !== id);
    this.#knownThen.delete(id);
  }

  /** Whether a line like the draft came after the draft was written. */
  fate(draft: Draft): Fate {
    const known = this.#knownThen.get(draft.id) ?? 0;
    const mine = this.lines.some((line) => line.number > known && line.from === this.me && line.text === draft.text);
    return mine ? "sent" : "unknown";
  }

  #add(line: Line): boolean {
    const number = Number(line.number);
    if (this.#lines.has(number)) return false;
    this.#set({ number, from: line.from, text: line.text, unixMs: Number(line.unixMs) });
    return true;
  }

  #set(line: Said): void {
    this.#lines.set(line.number, line);
    if (this.#lines.size > MAX_LINES) this.#lines.delete(Math.min(...this.#lines.keys()));
  }
}
