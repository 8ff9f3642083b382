/** Chat: connects, enters rooms, and keeps what is shown true across lost connections and sessions. */

import { BbqError, Code, type Client } from "gobbq";

import { ChatClient, Directory, Room } from "../gen/chat_gobbq.js";
import { Badge, connect } from "../shared/connection.js";
import { byId, setText } from "../shared/dom.js";
import { hueOf, playerName, setPlayerName } from "../shared/player.js";
import { RoomModel, type Draft } from "./model.js";
import { lineItems, peopleItems, roomItems, type RoomRow } from "./view.js";

const LOBBY = "lobby";
const SUGGESTED = [LOBBY, "arena", "help"];
const DIRECTORY = "all";
const ROOMS_MS = 10_000;
/** How long a line waits for the connection: longer than most tunnels. */
const SAY_MS = 45_000;
/** Longest pause between two tries of what the cluster cannot do yet. */
const MAX_PAUSE_MS = 4_000;
/** Within so many pixels of the end, new lines scroll into view. */
const NEAR_END = 80;

const rooms = new Map<string, RoomModel>();
const sizes = new Map<string, number>();
const badge = new Badge();
const scroll = byId("scroll");
const field = byId<HTMLTextAreaElement>("say-field");
let client: Client | undefined;
let current = roomOf(location.hash.slice(1) || LOBBY);

connect(
  {
    setup(fresh) {
      fresh.on(ChatClient, {
        said(line, from) {
          const room = rooms.get(String(from.key));
          if (!room?.said(line)) return;
          if (room !== current || document.hidden) room.unread += 1;
          draw();
        },
        presence(change, from) {
          rooms.get(String(from.key))?.presence(change);
          draw();
        },
      });
    },
    online(now) {
      client = now;
      banner(undefined);
      for (const room of rooms.values()) if (room === current || room.joined) void enter(room);
      void listRooms();
    },
    detached: () => banner("The connection is gone. What you write waits until it is back."),
    resumed: () => banner(undefined),
    closed(error) {
      banner(error.code === Code.REPLACED ? "This chat is open in another tab." : `The session is over: ${error.message}`);
      byId("again").hidden = false;
    },
  },
  badge,
);

// -- Rooms ----------------------------------------------------------------------------------------------------------

function roomOf(name: string): RoomModel {
  const plain = /^[a-z0-9-]{1,32}$/.test(name) ? name : LOBBY;
  const room = rooms.get(plain) ?? new RoomModel(plain);
  rooms.set(plain, room);
  return room;
}

async function enter(room: RoomModel): Promise<boolean> {
  try {
    room.join(await patiently(async () => connected().entity(Room, room.name).join({ name: playerName() })));
    return true;
  } catch (error) {
    const { code, message } = BbqError.from(error);
    // A session that was lost meanwhile enters again by itself.
    if (code !== Code.OUTCOME_UNKNOWN && code !== Code.NOT_SENT) banner(`Cannot enter #${room.name}: ${message}`);
    return false;
  } finally {
    draw();
  }
}

function connected(): Client {
  if (!client) throw new BbqError(Code.UNAVAILABLE, "there is no connection yet");
  return client;
}

/** Tries again what was certainly not done: the cluster may be starting, or moving the room. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (let pauseMs = 250; ; pauseMs *= 2) {
    try {
      return await call();
    } catch (error) {
      const { code, retryAfterMs } = BbqError.from(error);
      const passing = code === Code.UNAVAILABLE || code === Code.BUSY;
      if (!passing || pauseMs > MAX_PAUSE_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.max(pauseMs, retryAfterMs)));
    }
  }
}

function open(name: string): void {
  current = roomOf(name);
  current.unread = 0;
  history.replaceState(null, "", `#${current.name}`);
  closePanels();
  draw();
  toEnd();
  if (!current.joined) void enter(current);
}

async function listRooms(): Promise<void> {
  if (client?.state !== "online" || document.hidden) return;
  const asked = performance.now();
  try {
    const { rooms: list } = await client.entity(Directory, DIRECTORY).list();
    badge.latency(performance.now() - asked);
    sizes.clear();
    for (const { room, members } of list) sizes.set(room, members);
    drawRooms();
  } catch {
    // The list is a convenience: it comes with the next try.
  }
}
setInterval(() => void listRooms(), ROOMS_MS);

// -- Talking --------------------------------------------------------------------------------------------------------

async function say(room: RoomModel, draft: Draft): Promise<void> {
  draft.failure = undefined;
  draw();
  for (let again = true; ; again = false) {
    try {
      const { number, unixMs } = await patiently(async () =>
        connected().entity(Room, room.name).say({ text: draft.text }, { timeoutMs: SAY_MS }),
      );
      room.confirm(draft, Number(number), Number(unixMs));
      break;
    } catch (error) {
      const known = BbqError.from(error);
      // The room does not know this session (any more), or the line was lost with the old one: enter, and once again.
      const outside = known.code === Code.FAILED_PRECONDITION || known.code === Code.NOT_SENT;
      if (again && outside && (await enter(room))) continue;
      if (known.code === Code.OUTCOME_UNKNOWN && (await enter(room)) && room.fate(draft) === "sent") room.drop(draft.id);
      else draft.failure = excuse(known);
      break;
    }
  }
  draw();
}

function excuse(error: BbqError): string {
  switch (error.code) {
    case Code.RESOURCE_EXHAUSTED:
      return "That was too fast for the room.";
    case Code.DEADLINE_EXCEEDED:
      return "No answer in time.";
    case Code.OUTCOME_UNKNOWN:
      return "The session was lost; it may not have arrived.";
    default:
      return `Not sent: ${error.message}.`;
  }
}

function submit(): void {
  const text = field.value.trim();
  if (!text) return;
  field.value = "";
  fit();
  void say(current, current.draft(text, Date.now()));
  toEnd();
}

byId("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  field.focus();
});
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
field.addEventListener("input", fit);

/** As high as its text, up to the limit of the style sheet. */
function fit(): void {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

// -- Drawing --------------------------------------------------------------------------------------------------------

let drawing = false;

/** Once for everything that happens before the next frame. */
function draw(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const atEnd = isAtEnd();
    drawLines();
    drawRooms();
    byId("people").replaceChildren(...peopleItems(current));
    setText(byId("people-number"), `${current.members.size}`);
    setText(byId("people-count"), `${current.members.size}`);
    setText(byId("room-name"), current.name);
    field.placeholder = `Say something in #${current.name}`;
    if (atEnd) toEnd();
    else byId("newest").hidden = current.lines.length === 0;
  });
}

/** Rebuilds the list, keeping the items that did not change: screen readers read out what is added. */
function drawLines(): void {
  const list = byId("lines");
  const room = current;
  const items = lineItems(room, {
    retry: (draft) => void say(room, draft),
    discard: (draft) => (room.drop(draft.id), draw()),
  });
  const old = [...list.children];
  const same = (at: number): boolean => old[at]?.outerHTML === items[at]?.outerHTML && !items[at]?.matches(".failed");
  let first = 0;
  while (first < items.length && first < old.length && same(first)) first += 1;
  for (const item of old.slice(first)) item.remove();
  list.append(...items.slice(first));
}

function drawRooms(): void {
  const names = new Set([...SUGGESTED, ...rooms.keys(), ...sizes.keys()]);
  const rows: RoomRow[] = [...names].map((name) => {
    const room = rooms.get(name);
    const members = room?.joined ? room.members.size : sizes.get(name);
    return { name, members, unread: room?.unread ?? 0, current: name === current.name };
  });
  byId("rooms").replaceChildren(...roomItems(rows, open));
  const unread = rows.reduce((sum, row) => sum + row.unread, 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ""}#${current.name} · gobbq`;
}

function isAtEnd(): boolean {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END;
}

function toEnd(): void {
  byId("newest").hidden = true;
  requestAnimationFrame(() => (scroll.scrollTop = scroll.scrollHeight));
}

function banner(text: string | undefined): void {
  byId("banner").hidden = text === undefined;
  setText(byId("banner-text"), text ?? "");
}

scroll.addEventListener("scroll", () => isAtEnd() && (byId("newest").hidden = true));
byId("newest").addEventListener("click", toEnd);
byId("again").addEventListener("click", () => location.reload());
addEventListener("hashchange", () => open(location.hash.slice(1)));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  current.unread = 0;
  draw();
  void listRooms();
});

// -- Panels and the name --------------------------------------------------------------------------------------------

function togglePanel(name: "rooms" | "people"): void {
  const open = !byId(`${name}-panel`).classList.contains("open");
  closePanels();
  byId(`${name}-panel`).classList.toggle("open", open);
  byId(`${name}-button`).setAttribute("aria-expanded", String(open));
  byId("shade").classList.toggle("open", open);
}

function closePanels(): void {
  for (const name of ["rooms", "people"]) {
    byId(`${name}-panel`).classList.remove("open");
    byId(`${name}-button`).setAttribute("aria-expanded", "false");
  }
  byId("shade").classList.remove("open");
}

byId("rooms-button").addEventListener("click", () => togglePanel("rooms"));
byId("people-button").addEventListener("click", () => togglePanel("people"));
byId("shade").addEventListener("click", closePanels);
addEventListener("keydown", (event) => event.key === "Escape" && closePanels());
byId("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = byId<HTMLInputElement>("room-field");
  open(input.value.trim());
  input.value = "";
});

const dialog = byId<HTMLDialogElement>("name-dialog");
const nameField = byId<HTMLInputElement>("name-field");
byId("name-button").addEventListener("click", () => {
  nameField.value = playerName();
  dialog.showModal();
  nameField.select();
});
byId("name-cancel").addEventListener("click", () => dialog.close());
byId("name-form").addEventListener("submit", () => {
  const name = nameField.value.trim();
  if (!name || name === playerName()) return;
  setPlayerName(name);
  showName();
  for (const room of rooms.values()) if (room.joined) void rename(room);
});

async function rename(room: RoomModel): Promise<void> {
  try {
    await client?.entity(Room, room.name).leave();
  } finally {
    await enter(room);
  }
}

function showName(): void {
  const name = playerName();
  setText(byId("name"), name);
  byId("name-dot").style.background = `hsl(${hueOf(name)} 70% 66%)`;
}

showName();
draw();
