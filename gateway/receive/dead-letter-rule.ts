import { DEAD_LETTER_FAILURES, DEAD_LETTER_MS } from "../../topology/limits.ts";
import type { Clock } from "../../topology/ports.ts";

/** Successes of one cache, so that a key's failures can be told from the cache's. */
export class CacheSuccesses {
  /** Monotonic ms of the newest success; -Infinity before the first. */
  lastAt = Number.NEGATIVE_INFINITY;
}

/**
 * A mutation is dead after {@link DEAD_LETTER_FAILURES} failures over {@link DEAD_LETTER_MS}, while others of its cache
 * succeeded: when nothing of the cache works, the cache is blocked, and its mutations wait for ever.
 */
export class DeadLetterRule {
  readonly #clock: Clock;
  readonly #successes: CacheSuccesses;
  #failures = 0;
  #firstAt = 0;

  constructor(clock: Clock, successes: CacheSuccesses) {
    this.#clock = clock;
    this.#successes = successes;
  }

  succeeded(): void {
    this.#successes.lastAt = this.#clock.monotonic();
  }

  /** Notes a failure; true if the mutation is dead. */
  failed(): boolean {
    const now = this.#clock.monotonic();
    if (this.#failures === 0) this.#firstAt = now;
    this.#failures += 1;
    return (
      this.#failures >= DEAD_LETTER_FAILURES &&
      now - this.#firstAt >= DEAD_LETTER_MS &&
      this.#successes.lastAt > this.#firstAt
    );
  }
}
