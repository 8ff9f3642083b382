/** Draws one room: lines grouped by who said them, drafts below, and who is here. */

import { h } from "../shared/dom.js";
import { hueOf } from "../shared/player.js";
import type { Draft, RoomModel, Said } from "./model.js";

/** Lines of one person within this time are one group. */
const GROUP_MS = 4 * 60_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export interface DraftActions {
  retry(draft: Draft): void;
  discard(draft: Draft): void;
}

/** All that was said in a room, as list items. */
export function lineItems(room: RoomModel, actions: DraftActions): HTMLElement[] {
  const items: HTMLElement[] = [];
  let before: Said | undefined;
  for (const line of room.lines) {
    const newDay = !before || day.format(before.unixMs) !== day.format(line.unixMs);
    if (newDay) items.push(h("li", { class: "day" }, h("span", {}, day.format(line.unixMs))));
    if (before && line.number > before.number + 1) items.push(h("li", { class: "day" }, h("span", {}, "older lines are gone")));
    const goes_on = !newDay && before?.from === line.from && line.unixMs - before.unixMs < GROUP_MS;
    items.push(lineItem(line, line.from === room.me, goes_on));
    before = line;
  }
  for (const draft of room.drafts) {
    items.push(draftItem(draft, before?.from === room.me, actions));
    before = { number: before?.number ?? 0, from: room.me, text: draft.text, unixMs: draft.unixMs };
  }
  if (items.length === 0) items.push(h("li", { class: "empty" }, "Nothing has been said here yet."));
  return items;
}

function lineItem(line: Said, mine: boolean, goesOn: boolean): HTMLElement {
  const time = h("time", { datetime: new Date(line.unixMs).toISOString() }, clock.format(line.unixMs));
  return h(
    "li",
    { class: `line${mine ? " mine" : ""}${goesOn ? " goes-on" : ""}` },
    !goesOn && !mine && avatar(line.from),
    !goesOn && h("p", { class: "who" }, h("b", {}, mine ? "you" : line.from), time),
    h("p", { class: "text" }, line.text),
  );
}

function draftItem(draft: Draft, goesOn: boolean, actions: DraftActions): HTMLElement {
  const state = draft.failure
    ? h(
        "p",
        { class: "failure" },
        `${draft.failure} `,
        h("button", { class: "link", click: () => actions.retry(draft) }, "Send again"),
        " · ",
        h("button", { class: "link", click: () => actions.discard(draft) }, "Discard"),
      )
    : h("p", { class: "sending" }, "sending…");
  return h(
    "li",
    { class: `line mine ${draft.failure ? "failed" : "draft"}${goesOn ? " goes-on" : ""}` },
    !goesOn && h("p", { class: "who" }, h("b", {}, "you"), h("time", {}, clock.format(draft.unixMs))),
    h("p", { class: "text" }, draft.text),
    state,
  );
}

export function avatar(name: string): HTMLElement {
  const letters = name.split(/\s+/).map((word) => [...word][0] ?? "");
  const style = `--hue: ${hueOf(name).toFixed(0)}`;
  return h("span", { class: "avatar", style, "aria-hidden": "true" }, letters.slice(0, 2).join("").toUpperCase());
}

export function peopleItems(room: RoomModel): HTMLElement[] {
  const names = [...room.members].sort(([a], [b]) => a.localeCompare(b));
  return names.map(([name, state]) =>
    h(
      "li",
      { class: state === "away" ? "person away" : "person" },
      avatar(name),
      h("span", {}, name),
      (name === room.me || state === "away") && h("span", { class: "quiet" }, name === room.me ? "you" : "away"),
    ),
  );
}

export interface RoomRow {
  name: string;
  members: number | undefined;
  unread: number;
  current: boolean;
}

export function roomItems(rows: readonly RoomRow[], enter: (room: string) => void): HTMLElement[] {
  return rows.map(({ name, members, unread, current }) =>
    h(
      "li",
      {},
      h(
        "button",
        { class: "room", "aria-current": current ? "true" : undefined, click: () => enter(name) },
        h("span", { class: "hash", "aria-hidden": "true" }, "#"),
        h("span", { class: "name" }, name),
        unread > 0 && h("span", { class: "unread", "aria-label": `${unread} new` }, unread > 99 ? "99+" : `${unread}`),
        unread === 0 && members !== undefined && h("span", { class: "quiet", "aria-label": `${members} here` }, `${members}`),
      ),
    ),
  );
}
