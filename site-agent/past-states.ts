import { LAGGING_READ_MS_MAX, PAST_STATES_MAX } from "../topology/limits.ts";
import type { CacheState, Clock } from "../topology/ports.ts";
import type { Held, Key, ValueHash } from "../topology/version/entry.ts";
import { sameExpiry } from "./tail/judge.ts";

interface Past {
  /** undefined: the key was missing. */
  readonly held: Held | undefined;
  /** Monotonic ms. */
  readonly until: number;
}

/**
 * What keys held a moment ago, until the ledger knew of something newer. Two reads of one key may be answered by two
 * replicas, the second of which lags: what it tells is old news, never a local change (I3, I4).
 */
export class PastStates {
  readonly #clock: Clock;
  /** The keys in the order of their newest replacement. */
  readonly #past = new Map<Key, readonly Past[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The row of a key no longer says that it holds `held`. */
  replaced(key: Key, held: Held | undefined): void {
    const now = this.#clock.monotonic();
    const before = this.#past.get(key) ?? [];
    this.#past.delete(key);
    this.#past.set(key, [...before.slice(-3), { held, until: now + LAGGING_READ_MS_MAX }]);
    for (const [oldest, states] of this.#past) {
      const isOver = states.every(({ until }) => until <= now);
      if (!isOver && this.#past.size <= PAST_STATES_MAX) return;
      this.#past.delete(oldest);
    }
  }

  /** Whether a state (undefined: missing) is one that the key held a moment ago. */
  has(key: Key, state: CacheState | undefined, hash: ValueHash): boolean {
    const now = this.#clock.monotonic();
    return (this.#past.get(key) ?? []).some(({ held, until }) => {
      if (until <= now) return false;
      if (state === undefined || held === undefined) return state === held;
      // Tokens are random and never come back; where none is known, a re-put of equal bytes just waits for a second.
      if (held.token !== undefined && held.token !== 0n) return held.token === state.token;
      return held.hash === hash && sameExpiry(held, state);
    });
  }
}
