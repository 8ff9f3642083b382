/** The arena: connects, sends what the pilot wants 20 times a second, and draws. */

import type { Client } from "gobbq";

import { Arena, ArenaClient } from "../gen/arena_gobbq.js";
import { Event_Kind, type Scoreboard } from "../gen/arena_pb.js";
import { announce, Badge, connect } from "../shared/connection.js";
import { byId, h, setText } from "../shared/dom.js";
import { playerName, setPlayerName } from "../shared/player.js";
import { Controls } from "./controls.js";
import { Effects } from "./effects.js";
import { Model, type Happened, type Shown, type Vector } from "./model.js";
import { drawRadar, Scene, shipHue } from "./scene.js";

const KEY = "main";
/** An online page that hears nothing for so long has no ship any more, and joins again. */
const SILENCE_MS = 2_500;
/** Steps made up for after a pause; more are skipped. */
const MAX_STEPS = 3;
/** Who is nearer is aimed at while the mouse rests. */
const ASSIST = 380;
const FEED_MS = 6_000;
const FEED_LINES = 4;

const model = new Model();
const effects = new Effects();
const canvas = byId<HTMLCanvasElement>("arena");
const radar = byId<HTMLCanvasElement>("radar");
const scene = new Scene(canvas, model, effects);
const controls = new Controls(canvas);
const badge = new Badge();

let client: Client | undefined;
let joining = false;
let joinedAt = -Infinity;
let steppedAt = performance.now();
let aim = 0;
let ships: Shown[] = [];
let destroyedBy: string | undefined;

controls.onFirstUse = () => byId("hints").classList.add("done");

connect(
  {
    setup(fresh) {
      fresh.on(ArenaClient, {
        near: (snapshot) => model.near(snapshot, performance.now()),
        happened: (events) => model.happened(events),
        scores: (board) => showScores(board),
      });
    },
    online(now) {
      client = now;
      void join();
    },
    detached: () => controls.release(),
    closed: () => byId("again").removeAttribute("hidden"),
  },
  badge,
);

async function join(): Promise<void> {
  if (!client || joining) return;
  joining = true;
  try {
    const reply = await client.entity(Arena, KEY).join({ name: playerName() });
    model.join(reply, performance.now());
    destroyedBy = undefined;
  } catch (error) {
    announce(`The arena does not answer: ${String(error)}`);
  } finally {
    // The next try is not before a while without snapshots.
    joinedAt = performance.now();
    joining = false;
  }
}

// -- Time -----------------------------------------------------------------------------------------------------------

function frame(now: number): void {
  requestAnimationFrame(frame);
  if (document.hidden) return;
  step(now);
  ships = model.ships(now);
  for (const event of model.takeHappened(now)) show(event, now);
  scene.draw(now, aim, ships, model.shots(now));
  drawRadar(radar, model, now, ships);
  showOwn(now);
}

/** The own steps keep the pace of the server's. */
function step(now: number): void {
  steppedAt = Math.max(steppedAt, now - MAX_STEPS * model.stepMs);
  while (now - steppedAt >= model.stepMs) {
    steppedAt += model.stepMs;
    if (client?.state === "online" && model.you !== 0) send(steppedAt);
  }
}

function send(now: number): void {
  const own = model.own(now);
  const wish = controls.wish(now, scene.centre, own && target(own), own?.speed ?? { x: 0, y: 0 });
  aim = wish.aim;
  const sequence = model.wish(wish, performance.now());
  const thrust = { thrustX: Math.trunc(wish.thrust.x * 100), thrustY: Math.trunc(wish.thrust.y * 100) };
  // An input that comes late is of no use: it is not kept for a resume.
  client?.entity(Arena, KEY).input({ sequence, ...thrust, aim: wish.aim, fire: wish.fire }, { unreliable: true });
}

/** The way to the nearest ship, if it is near, a little ahead of it. */
function target(own: Vector): Vector | undefined {
  let nearest: Vector | undefined;
  let distance = ASSIST;
  for (const ship of ships) {
    const way = { x: ship.x - own.x + ship.speed.x * 6, y: ship.y - own.y + ship.speed.y * 6 };
    if (Math.hypot(way.x, way.y) < distance && !ship.fresh) [nearest, distance] = [way, Math.hypot(way.x, way.y)];
  }
  return nearest;
}

setInterval(() => {
  const now = performance.now();
  if (model.latencyMs !== undefined) badge.latency(model.latencyMs);
  const silent = now - Math.max(model.silentSince(), joinedAt) > SILENCE_MS;
  if (silent && client?.state === "online" && !document.hidden) void join();
}, 500);

document.addEventListener("visibilitychange", () => {
  controls.release();
  // Let the ship drift, rather than fly on as it did.
  if (document.hidden && client?.state === "online" && model.you !== 0) send(performance.now());
  model.rest();
  steppedAt = performance.now();
});

// -- What happens ---------------------------------------------------------------------------------------------------

function show(event: Happened, now: number): void {
  const { kind, ship, by, x, y } = event;
  const hue = shipHue(ship, model.you);
  if (kind === Event_Kind.SPAWNED) effects.spawned({ x, y }, hue, now);
  if (kind === Event_Kind.HIT) effects.hit({ x, y }, hue, now);
  if (kind !== Event_Kind.KILLED) return;
  effects.killed({ x, y }, hue, now);
  feed(by, ship);
  if (ship === model.you) {
    destroyedBy = model.nameOf(by);
    announce(`Destroyed by ${destroyedBy}`);
  } else if (by === model.you) {
    announce(`You destroyed ${model.nameOf(ship)}`);
  }
}

function feed(by: number, ship: number): void {
  if (!model.knows(by) && !model.knows(ship)) return;
  const who = (id: number): HTMLElement => {
    const name = id === model.you ? "you" : model.nameOf(id);
    return h("span", { style: `color: hsl(${shipHue(id, model.you)} 80% 74%)` }, name);
  };
  const line = h("li", {}, who(by), h("span", { class: "quiet" }, " destroyed "), who(ship));
  const list = byId("feed");
  list.append(line);
  while (list.children.length > FEED_LINES) list.firstElementChild?.remove();
  setTimeout(() => line.remove(), FEED_MS);
}

function showOwn(now: number): void {
  const own = model.own(now);
  const hull = byId("hull-bar");
  const width = `${own?.hull ?? 0}%`;
  if (hull.style.width !== width) hull.style.width = width;
  hull.classList.toggle("low", (own?.hull ?? 100) <= 40);
  setText(byId("hull-text"), own ? `${own.hull}` : "–");
  const message = byId("message");
  const destroyed = !own && destroyedBy !== undefined && client?.state === "online";
  message.hidden = !destroyed;
  if (destroyed) setText(message, `Destroyed by ${destroyedBy}. A new ship is on its way.`);
  if (own) destroyedBy = undefined;
}

function showScores(board: Scoreboard): void {
  for (const { ship, name } of board.top) model.learnName(ship, name);
  const rows = board.top.map(({ ship, name, kills, deaths }, place) =>
    h(
      "tr",
      { class: ship === model.you ? "you" : undefined },
      h("td", {}, `${place + 1}`),
      h("th", { scope: "row" }, h("i", { style: `background: hsl(${shipHue(ship, model.you)} 75% 64%)` }), name),
      h("td", {}, `${kills}`),
      h("td", { class: "quiet" }, `${deaths}`),
    ),
  );
  byId("scores").replaceChildren(...rows);
  setText(byId("ships"), board.ships === 1 ? "1 ship" : `${board.ships} ships`);
}

// -- Name -----------------------------------------------------------------------------------------------------------

function showName(): void {
  setText(byId("name"), playerName());
}

const dialog = byId<HTMLDialogElement>("name-dialog");
const field = byId<HTMLInputElement>("name-field");
byId("name-button").addEventListener("click", () => {
  field.value = playerName();
  dialog.showModal();
  field.select();
});
byId("name-cancel").addEventListener("click", () => dialog.close());
byId("name-form").addEventListener("submit", () => {
  const name = field.value.trim();
  if (!name || name === playerName()) return;
  setPlayerName(name);
  showName();
  void rename();
});
byId("again").addEventListener("click", () => location.reload());
byId("scores-button").addEventListener("click", () => {
  const open = byId("board").classList.toggle("open");
  byId("scores-button").setAttribute("aria-expanded", String(open));
});

/** A ship keeps its name: another name is another ship. */
async function rename(): Promise<void> {
  try {
    await client?.entity(Arena, KEY).leave();
    await join();
  } catch {
    // The watch over silence joins later.
  }
}

showName();
requestAnimationFrame(frame);
