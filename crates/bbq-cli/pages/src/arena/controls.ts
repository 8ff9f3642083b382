/** Keyboard, mouse and touch, as one wish. */

import { byId } from "../shared/dom.js";
import { TURN, type Vector, type Wish } from "./model.js";

/** How far the thumb moves for full thrust, in CSS pixels. */
const STICK_REACH = 52;
/** The mouse aims for so long after it moved; then the ship looks where it flies, or at whom is near. */
const MOUSE_HOLDS_MS = 8_000;

const KEYS: Record<string, Vector | undefined> = {
  KeyW: { x: 0, y: -1 },
  ArrowUp: { x: 0, y: -1 },
  KeyS: { x: 0, y: 1 },
  ArrowDown: { x: 0, y: 1 },
  KeyA: { x: -1, y: 0 },
  ArrowLeft: { x: -1, y: 0 },
  KeyD: { x: 1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
};

/** A thumb on the glass. */
interface Stick {
  pointer: number;
  from: Vector;
  pull: Vector;
}

export class Controls {
  readonly #held = new Set<string>();
  #mouse: (Vector & { at: number }) | undefined;
  #mouseFires = false;
  #move: Stick | undefined;
  #fire: Stick | undefined;
  #aim = 0;
  /** Something was pressed: the hints have been understood. */
  onFirstUse: (() => void) | undefined;

  constructor(canvas: HTMLElement) {
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.release());
    canvas.addEventListener("pointermove", (event) => this.#pointed(event));
    canvas.addEventListener("pointerdown", (event) => this.#pressed(event));
    addEventListener("pointerup", (event) => event.pointerType === "mouse" && (this.#mouseFires = false));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#stick(byId("stick"), (stick) => (this.#move = stick));
    this.#stick(byId("fire"), (stick) => (this.#fire = stick));
  }

  /** Lets everything go. */
  release(): void {
    this.#held.clear();
    this.#mouseFires = false;
    this.#move = this.#fire = undefined;
  }

  /**
   * What the pilot wants now. `centre`: where the own ship is on the screen; `target`: the way to whom is near;
   * `course`: where the ship flies.
   */
  wish(now: number, centre: Vector, target: Vector | undefined, course: Vector): Wish {
    const fire = this.#mouseFires || this.#held.has("Space") || this.#fire !== undefined;
    const thrust = this.#thrust();
    const way = this.#way(now, centre, target, Math.hypot(thrust.x, thrust.y) > 0.1 ? thrust : course);
    if (way) this.#aim = Math.round((Math.atan2(way.y, way.x) / (2 * Math.PI)) * TURN);
    return { thrust, aim: this.#aim, fire };
  }

  #thrust(): Vector {
    const sum = { ...(this.#move?.pull ?? { x: 0, y: 0 }) };
    for (const code of this.#held) {
      sum.x += KEYS[code]?.x ?? 0;
      sum.y += KEYS[code]?.y ?? 0;
    }
    const length = Math.hypot(sum.x, sum.y);
    return length > 1 ? { x: sum.x / length, y: sum.y / length } : sum;
  }

  #way(now: number, centre: Vector, target: Vector | undefined, course: Vector): Vector | undefined {
    const pull = this.#fire?.pull;
    if (pull && Math.hypot(pull.x, pull.y) > 0.25) return pull;
    const mouse = this.#mouse;
    if (mouse && (this.#mouseFires || now - mouse.at < MOUSE_HOLDS_MS)) {
      return { x: mouse.x - centre.x, y: mouse.y - centre.y };
    }
    if (target) return target;
    return Math.hypot(course.x, course.y) > 0.1 ? course : undefined;
  }

  #key(event: KeyboardEvent, down: boolean): void {
    const known = event.code === "Space" || KEYS[event.code] !== undefined;
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLButtonElement;
    if (!known || (down && typing) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (down) {
      this.#held.add(event.code);
      this.onFirstUse?.();
    } else {
      this.#held.delete(event.code);
    }
  }

  #pointed(event: PointerEvent): void {
    if (event.pointerType === "mouse") this.#mouse = { x: event.clientX, y: event.clientY, at: performance.now() };
  }

  #pressed(event: PointerEvent): void {
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    this.#pointed(event);
    this.#mouseFires = true;
    this.onFirstUse?.();
  }

  #stick(pad: HTMLElement, set: (stick: Stick | undefined) => void): void {
    const knob = pad.firstElementChild as HTMLElement | null;
    let stick: Stick | undefined;
    const change = (next: Stick | undefined): void => {
      stick = next;
      set(next);
      pad.classList.toggle("held", next !== undefined);
      const { x, y } = next?.pull ?? { x: 0, y: 0 };
      if (knob) knob.style.transform = `translate(${x * STICK_REACH}px, ${y * STICK_REACH}px)`;
    };
    pad.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      pad.setPointerCapture(event.pointerId);
      const box = pad.getBoundingClientRect();
      const from = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
      change({ pointer: event.pointerId, from, pull: pulled(from, event) });
      this.onFirstUse?.();
    });
    pad.addEventListener("pointermove", (event) => {
      if (stick?.pointer === event.pointerId) change({ ...stick, pull: pulled(stick.from, event) });
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(end, () => change(undefined));
  }
}

/** At most 1 long. */
function pulled(from: Vector, event: PointerEvent): Vector {
  const pull = { x: (event.clientX - from.x) / STICK_REACH, y: (event.clientY - from.y) / STICK_REACH };
  const length = Math.hypot(pull.x, pull.y);
  return length > 1 ? { x: pull.x / length, y: pull.y / length } : pull;
}
