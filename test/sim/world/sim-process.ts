import type { Clock } from "../../../topology/ports.ts";
import type { SimTime } from "./sim-time.ts";

/** A machine's wall clock: virtual time from a fixed start, with a skew that may jump. */
export class WallClock {
  readonly #time: SimTime;
  skewMs: number;

  constructor(time: SimTime, skewMs: number) {
    this.#time = time;
    this.skewMs = skewMs;
  }

  now(): number {
    return Math.floor(EPOCH_MS + this.#time.now + this.skewMs);
  }
}

/** Wall time at virtual time 0. */
export const EPOCH_MS = 1_800_000_000_000;

/**
 * One run of a program. Whatever is to happen to it later goes through {@link SimProcess.later}: once it is killed nothing
 * more does, so its promises stay as they are for ever, as if its memory were gone. While it is paused all of it waits.
 */
export class SimProcess {
  readonly #time: SimTime;
  readonly #wall: WallClock;
  readonly #held: Array<() => void> = [];
  readonly #atEnd: Array<() => void> = [];
  /** It was paused once: it may have done something late. */
  hasPaused = false;
  #alive = true;
  /** What is to happen waits in #held; it is not even taken out of it while stopped. */
  #paused = false;
  #stopped = false;

  constructor(time: SimTime, wall: WallClock) {
    this.#time = time;
    this.#wall = wall;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Runs `fn` in this process after `ms`, unless it was killed by then. */
  later(ms: number, fn: () => void): () => void {
    let cancelled = false;
    const cancel = this.#time.after(ms, () => {
      this.#deliver(() => {
        if (!cancelled) fn();
      });
    });
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Calls `fn` when the process is killed: its servers let go of what it had open. */
  atEnd(fn: () => void): void {
    this.#atEnd.push(fn);
  }

  kill(): void {
    this.#alive = false;
    this.#held.length = 0;
    for (const fn of this.#atEnd.splice(0)) fn();
  }

  pause(): void {
    this.hasPaused = true;
    this.#paused = true;
    this.#stopped = true;
  }

  /** What came meanwhile comes now, in order, each as a step of its own; what comes until then waits behind it. */
  resume(): void {
    if (!this.#paused) return;
    const next = (): void => {
      if (!this.#alive || this.#stopped) return;
      this.#held.shift()?.();
      if (this.#held.length === 0) this.#paused = false;
      else this.#time.after(0, next);
    };
    this.#stopped = false;
    this.#time.after(0, next);
  }

  /** The clock that code in this process sees. */
  readonly clock: Clock = {
    now: () => this.#wall.now(),
    monotonic: () => this.#time.now,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) {
          resolve();
          return;
        }
        const done = (): void => {
          signal?.removeEventListener("abort", done);
          cancel();
          resolve();
        };
        const cancel = this.later(ms, done);
        signal?.addEventListener("abort", done);
      }),
    after: (ms, fn) => this.later(ms, fn),
  };

  #deliver(fn: () => void): void {
    if (!this.#alive) return;
    if (this.#paused) this.#held.push(fn);
    else fn();
  }
}
