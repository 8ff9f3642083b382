/** Draws the arena around the own ship, and the radar. */

import { hueOf } from "../shared/player.js";
import type { Effects } from "./effects.js";
import { SHIP_RADIUS, type Model, type Shown, type Vector } from "./model.js";

/** The longer side of the screen shows this much, so that all of it lies in what is told. */
const VIEW = 1000;
const OWN_HUE = 24;
const STARS = 220;
/** Stars repeat after this many units. */
const STAR_FIELD = 1400;

export function shipHue(id: number, you: number): number {
  // Ember is the own colour: others keep away from it.
  return id === you ? OWN_HUE : 70 + (hueOf(id) / 360) * 270;
}

/** Clouds that tell places apart: x, y, radius, hue. */
const CLOUDS = [
  [-120, 60, 900, 22],
  [980, -840, 760, 265],
  [-1050, 760, 820, 195],
  [1000, 900, 640, 330],
] as const;
/** Units per step at full thrust. */
const TOP_SPEED = 16.6;

interface Star extends Vector {
  depth: number;
  size: number;
}

export class Scene {
  readonly #context: CanvasRenderingContext2D;
  readonly #stars: Star[] = [];
  #width = 0;
  #height = 0;
  #ratio = 1;
  /** Where the middle of the screen is. It stays when the own ship is destroyed. */
  #camera: Vector = { x: 0, y: 0 };

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly model: Model,
    readonly effects: Effects,
  ) {
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("this browser draws no canvas");
    this.#context = context;
    // The same sky for everybody.
    let seed = 1;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let n = 0; n < STARS; n += 1) {
      this.#stars.push({ x: random() * STAR_FIELD, y: random() * STAR_FIELD, depth: 0.25 + random() * 0.6, size: random() });
    }
    addEventListener("resize", () => this.#resize());
    this.#resize();
  }

  get centre(): Vector {
    return { x: this.#width / 2, y: this.#height / 2 };
  }

  #resize(): void {
    this.#width = innerWidth;
    this.#height = innerHeight;
    // More than 2 costs time that nobody sees.
    this.#ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = this.#width * this.#ratio;
    this.canvas.height = this.#height * this.#ratio;
  }

  draw(now: number, aim: number, others: Shown[], shots: Shown[]): void {
    const own = this.model.own(now);
    if (own) this.#camera = { x: own.x, y: own.y };
    const context = this.#context;
    const scale = Math.max(this.#width, this.#height) / VIEW;
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    context.fillStyle = "#0b0e14";
    context.fillRect(0, 0, this.#width, this.#height);
    this.#drawStars();
    context.translate(this.#width / 2, this.#height / 2);
    context.scale(scale, scale);
    context.translate(-this.#camera.x, -this.#camera.y);
    this.#drawClouds();
    this.#drawSquare(scale);
    context.globalCompositeOperation = "lighter";
    for (const shot of shots) this.#drawShot(shot);
    context.globalCompositeOperation = "source-over";
    for (const ship of others) this.#drawShip(ship, shipHue(ship.id, this.model.you), ship.name, scale, now);
    if (own) {
      const angle = (aim / 1024) * 2 * Math.PI;
      this.#drawShip({ ...own, id: this.model.you, angle, name: "", owner: 0 }, OWN_HUE, "", scale, now);
    }
    context.globalCompositeOperation = "lighter";
    this.effects.draw(context, now);
    context.globalCompositeOperation = "source-over";
  }

  #drawStars(): void {
    const context = this.#context;
    const wrap = (value: number, size: number): number => ((value % size) + size) % size;
    for (const star of this.#stars) {
      const x = wrap(star.x - this.#camera.x * star.depth, STAR_FIELD);
      const y = wrap(star.y - this.#camera.y * star.depth, STAR_FIELD);
      if (x > this.#width || y > this.#height) continue;
      context.fillStyle = `hsl(${star.size > 0.8 ? 30 : 220} 40% 82% / ${0.2 + star.depth * 0.5})`;
      const size = star.depth * (1.2 + star.size * 1.3);
      context.fillRect(x, y, size, size);
    }
  }

  #drawClouds(): void {
    const context = this.#context;
    for (const [x, y, radius, hue] of CLOUDS) {
      const cloud = context.createRadialGradient(x, y, 0, x, y, radius);
      cloud.addColorStop(0, `hsl(${hue} 80% 50% / 0.1)`);
      cloud.addColorStop(0.6, `hsl(${hue} 80% 45% / 0.035)`);
      cloud.addColorStop(1, `hsl(${hue} 80% 45% / 0)`);
      context.fillStyle = cloud;
      context.fillRect(x - radius, y - radius, radius * 2, radius * 2);
    }
  }

  #drawSquare(scale: number): void {
    const context = this.#context;
    const half = this.model.size / 2;
    context.lineWidth = 1 / scale;
    context.strokeStyle = "hsl(220 30% 66% / 0.13)";
    context.beginPath();
    for (let at = -half + this.model.cell; at < half; at += this.model.cell) {
      context.moveTo(at, -half);
      context.lineTo(at, half);
      context.moveTo(-half, at);
      context.lineTo(half, at);
    }
    context.stroke();
    context.strokeStyle = "hsl(24 90% 64% / 0.16)";
    context.lineWidth = 12;
    context.strokeRect(-half - 5, -half - 5, this.model.size + 10, this.model.size + 10);
    context.strokeStyle = "hsl(24 90% 66% / 0.75)";
    context.lineWidth = 2;
    context.strokeRect(-half, -half, this.model.size, this.model.size);
  }

  #drawShot(shot: Shown): void {
    const context = this.#context;
    const { x, y, speed } = shot;
    const hue = shipHue(shot.owner, this.model.you);
    const tail = { x: x - speed.x * 0.9, y: y - speed.y * 0.9 };
    const fade = context.createLinearGradient(tail.x, tail.y, x, y);
    fade.addColorStop(0, `hsl(${hue} 95% 65% / 0)`);
    fade.addColorStop(1, `hsl(${hue} 95% 72% / 0.95)`);
    context.strokeStyle = fade;
    context.lineWidth = 3.5;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(tail.x, tail.y);
    context.lineTo(x, y);
    context.stroke();
  }

  #drawShip(ship: Shown, hue: number, name: string, scale: number, now: number): void {
    const context = this.#context;
    const r = SHIP_RADIUS;
    context.save();
    context.translate(ship.x, ship.y);
    const glow = context.createRadialGradient(0, 0, r * 0.3, 0, 0, r * 2.6);
    glow.addColorStop(0, `hsl(${hue} 90% 60% / 0.28)`);
    glow.addColorStop(1, `hsl(${hue} 90% 60% / 0)`);
    context.fillStyle = glow;
    context.fillRect(-r * 3, -r * 3, r * 6, r * 6);
    if (ship.fresh) {
      context.strokeStyle = `hsl(${hue} 80% 75% / ${0.35 + 0.25 * Math.sin(now / 120)})`;
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(0, 0, r * 1.55, 0, 7);
      context.stroke();
    }
    this.#drawFlame(ship, hue, now);
    context.rotate(ship.angle);
    context.beginPath();
    context.moveTo(r * 1.15, 0);
    context.quadraticCurveTo(r * 0.1, r * 0.45, -r * 0.85, r * 0.85);
    context.quadraticCurveTo(-r * 0.45, 0, -r * 0.85, -r * 0.85);
    context.quadraticCurveTo(r * 0.1, -r * 0.45, r * 1.15, 0);
    context.fillStyle = `hsl(${hue} 78% 62%)`;
    context.fill();
    context.strokeStyle = `hsl(${hue} 100% 86% / 0.9)`;
    context.lineWidth = 1.4;
    context.lineJoin = "round";
    context.stroke();
    context.fillStyle = `hsl(${hue} 60% 22%)`;
    context.beginPath();
    context.ellipse(r * 0.18, 0, r * 0.3, r * 0.16, 0, 0, 7);
    context.fill();
    context.restore();
    this.#drawLabel(ship, hue, name, scale);
  }

  /** Away from where it flies, which need not be where it looks. */
  #drawFlame(ship: Shown, hue: number, now: number): void {
    const { x, y } = ship.speed;
    const fast = Math.min(1, Math.hypot(x, y) / TOP_SPEED);
    if (fast < 0.08) return;
    const context = this.#context;
    const r = SHIP_RADIUS;
    const length = r * (0.9 + fast * 1.5 + 0.15 * Math.sin(now / 23 + ship.id));
    context.save();
    context.rotate(Math.atan2(y, x));
    const flame = context.createLinearGradient(-r * 0.4, 0, -length, 0);
    flame.addColorStop(0, `hsl(${hue} 95% 78% / ${0.7 * fast})`);
    flame.addColorStop(1, `hsl(${hue} 95% 60% / 0)`);
    context.fillStyle = flame;
    context.beginPath();
    context.moveTo(-r * 0.3, r * 0.36);
    context.quadraticCurveTo(-length * 0.6, r * 0.2, -length, 0);
    context.quadraticCurveTo(-length * 0.6, -r * 0.2, -r * 0.3, -r * 0.36);
    context.fill();
    context.restore();
  }

  #drawLabel(ship: Shown, hue: number, name: string, scale: number): void {
    const context = this.#context;
    const below = ship.y + SHIP_RADIUS * 1.75;
    if (ship.hull < 100) {
      const width = 34;
      context.fillStyle = "hsl(220 25% 30% / 0.8)";
      context.fillRect(ship.x - width / 2, below, width, 3);
      context.fillStyle = ship.hull > 40 ? `hsl(${hue} 75% 65%)` : "hsl(0 85% 66%)";
      context.fillRect(ship.x - width / 2, below, (width * ship.hull) / 100, 3);
    }
    if (!name) return;
    context.font = `500 ${12 / scale}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillStyle = "hsl(220 20% 82% / 0.85)";
    context.fillText(name, ship.x, below + 7);
  }
}

/** The whole square, small: the own ship, who is near, and how much is told. */
export function drawRadar(canvas: HTMLCanvasElement, model: Model, now: number, others: Shown[]): void {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const size = canvas.clientWidth;
  if (size === 0) return;
  if (canvas.width !== size * ratio) canvas.width = canvas.height = size * ratio;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, size, size);
  const at = (value: number): number => ((value + model.size / 2) / model.size) * size;
  const own = model.own(now);
  context.strokeStyle = "hsl(220 30% 70% / 0.12)";
  context.lineWidth = 1;
  context.beginPath();
  const cells = Math.round(model.size / model.cell);
  for (let n = 1; n < cells; n += 1) {
    const line = Math.round((n / cells) * size) + 0.5;
    context.moveTo(line, 0);
    context.lineTo(line, size);
    context.moveTo(0, line);
    context.lineTo(size, line);
  }
  context.stroke();
  if (own) {
    const cell = size / cells;
    const [column, row] = [Math.floor(at(own.x) / cell), Math.floor(at(own.y) / cell)];
    context.fillStyle = "hsl(24 90% 64% / 0.12)";
    context.fillRect((column - 1) * cell, (row - 1) * cell, cell * 3, cell * 3);
  }
  for (const ship of others) dot(context, at(ship.x), at(ship.y), 2, `hsl(${shipHue(ship.id, model.you)} 75% 66%)`);
  if (own) dot(context, at(own.x), at(own.y), 3, `hsl(${OWN_HUE} 100% 72%)`);
}

function dot(context: CanvasRenderingContext2D, x: number, y: number, radius: number, colour: string): void {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}
