/** Sparks and rings: seen for a moment, known to nobody else. */

import type { Vector } from "./model.js";

interface Spark extends Vector {
  speed: Vector;
  bornAt: number;
  livesMs: number;
  hue: number;
}

interface Ring extends Vector {
  bornAt: number;
  livesMs: number;
  radius: number;
  hue: number;
}

/** More sparks than this at a time are not made. */
const MAX_SPARKS = 400;

export class Effects {
  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #sparks: Spark[] = [];
  #rings: Ring[] = [];

  spawned(at: Vector, hue: number, now: number): void {
    this.#ring(at, hue, 46, 700, now);
  }

  hit(at: Vector, hue: number, now: number): void {
    this.#burst(at, hue, 7, 140, 320, now);
  }

  killed(at: Vector, hue: number, now: number): void {
    this.#ring(at, hue, 90, 800, now);
    this.#burst(at, hue, 34, 260, 900, now);
  }

  draw(context: CanvasRenderingContext2D, now: number): void {
    this.#sparks = this.#sparks.filter((spark) => now - spark.bornAt < spark.livesMs);
    this.#rings = this.#rings.filter((ring) => now - ring.bornAt < ring.livesMs);
    for (const spark of this.#sparks) {
      const age = (now - spark.bornAt) / spark.livesMs;
      const way = (1 - Math.exp(-2.5 * age)) * 0.4 * (spark.livesMs / 1000);
      context.fillStyle = `hsl(${spark.hue} 90% 72% / ${(1 - age) ** 1.5})`;
      context.beginPath();
      context.arc(spark.x + spark.speed.x * way, spark.y + spark.speed.y * way, 2.4 * (1 - age) + 0.6, 0, 7);
      context.fill();
    }
    context.lineWidth = 2;
    for (const ring of this.#rings) {
      const age = (now - ring.bornAt) / ring.livesMs;
      context.strokeStyle = `hsl(${ring.hue} 85% 70% / ${(1 - age) ** 2 * 0.8})`;
      context.beginPath();
      context.arc(ring.x, ring.y, ring.radius * (1 - (1 - age) ** 3) + 4, 0, 7);
      context.stroke();
    }
  }

  #burst(at: Vector, hue: number, count: number, speed: number, livesMs: number, now: number): void {
    if (this.#calm.matches) return;
    for (let n = 0; n < count && this.#sparks.length < MAX_SPARKS; n += 1) {
      const angle = Math.random() * 2 * Math.PI;
      const fast = speed * (0.3 + Math.random());
      this.#sparks.push({
        x: at.x,
        y: at.y,
        speed: { x: Math.cos(angle) * fast, y: Math.sin(angle) * fast },
        bornAt: now,
        livesMs: livesMs * (0.5 + Math.random() * 0.7),
        hue: n % 3 === 0 ? 40 : hue,
      });
    }
  }

  #ring(at: Vector, hue: number, radius: number, livesMs: number, now: number): void {
    this.#rings.push({ ...at, bornAt: now, livesMs, radius, hue });
  }
}
