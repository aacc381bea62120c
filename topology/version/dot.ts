import { assert } from "../errors.ts";
import { DOT_RESERVE_MS } from "../limits.ts";
import type { Clock } from "../ports.ts";
import type { Dot } from "./entry.ts";

const COUNTER_BITS = 16n;

/** A dot of `ms` (since the epoch, 48 bits) and `counter` (16 bits). */
export function makeDot(ms: number, counter: number): Dot {
  assert(Number.isInteger(ms) && ms >= 0 && ms < 2 ** 48, () => `a dot's ms is ${ms}`);
  assert(
    Number.isInteger(counter) && counter >= 0 && counter < 2 ** 16,
    () => `counter ${counter}`,
  );
  return (BigInt(ms) << COUNTER_BITS) | BigInt(counter);
}

/** The wall-clock ms in a dot. */
export const dotMs = (dot: Dot): number => Number(dot >> COUNTER_BITS);

/**
 * Draws a site's dots: `max(now, last + 1)`, so they rise whatever the wall clock does.
 *
 * No dot is above the bound that was fsynced before it was drawn, and a restart begins above that bound: so no dot is ever
 * drawn twice, also after a power cut.
 */
export class SiteClock {
  readonly #clock: Clock;
  #last: Dot;
  #reserved: Dot;

  /** `bound`: the persisted bound, or 0n for a site that never drew a dot. */
  constructor(clock: Clock, bound: Dot) {
    this.#clock = clock;
    this.#last = bound;
    this.#reserved = bound;
  }

  /** The highest dot that may be handed out before the next {@link reserve}. */
  get reservedUpTo(): Dot {
    return this.#reserved;
  }

  /** The highest dot so far, or the bound that the clock started above. */
  get last(): Dot {
    return this.#last;
  }

  /** True when less than half a block is left: fsync {@link nextBound}, then call {@link reserve}. */
  needsReserve(): boolean {
    return this.#unclamped() + msOfDots(DOT_RESERVE_MS / 2) > this.#reserved;
  }

  /** False when a dot drawn now would lie behind wall time for lack of a reservation: wait for {@link reserve}. */
  mayDraw(): boolean {
    return this.#unclamped() <= this.#reserved;
  }

  /** The bound to persist next: one block above now and above the last dot. */
  nextBound(): Dot {
    return this.#unclamped() + msOfDots(DOT_RESERVE_MS);
  }

  /** Says that `bound` is on disk. A lower bound than the present one changes nothing. */
  reserve(bound: Dot): void {
    if (bound > this.#reserved) this.#reserved = bound;
  }

  /** Never draws `bound` or anything below it from now on: what a readmitted or rebuilt site is told to start above. */
  startAbove(bound: Dot): void {
    if (bound > this.#last) this.#last = bound;
  }

  /**
   * The next dot. If the wall clock leapt past the reservation since {@link mayDraw} was asked, one of its last ms is drawn,
   * which has dots enough for all who asked; a caller that has none left did not ask, which is a bug.
   */
  next(): Dot {
    const wanted = this.#unclamped();
    const dot = wanted <= this.#reserved ? wanted : this.#lastReserved();
    assert(dot > this.#last && dot <= this.#reserved, "a dot was drawn beyond the reservation");
    this.#last = dot;
    return dot;
  }

  #lastReserved(): Dot {
    const first = this.#reserved - msOfDots(1) + 1n;
    return first > this.#last ? first : this.#last + 1n;
  }

  #unclamped(): Dot {
    const now = makeDot(Math.floor(this.#clock.now()), 0);
    return now > this.#last ? now : this.#last + 1n;
  }
}

const msOfDots = (ms: number): Dot => BigInt(ms) << COUNTER_BITS;
